package simnet

import "time"

// Faults says what goes wrong between a resolver and a server, and in the
// server. Probabilities are from 0 to 1 and count for each datagram, in each
// direction. The zero value is a perfect network without delay.
//
// TCP knows no loss of its own: a lost segment is sent again after a second,
// then after two, four and so on, up to six times; then there is no connection.
// Duplicate, Reorder, Truncate and Spoof are for UDP alone.
type Faults struct {
	Loss      float64 // a datagram does not arrive
	Duplicate float64 // a datagram arrives twice; a query is then answered twice
	Reorder   float64 // a reply is held back by up to ReorderBy
	Truncate  float64 // a reply comes empty with the TC bit
	Spoof     float64 // a query draws one to eight forged replies

	ReorderBy time.Duration // 0 means 200 ms
	Latency   time.Duration // of a round trip; a TCP connection takes one more
	Jitter    time.Duration // up to so much is added to a round trip
	Slow      time.Duration // how long the server thinks

	// ByteAtATime is the pause before each octet of a reply over TCP.
	ByteAtATime time.Duration

	Dead      bool      // no query reaches the server
	NoTCP     bool      // the server refuses TCP connections
	Lame      Lameness  // the server does not know its zones
	EDNS      EDNSFault // what the server does with OPT
	BrokenENT bool      // NXDOMAIN instead of NODATA, for empty non-terminals too
}

// maxForgeries is the most forged replies to one query.
const maxForgeries = 8

// maxRetransmits is how often a TCP segment is sent again, and firstRetransmit
// the wait before the first time (RFC 6298 §2).
const (
	maxRetransmits  = 6
	firstRetransmit = time.Second
)

const defaultReorderBy = 200 * time.Millisecond

func (f *Faults) reorderBy() time.Duration {
	if f.ReorderBy > 0 {
		return f.ReorderBy
	}
	return defaultReorderBy
}
