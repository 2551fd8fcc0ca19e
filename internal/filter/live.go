package filter

import "sync/atomic"

// Live is the list in force. Readers load it for each query and keep what they
// loaded for as long as the query takes; whoever publishes a list swaps it. The
// zero Live holds an empty list.
type Live struct {
	p    atomic.Pointer[List]
	none List // stays empty
}

// Load is the list in force, never nil.
func (v *Live) Load() *List {
	if l := v.p.Load(); l != nil {
		return l
	}
	return &v.none
}

// Swap puts l in force and returns the list that was. Queries under way end with
// the list that they began with. A nil l stands for an empty list.
func (v *Live) Swap(l *List) *List {
	if l == nil {
		l = &v.none
	}
	if old := v.p.Swap(l); old != nil {
		return old
	}
	return &v.none
}
