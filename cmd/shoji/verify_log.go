package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/shoji-dns/shoji/internal/audit"
	"github.com/shoji-dns/shoji/internal/publish"
	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/ledger"
)

// logAddress is where a log is and what is known of it.
type logAddress struct {
	Log    string // its address, or a folder
	Key    string // "": the one that is remembered, or that the log tells
	Memory string // folder where keys are remembered
}

// maxKey is the longest verifier key that is read, in octets: a name and an Ed25519 key.
const maxKey = 4096

// source opens the log. A folder is that of the log, or a state folder with one in it.
func (c *logAddress) source() (src ledger.Source, address string, done func(), err error) {
	if strings.Contains(c.Log, "://") {
		r, err := ledger.OpenRemote(c.Log, nil)
		if err != nil {
			return nil, "", nil, err
		}
		return r, r.Address(), func() {}, nil
	}
	dir, err := filepath.Abs(c.Log)
	if err != nil {
		return nil, "", nil, err
	}
	if _, err := os.Stat(filepath.Join(sequence.Folder(dir), ledger.CheckpointPath)); err == nil {
		dir = sequence.Folder(dir)
	}
	f, err := ledger.OpenFolder(dir)
	if err != nil {
		return nil, "", nil, fmt.Errorf("%w: give the log's address, such as http://127.0.0.1:5380/, or its folder", err)
	}
	return f, dir, func() { f.Close() }, nil
}

// Where the key came from.
const (
	keyGiven      = "given"
	keyRemembered = "remembered"
	keyFirst      = "first-use"
)

// key is the verifier key to trust, and where it came from.
func (c *logAddress) key(ctx context.Context, src ledger.Source, address string) (vkey, from string, err error) {
	if c.Key != "" {
		return strings.TrimSpace(c.Key), keyGiven, nil
	}
	if vkey, err = audit.PinnedKey(c.Memory, address); err != nil {
		return "", "", statusError{err, exitUnchecked}
	}
	if vkey != "" {
		return vkey, keyRemembered, nil
	}
	b, err := src.Read(ctx, publish.VerifierPath, maxKey)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", usageError{fmt.Errorf("%s has no %s: give the log's verifier key with --key", address, publish.VerifierPath)}
	}
	if err != nil {
		return "", "", statusError{err, exitUnchecked}
	}
	if vkey, _, err = ledger.VerifierKey(string(b)); err != nil {
		return "", "", statusError{fmt.Errorf("%s of the log is no verifier key: %w", publish.VerifierPath, err), exitUnchecked}
	}
	return vkey, keyFirst, nil
}

// verifier is a key in the one way of writing it, and what verifies by it.
func (c *logAddress) verifier(text string) (string, note.Verifier, error) {
	key, v, err := ledger.VerifierKey(text)
	if err != nil {
		return "", nil, fmt.Errorf("--key %q is no verifier key: %w", text, err)
	}
	return key, v, nil
}

// open opens a log to be verified. Nothing of it is believed yet.
func (c *verifyCmd) open(ctx context.Context, at logAddress, witnesses *ledger.WitnessPolicy) (_ *verification, err error) {
	src, address, done, err := at.source()
	if err != nil {
		return nil, usageError{err}
	}
	defer func() {
		if err != nil {
			done()
		}
	}()
	key, from, err := at.key(ctx, src, address)
	if err != nil {
		return nil, err
	}
	key, verifier, err := at.verifier(key)
	if err != nil {
		return nil, usageError{err}
	}
	if err := ownWitness("--witnesses", witnesses, key); err != nil {
		return nil, usageError{err}
	}
	memory, err := audit.OpenMemory(c.Memory, key)
	if err != nil {
		return nil, statusError{c.room(err), exitUnchecked}
	}
	return &verification{Address: address, Key: key, KeyFrom: from, log: audit.Config{Source: src, Key: verifier, Memory: memory}, done: done}, nil
}
