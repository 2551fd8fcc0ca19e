package sequence

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/shoji-dns/shoji/ledger"
	"github.com/transparency-dev/tessera"
	"golang.org/x/mod/sumdb/note"
)

const (
	// windowEntries is how many entries are stored in one step. It is a multiple
	// of the 256 entries of a bundle, so that a long Append leaves no partial
	// bundles behind; a larger one is not faster.
	windowEntries = 64 * bundleWidth

	// windowBytes ends a window of long entries earlier, to bound its memory.
	windowBytes = 16 << 20

	// bundleWidth is the number of entries in a bundle and of hashes in a tile.
	bundleWidth = 256
)

// Progress is told how many entries of an Append are stored. It may be nil.
type Progress func(stored uint64)

// Append appends entries in their order and returns once a durable signed
// checkpoint covers them, with the cosignatures that it has to bear: they are
// entries first to next-1 of the log.
//
// After an error, entries first to next-1 are a beginning of what was given and
// are in the log; none after them is. An entry that is not well-formed, and an
// end of ctx, end the Append between two windows. Where too few witnesses
// cosigned, the error wraps ErrUncosigned: the entries are stored, and whoever
// appends or opens the log next has them cosigned and published first; as long as
// that fails, nothing more is stored. Appends wait for one another.
func (l *Log) Append(ctx context.Context, entries iter.Seq[*ledger.Entry], progress Progress) (first, next uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first = l.size.Load()
	if l.broken != nil {
		return first, first, l.broken
	}
	if first > l.published.Size {
		if err := l.publish(ctx, false); err != nil {
			return first, first, err
		}
	}
	defer func() {
		l.retire()
		next = l.size.Load()
		if next > first {
			err = errors.Join(err, l.publish(ctx, true)) // even if the caller gave up
		}
		if err != nil {
			l.sweep()
		}
	}()
	stop := make(chan struct{})
	defer close(stop)
	for w := range windows(entries, l.size.Load()%bundleWidth, stop) {
		if err := ctx.Err(); err != nil {
			return first, l.size.Load(), err
		}
		if w.err != nil {
			return first, l.size.Load(), w.err
		}
		if err := l.store(ctx, w.entries); err != nil {
			return first, l.size.Load(), err
		}
		if progress != nil {
			progress(l.size.Load() - first)
		}
	}
	return first, l.size.Load(), nil
}

// window is some entries in their encoded form, or why there are none.
type window struct {
	entries []*tessera.Entry
	err     error
}

// windows encodes entries, one window ahead of whoever stores them. The first
// window fills up a bundle of which partial entries are there.
func windows(entries iter.Seq[*ledger.Entry], partial uint64, stop <-chan struct{}) <-chan window {
	out := make(chan window)
	go func() {
		defer close(out)
		send := func(w window) bool {
			select {
			case out <- w:
				return w.err == nil
			case <-stop:
				return false
			}
		}
		var w window
		most, size, count := windowEntries-int(partial), 0, 0
		for e := range entries {
			b, err := e.Marshal()
			if err != nil {
				send(window{err: fmt.Errorf("entry %d of this Append: %w", count, err)})
				return
			}
			count++
			w.entries = append(w.entries, tessera.NewEntry(b))
			if size += len(b); len(w.entries) == most || size >= windowBytes {
				if !send(w) {
					return
				}
				w, most, size = window{entries: make([]*tessera.Entry, 0, windowEntries)}, windowEntries, 0
			}
		}
		if len(w.entries) > 0 {
			send(w)
		}
	}()
	return out
}

// appender is a Tessera appender whose batch is exactly one window, so that a
// window is stored at once and as a whole.
type appender struct {
	add   tessera.AddFn
	batch int
	stop  context.CancelFunc
}

// never is an interval of the driver's in which it publishes no checkpoint of its
// own: the checkpoints are this package's. It is longer than the age of any file.
const never = 200 * 365 * 24 * time.Hour

// noSigner is what the driver gets to sign with.
type noSigner struct{ note.Verifier }

func (noSigner) Sign([]byte) ([]byte, error) {
	return nil, errors.New("the driver is not to sign checkpoints")
}

// appenderFor is an appender for windows of n entries.
func (l *Log) appenderFor(n int) (*appender, error) {
	if l.appender != nil && l.appender.batch == n {
		return l.appender, nil
	}
	l.retire()
	ctx, stop := context.WithCancel(context.Background())
	driver, err := l.storage.driver(ctx)
	if err != nil {
		stop()
		return nil, err
	}
	opts := tessera.NewAppendOptions().
		WithCheckpointSigner(noSigner{l.log}).
		WithCheckpointInterval(never).
		WithCheckpointRepublishInterval(0).
		WithGarbageCollectionInterval(0).
		WithBatching(uint(n), time.Hour) // never by age: a window fills a batch
	a, _, _, err := tessera.NewAppender(ctx, driver, opts)
	if err != nil {
		stop()
		return nil, err
	}
	l.appender = &appender{add: a.Add, batch: n, stop: stop}
	return l.appender, nil
}

// retire ends the appender. All that it was given is stored, or has failed.
func (l *Log) retire() {
	if l.appender != nil {
		l.appender.stop()
		l.appender = nil
	}
}

// store stores one window.
func (l *Log) store(ctx context.Context, entries []*tessera.Entry) error {
	a, err := l.appenderFor(len(entries))
	if err != nil {
		return err
	}
	var last tessera.IndexFuture
	for _, e := range entries {
		last = a.add(context.Background(), e)
	}
	at, err := last()
	if err != nil {
		err = fmt.Errorf("the log in %s cannot be written: %w", l.storage.place(), diskFault(err))
		return errors.Join(err, l.look(context.WithoutCancel(ctx)))
	}
	if want := l.size.Load() + uint64(len(entries)) - 1; at.Index != want {
		l.broken = fmt.Errorf("an entry became number %d of the log where %d was due: something else writes to %s", at.Index, want, l.storage.place())
		return l.broken
	}
	l.size.Store(at.Index + 1)
	return nil
}

// look finds out what is stored after a fault, which may have come too late to
// undo anything.
func (l *Log) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.PublishTimeout)
	defer cancel()
	ts, err := l.storage.tree(ctx)
	if err != nil {
		l.broken = fmt.Errorf("the log's writer must be opened anew: %w", err)
		return l.broken
	}
	l.size.Store(ts.Size)
	return nil
}

// diskFault finds the system's own error in a driver's, which keeps only its text.
func diskFault(err error) error {
	for _, fault := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EROFS, syscall.EIO} {
		if strings.HasSuffix(err.Error(), fault.Error()) {
			return fmt.Errorf("%w; what was acknowledged is safe, and the log goes on once this is mended", fault)
		}
	}
	return err
}

// removePartial removes partial bundles and tiles whose full ones a checkpoint
// covers now. What cannot be removed costs space and nothing else.
func (l *Log) removePartial(from, to uint64) {
	for level := 0; to >= bundleWidth; level++ {
		from, to = from/bundleWidth, to/bundleWidth
		for n := from; n < to; n++ {
			os.RemoveAll(filepath.Join(l.dir, filepath.FromSlash(ledger.TilePath(level, n, 0)+".p")))
			if level == 0 {
				os.RemoveAll(filepath.Join(l.dir, filepath.FromSlash(ledger.BundlePath(n, 0)+".p")))
			}
		}
	}
}
