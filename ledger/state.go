package ledger

import (
	"encoding/hex"
	"fmt"
	"iter"
	"net/netip"
	"time"
)

// Listing is one subject on the list.
type Listing struct {
	Name   string       // presentation form, lower case, no trailing dot; "" for a prefix
	Scope  Scope        //
	Prefix netip.Prefix // the zero value for a name
	Entry  uint64       // the list entry that holds
}

// Commitment is a listing whose name is not told.
type Commitment struct {
	Commitment Digest
	Salt       Salt
	Scope      Scope // of the name
	Entry      uint64
}

// Epoch is an epoch entry: a compiled list that was published.
type Epoch struct {
	Entry  uint64 // the epoch entry itself
	Time   time.Time
	Size   uint64 // entries of the log that the list was compiled from
	Digest Digest // of the compiled list
	Bytes  uint64 // length of the compiled list
	Count  uint64 // listings in the compiled list
	Layout uint32 // version of the format of the compiled list
	Map    Digest // root of a verifiable map over the list; zero = none
}

// State is what the first Size entries of a log add up to. Only Replay and
// ReplayAt make one, and only of entries that a signed checkpoint commits to.
//
// What is listed is not yet what is filtered: a list comes into force by its
// epoch entry, and what is in force is the state at that epoch's Size.
//
// Any number of goroutines may read a State; nobody may while it advances.
type State struct {
	tree        tree
	list        *listings
	epoch       Epoch
	hasEpoch    bool
	policy      Digest
	policyEntry uint64
	hasPolicy   bool // among the entries that were read
	checkpoint  Checkpoint
}

func newState() *State { return &State{list: newListings()} }

// Size is the number of entries that the state is of.
func (s *State) Size() uint64 { return s.tree.size }

// RootHash is the root of the log's Merkle tree at Size.
func (s *State) RootHash() [32]byte { return s.tree.root() }

// Checkpoint is the checkpoint that vouches for the state. Its size is Size,
// or more after ReplayAt.
func (s *State) Checkpoint() Checkpoint { return s.checkpoint }

// Len is the number of subjects that are listed, commitments included.
func (s *State) Len() int { return int(s.list.live) }

// Epoch is the last epoch entry before Size; false if there is none.
func (s *State) Epoch() (Epoch, bool) { return s.epoch, s.hasEpoch }

// Policy is the digest of the policy that is in force at Size; zero if there is none.
func (s *State) Policy() Digest { return s.policy }

// Listings yields what is listed by name or prefix, in the order in which the
// log first listed each. That order and all else is the same on every machine.
func (s *State) Listings() iter.Seq[Listing] {
	return func(yield func(Listing) bool) {
		for n := range s.list.count {
			l, live, ok := s.list.listing(n)
			if live && ok && !yield(l) {
				return
			}
		}
	}
}

// Commitments yields what is listed without being told, in the same order.
func (s *State) Commitments() iter.Seq[Commitment] {
	return func(yield func(Commitment) bool) {
		for n := range s.list.count {
			c, live, ok := s.list.commitment(n)
			if live && ok && !yield(c) {
				return
			}
		}
	}
}

// Lookup finds the entry that lists exactly this name with exactly this scope.
func (s *State) Lookup(name string, scope Scope) (entry uint64, ok bool) {
	key, ok := nameKey(name, scope)
	if !ok {
		return 0, false
	}
	return s.lookup(key)
}

// LookupPrefix finds the entry that lists exactly this prefix.
func (s *State) LookupPrefix(p netip.Prefix) (entry uint64, ok bool) {
	return s.lookup(prefixKey(p))
}

func (s *State) lookup(key []byte) (uint64, bool) {
	sl := s.list.find(key)
	if sl == nil || sl.entry == 0 {
		return 0, false
	}
	return sl.entry - 1, true
}

// apply makes entry number n part of the state. A delisting of what is not
// listed changes nothing; a listing of what is listed moves it to the new entry.
func (s *State) apply(n uint64, r *record) error {
	var buf [512]byte
	switch r.kind {
	case KindList:
		if s.list.count >= maxSubjects {
			return fmt.Errorf("more than %d subjects: this reader cannot hold them", uint64(maxSubjects))
		}
		s.list.set(r.key(buf[:0]), n)
	case KindDelist:
		s.list.clear(r.key(buf[:0]))
	case KindPolicy:
		s.policy, s.policyEntry, s.hasPolicy = r.digest(mPolicy), n, true
	case KindEpoch:
		e := r.epoch(n)
		if e.Size > n {
			return fmt.Errorf(`member "size": an epoch of %d entries, which were not there yet`, e.Size)
		}
		if e.Size < s.epoch.Size {
			return fmt.Errorf(`member "size": an epoch of %d entries after one of %d`, e.Size, s.epoch.Size)
		}
		s.epoch, s.hasEpoch = e, true
	}
	return nil
}

func (r *record) epoch(n uint64) Epoch {
	e := Epoch{
		Entry: n, Size: r.number[mSize], Bytes: r.number[mBytes], Count: r.number[mCount],
		Digest: r.digest(mDigest), Layout: uint32(r.number[mLayout]), Map: r.digest(mMap),
	}
	e.Time, _ = parseTime(r.text[mTime])
	return e
}

// key appends the key of the record's subject.
func (r *record) key(out []byte) []byte {
	if r.has.has(mCommitment) {
		out = append(out, keyExactCommitted)
		if r.scope == ScopeSubtree {
			out[len(out)-1] = keySubtreeCommitted
		}
		out, _ = hex.AppendDecode(out, r.text[mCommitment])
		out, _ = hex.AppendDecode(out, r.text[mSalt])
		return out
	}
	switch r.scope {
	case ScopeExact:
		return append(append(out, keyExact), r.text[mName]...)
	case ScopeSubtree:
		return append(append(out, keySubtree), r.text[mName]...)
	}
	return append(append(out, keyPrefix), r.text[mPrefix]...)
}
