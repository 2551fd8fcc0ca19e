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

	"github.com/shoji-dns/shoji/internal/durable"
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
	pause   func() // between parts of long work; nil: do not

	unproved *unproved // the list in force, if its file is still to be summed
	replaced bool      // that file is another one now, which nobody has opened
}

// unproved is a list that is in force at its Writer's word, and the Writer's mark of its file.
type unproved struct {
	digest ledger.Digest
	mark   string
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
// Poll returned last; else nil. It does not sum a file whose digest the folder's Writer knew
// and that was not written to since: Run does, once the list is in force.
func (f *Follower) Poll(ctx context.Context) (*filter.List, *ledger.Entry, error) {
	at, err := readPointer(f.dir)
	n := at.epoch
	if err != nil || f.started && n == f.entry && !f.replaced {
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
	f.unproved = nil
	if mark := markText(path, epoch.Digest); isMarked(f.dir, epoch.Digest) {
		f.unproved = &unproved{epoch.Digest, mark}
	} else if err := checkFile(path, epoch.Digest, f.pause); err != nil {
		return nil, nil, err
	}
	list, err := filter.Open(path)
	if err != nil {
		return nil, nil, err
	}
	f.tip, f.entry, f.started, f.replaced = tip, n, true, false
	return list, epoch, nil
}

// breath is how long Run leaves the processor to others between two slices of a
// file that it sums. The scheduler polls the network only when there is nothing
// else to run, or every 10 ms: without it, a server with one processor answers
// nobody for that long.
const breath = 100 * time.Microsecond

// faultPause is how long Run waits after a fault: a large list that is damaged is
// not to be summed without end.
const faultPause = time.Second

// Run polls until ctx ends. It calls swap for each new list, and alarm once
// for each new fault; a fault leaves the list in force as it is. It takes its
// time with a large list, so that queries are answered meanwhile.
func (f *Follower) Run(ctx context.Context, every time.Duration, swap func(*filter.List, *ledger.Entry), alarm func(error)) {
	f.pause = func() { time.Sleep(breath) }
	wait := time.NewTimer(every)
	defer wait.Stop()
	last := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		next := every
		list, epoch, err := f.Poll(ctx)
		if err == nil && list != nil {
			swap(list, epoch)
		}
		if err == nil {
			err = f.prove()
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if err.Error() != last {
				last = err.Error()
				alarm(err)
			}
			next = max(every, faultPause)
		default:
			last = ""
		}
		wait.Reset(next)
	}
}

// prove sums a list's file that Poll took at a Writer's word. If it is damaged, the next start
// makes it anew from the log.
func (f *Follower) prove() error {
	if f.unproved == nil {
		return nil
	}
	at := *f.unproved
	path := listPath(f.dir, at.digest)
	err := checkFile(path, at.digest, f.pause)
	now := markText(path, at.digest)
	switch {
	case now == "" && errors.Is(err, fs.ErrNotExist): // a Writer has dropped it since
	case now != at.mark: // what was summed, or was not, is not what is in force
		f.replaced = true
	case errors.Is(err, errDamaged):
		err = errors.Join(fmt.Errorf("the list in force: %w; restart shoji serve, which makes it anew from the log", err), durable.Remove(markPath(f.dir)))
		f.unproved = nil
		return err
	case err != nil: // tried again
		return fmt.Errorf("the list in force cannot be summed: %w", err)
	}
	f.unproved = nil
	return nil
}

// pointer is what list/current says: which epoch entry is in force, and which
// policy entry was when its list was compiled.
type pointer struct {
	epoch     uint64
	policy    uint64
	hasPolicy bool // else it is not known
}

// text is the pointer as its file holds it: its numbers, with a blank between them.
func (p pointer) text() []byte {
	if !p.hasPolicy {
		return fmt.Appendf(nil, "%d\n", p.epoch)
	}
	return fmt.Appendf(nil, "%d %d\n", p.epoch, p.policy)
}

func readPointer(dir string) (pointer, error) {
	b, err := os.ReadFile(pointerPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return pointer{}, ErrNoList
	}
	if err != nil {
		return pointer{}, err
	}
	var p pointer
	first, second, both := strings.Cut(strings.TrimSuffix(string(b), "\n"), " ")
	if p.epoch, err = strconv.ParseUint(first, 10, 64); err == nil && both {
		p.policy, err = strconv.ParseUint(second, 10, 64)
		p.hasPolicy = true
	}
	if err != nil {
		return pointer{}, fmt.Errorf("%s is damaged: it holds no number; shoji serve and shoji list import make it anew from the log", pointerPath(dir))
	}
	return p, nil
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
