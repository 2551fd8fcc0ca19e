package filter

import "encoding/binary"

// block is where the parts of a block are, in bits of the names region.
type block struct {
	n       uint   // records
	lengths []byte // of the records' codes, 8 bits each, or 16 of a single one
	heads   uint
	entries uint
	codes   uint
}

// blockAt is the block in a unit; false where none can be.
func blockAt(names []byte, unit, entryBits uint) (b block, ok bool) {
	at := unit * unitSize
	if at >= uint(len(names)) {
		return b, false
	}
	n := uint(names[at])
	octets := max(n, 2)
	if n == 0 || n > maxIndex || at+1+octets > uint(len(names)) {
		return b, false
	}
	b.n, b.lengths = n, names[at+1:at+1+octets]
	b.heads = 8 * (at + 1 + octets)
	b.entries = b.heads + n*headBits
	b.codes = b.entries + n*entryBits
	return b, true
}

// length is the bits of record i's code.
func (b *block) length(i uint) uint {
	if b.n == 1 {
		return uint(binary.LittleEndian.Uint16(b.lengths))
	}
	return uint(b.lengths[i])
}

// head is record i's: whether it is for a subtree, and the octets that its key shares with the one before, or
// with the block's first where that one is due.
func (b *block) head(names []byte, i uint) (subtree bool, shared uint) {
	v := uint(bitsAt(names, b.heads+i*headBits, headBits))
	return v&1 != 0, v >> 1
}

// code is where record i's code begins.
func (b *block) code(i uint) uint {
	pos := b.codes
	for _, n := range b.lengths[:i] {
		pos += uint(n)
	}
	return pos
}

// touch has the processor fetch all lines of a unit at once.
//
//go:noinline
func touch(names []byte, at uint) (v byte) {
	if n := uint(len(names)); at < n && n-at >= unitSize {
		unit := (*[unitSize]byte)(names[at:])
		for i := 0; i < unitSize; i += lineSize {
			v |= unit[i]
		}
	}
	return v
}

// recordIs reports whether the record at a place has this key and scope, and its entry number. It
// compares codes and unpacks nothing: the record's own against the key's end, and what the key has
// before that against the records that have it.
func (l *List) recordIs(place uint32, key []byte, subtree bool) (entry uint64, ok bool) {
	touch(l.names, uint(place>>indexBits)*unitSize)
	b, ok := blockAt(l.names, uint(place>>indexBits), l.entryBits)
	i := uint(place&maxIndex) - 1
	if !ok || i >= b.n {
		return 0, false
	}
	scope, known := b.head(l.names, i)
	pos := b.code(i)
	if scope != subtree || known > uint(len(key)) {
		return 0, false
	}
	if end, ok := codeIs(l.names, pos, key, known, uint(len(key))); !ok || end-pos != b.length(i) {
		return 0, false
	}
	entry = bitsAt(l.names, b.entries+i*l.entryBits, l.entryBits)
	for known > 0 && i > 0 {
		if i%restart == 0 {
			i, pos = 0, b.codes
		} else {
			i--
			pos -= b.length(i)
		}
		if _, shared := b.head(l.names, i); shared < known {
			if _, ok := codeIs(l.names, pos, key, shared, known); !ok {
				return 0, false
			}
			known = shared
		}
	}
	return entry, known == 0
}

// blockReader reads the records of a block in order. Its names and entryBits are the list's.
type blockReader struct {
	names     []byte
	entryBits uint

	block
	at  uint // the unit that it begins in
	i   uint // the next record
	pos uint // where its code begins

	first    [maxKey]byte // the key of the block's first record
	firstLen int

	key     [maxKey]byte
	len     int // of key
	subtree bool
	entry   uint64
}

// open goes to the block in a unit; false if there is damage.
func (r *blockReader) open(unit uint) bool {
	var ok bool
	r.block, ok = blockAt(r.names, unit, r.entryBits)
	r.at, r.i, r.pos, r.len = unit, 0, r.codes, 0
	return ok
}

// end is the unit behind the block that is open.
func (r *blockReader) end() uint {
	last := r.n - 1
	return (r.code(last) + r.length(last) + 8*unitSize - 1) / (8 * unitSize)
}

// whole is the block that is open; nothing where it cannot be, for damage.
func (r *blockReader) whole() ready {
	from, to := r.at*unitSize, r.end()*unitSize
	if from >= to || to > uint(len(r.names)) {
		return ready{}
	}
	return ready{int(r.n), r.names[from:to]}
}

// scoped is the record's entry number, with scopeBit for a subtree.
func (r *blockReader) scoped() uint64 {
	if r.subtree {
		return r.entry | scopeBit
	}
	return r.entry
}

// read reads the next record of the block that is open; false if there is none, or damage.
func (r *blockReader) read() bool {
	if r.i >= r.n {
		return false
	}
	subtree, shared := r.head(r.names, r.i)
	if r.i == 1 {
		r.firstLen = copy(r.first[:], r.key[:r.len])
	} else if r.i%restart == 0 && r.i > 0 {
		r.len = copy(r.key[:], r.first[:r.firstLen])
	}
	if shared > uint(r.len) {
		return false
	}
	r.subtree, r.entry = subtree, bitsAt(r.names, r.entries+r.i*r.entryBits, r.entryBits)
	end, ok := r.pos+r.length(r.i), false
	r.len, ok = readKey(r.names, r.pos, end, &r.key, int(shared))
	r.i, r.pos = r.i+1, end
	return ok
}
