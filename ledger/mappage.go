package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"sort"

	"golang.org/x/mod/sumdb/tlog"
)

// MapPage is one page of a map, verified.
type MapPage struct {
	head    *MapHead
	page    int
	path    []byte // hashes from the page to the root of the tree of pages
	records []byte
}

// OpenPage verifies that b, as it is served, is the page of that number.
func (h *MapHead) OpenPage(page int, b []byte) (*MapPage, error) {
	path := h.pageBits() * tlog.HashSize
	if page < 0 || page >= h.Pages() {
		return nil, fmt.Errorf("the map has %d pages and no page %d", h.Pages(), page)
	}
	if len(b) < path || (len(b)-path)%recordOctets != 0 {
		return nil, fmt.Errorf("%d octets are no page: %d of hashes and %d for each record", len(b), path, recordOctets)
	}
	p := &MapPage{h, page, b[:path], b[path:]}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, checkPath(p.leaf(new(pageWork).tree(p.records)), p.path, page, h.Tree)
}

// check says what is wrong with the records themselves.
func (p *MapPage) check() error {
	for i := range p.Len() {
		r := p.record(i)
		if p.head.Page(MapKey(r)) != p.page {
			return fmt.Errorf("record %d is of page %d", i, p.head.Page(MapKey(r)))
		}
		if i > 0 && string(p.record(i-1)) >= string(r) {
			return fmt.Errorf("record %d does not follow the one before", i)
		}
	}
	return nil
}

// Len is how many listings are in the page.
func (p *MapPage) Len() int { return len(p.records) / recordOctets }

func (p *MapPage) record(i int) []byte { return p.records[i*recordOctets:][:recordOctets] }

// Find finds the entry that lists the subject with a key; false where none does.
func (p *MapPage) Find(k MapKey) (entry uint64, ok bool) { return findRecord(p.records, k) }

// findRecord finds a key among ascending records.
func findRecord(records []byte, k MapKey) (entry uint64, ok bool) {
	n := len(records) / recordOctets
	i := sort.Search(n, func(i int) bool { return string(records[i*recordOctets:][:keyOctets]) >= string(k[:]) })
	if i == n || MapKey(records[i*recordOctets:]) != k {
		return 0, false
	}
	return binary.BigEndian.Uint64(records[i*recordOctets+keyOctets:]), true
}

// leaf is the page's hash in the tree of pages.
func (p *MapPage) leaf(tree tlog.Hash) tlog.Hash { return pageLeaf(uint64(p.Len()), tree) }

func pageLeaf(count uint64, tree tlog.Hash) tlog.Hash {
	var b [8 + tlog.HashSize]byte
	binary.BigEndian.PutUint64(b[:], count)
	copy(b[8:], tree[:])
	return tlog.RecordHash(b[:])
}

// bucketBits is how many bits of a key, the first, say in which bucket of a page of count
// records it is.
func bucketBits(count uint64) int {
	if count <= mapBucketFill {
		return 0
	}
	return min(bits.Len64((count-1)/mapBucketFill), maxBucketBits)
}

// bucketOf is the bucket of a key, or of a record, in a page with that many bits.
func bucketOf(k []byte, bits int) int {
	return int(binary.BigEndian.Uint64(k) >> 1 >> (63 - bits))
}

// pageWork is the memory that it takes to read and hash a page. It is used again for the next one:
// there are thousands.
type pageWork struct {
	records []byte
	hashes  []tlog.Hash
	leaf    []byte
}

// tree is the root of the tree of a page's buckets.
func (w *pageWork) tree(records []byte) tlog.Hash { return rootOf(w.buckets(records)) }

// buckets are the leaf hashes of a page's buckets (RFC 6962 §2.1). They are good until the next page.
func (w *pageWork) buckets(records []byte) []tlog.Hash {
	width := bucketBits(uint64(len(records) / recordOctets))
	w.hashes = slices.Grow(w.hashes[:0], 1<<width)[:1<<width]
	from := 0
	for i := range w.hashes {
		to := from
		for to < len(records) && bucketOf(records[to:], width) == i {
			to += recordOctets
		}
		w.leaf = append(append(w.leaf[:0], 0), records[from:to]...)
		w.hashes[i] = sha256.Sum256(w.leaf)
		from = to
	}
	return w.hashes
}

