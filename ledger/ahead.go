package ledger

import (
	"context"
	"sync"
)

// aheadFiles is how many files of each row are read ahead.
const aheadFiles = 16

// Ahead reads a log's files before they are asked for, as far as a replay's order tells
// which come next: where the log is far away, a replay need not wait for each.
type Ahead struct {
	src  Source
	size uint64

	mu    sync.Mutex
	reads map[string]*aheadRead
	next  [2]uint64 // of bundles and of tiles of level 0: the first index that nobody read yet
}

type aheadRead struct {
	done chan struct{}
	b    []byte
	err  error
}

// NewAhead reads ahead what a log of size entries has. Reads that were begun end with the
// context of the one that led to them.
func NewAhead(src Source, size uint64) *Ahead {
	return &Ahead{src: src, size: size, reads: make(map[string]*aheadRead)}
}

// Read implements Source.
func (a *Ahead) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	t, ok := ParsePath(path)
	if !ok || t.Level > 0 || t.Width > 0 {
		return a.src.Read(ctx, path, limit)
	}
	if r := a.take(ctx, t, limit); r != nil {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.done:
		}
		if r.err == nil {
			return r.b, nil
		}
	}
	return a.src.Read(ctx, path, limit)
}

// take hands over the read of a tile that was begun, if one was, and begins those after it.
func (a *Ahead) take(ctx context.Context, t Tile, limit int64) *aheadRead {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.reads[t.Path()]
	delete(a.reads, t.Path())
	row := &a.next[t.Level+1]
	if t.Index+1 > *row || t.Index+aheadFiles < *row { // the start, or a leap
		*row = t.Index + 1
	}
	for ; *row <= t.Index+aheadFiles; *row++ {
		next := Tile{Level: t.Level, Index: *row}
		if !next.Within(a.size) {
			break
		}
		begun := &aheadRead{done: make(chan struct{})}
		a.reads[next.Path()] = begun
		go func() {
			defer close(begun.done)
			begun.b, begun.err = a.src.Read(ctx, next.Path(), limit)
		}()
	}
	return r
}
