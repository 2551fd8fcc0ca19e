package filter

import (
	"fmt"
	"net/netip"
)

// MaxJoined is how many lists Join takes: each is one more look-up for every name that is judged
// for the first time.
const MaxJoined = 8

// Join is a list that judges by several, in order: the first that lists a thing decides about
// it, and Verdict.Log is its place. So what one of them no longer lists another may. A nil stands
// for a list that is not there yet. It panics for more than MaxJoined.
//
// A joined list has Match, MatchName, MatchAddr, Judge, Explain, Count and Bytes. It is of no one
// log, so that Epoch and RootHash are zero, and there is no file of it to read.
func Join(lists ...*List) *List {
	if len(lists) > MaxJoined {
		panic(fmt.Sprintf("filter: %d lists to join, at most %d can be", len(lists), MaxJoined))
	}
	out := &List{joined: make([]*List, len(lists))}
	for i, l := range lists {
		if l == nil {
			l = new(List)
		}
		out.joined[i] = l
	}
	return out
}

// matchJoined is Match of a joined list.
//
//go:noinline
func (l *List) matchJoined(name []byte) (Verdict, bool) {
	for i, of := range l.joined {
		if v, ok := of.Match(name); ok {
			v.Log = uint8(i)
			return v, true
		}
	}
	return Verdict{}, false
}

// matchAddrJoined is MatchAddr of a joined list.
//
//go:noinline
func (l *List) matchAddrJoined(a netip.Addr) (Verdict, bool) {
	for i, of := range l.joined {
		if v, ok := of.MatchAddr(a); ok {
			v.Log = uint8(i)
			return v, true
		}
	}
	return Verdict{}, false
}
