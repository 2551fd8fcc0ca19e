package chronicle

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/ledger"
)

// Names finds names on the list in force. It is told of each list and of each entry of the
// log, and any number of goroutines may search meanwhile.
type Names struct {
	wake chan struct{} // told that an index is wanted

	mu    sync.RWMutex
	list  *filter.List
	index *Index // of some list before; nil: none yet
	fresh []fresh
	lost  uint64 // the last entry for which fresh had no room, and 1; 0: none
}

// fresh is a name that was listed after an index was made.
type fresh struct {
	text  string
	scope ledger.Scope
	entry uint64
}

func (f fresh) compare(g fresh) int {
	return cmp.Or(strings.Compare(f.text, g.text), strings.Compare(string(f.scope), string(g.scope)))
}

// NewNames knows no list yet.
func NewNames() *Names {
	return &Names{wake: make(chan struct{}, 1), list: new(filter.List)}
}

// Swap puts a list in force.
func (x *Names) Swap(list *filter.List) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.list = list
	if x.index == nil || len(x.fresh) >= maxFresh || x.lost > 0 {
		select {
		case x.wake <- struct{}{}:
		default: // it is told already
		}
	}
}

// Add notes what entry n lists. Entries come in order.
func (x *Names) Add(n uint64, e *ledger.Entry) {
	if e.Kind != ledger.KindList || e.Name == "" {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.index != nil && n < x.index.list.Epoch() || x.index == nil && n < x.list.Epoch() {
		return
	}
	f := fresh{e.Name, e.Scope, n}
	i, known := slices.BinarySearchFunc(x.fresh, f, fresh.compare)
	switch {
	case known:
		x.fresh[i].entry = n
	case len(x.fresh) == 2*maxFresh:
		x.lost = n + 1
	default:
		x.fresh = slices.Insert(x.fresh, i, f)
	}
}

// Run makes indexes when they are wanted, until ctx ends. pause is called between parts of
// that; alarm is told of a list that is damaged.
func (x *Names) Run(ctx context.Context, pause func(), alarm func(error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-x.wake:
		}
		index, err := NewIndex(x.List(), pause)
		if err != nil { // go on with what there is
			alarm(err)
			continue
		}
		x.install(index)
	}
}

// install takes an index into use, and forgets what it has.
func (x *Names) install(index *Index) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.index = index
	from := index.list.Epoch()
	x.fresh = slices.DeleteFunc(x.fresh, func(f fresh) bool { return f.entry < from })
	if x.lost <= from {
		x.lost = 0
	}
}

// Found is a listing that a search found.
type Found struct {
	Text  string // as people write it
	Scope ledger.Scope
	Entry uint64 // that lists it
}

// Ready reports whether names can be found by how they begin.
func (x *Names) Ready() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.index != nil
}

// List is the list in force.
func (x *Names) List() *filter.List {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.list
}

// Prefix finds names that begin with some text in lower case, in the order of how they are
// written, from after a name on ("": from the first): at most n and one, at most MaxFound and one. more
// says that there are others.
func (x *Names) Prefix(prefix, after string, n int) (found []Found, more bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	n = min(n, MaxFound)
	from := max(prefix, after)
	i := 0
	if x.index != nil {
		i = x.index.from(from)
	}
	j, _ := slices.BinarySearchFunc(x.fresh, fresh{text: from}, fresh.compare)
	last := Found{}
	for steps := 0; steps < maxSteps; steps++ {
		next, ok := x.step(&i, &j)
		switch {
		case !ok || !strings.HasPrefix(next.Text, prefix):
			return found, false
		case next.Text == last.Text && next.Scope == last.Scope || next.Text == after:
			continue
		}
		last = next
		name, err := dns.ParseName(next.Text)
		if err != nil {
			continue
		}
		entry, listed := x.list.Entry(name, next.Scope)
		if !listed {
			continue
		}
		if len(found) >= n && found[len(found)-1].Text != next.Text { // of one name, both scopes go together
			return found, true
		}
		next.Entry = entry
		found = append(found, next)
	}
	return found, true
}

// maxSteps are looked at for one search: names that were delisted since the index was made
// cost a step each, and two sources of one name another.
const maxSteps = 4 * MaxFound

// step is the next name of the index and of what is fresh.
func (x *Names) step(i, j *int) (Found, bool) {
	var a, b Found
	var hasA, hasB bool
	if x.index != nil && *i < len(x.index.order) {
		text, r, ok := x.index.at(*i)
		a, hasA = Found{Text: text, Scope: r.Scope}, ok
	}
	if *j < len(x.fresh) {
		b, hasB = Found{Text: x.fresh[*j].text, Scope: x.fresh[*j].scope}, true
	}
	switch {
	case hasA && (!hasB || (fresh{text: a.Text, scope: a.Scope}).compare(fresh{text: b.Text, scope: b.Scope}) <= 0):
		*i++
		return a, true
	case hasB:
		*j++
		return b, true
	}
	return Found{}, false
}

// Below finds names that are below one, and itself, in the canonical order of RFC 4034 section 6.1, from
// the skip-th on: at most n, at most MaxFound. total is how many there are.
func (x *Names) Below(name dns.Name, skip uint64, n int) (found []Found, total uint64) {
	list := x.List()
	first, next := list.Below(name)
	total = next - first
	if skip >= total {
		return nil, total
	}
	for i := first + skip; i < min(next, first+skip+uint64(min(n, MaxFound))); i++ {
		if r, ok := list.Record(i); ok {
			found = append(found, Found{text(r.Name), r.Scope, r.Entry})
		}
	}
	return found, total
}
