package cache

import (
	"sync"
	"sync/atomic"
)

// Mark stands for one list of one view in the memos of entries. The zero Mark stands for
// none. A memo is one word, so there are few marks; they are given out again once all memos
// were forgotten.
type Mark uint32

const (
	markShift = 46 // a memo: mark 18 | place 46
	maxMark   = 1<<(64-markShift) - 1
)

// marks are the marks that are in use.
type marks struct {
	mu   sync.Mutex
	last Mark
	used map[Mark]struct{}
}

// NewMark returns a mark that no other list has, and gives the old one back.
func (c *Cache) NewMark(old Mark) Mark {
	m := &c.marks
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used == nil {
		m.used = make(map[Mark]struct{})
	}
	delete(m.used, old)
	for {
		if m.last++; m.last > maxMark {
			m.last = 1
			c.forgetMemos()
		}
		if _, used := m.used[m.last]; !used {
			m.used[m.last] = struct{}{}
			return m.last
		}
	}
}

func (c *Cache) forgetMemos() {
	for i := range c.shards {
		index := c.shards[i].index
		for i := range index {
			if isMemo(i) {
				atomic.StoreUint64(&index[i], 0)
			}
		}
	}
}

// isMemo tells the memos of an index from its slots.
func isMemo(i int) bool { return i%(2*slotsPerLine) >= slotsPerLine }

// Passed reports whether Pass was called for this entry with the same mark. The memo names
// the place of the entry, so one of another entry in the same slot says nothing.
func (e *Entry) Passed(m Mark) bool {
	return e.memo != nil && m != 0 && atomic.LoadUint64(e.memo) == uint64(m)<<markShift|e.place
}

// Pass notes that the question and the answer pass the list that m stands for.
func (e *Entry) Pass(m Mark) {
	if e.memo != nil && m != 0 {
		atomic.StoreUint64(e.memo, uint64(m)<<markShift|e.place)
	}
}
