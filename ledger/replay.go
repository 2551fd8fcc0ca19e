package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Progress is told how many of how many entries were read. It may be nil.
type Progress func(done, total uint64)

// ErrRollback says that a log's checkpoint is of fewer entries than one that
// was verified before.
var ErrRollback = errors.New("the log was rolled back")

// ErrOtherRoot says that a log's files fit one another and not the checkpoint.
var ErrOtherRoot = errors.New("entries and tiles were replaced, or the checkpoint is of another log")

// ForkError says that the log of a checkpoint is no continuation of the log
// that was verified before. Both notes bear the log's own signature: together
// they prove that it was told differently to different readers.
type ForkError struct {
	Old, New Checkpoint

	// Proof leads by the hashes of New's tiles to New's root, and to another root than
	// Old's (RFC 9162 §2.1.4.2). It begins with the root of New's beginning also where Old's
	// size is a power of two. Nil where both are of one size: there the notes say it all.
	Proof tlog.TreeProof
}

func (e *ForkError) Error() string {
	return fmt.Sprintf("the log forked: its checkpoint of %d entries does not continue the one of %d entries that was verified before; keep both notes, they are the proof",
		e.New.Size, e.Old.Size)
}

// EntryError says which entry of a log is no entry. The log commits to it, so
// it is the operator's fault and not that of a copy.
type EntryError struct {
	Index uint64
	Err   error
}

func (e *EntryError) Error() string { return fmt.Sprintf("entry %d: %v", e.Index, e.Err) }
func (e *EntryError) Unwrap() error { return e.Err }

// Replay reads the whole log and verifies all of it: the checkpoint's
// signature, that every entry is well-formed, that the entries hash to the
// tiles and the tiles to the checkpoint's root.
//
// A file that is not what it should be is a *DamageError that names it; an
// entry that the log commits to and that is none is an *EntryError.
func Replay(ctx context.Context, src Source, log note.Verifier, progress Progress) (*State, error) {
	s := newState()
	if err := s.Advance(ctx, src, log, progress); err != nil {
		return nil, err
	}
	return s, nil
}

// ReplayAt is Replay with the state as it was after the first size entries.
// The rest of the log is verified as well. The state at an epoch's Size is what
// that epoch brought into force.
func ReplayAt(ctx context.Context, src Source, log note.Verifier, size uint64, progress Progress) (*State, error) {
	c, err := ReadCheckpoint(ctx, src, log)
	if err != nil {
		return nil, err
	}
	if size > c.Size {
		return nil, fmt.Errorf("the log has %d entries and not %d", c.Size, size)
	}
	s := newState()
	if err := s.advance(ctx, src, c, size, progress, nil); err != nil {
		return nil, err
	}
	return s, nil
}

// Advance brings the state to the log's present size. It reads and verifies
// only what is new, and that this continues what the state was made of: a log
// that shrank is ErrRollback, another log under the same key is a *ForkError.
// After an error the state is what it was.
func (s *State) Advance(ctx context.Context, src Source, log note.Verifier, progress Progress) error {
	c, err := ReadCheckpoint(ctx, src, log)
	if err != nil {
		return err
	}
	return s.AdvanceTo(ctx, src, c, progress)
}

// AdvanceTo is Advance to a checkpoint that was verified already.
func (s *State) AdvanceTo(ctx context.Context, src Source, c Checkpoint, progress Progress) error {
	if c.Size < s.checkpoint.Size {
		return fmt.Errorf("%w: its checkpoint has %d entries, %d were verified before", ErrRollback, c.Size, s.checkpoint.Size)
	}
	return s.advance(ctx, src, c, c.Size, progress, nil)
}

