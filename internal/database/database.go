// Package database opens the two kinds of databases that shoji keeps things in, SQLite in one
// file and PostgreSQL by address, and hides what differs between them, so that a store has
// one set of statements and one set of tests.
//
// # What is the same
//
// Statements are written with the placeholder ? and in the SQL that both know. A schema is a
// list of migrations: Migrate brings an older one up to date in one transaction, and refuses
// one of a newer program. Stores that share a PostgreSQL database have names of their own
// for their tables and for the table of their version.
//
// # Limits
//
// One process writes to an SQLite file at a time; others wait for it, up to busyTime. A Trial
// keeps writers waiting. Nothing is retried: a transaction that fails is an error of its caller.
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"
)

// busyTime is how long one writer of an SQLite file waits for another: for a refresh of
// millions of claims, for one.
const busyTime = 30 * time.Second

// DB is a database of either kind. Its methods may be called from any goroutine.
type DB struct {
	db       *sql.DB
	postgres bool
	trial    *sql.Tx // everything happens in it; nil: outside of a trial
}

// Options are how a database is opened.
type Options struct {
	Erase bool // what is deleted from an SQLite file is overwritten
}

// IsPostgres reports whether an address is one of a PostgreSQL database, and not a path.
func IsPostgres(address string) bool {
	return strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://")
}

// Open opens the database at an address: "postgres://…", or the path of an SQLite file,
// which is made if it is not there, for its owner alone: it holds how people can be reached, and names that their
// sources do not let be told. It does not connect yet.
func Open(address string, o Options) (*DB, error) {
	if IsPostgres(address) {
		db, err := sql.Open("pgx", address)
		if err != nil {
			return nil, err
		}
		return &DB{db: db, postgres: true}, nil
	}
	if address == "" {
		return nil, errors.New("no address: give the path of an SQLite file, or postgres://…")
	}
	if err := private(address); err != nil {
		return nil, err
	}
	// WAL lets readers go on while somebody writes; a busy writer is waited for.
	query := fmt.Sprintf("?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(%d)&_pragma=temp_store(MEMORY)&_txlock=immediate", busyTime.Milliseconds())
	if o.Erase {
		query += "&_pragma=secure_delete(1)"
	}
	db, err := sql.Open("sqlite", "file:"+escapePath(address)+query)
	if err != nil {
		return nil, err
	}
	return &DB{db: db}, nil
}

// private makes an SQLite file its owner's alone, with those beside it (-wal, -shm), to which SQLite gives the same
// mode. One of another owner is left as it is.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return nil // SQLite says better what is wrong, where it is used
	}
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil || info.Mode().Perm()&0o077 == 0 {
			continue
		}
		if err := os.Chmod(path+suffix, info.Mode().Perm()&^0o077); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// escapePath keeps a path from being read as the query of a URI.
func escapePath(p string) string {
	return strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(p)
}

// Close closes the database.
func (d *DB) Close() error { return d.db.Close() }

// Postgres reports whether it is PostgreSQL.
func (d *DB) Postgres() bool { return d.postgres }

// rewrite turns the placeholders ? of a statement into the database's.
func (d *DB) rewrite(query string) string {
	if !d.postgres {
		return query
	}
	var b strings.Builder
	n := 0
	for _, c := range query {
		if c == '?' {
			n++
			fmt.Fprintf(&b, "$%d", n)
			continue
		}
		b.WriteRune(c)
	}
	return b.String()
}

// Query reads rows.
func (d *DB) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if d.trial != nil {
		return d.trial.QueryContext(ctx, d.rewrite(query), args...)
	}
	return d.db.QueryContext(ctx, d.rewrite(query), args...)
}

// Row reads one row.
func (d *DB) Row(ctx context.Context, query string, args ...any) *sql.Row {
	if d.trial != nil {
		return d.trial.QueryRowContext(ctx, d.rewrite(query), args...)
	}
	return d.db.QueryRowContext(ctx, d.rewrite(query), args...)
}

// Exec carries out one statement.
func (d *DB) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if d.trial != nil {
		return d.trial.ExecContext(ctx, d.rewrite(query), args...)
	}
	return d.db.ExecContext(ctx, d.rewrite(query), args...)
}

// Within runs fn in one transaction.
func (d *DB) Within(ctx context.Context, fn func(*Tx) error) error {
	if d.trial != nil {
		return d.step(ctx, fn)
	}
	t, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(&Tx{t, d}); err != nil {
		return errors.Join(err, ignoreDone(t.Rollback()))
	}
	return t.Commit()
}

// step runs fn within a trial: what it did is undone if it fails.
func (d *DB) step(ctx context.Context, fn func(*Tx) error) error {
	if _, err := d.trial.ExecContext(ctx, `SAVEPOINT step`); err != nil {
		return err
	}
	err := fn(&Tx{d.trial, d})
	end := `RELEASE SAVEPOINT step`
	if err != nil {
		end = `ROLLBACK TO SAVEPOINT step`
	}
	_, failed := d.trial.ExecContext(ctx, end)
	return errors.Join(err, failed)
}

// Trial hands fn a DB in which all can be tried: whatever it does there is undone in the
// end. Writers wait meanwhile.
func (d *DB) Trial(ctx context.Context, fn func(*DB) error) error {
	t, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	err = fn(&DB{db: d.db, postgres: d.postgres, trial: t})
	return errors.Join(err, ignoreDone(t.Rollback()))
}

// ignoreDone leaves out that a transaction was over already, as when its context ended.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// Tx is a transaction.
type Tx struct {
	tx *sql.Tx
	d  *DB
}

// Exec carries out one statement, or several that have no arguments.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) error {
	_, err := t.tx.ExecContext(ctx, t.d.rewrite(query), args...)
	return err
}

// Count carries out one statement and says how many rows it changed.
func (t *Tx) Count(ctx context.Context, query string, args ...any) (int64, error) {
	r, err := t.tx.ExecContext(ctx, t.d.rewrite(query), args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// Row reads one row.
func (t *Tx) Row(ctx context.Context, query string, args ...any) *sql.Row {
	return t.tx.QueryRowContext(ctx, t.d.rewrite(query), args...)
}

// Query reads rows.
func (t *Tx) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return t.tx.QueryContext(ctx, t.d.rewrite(query), args...)
}

// Erase has what was deleted from an SQLite file be overwritten on disk too, in the file beside it that
// holds what was written last. It does what Options.Erase promises, as soon as no reader is in the way;
// PostgreSQL does so in its own time (VACUUM).
func (d *DB) Erase(ctx context.Context) error {
	if d.postgres {
		return nil
	}
	_, err := d.db.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	return err
}

// Snapshot writes the database as it is at this moment into a new SQLite file at path,
// while it is in use. It is for SQLite: PostgreSQL brings pg_dump.
func (d *DB) Snapshot(ctx context.Context, path string) error {
	if d.postgres {
		return errors.New("a PostgreSQL database is backed up by pg_dump")
	}
	_, err := d.db.ExecContext(ctx, `VACUUM INTO ?`, path)
	return err
}
