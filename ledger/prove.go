package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// leafPrefix stands before an entry where its leaf hash is taken (RFC 6962 §2.1).
var leafPrefix = [1]byte{0}

// tileHeight is the height of a tile of 256 hashes, as package tlog counts.
const tileHeight = 8

// tiles is a Source as package tlog reads it.
type tiles struct {
	ctx    context.Context
	src    Source
	failed bool // a file could not be read
}

func (t *tiles) Height() int { return tileHeight }

func (t *tiles) ReadTiles(want []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(want))
	for i, w := range want {
		b, _, err := readTile(t.ctx, t.src, w.L, uint64(w.N), w.W)
		if err != nil {
			t.failed = true
			return nil, err
		}
		data[i] = b
	}
	return data, nil
}

// SaveTiles has nothing to do: what is read from a Source is there already.
func (t *tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// hashes reads hashes of c's tree; each is verified against its root.
func hashes(ctx context.Context, src Source, c Checkpoint) tlog.HashReader {
	return tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		t := &tiles{ctx: ctx, src: src}
		h, err := tlog.TileHashReader(c.tree(), t).ReadHashes(at)
		if err != nil && !t.failed {
			err = damaged("tile", "the tiles do not hash to the root of the checkpoint of %d entries: %w", c.Size, err)
		}
		return h, err
	})
}

// Prove proves that c's log holds entry n.
func Prove(ctx context.Context, src Source, c Checkpoint, n uint64) (tlog.RecordProof, error) {
	if n >= c.Size {
		return nil, fmt.Errorf("the log has %d entries and no entry %d", c.Size, n)
	}
	return tlog.ProveRecord(int64(c.Size), int64(n), hashes(ctx, src, c))
}

// VerifyInclusion checks a proof that entry n of c's log is the given one, in
// its encoded form. It needs nothing but its arguments.
func VerifyInclusion(c Checkpoint, n uint64, entry []byte, proof tlog.RecordProof) error {
	if n >= c.Size {
		return fmt.Errorf("the log has %d entries and no entry %d", c.Size, n)
	}
	return tlog.CheckRecord(proof, int64(c.Size), c.Root, int64(n), tlog.RecordHash(entry))
}

// VerifyConsistency checks, by the tiles of the newer log, that it continues the older one.
func VerifyConsistency(ctx context.Context, src Source, older, newer Checkpoint) error {
	if newer.Size < older.Size {
		return fmt.Errorf("%w: its checkpoint has %d entries, %d were verified before", ErrRollback, newer.Size, older.Size)
	}
	if newer.Size == older.Size || older.Size == 0 {
		if newer.Size == older.Size && newer.Root != older.Root {
			return &ForkError{Old: older, New: newer}
		}
		return nil
	}
	proof, err := tlog.ProveTree(int64(newer.Size), int64(older.Size), hashes(ctx, src, newer))
	if err != nil {
		return err
	}
	if tlog.CheckTree(proof, int64(newer.Size), newer.Root, int64(older.Size), older.Root) == nil {
		return nil
	}
	if older.Size&(older.Size-1) == 0 { // a whole subtree, of which the proof takes the root as known
		level := bits.TrailingZeros64(older.Size)
		root, err := hashes(ctx, src, newer).ReadHashes([]int64{tlog.StoredHashIndex(level, 0)})
		if err != nil {
			return err
		}
		proof = slices.Insert(proof, 0, root[0])
	}
	return &ForkError{Old: older, New: newer, Proof: proof}
}

// ReadRaw reads the encoding of entry n of c's log. That it is entry n is
// verified by its bundle's tile and the tiles above it.
func ReadRaw(ctx context.Context, src Source, c Checkpoint, n uint64) ([]byte, error) {
	if n >= c.Size {
		return nil, fmt.Errorf("the log has %d entries and no entry %d", c.Size, n)
	}
	raw, err := verifiedBundle(ctx, src, c, n/bundleWidth)
	if err != nil {
		return nil, err
	}
	return raw[n%bundleWidth], nil
}

// ReadEntry is ReadRaw with the entry parsed.
func ReadEntry(ctx context.Context, src Source, c Checkpoint, n uint64) (*Entry, error) {
	raw, err := ReadRaw(ctx, src, c, n)
	if err != nil {
		return nil, err
	}
	e, err := Parse(raw)
	if err != nil {
		return nil, &EntryError{Index: n, Err: err}
	}
	return e, nil
}