// advance verifies the log up to c and applies its entries up to the given size. visit may
// be nil; it is shown each entry, and the state that has all new ones before it.
func (s *State) advance(ctx context.Context, src Source, c Checkpoint, size uint64, progress Progress, visit func(uint64, *record, *State) error) error {
	next := &State{
		tree: s.tree.clone(), list: newListings(),
		epoch: s.epoch, hasEpoch: s.hasEpoch, policy: s.policy, policyEntry: s.policyEntry, hasPolicy: s.hasPolicy, checkpoint: c,
	}
	r := reader{src: src, target: c, tree: s.tree.clone(), leaf: sha256.New()}
	if visit != nil {
		r.before = func(n uint64, rec *record) error {
			next.tree = r.tree // which grows after visit is done with it
			return visit(n, rec, next)
		}
	}
	err := r.read(ctx, progress, func(n uint64, rec *record) error {
		if n+1 == s.checkpoint.Size && r.tree.root() != s.checkpoint.Root {
			return errUnlike
		}
		if n >= size {
			return nil
		}
		if err := next.apply(n, rec); err != nil {
			return err
		}
		if n+1 == size {
			next.tree = r.tree.clone()
		}
		return nil
	})
	if d := (*DamageError)(nil); errors.Is(err, errUnlike) || errors.As(err, &d) {
		return s.unlike(ctx, src, c, err)
	}
	if err != nil {
		return err
	}
	if r.tree.root() != c.Root {
		return s.unlike(ctx, src, c, fmt.Errorf("the log's entries hash to %s, its checkpoint of %d entries says %s: %w",
			r.tree.root(), c.Size, tlog.Hash(c.Root), ErrOtherRoot))
	}
	if s.list.count > 0 {
		s.list.merge(next.list)
		next.list = s.list
	}
	*s = *next
	return nil
}

// errUnlike says that entries which were verified before are others now.
var errUnlike = errors.New("entries that were verified before are others now")

// unlike tells a fork, which the log signed, from files that somebody replaced:
// only tiles that hash to the checkpoint's root can prove a fork.
func (s *State) unlike(ctx context.Context, src Source, c Checkpoint, otherwise error) error {
	if s.checkpoint.Size == 0 {
		return otherwise
	}
	fork := (*ForkError)(nil)
	if err := VerifyConsistency(ctx, src, s.checkpoint, c); errors.As(err, &fork) {
		return fork
	}
	return otherwise
}

// reader goes through a log's bundles in order and verifies them against the tiles.
type reader struct {
	src    Source
	target Checkpoint
	tree   tree                              // of what was read
	before func(n uint64, rec *record) error // is shown an entry before tree contains it; may be nil
	leaf   hash.Hash
	rec    record
	leaves [bundleWidth]tlog.Hash
}

// progressStep is how many bundles are read between two reports of progress.
const progressStep = 16

// read goes from the tree's size to the target's and hands out each new entry,
// once r.tree contains it. Whether the tree's root is the target's is left to
// the caller.
func (r *reader) read(ctx context.Context, progress Progress, each func(n uint64, rec *record) error) error {
	for r.tree.size < r.target.Size {
		index := r.tree.size / bundleWidth
		if err := r.bundle(ctx, index, each); err != nil {
			return err
		}
		if progress != nil && (index%progressStep == 0 || r.tree.size == r.target.Size) {
			progress(r.tree.size, r.target.Size)
		}
	}
	return r.tree.edge(func(level int, index uint64, hashes []tlog.Hash) error {
		if level == 0 {
			return nil
		}
		return r.compare(ctx, level, index, hashes)
	})
}

// bundle reads one bundle, compares it with its tile, and hands out its entries.
func (r *reader) bundle(ctx context.Context, index uint64, each func(n uint64, rec *record) error) error {
	width := widthAt(index, r.target.Size)
	b, path, err := readBundle(ctx, r.src, index, width)
	if err != nil {
		return err
	}
	first := index * bundleWidth
	if err := r.hash(b, path, first, width); err != nil {
		return err
	}
	skip := int(r.tree.size - first)
	if err := r.compareLeaves(ctx, index, path, width, skip); err != nil {
		return err
	}
	rest := b
	for i := range width {
		var entry []byte
		entry, rest, _ = nextEntry(rest)
		if i < skip {
			continue
		}
		n := first + uint64(i)
		malformed := r.rec.read(entry)
		if malformed == nil && r.before != nil {
			if err := r.before(n, &r.rec); err != nil {
				return err
			}
		}
		err := r.tree.add(r.leaves[i], func(level int, index uint64, hashes []tlog.Hash) error {
			if level == 0 {
				return nil // compared as a whole already
			}
			return r.compare(ctx, level, index, hashes)
		})
		if err != nil {
			return err
		}
		if malformed != nil {
			return &EntryError{Index: n, Err: malformed}
		}
		if err := each(n, &r.rec); err != nil {
			return entryFault(n, err)
		}
	}
	return nil
}

