package ledger

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Base is a beginning of a log that was verified before, and whose listings are
// held in another form, such as the list that was compiled from it. The zero Base
// is the empty log, of which nothing is listed.
type Base struct {
	Size   uint64   // entries
	Root   [32]byte // of their Merkle tree
	Policy Digest   // in force at Size
}

// Tail is what a log's entries after a Base change of what is listed: a State
// whose beginning is taken as given. It costs what is new, not what the log holds.
//
// The entries after the base are verified as Replay verifies them, and that they
// continue exactly the tree of the base's root; the entries before it are not
// read. Any number of goroutines may read a Tail; nobody may while it advances.
type Tail struct {
	base  Base
	state *State
}

// ReplayTail reads and verifies a log from base on. A log that is shorter than
// the base is ErrRollback; one that does not continue it is a *ForkError.
func ReplayTail(ctx context.Context, src Source, log note.Verifier, base Base, progress Progress) (*Tail, error) {
	c, err := ReadCheckpoint(ctx, src, log)
	if err != nil {
		return nil, err
	}
	return ReplayVisit(ctx, src, c, base, progress, nil)
}

// Visit is shown entry n of a log, and what the entries before it add up to: a Tail that is
// good until Visit returns. Its error ends the replay.
type Visit func(n uint64, e *Entry, before *Tail) error

// ReplayVisit is ReplayTail up to a checkpoint that was verified already. Visit, if it is
// not nil, is shown each entry from base on, in order. What it is shown hashes to the tiles;
// that these lead to the checkpoint's root is certain only once ReplayVisit returns no error.
func ReplayVisit(ctx context.Context, src Source, c Checkpoint, base Base, progress Progress, visit Visit) (*Tail, error) {
	s := newState()
	if base.Size > 0 {
		var err error
		if s, err = baseState(ctx, src, c, base); err != nil {
			return nil, err
		}
	} else {
		base.Root = EmptyRoot()
	}
	var shown func(uint64, *record, *State) error
	if visit != nil {
		shown = func(n uint64, r *record, before *State) error { return visit(n, r.entry(), &Tail{base, before}) }
	}
	return &Tail{base: base, state: s}, s.advance(ctx, src, c, c.Size, progress, shown)
}

// baseState is a state at base that knows nothing of what is listed.
func baseState(ctx context.Context, src Source, c Checkpoint, base Base) (*State, error) {
	if c.Size < base.Size {
		return nil, fmt.Errorf("%w: its checkpoint has %d entries, %d were verified before", ErrRollback, c.Size, base.Size)
	}
	at := Checkpoint{Origin: c.Origin, Size: base.Size, Root: base.Root}
	s := newState()
	s.policy, s.checkpoint = base.Policy, at
	var err error
	if s.tree, err = readEdge(ctx, src, base.Size, c.Size); err != nil {
		return nil, err
	}
	if got := s.tree.root(); got != base.Root {
		err := fmt.Errorf("the tiles of the log's first %d entries hash to %s and not to %s", base.Size, got, tlog.Hash(base.Root))
		fork := (*ForkError)(nil)
		if other := VerifyConsistency(ctx, src, at, c); errors.As(other, &fork) {
			return nil, fork
		}
		return nil, err
	}
	return s, nil
}

// readEdge reads the right edge of the tree of a log's first size entries, when
// it has grown to now. That it is what it should be is for its root to say.
func readEdge(ctx context.Context, src Source, size, now uint64) (tree, error) {
	t := tree{size: size}
	for level, count := 0, size; count > 0; level, count, now = level+1, count/bundleWidth, now/bundleWidth {
		row := make([]tlog.Hash, count%bundleWidth, bundleWidth)
		t.rows = append(t.rows, row)
		if len(row) == 0 {
			continue
		}
		index := count / bundleWidth
		b, _, err := readTile(ctx, src, level, index, widthAt(index, now))
		if err != nil {
			return t, err
		}
		for i := range row {
			row[i] = tlog.Hash(b[32*i:])
		}
	}
	return t, nil
}

