package chronicle

import (
	"cmp"
	"container/heap"
	"slices"
	"strings"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/ledger"
)

// Index orders a list's names by how they are written.
type Index struct {
	list  *filter.List
	order []uint32 // numbers of records
}

// sortSlice is how many names are sorted at a time: some milliseconds.
const sortSlice = 1 << 12

// NewIndex makes the index of a list. pause is called between parts of it; nil: do not.
// While it is made, the names are in memory: some 20 octets each, and 24 more.
func NewIndex(list *filter.List, pause func()) (*Index, error) {
	if pause == nil {
		pause = func() {}
	}
	x := &Index{list: list, order: make([]uint32, 0, list.Records())}
	texts := make([]string, 0, list.Records())
	err := list.Names(func(n dns.Name, _ ledger.Scope) bool {
		x.order = append(x.order, uint32(len(texts)))
		texts = append(texts, text(n))
		if len(texts)%sortSlice == 0 {
			pause()
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	m := merge{texts: texts}
	for part := range slices.Chunk(x.order, sortSlice) {
		slices.SortFunc(part, func(a, b uint32) int { return compare(texts, a, b) })
		m.runs = append(m.runs, slices.Clone(part))
		pause()
	}
	heap.Init(&m)
	for i := range x.order {
		run := m.runs[0]
		x.order[i] = run[0]
		if m.runs[0] = run[1:]; len(run) == 1 {
			heap.Pop(&m)
		} else {
			heap.Fix(&m, 0)
		}
		if i%sortSlice == 0 {
			pause()
		}
	}
	return x, nil
}

func compare(texts []string, a, b uint32) int {
	return cmp.Or(strings.Compare(texts[a], texts[b]), cmp.Compare(a, b))
}

// merge is a heap of runs by their first.
type merge struct {
	texts []string
	runs  [][]uint32
}

func (m *merge) Len() int           { return len(m.runs) }
func (m *merge) Less(i, j int) bool { return compare(m.texts, m.runs[i][0], m.runs[j][0]) < 0 }
func (m *merge) Swap(i, j int)      { m.runs[i], m.runs[j] = m.runs[j], m.runs[i] }
func (m *merge) Push(any)           { panic("no run is added") }
func (m *merge) Pop() any {
	last := len(m.runs) - 1
	out := m.runs[last]
	m.runs = m.runs[:last]
	return out
}

// text is a name as people write it.
func text(n dns.Name) string {
	if s := n.String(); s != "." {
		return strings.TrimSuffix(s, ".")
	}
	return "."
}

// at is the i-th name in order.
func (x *Index) at(i int) (string, filter.Record, bool) {
	r, ok := x.list.Record(uint64(x.order[i]))
	if !ok {
		return "", r, false
	}
	return text(r.Name), r, true
}

// from is the place of the first name that is not before s.
func (x *Index) from(s string) int {
	low, high := 0, len(x.order)
	for low < high {
		mid := low + (high-low)/2
		if t, _, ok := x.at(mid); !ok || t >= s {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}
