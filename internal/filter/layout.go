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

// encodeNames writes the names region, notes where its blocks begin and hashes
// the names for the first attempt. One pass does all of it: records may come
// from all over the memory.
func (b *builder) encodeNames(records records) ([]byte, error) {
	b.keyHash(0)
	b.entryBits = uint(max(1, bits.Len64(b.top)))
	w := bitWriter{out: make([]byte, 0, b.expected*perName)}
	b.blocks = make([]uint32, 0, b.expected/perBlock+1)
	b.hashes = make([]uint64, 0, b.expected)
	b.subtrees = make([]uint64, 0, b.expected/64+1)
	n := 0
	var before keyBuf
	for key, entry := range records {
		shared := 0
		if n%perBlock == 0 {
			w.align()
			if uint64(len(w.out)) > math.MaxUint32 {
				return nil, ErrTooLarge
			}
			b.blocks = append(b.blocks, uint32(len(w.out)))
		} else {
			shared = sharedOctets(before.bytes(), key)
		}
		w.record(key, shared, entry, b.entryBits)
		before.n = copy(before.b[:], key)
		if n%64 == 0 {
			b.subtrees = append(b.subtrees, 0)
		}
		b.subtrees[n/64] |= entry >> 63 << (n % 64)
		b.hashes = append(b.hashes, b.hash(key, entry))
		n++
	}
	w.align()
	b.records = uint64(n)
	if len(b.blocks) > 1 {
		b.blockBits = uint(bits.Len(uint(len(b.blocks) - 1)))
	}
	if b.blockBits > maxBlockBits {
		return nil, ErrTooLarge
	}
	return append(w.out, make([]byte, namesTail)...), nil
}

// record writes one record. The shared octets of its key are not written.
func (w *bitWriter) record(key []byte, shared int, entry uint64, entryBits uint) {
	w.put(entry>>63|uint64(shared)<<1, 6)
	w.key(key[shared:])
	w.put(entry, min(entryBits, 32))
	if entryBits > 32 {
		w.put(entry>>32, entryBits-32)
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

// maxAttempts bounds the search for a seed. With 16 records to a bucket on
// average, a single attempt fails by chance about once in 10¹⁵⁰.
const maxAttempts = 64

// index fills the filter, the directory and the slots. Another attempt hashes the
// names of the names region again.
func (b *builder) index(names []byte) error {
	n := b.fixedLengths()
	b.filter = make([]uint64, n[regionFilter]/8)
	b.dir = make([]uint32, n[regionDir]/4)
	b.slots = make([]uint32, b.records)
	for !b.countBuckets() {
		if b.attempt+1 == maxAttempts {
			return ErrTooLarge
		}
		b.keyHash(b.attempt + 1)
		r := recordReader{names: names, blocks: b.blocks, records: b.records, entryBits: b.entryBits}
		for i := 0; r.next(); i++ {
			b.hashes[i] = b.hash(r.key(), r.entry())
		}
	}
	b.fill()
	return nil
}

// countBuckets fills the directory; false if a bucket is too full.
func (b *builder) countBuckets() bool {
	clear(b.dir)
	for _, h := range b.hashes {
		b.dir[place(h, len(b.dir)-1)]++
	}
	sum := uint32(0)
	for i, n := range b.dir {
		if n > maxBucket {
			return false
		}
		b.dir[i] = sum
		sum += n
	}
	return true
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

// fill puts every record into the filter and its slot. Of each bucket the
// directory holds the start; while it is filled it holds the next free slot.
func (b *builder) fill() {
	words, buckets, finger := len(b.filter), len(b.dir)-1, b.fingerBits()
	for i, h := range b.hashes {
		b.filter[place(h, words)] |= filterMask(h)
		slot := fingerprint(h, finger)<<(b.blockBits+1) | uint32(i/perBlock)
		slot |= uint32(b.subtrees[i/64]>>(i%64)&1) << b.blockBits
		p := place(h, buckets)
		b.slots[b.dir[p]] = slot
		b.dir[p]++
	}
	start := uint32(0)
	for i := range buckets {
		end := b.dir[i]
		slices.Sort(b.slots[start:end])
		b.dir[i] = start
		start = end
	}
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
