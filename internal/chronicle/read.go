package chronicle

import (
	"context"
	"fmt"
	"slices"

	"github.com/shoji-dns/shoji/ledger"
)

// Advance adds the entries that a log has more, up to a checkpoint that was verified, and
// shows each to also. pause is called between parts of it. After an error it can be gone on with.
func (c *Chronicle) Advance(ctx context.Context, log ledger.Source, to ledger.Checkpoint, also func(uint64, *ledger.Entry), pause func()) error {
	const slice = 256 // entries: a bundle
	for from := c.Next(); from < to.Size; from = c.Next() {
		next := min(to.Size, from-from%slice+slice)
		err := ledger.Walk(ctx, log, to, from, next, func(n uint64, e *ledger.Entry, _ []byte) error {
			if !c.Add(n, e) {
				return fmt.Errorf("entry %d is not the next one", n)
			}
			also(n, e)
			return nil
		})
		if err != nil {
			return err
		}
		pause()
	}
	return nil
}

// Numbered is an entry with its number.
type Numbered struct {
	N uint64
	*ledger.Entry
}

// Changes are the latest listings and delistings before an entry, latest first: n at most,
// and as many as some thousands of entries hold. next is what to ask for those before; 0:
// there are none.
func Changes(ctx context.Context, log ledger.Source, tip ledger.Checkpoint, before uint64, n int) (found []Numbered, next uint64, err error) {
	const window = 256
	before = min(before, tip.Size)
	for range maxWindows {
		if before == 0 || len(found) >= n {
			break
		}
		first := (before - 1) / window * window
		var part []Numbered
		err := ledger.Walk(ctx, log, tip, first, before, func(i uint64, e *ledger.Entry, _ []byte) error {
			if e.Kind == ledger.KindList || e.Kind == ledger.KindDelist {
				part = append(part, Numbered{i, e})
			}
			return nil
		})
		if err != nil {
			return nil, 0, err
		}
		slices.Reverse(part)
		found = append(found, part...)
		before = first
	}
	if len(found) > n {
		before = found[n-1].N
		found = found[:n]
	}
	return found, before, nil
}
