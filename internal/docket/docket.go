// Package docket keeps what people appeal against, and brings it to a decision: the policy's
// within seconds where it decides alone, else that of staff. What a case may become, package
// appeal says; what of it is public, the log does.
//
// # The way of an appeal
//
// Submit keeps a statement and hands out a receipt, an unguessable token that stands for
// whoever wrote it. Run hears the statements in order, each by curate.Loop.Hear: the case is
// received, and ended or referred in the same breath. A statement about a subject that has an open
// case joins it. Open cases are heard again every recheckEvery, and whenever staff votes, for
// evidence may have gone meanwhile.
//
// # What no source can list alone
//
// The policy may want a person's word before it lists something (policy.Review). Reviews is what waits for it, and Say
// takes the word of a member of staff: as with cases, as many have to agree as the clause asks for.
//
// # What is kept
//
// Of a case: what its entries of the log add up to, which Sync reads from the log, so that a store
// that was lost or restored learns it again. Of a statement: the subject, a cause, words, how its
// author can be reached if he said so, the time, and the digest of its receipt. Words and
// contact are shown to staff alone. No address, no browser, no account of who looked at what.
//
// The contact is deleted ContactRetention after the case ended, or at once when its author takes
// the appeal back or deletes it by his receipt; words after WordsRetention. In SQLite, what is
// deleted is overwritten.
//
// # Limits
//
// MaxOpen, MaxWaiting, MaxStatements, MaxDaily, and the lengths MaxSubject, MaxWords,
// MaxContact, MaxReviews. After a person upheld a listing, a further appeal against it is answered by that
// decision for repeatPause, unless the policy has another outcome by then.
package docket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/database"
)

// Limits of what strangers can make the docket hold.
const (
	MaxOpen       = 1000 // open cases: more than a staff of a few decides in a month
	MaxWaiting    = 64   // statements that wait to be heard; one takes a fraction of a second
	MaxStatements = 32   // of one case: what more would say has been said
	MaxDaily      = 2000 // statements in 24 hours: a bound on the growth of the public log

	MaxSubject = 1100  // octets: the longest name in presentation form, and some blanks
	MaxWords   = 12000 // octets of UTF-8: 4,000 characters of Japanese, some two pages
	MaxContact = 254   // octets: the longest mail address (RFC 5321 §4.5.3.1.3)
	MaxReason  = 1000  // octets of a reason that staff gives; it stands in the log
)

// How long things last.
const (
	ContactRetention = 30 * 24 * time.Hour  // after the case ended: time for a question back
	WordsRetention   = 365 * 24 * time.Hour // after the case ended: long enough to answer for it
	repeatPause      = 30 * 24 * time.Hour
	recheckEvery     = time.Hour
	tick             = time.Minute
	rechecks         = 20 // open cases that are heard again in one tick: each takes a fraction of a second
)

// Hear is curate.Loop.Hear.
type Hear func(ctx context.Context, s curate.Subject, rule func(*curate.Hearing) (*curate.Ruling, error)) error

// Config is what a Docket needs.
type Config struct {
	Database *database.DB
	Dir      string // the state folder, whose log is read
	Hear     Hear
	Reviewer Reviewer         // nil: nothing waits for a person's word
	Now      func() time.Time // nil: time.Now
	Logger   *slog.Logger     // nil: nobody
}

// Docket is the register of cases. Its methods may be called from any goroutine.
type Docket struct {
	cfg  Config
	db   *database.DB
	wake chan struct{}
	sync sync.Mutex // held while the log is read into the store

	board board

	mu      sync.Mutex
	changed chan struct{} // closed when a statement was heard
}

// Open opens the docket's tables, and makes them where they are missing.
func Open(ctx context.Context, cfg Config) (*Docket, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := cfg.Database.Migrate(ctx, schema()); err != nil {
		return nil, fmt.Errorf("docket: %w", err)
	}
	return &Docket{cfg: cfg, db: cfg.Database, wake: make(chan struct{}, 1), changed: make(chan struct{})}, nil
}

// Run hears statements until ctx ends. What fails is told and tried again.
func (d *Docket) Run(ctx context.Context) {
	t := time.NewTicker(tick)
	defer t.Stop()
	if err := d.Sync(ctx); err != nil && ctx.Err() == nil {
		d.cfg.Logger.Error("the docket has not read the log", "cause", err)
	}
	for {
		d.report(ctx, d.hearAll(ctx))
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		case <-t.C:
			d.report(ctx, d.Tidy(ctx))
		}
	}
}

// Tidy does what Run does every minute: it hears again the open cases that were not heard for
// recheckEvery, and deletes what is kept no longer.
func (d *Docket) Tidy(ctx context.Context) error { return errors.Join(d.recheck(ctx), d.clean(ctx)) }

func (d *Docket) report(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		d.cfg.Logger.Error("an appeal was not heard; it is tried again", "cause", err)
	}
}

// now is the time by which the docket measures: in milliseconds.
func (d *Docket) now() time.Time { return d.cfg.Now().UTC().Truncate(time.Millisecond) }

// announce tells those who wait that a statement was heard.
func (d *Docket) announce() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.changed)
	d.changed = make(chan struct{})
}

// next is closed when the next statement was heard.
func (d *Docket) next() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// Await returns what became of an appeal as soon as it was heard, or as it is when ctx ends or
// patience does.
func (d *Docket) Await(ctx context.Context, receipt string, patience time.Duration) (*Statement, error) {
	over := time.NewTimer(patience)
	defer over.Stop()
	for {
		next := d.next()
		s, err := d.Statement(ctx, receipt)
		if err != nil || s.State != Waiting {
			return s, err
		}
		select {
		case <-next:
		case <-over.C:
			return s, nil
		case <-ctx.Done():
			return s, nil
		}
	}
}

// clean deletes what is kept no longer.
func (d *Docket) clean(ctx context.Context) error {
	now := d.now()
	ended := `SELECT s.receipt FROM docket_statement s LEFT JOIN docket_case c ON c.id = s.case_id
		WHERE s.state <> 'waiting' AND (CASE WHEN c.id IS NULL OR c.ended > 0 THEN 1 ELSE 0 END) = 1
		AND COALESCE(NULLIF(c.ended, 0), s.heard) < ?`
	r1, err1 := d.db.Exec(ctx, `DELETE FROM docket_contact WHERE receipt IN (`+ended+`)`, now.Add(-ContactRetention).UnixMilli())
	r2, err2 := d.db.Exec(ctx, `DELETE FROM docket_statement WHERE receipt IN (`+ended+`)`, now.Add(-WordsRetention).UnixMilli())
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	n1, err1 := r1.RowsAffected()
	n2, err2 := r2.RowsAffected()
	if n1+n2 == 0 {
		return errors.Join(err1, err2)
	}
	return errors.Join(err1, err2, d.db.Erase(ctx))
}
