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

	"github.com/shoji-dns/shoji/internal/durable"
	"github.com/shoji-dns/shoji/ledger"
	"github.com/transparency-dev/tessera"
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

	// pollInterval is how often the checkpoint is looked at while one is due.
	pollInterval = 2 * time.Millisecond
)

// Progress is told how many entries of an Append are stored. It may be nil.
type Progress func(stored uint64)

// Append appends entries in their order and returns once a durable signed
// checkpoint covers them: they are entries first to next-1 of the log.
//
// After an error, entries first to next-1 are a beginning of what was given and
// are in the log; none after them is. An entry that is not well-formed, and an
// end of ctx, end the Append between two windows. Appends wait for one another.
func (l *Log) Append(ctx context.Context, entries iter.Seq[*ledger.Entry], progress Progress) (first, next uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first = l.size.Load()
	if l.broken != nil {
		return first, first, l.broken
	}
	// What is stored is to be published, even if the caller gives up.
	defer func() {
		next = l.size.Load()
		if next > first {
			err = errors.Join(err, l.publish(context.WithoutCancel(ctx)))
			l.removePartial(first, next)
		}
		if err = errors.Join(err, l.retire()); err != nil {
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
		if err := l.store(w.entries); err != nil {
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

// appenderFor is an appender for windows of n entries.
func (l *Log) appenderFor(n int) (*appender, error) {
	if l.appender != nil && l.appender.batch == n {
		return l.appender, nil
	}
	if l.appender != nil {
		if err := l.publish(context.Background()); err != nil {
			return nil, err
		}
	}
	if err := l.retire(); err != nil {
		return nil, err
	}
	if err := l.mendClock(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	driver, err := newDriver(ctx, l.dir)
	if err != nil {
		stop()
		return nil, err
	}
	opts := tessera.NewAppendOptions().
		WithCheckpointSigner(l.signer.next()).
		WithCheckpointInterval(l.cfg.CheckpointInterval).
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

// retire ends the appender. When it returns without an error, nothing of it can
// write to the log any more: it can sign no checkpoint, and the last one that
// it signed is in its place.
func (l *Log) retire() error {
	if l.appender == nil {
		return nil
	}
	signed := l.signer.end()
	l.appender.stop()
	l.appender = nil
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.PublishTimeout)
	defer cancel()
	if err := l.await(ctx, signed); err != nil {
		l.broken = fmt.Errorf("the log's writer must be opened anew: %w", err)
		return l.broken
	}
	return nil
}

// mendClock keeps the driver from waiting for a clock that was set back: it
// holds a checkpoint whose file is from the future for a recent one.
func (l *Log) mendClock() error {
	path := filepath.Join(l.dir, ledger.CheckpointPath)
	info, err := os.Stat(path)
	if err != nil {
		return nil // there is no checkpoint yet
	}
	if now := time.Now(); info.ModTime().After(now) {
		return os.Chtimes(path, now, now)
	}
	return nil
}

// store stores one window.
func (l *Log) store(entries []*tessera.Entry) error {
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
		return fmt.Errorf("the log in %s cannot be written: %w", l.dir, diskFault(err))
	}
	if want := l.size.Load() + uint64(len(entries)) - 1; at.Index != want {
		l.broken = fmt.Errorf("an entry became number %d of the log where %d was due: something else writes to %s", at.Index, want, l.dir)
		return l.broken
	}
	l.size.Store(at.Index + 1)
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

// settle publishes what is stored and not yet under a checkpoint.
func (l *Log) settle(ctx context.Context) error {
	c, err := ledger.ReadCheckpoint(ctx, l.source, l.log)
	if err == nil && c.Size == l.size.Load() {
		return nil
	}
	if _, err := l.appenderFor(1); err != nil {
		return err
	}
	return errors.Join(l.publish(ctx), l.retire())
}

// publish waits until a checkpoint covers all that is stored, and is on disk.
func (l *Log) publish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.PublishTimeout)
	defer cancel()
	if err := l.await(ctx, l.size.Load()); err != nil {
		return err
	}
	// The driver renames the checkpoint into its place and syncs the folder
	// after that; it may have been seen between the two.
	return durable.SyncFolder(l.dir)
}

// await waits until a checkpoint of at least size entries is there.
func (l *Log) await(ctx context.Context, size uint64) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		c, err := ledger.ReadCheckpoint(ctx, l.source, l.log)
		if err == nil && c.Size >= size {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return l.whyUnpublished(ctx.Err(), size)
		}
	}
}

// whyUnpublished says why no checkpoint comes. The driver does not tell, so the
// disk is asked.
func (l *Log) whyUnpublished(cause error, size uint64) error {
	probe := filepath.Join(l.dir, stateFolder, "probe")
	if err := errors.Join(durable.WriteFile(probe, make([]byte, 4096), 0o644), durable.Remove(probe)); err != nil {
		cause = err
	}
	return fmt.Errorf("no checkpoint of %d entries was published: %w", size, cause)
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
