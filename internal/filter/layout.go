package filter

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// sortNames orders the records: by key, the exact one before the subtree, and of
// doubles the latest entry first.
func (b *builder) sortNames() { b.sortFrom(b.order, 0) }

// smallSort is the number of records from which on comparing whole keys costs
// more than sorting by 8 octets at a time.
const smallSort = 24

// sortFrom orders records whose keys have the first depth octets in common.
func (b *builder) sortFrom(refs []ref, depth int) {
	if len(refs) <= smallSort {
		slices.SortFunc(refs, func(x, y ref) int { return b.compare(x, y, depth) })
		return
	}
	live := false
	for i := range refs {
		refs[i].sort = 0
		if key := b.key(refs[i]); len(key) > depth {
			refs[i].sort = eight(key[depth:])
			live = true
		}
	}
	if !live {
		slices.SortFunc(refs, func(x, y ref) int { return b.compare(x, y, depth) })
		return
	}
	slices.SortFunc(refs, func(x, y ref) int { return cmp.Compare(x.sort, y.sort) })
	for start := 0; start < len(refs); {
		end := start + 1
		for end < len(refs) && refs[end].sort == refs[start].sort {
			end++
		}
		if end-start > 1 {
			b.sortFrom(refs[start:end], depth+8)
		}
		start = end
	}
}

// eight is the first 8 octets of key as a number, with zeros behind its end. No
// key ends in a zero or has two in a row, so a key that ends sorts first.
func eight(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}

func (b *builder) compare(x, y ref, depth int) int {
	kx, ky := b.key(x), b.key(y)
	if c := bytes.Compare(kx[min(depth, len(kx)):], ky[min(depth, len(ky)):]); c != 0 {
		return c
	}
	ex, ey := b.entry(x), b.entry(y)
	if (ex^ey)&scopeBit != 0 {
		return cmp.Compare(ex&scopeBit, ey&scopeBit)
	}
	return cmp.Compare(ey, ex)
}

// perName is a guess at the octets of a record in the names region.
const perName = 11

// encodeNames writes the names region, notes which records its units have and hashes
// the names for the first attempt. One pass does all of it: records may come
// from all over the memory.
func (b *builder) encodeNames(records records) ([]byte, error) {
	b.keyHash(0)
	w := blockWriter{entryBits: b.entryWidth()}
	w.out = make([]byte, 0, b.expected*perName)
	b.hashes = make([]uint64, 0, b.expected)
	b.subtrees = make([]uint64, 0, b.expected/64+1)
	n := 0
	for key, entry := range records {
		w.add(uint32(n), key, entry, b.stays)
		if n%64 == 0 {
			b.subtrees = append(b.subtrees, 0)
		}
		b.subtrees[n/64] |= entry >> 63 << (n % 64)
		b.hashes = append(b.hashes, b.hash(key, entry))
		if n++; n > math.MaxInt32 {
			return nil, ErrTooLarge
		}
	}
	w.end(uint32(n))
	b.records, b.entryBits, b.blocks = uint64(n), w.entryBits, w.blocks
	if b.placeBits = indexBits + uint(bits.Len(uint(max(len(b.blocks), 1)-1))); b.placeBits > maxPlaceBits {
		return nil, ErrTooLarge
	}
	return append(w.out, make([]byte, namesTail)...), nil
}

// entryWidth is the bits of an entry number in the file.
func (b *builder) entryWidth() uint { return uint(max(1, bits.Len64(b.top))) }

// blockWriter gathers records to blocks and writes those.
type blockWriter struct {
	entryBits uint
	out       []byte   // whole units
	blocks    []uint32 // for each unit the first record in it or behind it

	// Of the block that is open:
	first   keyBuf // the first record's key
	before  keyBuf // the last one's
	lengths []uint // of the records' codes
	heads   []byte
	entries []uint64
	codes   bitWriter

	copied int // records still to come that are in a block that was copied
}

