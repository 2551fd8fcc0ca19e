package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/backup"
	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/database"
	"github.com/shoji-dns/shoji/internal/durable"
	"github.com/shoji-dns/shoji/ledger"
)

// evidenceFile is the database of evidence in the state folder.
const evidenceFile = "evidence.db"

// backupWait is how long a writer of the log is waited for: a large import.
const backupWait = 2 * time.Minute

// backupCmd writes all that cannot be made anew into one file.
type backupCmd struct {
	settings
	File    string `arg:"" help:"The file to write; - is standard output." placeholder:"FILE"`
	WithKey bool   `help:"With the log's signing key. Whoever has the file can then sign in the log's name: keep it accordingly."`
	JSON    bool   `name:"json" help:"Print JSON for a machine."`
}

func (c *backupCmd) Run(ctx context.Context, t terminal) error {
	if c.JSON && c.File == "-" {
		return usageError{errors.New("--json and - would both go to standard output")}
	}
	conf, err := c.settings.load()
	if err != nil {
		return err
	}
	what := backup.Config{Dir: conf.State, Key: c.WithKey, Wait: backupWait, Now: time.Now()}
	if what.Log, err = logConfig(conf); err != nil {
		return err
	}
	left, done, err := snapshots(conf, &what)
	if err != nil {
		return err
	}
	var m *backup.Manifest
	var failed error
	write := func(w io.Writer) error {
		m, failed = backup.Write(ctx, w, what)
		return failed
	}
	if c.File == "-" {
		err = write(t.out)
	} else if err = durable.Write(c.File, 0o600, write); failed != nil {
		err = failed // which is not of the file
	}
	if err := errors.Join(err, done()); err != nil {
		return err
	}
	return c.tell(t, m, left)
}

// tell says what was written.
func (c *backupCmd) tell(t terminal, m *backup.Manifest, left []string) error {
	out := t.out
	if c.File == "-" {
		out = t.err
	}
	if c.JSON {
		return json.NewEncoder(out).Encode(map[string]any{
			"file": c.File, "log": m.Origin, "log_size": m.LogSize, "has_signing_key": m.HasKey, "databases": m.Databases, "files": len(m.Files), "not_included": append([]string{}, left...),
		})
	}
	fmt.Fprintf(out, "%s: the log %s with %d entries, %s\n", c.File, m.Origin, m.LogSize, strings.Join(m.Databases, ", "))
	if m.HasKey {
		fmt.Fprintln(out, "The log's signing key is in it: whoever has the file can sign in the log's name.")
	} else {
		fmt.Fprintln(out, "The log's signing key is not in it: keep a copy of the file key apart, or use --with-key.")
	}
	for _, l := range left {
		fmt.Fprintln(out, l)
	}
	return nil
}

// snapshots are the databases of a configuration that can go into the file, and a word about those
// that cannot.
func snapshots(conf config.Config, what *backup.Config) (left []string, done func() error, err error) {
	var open []*database.DB
	done = func() error {
		var err error
		for _, d := range open {
			err = errors.Join(err, d.Close())
		}
		return err
	}
	for _, d := range []struct{ name, address string }{{evidenceFile, evidenceAddress(conf)}, {deskFile, deskDatabase(conf)}} {
		if database.IsPostgres(d.address) {
			left = append(left, d.name+" is a PostgreSQL database, and not in it: back it up with pg_dump, after this")
			continue
		}
		if _, err := os.Stat(d.address); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		db, err := database.Open(d.address, database.Options{})
		if err != nil {
			return nil, nil, errors.Join(err, done())
		}
		open = append(open, db)
		what.Databases = append(what.Databases, backup.Database{Name: d.name, Snapshot: db.Snapshot})
	}
	return left, done, nil
}

// restoreCmd makes a state folder of a backup.
type restoreCmd struct {
	settings
	File         string `arg:"" help:"The backup; - is standard input." placeholder:"FILE"`
	Newest       string `help:"A copy of the log that has its newest entries: the address where it was published, a mirror's, or a folder." placeholder:"URL|DIR"`
	NothingNewer bool   `help:"Nothing was published after the backup. If that is wrong, the log forks, and its readers will say so."`
	JSON         bool   `name:"json" help:"Print JSON for a machine."`
}

func (c *restoreCmd) Run(ctx context.Context, t terminal) error {
	if (c.Newest != "") == c.NothingNewer {
		return usageError{fmt.Errorf("give --newest or --nothing-newer: %w", backup.ErrOlder)}
	}
	conf, err := c.settings.load()
	if err != nil {
		return err
	}
	in := t.in
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	p := newProgress(t.err)
	defer p.clear()
	to := backup.RestoreConfig{Dir: conf.State, NothingNewer: c.NothingNewer, Progress: func(done, total uint64) { p.show("verifying the log", done, total) }}
	if c.Newest != "" {
		source, close, err := newestCopy(c.Newest)
		if err != nil {
			return err
		}
		defer close()
		to.Newest = source
	}
	r, err := backup.Restore(ctx, in, to)
	p.clear()
	if err != nil {
		return err
	}
	return c.tell(t, conf, r)
}

// newestCopy opens a copy of a log, on a web server or in a folder: the log's own, or a state folder.
func newestCopy(at string) (ledger.Source, func() error, error) {
	if strings.Contains(at, "://") {
		r, err := ledger.OpenRemote(at, nil)
		return r, func() error { return nil }, err
	}
	if _, err := os.Stat(filepath.Join(at, ledger.CheckpointPath)); errors.Is(err, fs.ErrNotExist) {
		at = filepath.Join(at, "log")
	}
	f, err := ledger.OpenFolder(at)
	if err != nil {
		return nil, nil, err
	}
	return f, f.Close, nil
}

// tell says what was restored, and what is left to do.
func (c *restoreCmd) tell(t terminal, conf config.Config, r *backup.Restored) error {
	if c.JSON {
		return json.NewEncoder(t.out).Encode(map[string]any{
			"state": conf.State, "log": r.Origin, "backup_made": r.Made, "backup_log_size": r.LogSize, "log_size": r.Entries, "has_signing_key": r.HasKey, "databases": r.Databases,
		})
	}
	fmt.Fprintf(t.out, "%s: the log %s with %d entries, of which %d came after the backup of %s\n", conf.State, r.Origin, r.Entries, r.Entries-r.LogSize, r.Made.Format("2006-01-02 15:04 MST"))
	if !r.HasKey {
		fmt.Fprintf(t.out, "The backup has no signing key: put it into %s, mode 0600, before the log goes on.\n", filepath.Join(conf.State, "key"))
	}
	for name, address := range map[string]string{evidenceFile: evidenceAddress(conf), deskFile: deskDatabase(conf)} {
		if at := filepath.Join(conf.State, name); address != at {
			fmt.Fprintf(t.out, "The configuration has %s elsewhere: move %s there, or restore that database by its own backup.\n", name, at)
		}
	}
	return nil
}
