package database

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// both runs a test on an SQLite file and, where there is a server, on PostgreSQL.
func both(t *testing.T, test func(t *testing.T, address string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, filepath.Join(t.TempDir(), "a?#%.db")) })
	t.Run("postgres", func(t *testing.T) {
		server := os.Getenv("SHOJI_TEST_POSTGRES")
		if server == "" {
			t.Skip("no PostgreSQL: set SHOJI_TEST_POSTGRES to postgres://USER@HOST/DATABASE")
		}
		address, drop, err := Scratch(t.Context(), server)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := drop(); err != nil {
				t.Error(err)
			}
		})
		test(t, address)
	})
}

func open(t *testing.T, address string) *DB {
	t.Helper()
	d, err := Open(address, Options{Erase: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func schema(steps int) Schema {
	all := []Step{
		{Both: `CREATE TABLE thing (name TEXT PRIMARY KEY, size BIGINT NOT NULL)`},
		{Both: `ALTER TABLE thing ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'`,
			SQLite: `CREATE TABLE kind (name TEXT); INSERT INTO kind VALUES ('sqlite')`, Postgres: `CREATE TABLE kind (name TEXT); INSERT INTO kind VALUES ('postgres')`},
	}
	return Schema{Version: "thing_version", Lock: 1, Steps: all[:steps]}
}

func count(t *testing.T, d *DB) (n int) {
	t.Helper()
	if err := d.Row(t.Context(), `SELECT COUNT(*) FROM thing WHERE size > ?`, 0).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestASchemaGrowsAndIsNotTakenFromANewerProgram(t *testing.T) {
	both(t, func(t *testing.T, address string) {
		ctx := t.Context()
		d := open(t, address)
		for _, steps := range []int{1, 1, 2, 2} {
			if err := d.Migrate(ctx, schema(steps)); err != nil {
				t.Fatal(err)
			}
		}
		var kind string
		if err := d.Row(ctx, `SELECT name FROM kind`).Scan(&kind); err != nil || (kind == "postgres") != d.Postgres() {
			t.Errorf("%q, %v", kind, err)
		}
		if err := d.Migrate(ctx, schema(1)); err == nil || !strings.Contains(err.Error(), "newer program") {
			t.Errorf("an older program took it: %v", err)
		}
		broken := schema(2)
		broken.Steps = append(broken.Steps, Step{Both: `INSERT INTO thing (name, size) VALUES ('left', 1)`}, Step{Both: `no statement`})
		if err := d.Migrate(ctx, broken); err == nil || count(t, d) != 0 {
			t.Errorf("a migration that failed left something behind: %v", err)
		}
	})
}

func TestATransactionIsWholeOrNotAtAll(t *testing.T) {
	both(t, func(t *testing.T, address string) {
		ctx := t.Context()
		d := open(t, address)
		if err := d.Migrate(ctx, schema(1)); err != nil {
			t.Fatal(err)
		}
		add := func(name string) func(*Tx) error {
			return func(t *Tx) error { return t.Exec(ctx, `INSERT INTO thing (name, size) VALUES (?, ?)`, name, 1) }
		}
		ended := errors.New("ended")
		if err := d.Within(ctx, func(t *Tx) error { return errors.Join(add("a")(t), ended) }); !errors.Is(err, ended) || count(t, d) != 0 {
			t.Errorf("%v", err)
		}
		if err := d.Within(ctx, add("b")); err != nil || count(t, d) != 1 {
			t.Error(err)
		}
		err := d.Trial(ctx, func(trial *DB) error {
			return errors.Join(trial.Within(ctx, add("c")), trial.Within(ctx, func(t *Tx) error {
				n, err := t.Count(ctx, `DELETE FROM thing`)
				if n != 2 {
					err = errors.Join(err, errors.New("the trial does not see what it did"))
				}
				return err
			}))
		})
		if err != nil || count(t, d) != 1 {
			t.Errorf("a trial left something behind: %v", err)
		}
	})
}

// A snapshot is taken while somebody has a transaction open, and holds what was committed.
func TestSnapshot(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	d := open(t, filepath.Join(dir, "a.db"))
	if err := d.Migrate(ctx, schema(1)); err != nil {
		t.Fatal(err)
	}
	insert := `INSERT INTO thing (name, size) VALUES (?, ?)`
	if _, err := d.Exec(ctx, insert, "in", 1); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "copy's %?#.db")
	err := d.Within(ctx, func(t *Tx) error {
		return errors.Join(t.Exec(ctx, insert, "out", 2), d.Snapshot(context.WithoutCancel(ctx), to))
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, open(t, to)); n != 1 {
		t.Errorf("the snapshot has %d rows", n)
	}
	if err := d.Snapshot(ctx, to); err == nil {
		t.Error("a file that was there was written over")
	}
}

// An SQLite file and those beside it are their owner's alone, also one that an earlier program left open to others.
func TestFilesAreTheirOwnersAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes are of other systems")
	}
	path := filepath.Join(t.TempDir(), "a.db")
	for range 2 {
		d := open(t, path)
		if _, err := d.Exec(t.Context(), `CREATE TABLE IF NOT EXISTS x (y TEXT)`); err != nil {
			t.Fatal(err)
		}
		for _, suffix := range []string{"", "-wal", "-shm"} {
			info, err := os.Stat(path + suffix)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", suffix, info, err)
			}
			if err := os.Chmod(path+suffix, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