// add adds record n. Where a block begins with it and another list has just that block, it is copied.
func (w *blockWriter) add(n uint32, key []byte, entry uint64, same ready) {
	if w.copied > 0 {
		w.copied--
		return
	}
	like := &w.before
	if len(w.lengths)%restart == 0 {
		like = &w.first
	}
	if len(w.lengths) > 0 && !w.put(key, sharedOctets(like.bytes(), key), entry) {
		w.end(n)
	}
	if len(w.lengths) == 0 {
		w.blocks = append(w.blocks, n)
		if same.records > 0 {
			w.copied = same.records - 1
			w.out = append(w.out, same.octets...)
			w.alike(n+uint32(same.records), len(same.octets))
			return
		}
		w.put(key, 0, entry)
		w.first.n = copy(w.first.b[:], key)
	}
	w.before.n = copy(w.before.b[:], key)
}

// put puts a record into the block that is open, if it has room there; an empty one has.
func (w *blockWriter) put(key []byte, shared int, entry uint64) bool {
	codes := w.codes
	w.codes.key(key, shared)
	length := w.codes.bits() - codes.bits()
	if n := uint(len(w.lengths)); n > 0 {
		size := 8 + (n+1)*(8+headBits+w.entryBits) + w.codes.bits()
		if n == maxIndex || max(length, w.lengths[0]) > maxLength || size > 8*unitSize {
			w.codes = codes
			return false
		}
	}
	w.lengths = append(w.lengths, length)
	w.heads = append(w.heads, byte(entry>>63)|byte(shared)<<1)
	w.entries = append(w.entries, entry)
	return true
}

// end writes the block that is open, if one is, before record n.
func (w *blockWriter) end(n uint32) {
	if len(w.lengths) == 0 {
		return
	}
	start, wide := len(w.out), uint(8)
	if len(w.lengths) == 1 {
		wide = 16
	}
	out := bitWriter{out: append(w.out, byte(len(w.lengths)))}
	for _, length := range w.lengths {
		out.put(uint64(length), wide)
	}
	for _, head := range w.heads {
		out.put(uint64(head), headBits)
	}
	for _, entry := range w.entries {
		out.long(entry, w.entryBits)
	}
	out.copy(&w.codes)
	out.align()
	w.out = append(out.out, make([]byte, -uint(len(out.out))%unitSize)...)
	w.alike(n, len(w.out)-start)
	w.lengths, w.heads, w.entries, w.codes = w.lengths[:0], w.heads[:0], w.entries[:0], bitWriter{out: w.codes.out[:0]}
}

// alike notes of the units of a block but the first, which are those of a long record, that n is the
// next one.
func (w *blockWriter) alike(n uint32, octets int) {
	for range octets/unitSize - 1 {
		w.blocks = append(w.blocks, n)
	}
}

// sharedOctets is how many octets a and b begin with in common, maxShared at most.
func sharedOctets(a, b []byte) int {
	most := min(len(a), len(b), maxShared)
	for i := range most {
		if a[i] != b[i] {
			return i
		}
	}
	return most
}

// hash is the hash of a record's name. It notes at which depth the name is.
func (b *builder) hash(key []byte, entry uint64) uint64 {
	h, depth := hashKey(b.seed, b.mult, key)
	b.nameDepths |= 1 << min(depth, topDepth)
	if entry&scopeBit != 0 {
		b.subtreeDepths |= 1 << min(depth, topDepth)
	}
	return h
}

// maxAttempts bounds the search for a seed. That a record is more than maxSpill lines from its own does
// not happen by chance.
const maxAttempts = 64

// index fills the table. Another attempt hashes the names of the names region again.
func (b *builder) index(names []byte) error {
	b.table = make([]uint32, b.fixedLengths()[regionTable]/4)
	for !b.fill() {
		if b.attempt+1 == maxAttempts {
			return ErrTooLarge
		}
		b.keyHash(b.attempt + 1)
		r := newReader(names, b.records, b.entryBits)
		for i := 0; r.next(); i++ {
			b.hashes[i] = b.hash(r.key(), r.entry())
		}
	}
	return nil
}

// hashKey is the hash of the name that a key is of, and its labels.
func hashKey(seed, mult uint64, key []byte) (h uint64, labels int) {
	h = seed
	escaped := bytes.IndexByte(key, 1) >= 0
	for len(key) > 0 {
		label, rest := key, []byte(nil)
		if i := bytes.IndexByte(key, 0); i >= 0 {
			label, rest = key[:i], key[i+1:]
		}
		if escaped {
			label = unescape(label)
		}
		h = hashLabel(h, mult, label)
		labels++
		key = rest
	}
	return h, labels
}

