package ledger

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
)

// listings is every subject that was ever listed, and by which entry it is
// listed now. Millions of them are held in a few large allocations without
// pointers: an arena of keys, an array of slots, and a hash table of both.
//
// A key is an octet for the scope and then the subject: the name's or prefix's
// text, or commitment and salt.
type listings struct {
	seed  maphash.Seed
	table []uint64 // open addressing: high half of the key's hash, slot number + 1; 0 is free
	slots [][]slot // in the order in which subjects came up
	count uint64   // slots in use
	arena [][]byte // chunks of keys, each with its length before it
	live  uint64   // slots that are listed now

	committed uint64 // slots of commitments
}

// slot is one subject. Entry is the list entry that holds, plus 1; 0: not listed.
type slot struct {
	entry uint64
	key   uint64 // arena chunk << 32 | offset
}

const (
	slotsPerChunk = 1 << 14
	arenaChunk    = 1 << 20
	minTable      = 1 << 10

	// maxSubjects is what a slot's number in the table, 32 bits, can count.
	maxSubjects = 1<<32 - 2
)

// The scopes as a key writes them; committed ones have no text.
const (
	keyExact byte = iota
	keySubtree
	keyPrefix
	keyExactCommitted
	keySubtreeCommitted
)

func newListings() *listings {
	return &listings{seed: maphash.MakeSeed(), table: make([]uint64, minTable)}
}

// find is the slot of key, nil if it never came up.
func (l *listings) find(key []byte) *slot {
	s, _ := l.probe(key, maphash.Bytes(l.seed, key))
	return s
}

// probe looks for key and says where it is in the table, or would be.
func (l *listings) probe(key []byte, hash uint64) (*slot, uint64) {
	mask := uint64(len(l.table) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		e := l.table[at]
		if e == 0 {
			return nil, at
		}
		if e>>32 == hash>>32 {
			s := l.slot(e&(1<<32-1) - 1)
			if string(l.key(s)) == string(key) {
				return s, at
			}
		}
	}
}

func (l *listings) slot(n uint64) *slot {
	return &l.slots[n/slotsPerChunk][n%slotsPerChunk]
}

func (l *listings) key(s *slot) []byte {
	chunk := l.arena[s.key>>32]
	at := s.key & (1<<32 - 1)
	n := uint64(binary.LittleEndian.Uint16(chunk[at:]))
	return chunk[at+2 : at+2+n]
}

// set notes that entry lists key.
func (l *listings) set(key []byte, entry uint64) {
	l.put(key, entry+1)
}

// clear notes that key is not listed.
func (l *listings) clear(key []byte) { l.put(key, 0) }

// put writes the slot of key, making one if there is none.
func (l *listings) put(key []byte, value uint64) {
	hash := maphash.Bytes(l.seed, key)
	s, at := l.probe(key, hash)
	if s == nil {
		if l.count >= uint64(len(l.table))*3/4 {
			l.grow()
			_, at = l.probe(key, hash)
		}
		s = l.push(key)
		l.table[at] = hash>>32<<32 | l.count
	}
	if s.entry != 0 {
		l.live--
	}
	if s.entry = value; value != 0 {
		l.live++
	}
}

// push makes the next slot.
func (l *listings) push(key []byte) *slot {
	if l.count%slotsPerChunk == 0 {
		l.slots = append(l.slots, make([]slot, slotsPerChunk))
	}
	last := len(l.arena) - 1
	if last < 0 || len(l.arena[last])+2+len(key) > arenaChunk {
		l.arena = append(l.arena, make([]byte, 0, arenaChunk))
		last++
	}
	chunk := l.arena[last]
	s := l.slot(l.count)
	s.key = uint64(last)<<32 | uint64(len(chunk))
	chunk = binary.LittleEndian.AppendUint16(chunk, uint16(len(key)))
	l.arena[last] = append(chunk, key...)
	l.count++
	if key[0] == keyExactCommitted || key[0] == keySubtreeCommitted {
		l.committed++
	}
	return s
}

// grow doubles the table. A key's place needs the hash's low bits, which the
// table does not keep, so keys are hashed again.
func (l *listings) grow() {
	old := l.table
	l.table = make([]uint64, 2*len(old))
	mask := uint64(len(l.table) - 1)
	for _, e := range old {
		if e == 0 {
			continue
		}
		hash := maphash.Bytes(l.seed, l.key(l.slot(e&(1<<32-1)-1)))
		at := hash & mask
		for l.table[at] != 0 {
			at = (at + 1) & mask
		}
		l.table[at] = e
	}
}

// listing is slot n as a Listing; live says whether it is listed now. It is not ok
// for a commitment.
func (l *listings) listing(n uint64) (li Listing, live, ok bool) {
	sl := l.slot(n)
	if live = sl.entry != 0; live {
		li.Entry = sl.entry - 1
	}
	key := l.key(sl)
	text := string(key[1:])
	switch key[0] {
	case keyExact:
		li.Scope, li.Name = ScopeExact, text
	case keySubtree:
		li.Scope, li.Name = ScopeSubtree, text
	case keyPrefix:
		li.Scope, li.Prefix = ScopePrefix, netip.MustParsePrefix(text)
	default:
		return li, live, false
	}
	return li, live, true
}

// commitment is slot n as a Commitment, as listing is for what is told.
func (l *listings) commitment(n uint64) (c Commitment, live, ok bool) {
	sl := l.slot(n)
	if live = sl.entry != 0; live {
		c.Entry = sl.entry - 1
	}
	key := l.key(sl)
	switch key[0] {
	case keyExactCommitted:
		c.Scope = ScopeExact
	case keySubtreeCommitted:
		c.Scope = ScopeSubtree
	default:
		return c, live, false
	}
	copy(c.Salt[:], key[1+copy(c.Commitment[:], key[1:]):])
	return c, live, true
}

// commitmentKey is the key of a commitment.
func commitmentKey(c *Commitment) []byte {
	key := make([]byte, 0, 64)
	key = append(key, keyExactCommitted)
	if c.Scope == ScopeSubtree {
		key[0] = keySubtreeCommitted
	}
	return append(append(key, c.Commitment[:]...), c.Salt[:]...)
}

// nameKey is the key of a name with scope exact or subtree; false for another.
func nameKey(name string, scope Scope) ([]byte, bool) {
	key := make([]byte, 0, 256)
	switch scope {
	case ScopeExact:
		key = append(key, keyExact)
	case ScopeSubtree:
		key = append(key, keySubtree)
	default:
		return nil, false
	}
	return append(key, name...), true
}

// prefixKey is the key of a prefix.
func prefixKey(p netip.Prefix) []byte { return p.AppendTo([]byte{keyPrefix}) }

// merge applies what d says of its subjects, in its order.
func (l *listings) merge(d *listings) {
	for n := range d.count {
		s := d.slot(n)
		l.put(d.key(s), s.entry)
	}
}