// entryFault blames entry n, unless err is of more than that.
func entryFault(n uint64, err error) error {
	if errors.Is(err, errUnlike) {
		return err
	}
	return &EntryError{Index: n, Err: err}
}

// hash puts the hashes of a bundle's entries into r.leaves.
func (r *reader) hash(bundle []byte, path string, first uint64, width int) error {
	rest := bundle
	for i := range width {
		entry, after, ok := nextEntry(rest)
		if !ok {
			return damaged(path, "%d octets, which end within entry %d", len(bundle), first+uint64(i))
		}
		rest = after
		r.leaf.Reset()
		r.leaf.Write(leafPrefix[:])
		r.leaf.Write(entry)
		r.leaf.Sum(r.leaves[i][:0])
	}
	if width == bundleWidth && len(rest) > 0 {
		return damaged(path, "%d octets follow the last entry", len(rest))
	}
	return nil
}

// compare holds the hashes of a row against the tile that should have them.
func (r *reader) compare(ctx context.Context, level int, index uint64, hashes []tlog.Hash) error {
	t, path, err := readTile(ctx, r.src, level, index, len(hashes))
	if err != nil {
		return err
	}
	if i := firstDifference(t, hashes); i >= 0 {
		return damaged(path, "hash %d is not the hash of the tile below it", i)
	}
	return nil
}

// firstDifference is the first hash that differs, -1 if none does.
func firstDifference(tile []byte, hashes []tlog.Hash) int {
	for i := range hashes {
		if [32]byte(tile[32*i:]) != hashes[i] {
			return i
		}
	}
	return -1
}

// compareLeaves holds a bundle against its tile and against what was verified
// before, and says which of the files is wrong.
func (r *reader) compareLeaves(ctx context.Context, index uint64, bundle string, width, skip int) error {
	leaves := r.leaves[:width]
	t, path, err := readTile(ctx, r.src, 0, index, width)
	if err != nil {
		return err
	}
	if i := firstDifference(t, leaves); i >= 0 {
		n := index*bundleWidth + uint64(i)
		if r.bundleHolds(ctx, index, skip, leaves) {
			return damaged(path, "hash %d is not the hash of entry %d", i, n)
		}
		return damaged(bundle, "entry %d does not hash to what %s says", n, path)
	}
	for i := range skip {
		if leaves[i] != r.tree.rows[0][i] {
			return &DamageError{Path: bundle, Err: errUnlike}
		}
	}
	return nil
}

// bundleHolds reports whether a bundle that differs from its tile is the right
// one of the two: whether it hashes to what the next level's tile says or, for
// the log's last one, to the checkpoint's root.
func (r *reader) bundleHolds(ctx context.Context, index uint64, skip int, leaves []tlog.Hash) bool {
	if len(leaves) == bundleWidth {
		at := index % bundleWidth
		width := widthAt(index/bundleWidth, r.target.Size/bundleWidth)
		t, _, err := readTile(ctx, r.src, 1, index/bundleWidth, width)
		return err == nil && [32]byte(t[32*at:]) == fold(leaves)
	}
	whole := r.tree.clone()
	for _, h := range leaves[skip:] {
		if whole.add(h, func(int, uint64, []tlog.Hash) error { return nil }) != nil {
			return false
		}
	}
	return whole.root() == r.target.Root
}
