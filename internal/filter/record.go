package filter

import (
	"bytes"
	"runtime"
	"sort"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/ledger"
)

// Record is one listed name.
type Record struct {
	Name  dns.Name
	Scope ledger.Scope // exact or subtree
	Entry uint64       // of the log
}

// Records is the number of names that are listed, exact and subtree counted apart.
func (l *List) Records() uint64 { return l.records }

// Record is record n in the order of Names, from 0; false where there is none, or it is
// damaged.
func (l *List) Record(n uint64) (Record, bool) {
	defer runtime.KeepAlive(l)
	var r blockReader
	if !l.seek(&r, n) {
		return Record{}, false
	}
	name, ok := keyName(r.key[:r.len])
	out := Record{Name: name, Scope: ledger.ScopeExact, Entry: r.entry}
	if r.subtree {
		out.Scope = ledger.ScopeSubtree
	}
	return out, ok
}

// seek reads record n.
func (l *List) seek(r *blockReader, n uint64) bool {
	if n >= l.records {
		return false
	}
	unit := sort.Search(len(l.blocks)/4, func(u int) bool { return uint64(number32(l.blocks, u)) > n }) - 1
	r.names, r.entryBits = l.names, l.entryBits
	if unit < 0 || !r.open(uint(unit)) {
		return false
	}
	for i := uint64(number32(l.blocks, unit)); i <= n; i++ {
		if !r.read() {
			return false
		}
	}
	return true
}

// Below is the range of records from first to before next that are name or below it.
func (l *List) Below(name dns.Name) (first, next uint64) {
	defer runtime.KeepAlive(l)
	key := appendKey(make([]byte, 0, maxKey), name.Canonical())
	first = l.search(func(k []byte) bool { return bytes.Compare(k, key) >= 0 })
	if len(key) == 0 { // everything is below the root
		return first, l.records
	}
	// What is below has the key, the zero between two labels, and more.
	return first, l.search(func(k []byte) bool {
		head := k[:min(len(k), len(key))]
		return bytes.Compare(head, key) > 0 || bytes.Equal(head, key) && len(k) > len(key) && k[len(key)] > 0
	})
}

// search is the first record whose key is right, where every one after a right one is right too.
func (l *List) search(right func(key []byte) bool) uint64 {
	var r blockReader
	low, high := uint64(0), l.records
	for low < high {
		mid := low + (high-low)/2
		if !l.seek(&r, mid) || right(r.key[:r.len]) {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}
