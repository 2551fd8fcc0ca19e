package sequence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/shoji-dns/shoji/internal/durable"
	"github.com/transparency-dev/tessera"
)

// storage is where the driver keeps entries and tiles.
type storage interface {
	// driver is Tessera's driver for it.
	driver(ctx context.Context) (tessera.Driver, error)
	// tree is the tree that is stored. An error that wraps fs.ErrNotExist: none is.
	tree(ctx context.Context) (treeState, error)
	// mend makes ts the tree that is stored: its tiles are there, and the record of it
	// is lost or wrong.
	mend(ctx context.Context, ts treeState) error
	// fetch makes sure that the log's folder has, durably, what the tree of to
	// entries has and that of from entries has not.
	fetch(ctx context.Context, from, to uint64) error
	// publish notes a checkpoint that is about to be published.
	publish(ctx context.Context, checkpoint []byte) error
	// checkpoint is the one that was noted last; nil for none.
	checkpoint(ctx context.Context) ([]byte, error)
	// place names it to people.
	place() string
	close() error
}

// treeState is a tree that is stored: the published checkpoint's or a later one.
type treeState struct {
	Size uint64 `json:"size"`
	Root []byte `json:"root"`
}

// The POSIX driver's own files, in the log's folder.
const (
	stateFolder = ".state"
	treeFile    = ".state/treeState"
)

// folder is a log that Tessera's POSIX driver keeps in the folder that is published.
type folder struct{ dir string }

func (f folder) driver(ctx context.Context) (tessera.Driver, error) { return newDriver(ctx, f.dir) }

func (f folder) tree(context.Context) (treeState, error) {
	var ts treeState
	b, err := os.ReadFile(filepath.Join(f.dir, treeFile))
	if err != nil {
		return ts, err
	}
	if err := json.Unmarshal(b, &ts); err != nil {
		return ts, fmt.Errorf("%s: %w", treeFile, err)
	}
	if len(ts.Root) != 32 {
		return ts, fmt.Errorf("%s: a root hash of %d octets", treeFile, len(ts.Root))
	}
	return ts, nil
}

func (f folder) mend(_ context.Context, ts treeState) error {
	b, err := json.Marshal(ts)
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(f.dir, treeFile), b, 0o644)
}

func (folder) fetch(context.Context, uint64, uint64) error { return nil } // it is there
func (folder) publish(context.Context, []byte) error       { return nil } // its file is what tells
func (folder) checkpoint(context.Context) ([]byte, error)  { return nil, nil }
func (f folder) place() string                             { return f.dir }
func (folder) close() error                                { return nil }

// hasTiles reports whether entries are in a log's folder.
func hasTiles(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "tile"))
	return err == nil
}

// openStorage opens what a Config names. A folder that is a copy of what a database keeps
// says so in storageFile: appended to by itself, it would be another log.
func openStorage(ctx context.Context, cfg Config, dir string) (storage, error) {
	mark := filepath.Join(cfg.Dir, storageFile)
	b, err := os.ReadFile(mark)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if cfg.Database == "" {
		if err == nil {
			return nil, fmt.Errorf("%s keeps this log, and the folder has a copy: log.database in the configuration has to name it", strings.TrimSpace(string(b)))
		}
		return folder{dir}, nil
	}
	d, err := openDatabase(ctx, cfg.Database, dir, cfg.Wait)
	if err != nil {
		return nil, err
	}
	if err := durable.WriteFile(mark, []byte(d.name+"\n"), 0o644); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}
