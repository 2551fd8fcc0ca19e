package listen

import (
	"runtime"
	"sync/atomic"
	"time"
)

// Encrypted connections cost a hundred times what a plain query does, and the scheduler knows no
// priorities: with thousands of goroutines that shake hands or read frames, the one that reads a plain
// socket waits behind all of them. So those goroutines themselves read plain sockets that have gone
// unread for wayUnseen, between pieces of their own work (Config.Beside, MakeWay). That leaves plain UDP
// half of the processors at least, and encrypted connections the rest where both have more to do
// than there are.
const (
	// wayUnseen is how long a plain socket may go unread while encrypted connections are worked for. A
	// look at a socket without datagrams costs half a microsecond.
	wayUnseen = 100 * time.Microsecond
	// maxLook is how many batches the goroutine of a miss takes.
	maxLook = 4
	// wayQueries is how many queries of a connection are answered in between: some 100 microseconds.
	wayQueries = 16
	// wayBatches is how many batches one goroutine takes then: about six milliseconds of hits. On
	// one processor it is maxLook, so that both sides come to their turns.
	wayBatches = 64
	// wayShare is which part of the processors may read plain sockets so at a time.
	wayShare = 2
	// wayLease is for how long who reads counts as one who does: longer than wayBatches take. The scheduler
	// may take his processor away, and thousands may have their turns before he gets it back.
	wayLease = 10 * time.Millisecond
)

// courtesy is what encrypted connections leave to plain ones.
type courtesy struct {
	beside  []*Server
	born    time.Time
	places  []atomic.Int64 // when who reads plain sockets began, in nanoseconds since born; 0: nobody does
	batches int
}

func newCourtesy(beside []*Server) courtesy {
	w := courtesy{beside: beside, born: time.Now(), places: make([]atomic.Int64, max(1, runtime.GOMAXPROCS(0)/wayShare)), batches: wayBatches}
	if runtime.GOMAXPROCS(0) == 1 {
		w.batches = maxLook
	}
	return w
}

// MakeWay has plain sockets of the servers beside this one read that have gone unread for too long. Who
// works for encrypted connections calls it between pieces of work of less than a millisecond.
func (s *Server) MakeWay() {
	if len(s.way.beside) == 0 {
		return
	}
	now := time.Now()
	for _, plain := range s.way.beside {
		for _, r := range plain.udp {
			if r.unseen(now) >= wayUnseen {
				s.way.look(r, now)
			}
		}
	}
}

// look reads a socket, if there is a place.
func (c *courtesy) look(r udpReader, now time.Time) {
	at := int64(now.Sub(c.born))
	for i := range c.places {
		p := &c.places[i]
		if began := p.Load(); (began == 0 || at-began > int64(wayLease)) && p.CompareAndSwap(began, at) {
			r.look(c.batches)
			p.CompareAndSwap(at, 0)
			return
		}
	}
}