// verifiedBundle reads the entries of a bundle, as far as c's tree goes.
func verifiedBundle(ctx context.Context, src Source, c Checkpoint, index uint64) ([][]byte, error) {
	width := widthAt(index, c.Size)
	b, path, err := readBundle(ctx, src, index, width)
	if err != nil {
		return nil, err
	}
	r := reader{leaf: sha256.New()}
	if err := r.hash(b, path, index*bundleWidth, width); err != nil {
		return nil, err
	}
	at := make([]int64, width)
	for i := range at {
		at[i] = tlog.StoredHashIndex(0, int64(index*bundleWidth)+int64(i))
	}
	want, err := hashes(ctx, src, c).ReadHashes(at)
	if err != nil {
		return nil, fmt.Errorf("the tiles above %s: %w", path, err)
	}
	entries := make([][]byte, width)
	for i := range entries {
		if r.leaves[i] != want[i] {
			return nil, damaged(path, "entry %d does not hash to what the log commits to", index*bundleWidth+uint64(i))
		}
		entries[i], b, _ = nextEntry(b)
	}
	return entries, nil
}

// Walk hands out the entries first to next-1 of c's log in order, each verified
// as by ReadEntry, with its encoding. It ends with the first error of each.
func Walk(ctx context.Context, src Source, c Checkpoint, first, next uint64, each func(n uint64, e *Entry, raw []byte) error) error {
	if next > c.Size {
		return fmt.Errorf("the log has %d entries and no entry %d", c.Size, next-1)
	}
	for n := first; n < next; {
		raw, err := verifiedBundle(ctx, src, c, n/bundleWidth)
		if err != nil {
			return err
		}
		for _, b := range raw[n%bundleWidth:] {
			if n == next {
				break
			}
			e, err := Parse(b)
			if err != nil {
				return &EntryError{Index: n, Err: err}
			}
			if err := each(n, e, b); err != nil {
				return err
			}
			n++
		}
	}
	return nil
}

// MaxEpochScan is how many bundles of 256 entries LatestEpoch reads at most:
// all of a log of 16 million entries.
const MaxEpochScan = 1 << 16

// ErrNoEpoch says that a log has no epoch entry.
var ErrNoEpoch = errors.New("the log has no epoch entry: no list was ever published")

// LatestEpoch finds the last epoch entry of c's log, reading backwards from its
// end; all that it reads is verified.
func LatestEpoch(ctx context.Context, src Source, c Checkpoint) (Epoch, error) {
	return LatestEpochSince(ctx, src, c, 0)
}

// LatestEpochSince is LatestEpoch among entry first and those after it, for who knows what
// stands before.
func LatestEpochSince(ctx context.Context, src Source, c Checkpoint, first uint64) (Epoch, error) {
	var rec record
	bundles := (c.Size + bundleWidth - 1) / bundleWidth
	for index := bundles; index > first/bundleWidth; index-- {
		if bundles-index == MaxEpochScan {
			return Epoch{}, fmt.Errorf("no epoch entry among the last %d entries of the log", MaxEpochScan*bundleWidth)
		}
		raw, err := verifiedBundle(ctx, src, c, index-1)
		if err != nil {
			return Epoch{}, err
		}
		for i := len(raw) - 1; i >= 0; i-- {
			n := (index-1)*bundleWidth + uint64(i)
			if n < first {
				break
			}
			if err := rec.read(raw[i]); err != nil {
				return Epoch{}, &EntryError{Index: n, Err: err}
			}
			if rec.kind == KindEpoch {
				return rec.epoch(n), nil
			}
		}
	}
	return Epoch{}, ErrNoEpoch
}

// CheckEdge checks that the tiles at the right edge of a log of the given size
// hash to root, and the last bundle to its tile: what a writer builds on and
// what a crash could have left half.
func CheckEdge(ctx context.Context, src Source, size uint64, root [32]byte) error {
	t, err := readEdge(ctx, src, size, size)
	if err != nil {
		return err
	}
	if got := t.root(); got != root {
		return fmt.Errorf("the tiles at the edge of the log's %d entries hash to %s and not to %s", size, got, tlog.Hash(root))
	}
	if size%bundleWidth == 0 {
		return nil
	}
	index := size / bundleWidth
	b, path, err := readBundle(ctx, src, index, widthAt(index, size))
	if err != nil {
		return err
	}
	r := reader{leaf: sha256.New()}
	if err := r.hash(b, path, index*bundleWidth, len(t.rows[0])); err != nil {
		return err
	}
	for i, h := range t.rows[0] {
		if r.leaves[i] != h {
			return damaged(path, "entry %d does not hash to what its tile says", index*bundleWidth+uint64(i))
		}
	}
	return nil
}