// levelsOf are the hashes of a whole tree, from its leaves, which are a power of two, up to
// its root.
func levelsOf(leaves []tlog.Hash) [][]tlog.Hash {
	out := [][]tlog.Hash{leaves}
	for below := leaves; len(below) > 1; below = out[len(out)-1] {
		level := make([]tlog.Hash, len(below)/2)
		for i := range level {
			level[i] = tlog.NodeHash(below[2*i], below[2*i+1])
		}
		out = append(out, level)
	}
	return out
}

// rootOf is the root of a whole tree, whose leaves it writes over.
func rootOf(level []tlog.Hash) tlog.Hash {
	for len(level) > 1 {
		for i := range len(level) / 2 {
			level[i] = tlog.NodeHash(level[2*i], level[2*i+1])
		}
		level = level[:len(level)/2]
	}
	return level[0]
}

// pathIn is the hashes that lead from leaf i to the root of a whole tree (RFC 6962 §2.1.1),
// one behind the other.
func pathIn(levels [][]tlog.Hash, i int) []byte {
	var out []byte
	for _, level := range levels[:len(levels)-1] {
		out = append(out, level[i^1][:]...)
		i /= 2
	}
	return out
}

var errNotOfMap = errors.New("its hashes do not lead to the map's root")

// checkPath checks that path leads from leaf i of a whole tree to its root.
func checkPath(leaf tlog.Hash, path []byte, i int, root tlog.Hash) error {
	proof := make(tlog.RecordProof, len(path)/tlog.HashSize)
	for j := range proof {
		proof[j] = tlog.Hash(path[j*tlog.HashSize:])
	}
	if tlog.CheckRecord(proof, 1<<len(proof), root, int64(i), leaf) != nil {
		return errNotOfMap
	}
	return nil
}

// Prove proves what Find says of a key, to whoever has the head: the page's count in 8
// octets, the hashes from the page to the root, those from the bucket to the page, and the
// bucket's records.
func (p *MapPage) Prove(k MapKey) []byte {
	count := uint64(p.Len())
	width := bucketBits(count)
	i := bucketOf(k[:], width)
	from := sort.Search(p.Len(), func(n int) bool { return bucketOf(p.record(n), width) >= i })
	to := sort.Search(p.Len(), func(n int) bool { return bucketOf(p.record(n), width) > i })
	out := binary.BigEndian.AppendUint64(nil, count)
	out = append(out, p.path...)
	out = append(out, pathIn(levelsOf(new(pageWork).buckets(p.records)), i)...)
	return append(out, p.records[from*recordOctets:to*recordOctets]...)
}

// CheckMapProof checks a proof of MapPage.Prove: that the subject with the key is listed by
// entry, or that it is not. It needs nothing but its arguments.
func (h *MapHead) CheckMapProof(k MapKey, proof []byte) (entry uint64, listed bool, err error) {
	if len(proof) < 8 {
		return 0, false, errors.New("the proof is cut short")
	}
	count, rest := binary.BigEndian.Uint64(proof), proof[8:]
	if count > h.Count {
		return 0, false, fmt.Errorf("a page of %d listings in a map of %d", count, h.Count)
	}
	width := bucketBits(count)
	above, within := h.pageBits()*tlog.HashSize, width*tlog.HashSize
	if len(rest) < above+within || (len(rest)-above-within)%recordOctets != 0 {
		return 0, false, fmt.Errorf("%d octets are no proof: 8, %d of hashes and %d for each record", len(proof), above+within, recordOctets)
	}
	records, bucket := rest[above+within:], bucketOf(k[:], width)
	tree := foldPath(tlog.RecordHash(records), rest[above:above+within], bucket)
	if err := checkPath(pageLeaf(count, tree), rest[:above], h.Page(k), h.Tree); err != nil {
		return 0, false, err
	}
	entry, listed = findRecord(records, k)
	return entry, listed, nil
}

// foldPath is the root to which path leads from leaf i of a whole tree.
func foldPath(h tlog.Hash, path []byte, i int) tlog.Hash {
	for ; len(path) > 0; path, i = path[tlog.HashSize:], i/2 {
		if other := tlog.Hash(path); i&1 == 0 {
			h = tlog.NodeHash(h, other)
		} else {
			h = tlog.NodeHash(other, h)
		}
	}
	return h
}
