// Package evidence keeps what sources say about names and addresses: who says it, of what
// kind, where it can be read, when it was first and last seen. It is the memory between
// the reading of a feed and the decision of a policy; the log holds what was decided.
//
// # What is kept
//
// One claim for each subject, scope, source and kind. A source is read as a whole: Refresh
// compares what it says now with what it said before. What is new is added; what is gone
// stays, marked as withdrawn at the time when it was last there, because evidence goes
// stale and is not unsaid. Only what changed is written, and every change carries the number
// of the refresh that made it, its revision, so that the subjects to decide anew can be asked for.
//
// # When a claim was seen
//
// A claim that its source dates is as old as the source says. Of one that it does not date,
// what the source is decides (Claim.Archived):
//
// A current list says of all of it, whenever it is published, that it is so now: its claims
// were last seen when it was last published with them in. To be read again is not to be
// published: the time is the publisher's (Reading.Published), or where he gives none, when
// the list was last found changed.
//
// An archive collects and drops little: a claim was seen when it was new to it, and is not
// seen again by staying. Of what an archive had when it was read for the first time,
// nobody knows when it was seen.
//
// # A source that fails
//
// A refresh that ends with an error changes nothing. One that would withdraw more than
// half of what a source says is refused with a *ShrunkError unless it is forced: a feed that
// was cut off must not empty the list.
//
// # Storage
//
// SQLite in one file by default, PostgreSQL by address. Both hold the same tables and pass
// the same tests. The schema is versioned: Open brings an older one up to date, in one
// transaction, and refuses one of a newer program.
//
// # Limits
//
// Withdrawn claims are dropped after Retention. One process writes at a time.
package evidence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/shoji-dns/shoji/internal/database"
	"github.com/shoji-dns/shoji/ledger"
)

// Retention is how long a withdrawn claim is kept: past every age of the default policy,
// and long enough to answer for a listing of last year.
const Retention = 400 * 24 * time.Hour

// Subject is a name or an address prefix in the form of a log entry.
type Subject struct {
	Text  string       // a name, or a prefix where Scope is ledger.ScopePrefix
	Scope ledger.Scope // how far the claim reaches
}

// Claim is what a source says about a subject.
type Claim struct {
	Subject
	Kind      string
	Reference string    // where it can be read; may be empty
	Family    string    // of malware; may be empty
	First     time.Time // first seen, as the source says; zero: when it was first read
	Last      time.Time // last seen, as the source says; zero: it does not say
	Archived  bool      // where Last is zero: its source is an archive, and no current list
}

// Store keeps evidence. Its methods may be called from any goroutine; writes wait for one another.
type Store struct {
	db *database.DB
}

// Open opens the store at an address, and makes what is missing: "postgres://…", or the
// path of an SQLite file.
func Open(ctx context.Context, address string) (*Store, error) {
	d, err := database.Open(address, database.Options{})
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	if err := d.Migrate(ctx, schema()); err != nil {
		d.Close()
		return nil, fmt.Errorf("evidence: %w", err)
	}
	return &Store{d}, nil
}

// Close closes the store.
func (s *Store) Close() error { return s.db.Close() }

// batchRows is how many rows one INSERT brings: it spares most of the cost of a statement, and
// stays below the 65,535 parameters of PostgreSQL's protocol and SQLite's 32,766.
const batchRows = 256

// Trial hands fn a store in which all can be tried: whatever it does there is undone in the
// end. Writers wait meanwhile.
func (s *Store) Trial(ctx context.Context, fn func(*Store) error) error {
	err := s.db.Trial(ctx, func(d *database.DB) error { return fn(&Store{d}) })
	if err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	return nil
}

// Snapshot writes the store as it is at this moment into a new SQLite file, while it is in use.
func (s *Store) Snapshot(ctx context.Context, path string) error { return s.db.Snapshot(ctx, path) }

// Memo is what SetMemo noted under a name; "" where it noted nothing.
func (s *Store) Memo(ctx context.Context, name string) (string, error) {
	var value string
	err := s.db.Row(ctx, `SELECT value FROM memo WHERE name = ?`, name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, err
}

// SetMemo notes how far work with the evidence has come.
func (s *Store) SetMemo(ctx context.Context, name, value string) error {
	return s.db.Within(ctx, func(t *database.Tx) error {
		return t.Exec(ctx, `INSERT INTO memo (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
	})
}
