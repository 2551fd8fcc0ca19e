// Package backup writes all that a state folder holds and cannot make anew into one file, and
// makes a state folder of such a file.
//
// # The file
//
// A tar file, compressed by gzip, of regular files:
//
//	key.pub         the log's verifier key
//	key             its signing key, if it was asked for
//	log/…           the checkpoint, and the tiles and bundles that it covers
//	anchors/…       trust anchors as they have moved on
//	NAME.db         databases: SQLite files as they were at one moment
//	manifest.json   the last: the version of this format, what the log was, and the SHA-256 of each file
//
// Compiled lists are not in it: the log says what they are, and the first program that writes to the
// restored folder makes them. Neither are copies of zones, captures of the sinkhole, or databases in
// PostgreSQL, for which there is pg_dump.
//
// # One moment
//
// Write holds the log's lock, so that the log, the evidence and the cases fit together; writers
// wait for it and nobody else does. A database is read as it was at one moment, while others use it.
//
// # An older log must not go on
//
// Who has seen entry 1000 of a log will call another entry 1000 a fork, and be right. A backup may be
// older than what readers have seen. Restore therefore wants to know: it takes what came after
// from a copy that has it (any mirror, the web server that published the log, a customer's
// copy), which has to continue the backup's log by proof; or the word that nothing came after.
//
// # Limits
//
// MaxFiles and MaxName bound what a file that somebody else made can do. A file is read once,
// from front to back, into a folder beside the one to be, or in it where it is there, and put in place when all of it was
// found right.
package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/ledger"
)

// Limits of a file that is read.
const (
	MaxFiles    = 4 << 20 // 10,000,000 entries take about 80,000
	MaxName     = 256     // octets of a file's name
	maxManifest = 1 << 30 // octets: 100 for each file
)

// Names in the file and in the folder.
const (
	manifestName = "manifest.json"
	keyName      = "key"
	vkeyName     = "key.pub"
	logFolder    = "log"
	anchorFolder = "anchors"
)

// format is the version of the file's format.
const format = 1

// Manifest says what is in a backup.
type Manifest struct {
	Format    int               `json:"format"`
	Made      time.Time         `json:"made"`
	Origin    string            `json:"origin"` // of the log
	LogSize   uint64            `json:"log_size"`
	LogRoot   string            `json:"log_root"` // hexadecimal
	HasKey    bool              `json:"has_signing_key"`
	Databases []string          `json:"databases"`
	Files     map[string]string `json:"files"` // SHA-256 by name, hexadecimal
}

// Database is one that goes into the backup.
type Database struct {
	Name     string // such as evidence.db
	Snapshot func(ctx context.Context, path string) error
}

// Config is what is backed up.
type Config struct {
	Dir       string          // the state folder
	Log       sequence.Config // how the log is kept; Dir and Wait are set here
	Key       bool            // with the log's signing key: whoever has the file can sign in the log's name
	Databases []Database
	Wait      time.Duration // for a writer of the log to end
	Now       time.Time
}

// Write writes a backup.
func Write(ctx context.Context, out io.Writer, c Config) (*Manifest, error) {
	m, err := write(ctx, out, c)
	if err != nil {
		return nil, fmt.Errorf("backup of %s: %w", c.Dir, err)
	}
	return m, nil
}

func write(ctx context.Context, out io.Writer, c Config) (*Manifest, error) {
	if _, err := os.Stat(filepath.Join(sequence.Folder(c.Dir), ledger.CheckpointPath)); err != nil {
		return nil, fmt.Errorf("there is no log yet: %w", err)
	}
	c.Log.Dir, c.Log.Wait = c.Dir, c.Wait
	log, err := sequence.Open(ctx, c.Log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	tip, err := log.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	z := gzip.NewWriter(out)
	w := &writer{ctx: ctx, tar: tar.NewWriter(z), dir: c.Dir, m: &Manifest{
		Format: format, Made: c.Now.UTC().Truncate(time.Second), Origin: tip.Origin, LogSize: tip.Size, LogRoot: hex.EncodeToString(tip.Root[:]),
		HasKey: c.Key, Databases: []string{}, Files: map[string]string{},
	}}
	if err := w.all(c, tip.Size); err != nil {
		return nil, err
	}
	return w.m, errors.Join(w.tar.Close(), z.Close())
}

// writer adds files to a backup.
type writer struct {
	ctx context.Context
	tar *tar.Writer
	dir string
	m   *Manifest
}

func (w *writer) all(c Config, size uint64) error {
	names := []string{vkeyName}
	if c.Key {
		names = append(names, keyName)
	}
	for _, name := range names {
		if err := w.file(name, filepath.Join(w.dir, name)); err != nil {
			return err
		}
	}
	if err := w.folder(logFolder, func(name string) bool { return ofLog(name, size) }); err != nil {
		return err
	}
	if err := w.folder(anchorFolder, func(name string) bool { return !strings.HasPrefix(path.Base(name), ".") }); err != nil {
		return err
	}
	if err := w.databases(c.Databases); err != nil {
		return err
	}
	b, err := json.Marshal(w.m)
	if err != nil {
		return err
	}
	if err := w.tar.WriteHeader(w.header(manifestName, int64(len(b)))); err != nil {
		return err
	}
	_, err = w.tar.Write(b)
	return err
}

// ofLog reports whether a file below the log's folder is one that a log of size entries has.
func ofLog(name string, size uint64) bool {
	if name == ledger.CheckpointPath || name == vkeyName {
		return true
	}
	t, ok := ledger.ParsePath(name)
	return ok && t.Within(size)
}

// folder adds the wanted files below a folder, which may be missing.
func (w *writer) folder(name string, wanted func(string) bool) error {
	root := filepath.Join(w.dir, name)
	return filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && file == root {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		below, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		if below = filepath.ToSlash(below); !wanted(below) {
			return nil
		}
		return w.file(path.Join(name, below), file)
	})
}

// databases adds a snapshot of each.
func (w *writer) databases(all []Database) error {
	temp, err := os.MkdirTemp(w.dir, "backup-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	for _, d := range all {
		file := filepath.Join(temp, d.Name)
		if err := d.Snapshot(w.ctx, file); err != nil {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
		if err := w.file(d.Name, file); err != nil {
			return err
		}
		if err := os.Remove(file); err != nil {
			return err
		}
		w.m.Databases = append(w.m.Databases, d.Name)
	}
	return nil
}

func (w *writer) header(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: w.m.Made, Format: tar.FormatPAX}
}

// file adds one file.
func (w *writer) file(name, from string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := w.tar.WriteHeader(w.header(name, info.Size())); err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w.tar, sum), f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	w.m.Files[name] = sumText(sum)
	return nil
}

func sumText(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// verifier is the verifier of the log whose key is in a folder.
func verifier(dir string) (note.Verifier, error) {
	b, err := os.ReadFile(filepath.Join(dir, vkeyName))
	if err != nil {
		return nil, err
	}
	return note.NewVerifier(strings.TrimSuffix(string(b), "\n"))
}
