package curate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/ledger"
)

// Follower reads the list in force from a state folder, whoever writes it.
// It remembers what it verified: a log that is rolled back or forked is an
// error, and the list in force stays.
type Follower struct {
	dir     string
	key     note.Verifier
	tip     ledger.Checkpoint
	entry   uint64
	started bool
}

// ErrNoList says that no list was ever published in a folder.
var ErrNoList = errors.New("no list was published yet")

// Follow opens a state folder for reading. It returns ErrNoList where nothing
// was published in it yet.
func Follow(dir string) (*Follower, error) {
	key, err := sequence.ReadVerifier(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoList
	}
	if err != nil {
		return nil, err
	}
	if _, err := readPointer(dir); err != nil {
		return nil, err
	}
	return &Follower{dir: dir, key: key}, nil
}

// Origin names the log.
func (f *Follower) Origin() string { return f.key.Name() }

// LogSize is the number of entries of the log at the last list.
func (f *Follower) LogSize() uint64 { return f.tip.Size }

// Entry is the number of the epoch entry of the last list.
func (f *Follower) Entry() uint64 { return f.entry }

// Poll returns the list in force and its epoch entry if it is not the one that
// Poll returned last; else nil.
func (f *Follower) Poll(ctx context.Context) (*filter.List, *ledger.Entry, error) {
	n, err := readPointer(f.dir)
	if err != nil || f.started && n == f.entry {
		return nil, nil, err
	}
	log, err := ledger.OpenFolder(sequence.Folder(f.dir))
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	tip, err := ledger.ReadCheckpoint(ctx, log, f.key)
	if err != nil {
		return nil, nil, err
	}
	if f.started {
		if err := ledger.VerifyConsistency(ctx, log, f.tip, tip); err != nil {
			return nil, nil, err
		}
		if n < f.entry {
			return nil, nil, fmt.Errorf("%w: the list in force would go back from epoch entry %d to %d", ledger.ErrRollback, f.entry, n)
		}
	}
	epoch, err := readEpoch(ctx, log, tip, n)
	if err != nil {
		return nil, nil, err
	}
	path := listPath(f.dir, epoch.Digest)
	if err := checkFile(path, epoch.Digest); err != nil {
		return nil, nil, err
	}
	list, err := filter.Open(path)
	if err != nil {
		return nil, nil, err
	}
	f.tip, f.entry, f.started = tip, n, true
	return list, epoch, nil
}

// Run polls until ctx ends. It calls swap for each new list, and alarm once
// for each new fault; a fault leaves the list in force as it is.
func (f *Follower) Run(ctx context.Context, every time.Duration, swap func(*filter.List, *ledger.Entry), alarm func(error)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	last := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		list, epoch, err := f.Poll(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if err.Error() != last {
				last = err.Error()
				alarm(err)
			}
		default:
			last = ""
			if list != nil {
				swap(list, epoch)
			}
		}
	}
}

// readPointer is the number of the epoch entry in force.
func readPointer(dir string) (uint64, error) {
	b, err := os.ReadFile(pointerPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, ErrNoList
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(string(b), "\n"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is damaged: it holds no number; shoji serve and shoji list import make it anew from the log", pointerPath(dir))
	}
	return n, nil
}

// readEpoch reads epoch entry n of a log.
func readEpoch(ctx context.Context, log ledger.Source, tip ledger.Checkpoint, n uint64) (*ledger.Entry, error) {
	e, err := ledger.ReadEntry(ctx, log, tip, n)
	if err != nil {
		return nil, fmt.Errorf("epoch entry %d: %w", n, err)
	}
	if e.Kind != ledger.KindEpoch {
		return nil, fmt.Errorf("entry %d is of kind %s and not an epoch", n, e.Kind)
	}
	return e, nil
}