// Advance is State.Advance.
func (t *Tail) Advance(ctx context.Context, src Source, log note.Verifier, progress Progress) error {
	return t.state.Advance(ctx, src, log, progress)
}

// Base is what the tail continues.
func (t *Tail) Base() Base { return t.base }

// Size is the number of the log's entries, those of the base included.
func (t *Tail) Size() uint64 { return t.state.Size() }

// RootHash is the root of the log's Merkle tree at Size.
func (t *Tail) RootHash() [32]byte { return t.state.RootHash() }

// Checkpoint is the checkpoint that vouches for the tail.
func (t *Tail) Checkpoint() Checkpoint { return t.state.Checkpoint() }

// Epoch is the last epoch entry after the base; false if there is none.
func (t *Tail) Epoch() (Epoch, bool) { return t.state.Epoch() }

// Policy is the digest of the policy that is in force at Size; zero if there is none.
func (t *Tail) Policy() Digest { return t.state.Policy() }

// PolicyEntry is the number of the entry after the base that brought Policy into
// force; false if it was there before.
func (t *Tail) PolicyEntry() (uint64, bool) { return t.state.policyEntry, t.state.hasPolicy }

// Change is what the tail says of one subject.
type Change struct {
	Listing
	Listed bool // else the subject is listed no more, and Listing.Entry is 0
}

// Len is at least the number of subjects that the tail says something of.
func (t *Tail) Len() int { return int(t.state.list.count) }

// Changes yields what the tail says of subjects with a name or prefix, each once.
func (t *Tail) Changes() iter.Seq[Change] {
	return func(yield func(Change) bool) {
		for n := range t.state.list.count {
			l, live, ok := t.state.list.listing(n)
			if ok && !yield(Change{Listing: l, Listed: live}) {
				return
			}
		}
	}
}

// CommitmentChange is what the tail says of one subject that is not told.
type CommitmentChange struct {
	Commitment
	Listed bool // else the subject is listed no more, and Commitment.Entry is 0
}

// CommitmentChanges yields what the tail says of subjects that are not told, each once.
func (t *Tail) CommitmentChanges() iter.Seq[CommitmentChange] {
	return func(yield func(CommitmentChange) bool) {
		for n := range t.state.list.count {
			c, live, ok := t.state.list.commitment(n)
			if ok && !yield(CommitmentChange{Commitment: c, Listed: live}) {
				return
			}
		}
	}
}

// HasCommitments reports whether the tail says something of subjects that are not told.
func (t *Tail) HasCommitments() bool { return t.state.list.committed > 0 }

// CommitmentEntry is Entry for a subject that is not told; c.Entry is not looked at.
func (t *Tail) CommitmentEntry(c Commitment) (entry uint64, listed, known bool) {
	return t.known(commitmentKey(&c), true)
}

// Lookup finds what the tail says of exactly this name with exactly this scope:
// known is false if it says nothing, and listed is false if it was delisted.
func (t *Tail) Lookup(name string, scope Scope) (listed, known bool) {
	_, listed, known = t.Entry(name, scope)
	return listed, known
}

// LookupPrefix is Lookup for a prefix.
func (t *Tail) LookupPrefix(p netip.Prefix) (listed, known bool) {
	_, listed, known = t.PrefixEntry(p)
	return listed, known
}

// Entry is Lookup, and the entry that lists the name where one does.
func (t *Tail) Entry(name string, scope Scope) (entry uint64, listed, known bool) {
	key, ok := nameKey(name, scope)
	return t.known(key, ok)
}

// PrefixEntry is Entry for a prefix.
func (t *Tail) PrefixEntry(p netip.Prefix) (entry uint64, listed, known bool) {
	return t.known(prefixKey(p), true)
}

func (t *Tail) known(key []byte, ok bool) (entry uint64, listed, known bool) {
	if !ok {
		return 0, false, false
	}
	sl := t.state.list.find(key)
	switch {
	case sl == nil:
		return 0, false, false
	case sl.entry == 0:
		return 0, false, true
	}
	return sl.entry - 1, true, true
}
