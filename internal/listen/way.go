package listen

import (
	"runtime"
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
)

// courtesy is what encrypted connections leave to plain ones.
type courtesy struct {
	beside  []*Server
	most    int32 // goroutines that may read plain sockets at a time
	batches int
}

func newCourtesy(beside []*Server) courtesy {
	w := courtesy{beside: beside, most: int32(max(1, runtime.GOMAXPROCS(0)/wayShare)), batches: wayBatches}
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
			if r.unseen(now) < wayUnseen {
				continue
			}
			if s.lookers.Add(1) <= s.way.most {
				r.look(s.way.batches)
			}
			s.lookers.Add(-1)
		}
	}
}
