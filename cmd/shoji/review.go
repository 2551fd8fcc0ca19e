package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/shoji-dns/shoji/internal/curate"
)

// listReviewCmd shows what waits for a person.
type listReviewCmd struct {
	settings
	JSON bool   `name:"json" help:"Print JSON for a machine, one object a line."`
	Lang string `help:"en or ja. Default: by the locale." enum:"en,ja," default:""`
}

func (c *listReviewCmd) Run(ctx context.Context, t terminal) error {
	l, done, err := c.settings.loop(ctx, t)
	if err != nil {
		return err
	}
	err = c.print(ctx, t, l)
	return errors.Join(err, done())
}

func (c *listReviewCmd) print(ctx context.Context, t terminal, l *curate.Loop) error {
	lang, n := language(c.Lang), 0
	for w, err := range l.Waiting(ctx) {
		if err != nil {
			return err
		}
		n++
		if c.JSON {
			err = json.NewEncoder(t.out).Encode(map[string]any{"subject": w.Subject, "clause": w.Clause.ID, "evidence": evidenceOf(w.Evidence)})
		} else {
			_, err = fmt.Fprintf(t.out, "%s  %s: %s\n", w.Subject, w.Clause.ID, w.Clause.Title.In(lang))
			for _, e := range w.Evidence {
				fmt.Fprintf(t.out, "    %s\n", evidenceInWords(e))
			}
		}
		if err != nil {
			return err
		}
	}
	if n == 0 && !c.JSON {
		_, err := fmt.Fprintln(t.out, map[string]string{"en": "nothing waits for a person", "ja": "人の確認を待つものはない"}[lang])
		return err
	}
	return nil
}

// listConfirmCmd lists what waits for a person.
type listConfirmCmd struct {
	settings
	Subjects []string `arg:"" help:"Names, addresses or prefixes that shoji list review shows." placeholder:"SUBJECT"`
}

func (c *listConfirmCmd) Run(ctx context.Context, t terminal) error {
	return c.settings.rule(ctx, t, c.Subjects, true)
}

// listRejectCmd spares what waits for a person.
type listRejectCmd struct {
	settings
	Subjects []string `arg:"" help:"Names, addresses or prefixes that shoji list review shows, or that were confirmed." placeholder:"SUBJECT"`
}

func (c *listRejectCmd) Run(ctx context.Context, t terminal) error {
	return c.settings.rule(ctx, t, c.Subjects, false)
}

// loop is the control loop for a person at a terminal.
func (s settings) loop(ctx context.Context, t terminal) (*curate.Loop, func() error, error) {
	conf, err := s.load()
	if err != nil {
		return nil, nil, err
	}
	yieldToOthers()
	p := newProgress(t.err)
	l, done, err := loop(ctx, conf, nil, p.show, nil)
	if err != nil {
		return nil, nil, err
	}
	return l, func() error { p.clear(); return done() }, nil
}

// rule takes a person's word on subjects.
func (s settings) rule(ctx context.Context, t terminal, texts []string, confirmed bool) error {
	var subjects []curate.Subject
	for _, text := range texts {
		subject, err := curate.ParseSubject(text)
		if err != nil {
			return usageError{err}
		}
		subjects = append(subjects, subject)
	}
	l, done, err := s.loop(ctx, t)
	if err != nil {
		return err
	}
	rep, err := l.Rule(ctx, subjects, confirmed)
	if err := errors.Join(err, done()); err != nil {
		return err
	}
	if err := printUpdate(t.out, rep, false); err != nil {
		return err
	}
	if rep.Held != "" {
		return errors.New("nothing came into force: " + rep.Held)
	}
	return nil
}