// unescape is a label as it is in wire form.
func unescape(label []byte) []byte {
	out := make([]byte, 0, len(label))
	for i := 0; i < len(label); i++ {
		if label[i] == 1 && i+1 < len(label) {
			i++
			out = append(out, label[i]-1)
			continue
		}
		out = append(out, label[i])
	}
	return out
}

// fill puts every record into the table, in ascending order; false if one would have to go too
// far from its own line.
func (b *builder) fill() bool {
	const width = lineSize / 4
	clear(b.table)
	lines, finger := len(b.table)/width, b.fingerBits()
	used := make([]uint8, lines)
	unit := 0
	for i, h := range b.hashes {
		for unit+1 < len(b.blocks) && int(b.blocks[unit+1]) <= i {
			unit++
		}
		own := place(h, lines)
		n, mask := own, filterMask(h)
		for at, left := h, maxSpill; used[n] == slots; left-- {
			if left == 0 {
				return false
			}
			at *= b.mult
			n, mask = place(at, lines), filterMask(h)|spillMask(h)
		}
		b.table[own*width] |= uint32(mask)
		b.table[own*width+1] |= uint32(mask >> 32)
		slot := fingerprint(h, finger)<<(b.placeBits+1) | uint32(unit<<indexBits|(i-int(b.blocks[unit])+1))
		slot |= uint32(b.subtrees[i/64]>>(i%64)&1) << b.placeBits
		b.table[n*width+lineHead/4+int(used[n])] = slot
		used[n]++
	}
	return true
}

// compareAddrs orders prefixes as the format has them: by family, the longest
// first, ascending; of doubles the latest entry first.
func compareAddrs(x, y addrRecord) int {
	return cmp.Or(
		cmp.Compare(x.prefix.Addr().BitLen(), y.prefix.Addr().BitLen()),
		cmp.Compare(y.prefix.Bits(), x.prefix.Bits()),
		x.prefix.Addr().Compare(y.prefix.Addr()),
		cmp.Compare(y.entry, x.entry))
}

// encodePrefixes writes the prefix region.
func (b *builder) encodePrefixes() []byte {
	le := binary.LittleEndian
	slices.SortFunc(b.addrs, compareAddrs)
	b.addrs = slices.CompactFunc(b.addrs, func(x, y addrRecord) bool { return x.prefix == y.prefix })
	b.prefixes = uint64(len(b.addrs))
	sameGroup := func(x, y addrRecord) bool {
		return x.prefix.Bits() == y.prefix.Bits() && x.prefix.Addr().Is4() == y.prefix.Addr().Is4()
	}
	var groups [][]addrRecord
	for rest := b.addrs; len(rest) > 0; {
		n := 1
		for n < len(rest) && sameGroup(rest[0], rest[n]) {
			n++
		}
		groups = append(groups, rest[:n])
		rest = rest[n:]
	}
	out := make([]byte, groupHead+groupSize*len(groups))
	le.PutUint32(out, uint32(len(groups)))
	for i, g := range groups {
		head := out[groupHead+groupSize*i:]
		head[0], head[1] = 6, uint8(g[0].prefix.Bits())
		if g[0].prefix.Addr().Is4() {
			head[0] = 4
		}
		le.PutUint32(head[4:], uint32(len(g)))
		le.PutUint64(head[8:], uint64(len(out)))
		for _, a := range g {
			out = appendAddr(out, a)
		}
		for _, a := range g {
			out = le.AppendUint64(out, a.entry)
		}
	}
	return out
}

func appendAddr(out []byte, a addrRecord) []byte {
	le := binary.LittleEndian
	if a.prefix.Addr().Is4() {
		b := a.prefix.Addr().As4()
		return le.AppendUint32(out, binary.BigEndian.Uint32(b[:]))
	}
	b := a.prefix.Addr().As16()
	out = le.AppendUint64(out, binary.BigEndian.Uint64(b[:]))
	return le.AppendUint64(out, binary.BigEndian.Uint64(b[8:]))
}
