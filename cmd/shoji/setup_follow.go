package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/publish"
	"github.com/shoji-dns/shoji/ledger"
)

// whom asks for the logs to follow, and sees that their keys are known.
func (c *setupCmd) whom(q *questions, p *plan) error {
	for asked := false; ; asked = true {
		answer := c.Follow
		if answer == nil {
			text, err := q.ask(sayWhom)
			if err != nil {
				return err
			}
			answer = &text
		}
		logs, err := c.logs(q, parted(*answer))
		if err == nil {
			p.logs = logs
			return nil
		}
		if c.Follow != nil || q.ctx.Err() != nil || errors.Is(err, io.ErrUnexpectedEOF) || asked && c.Key != "" {
			return err
		}
		q.say(sayError, err)
	}
}

// parted parts an answer at commas and spaces.
func parted(answer string) []string {
	return strings.FieldsFunc(answer, func(r rune) bool { return r == ',' || r == '、' || r == ' ' || r == '\t' || r == '\r' })
}

// logs holds that logs can be read with their keys, which are asked for where none were given.
func (c *setupCmd) logs(q *questions, addresses []string) ([]logToFollow, error) {
	if len(addresses) == 0 || len(addresses) == 1 && addresses[0] == "-" {
		return nil, nil
	}
	keys := parted(c.Key)
	if len(keys) > 0 && len(keys) != len(addresses) {
		return nil, fmt.Errorf("%d logs and %d keys: give --key a key for each log, in the same order", len(addresses), len(keys))
	}
	if len(addresses) > config.MaxFollow {
		return nil, fmt.Errorf("%d logs, of which at most %d can be followed", len(addresses), config.MaxFollow)
	}
	var out []logToFollow
	for i, address := range addresses {
		given := ""
		if len(keys) > 0 {
			given = keys[i]
		}
		log, key, err := c.log(q, address, given)
		if err != nil {
			return nil, err
		}
		out = append(out, logToFollow{log, key})
	}
	return out, nil
}

// log holds that a log can be read with its key, which is asked for where none was given.
func (c *setupCmd) log(q *questions, address, given string) (log, key string, err error) {
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	src, err := ledger.OpenRemote(address, nil)
	if err != nil {
		return "", "", err
	}
	ctx, cancel := context.WithTimeout(q.ctx, tryTime)
	defer cancel()
	if key = given; key == "" {
		shown, err := src.Read(ctx, publish.VerifierPath, maxKey)
		if err != nil {
			return "", "", fmt.Errorf(q.text(sayNoLog), address, err)
		}
		key = strings.TrimSpace(string(shown))
		if yes, err := q.confirm(sayKey, key); err != nil || !yes {
			return "", "", errors.Join(err, errors.New(q.text(sayOtherKey)))
		}
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return "", "", fmt.Errorf("%q is no verifier key: %w", key, err)
	}
	tip, err := ledger.ReadCheckpoint(ctx, src, verifier)
	if err != nil {
		return "", "", fmt.Errorf(q.text(sayNoLog), address, err)
	}
	q.say(sayLog, tip.Origin, tip.Size)
	return address, key, nil
}
