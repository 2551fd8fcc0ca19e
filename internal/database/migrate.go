package database

import (
	"context"
	"fmt"
)

// Schema is the tables of a store.
type Schema struct {
	Version string // the table that holds the schema's version
	Lock    int64  // PostgreSQL's advisory lock by which programs that start together take turns
	// Steps bring the schema from version i to i+1. One that was released never changes:
	// what is to be different is a further one.
	Steps []Step
}

// Step is one migration: statements for both kinds of databases, and for one alone.
type Step struct {
	Both, SQLite, Postgres string
}

// Migrate brings a schema up to date, in one transaction.
func (d *DB) Migrate(ctx context.Context, s Schema) error {
	return d.Within(ctx, func(t *Tx) error {
		if d.postgres {
			if err := t.Exec(ctx, `SELECT pg_advisory_xact_lock(?)`, s.Lock); err != nil {
				return err
			}
		}
		if err := t.Exec(ctx, `CREATE TABLE IF NOT EXISTS `+s.Version+` (version BIGINT NOT NULL)`); err != nil {
			return err
		}
		var version int
		if err := t.Row(ctx, `SELECT COALESCE(MAX(version), 0) FROM `+s.Version).Scan(&version); err != nil {
			return err
		}
		if version > len(s.Steps) {
			return fmt.Errorf("the database has schema version %d, made by a newer program; this one knows up to %d", version, len(s.Steps))
		}
		for ; version < len(s.Steps); version++ {
			if err := d.migrateOne(ctx, t, s.Steps[version]); err != nil {
				return fmt.Errorf("to schema version %d: %w", version+1, err)
			}
			if err := t.Exec(ctx, `INSERT INTO `+s.Version+` (version) VALUES (?)`, version+1); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d *DB) migrateOne(ctx context.Context, t *Tx, s Step) error {
	own := s.SQLite
	if d.postgres {
		own = s.Postgres
	}
	for _, text := range []string{s.Both, own} {
		if text == "" {
			continue
		}
		if err := t.Exec(ctx, text); err != nil {
			return err
		}
	}
	return nil
}
