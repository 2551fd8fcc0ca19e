package listen

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

const (
	// maxPipeline is how many misses of one connection may be under way; reading
	// waits for a place. Unbound and Knot Resolver allow 100 and more.
	maxPipeline = 128
	// maxUnwritten is how many octets of replies may wait for a client that does
	// not read; over it the connection is closed.
	maxUnwritten = 1 << 20
	// flushAt is the length from which collected replies are written at once.
	flushAt = 16 << 10
	// maxTCPMessage is the longest message that a length of two octets can tell.
	maxTCPMessage = 65535
	// readBuffer is where a connection's buffer begins; it grows while clients
	// fill it, and never beyond one whole message.
	readBuffer = 512
	// pipelineBuffer is what it grows to for queries that are shorter.
	pipelineBuffer = 8 << 10
	// maxSpareBuffer is the longest buffer for replies that is kept.
	maxSpareBuffer = 128 << 10
	// messageTimeout is how long one query may take to arrive once it began,
	// however slowly its octets come.
	messageTimeout = 4 * time.Second
	// writeTimeout is how long a client may take to read replies.
	writeTimeout = 4 * time.Second
)

// stream is one connection on which queries and replies follow each other with
// their lengths (RFC 1035 §4.2.2, RFC 7766).
//
// One goroutine reads. It answers hits into its own buffer and writes all that a
// read brought in one go. Misses reply from the pool's goroutines: these add to
// unwritten and start a writer if there is none, so that a client which does not
// read holds up nothing but its own connection.
type stream struct {
	s     *Server
	conn  net.Conn
	q     dns.Query
	tally tally
	in    []byte
	out   []byte // replies to hits, collected

	slots chan struct{} // one taken for each miss under way

	readBy time.Time // the read deadline as it was set

	write   sync.Mutex // held around conn.Write
	writeBy time.Time  // the write deadline as it was set

	mu        sync.Mutex
	unwritten []byte // replies to misses
	replies   int    // how many
	writing   bool   // writeMisses runs
}

func newStream(s *Server, c net.Conn) *stream {
	return &stream{s: s, conn: c, in: make([]byte, readBuffer), slots: make(chan struct{}, maxPipeline)}
}

// serve answers what comes until the client ends, errs or is silent too long.
// A client that has only ended its own side gets the replies that are due.
func (st *stream) serve() {
	defer st.conn.Close()
	st.read()
	for range maxPipeline { // when every place can be taken, nothing is under way
		st.slots <- struct{}{}
	}
}

// read reads queries and answers them, until there is nothing more to read.
func (st *stream) read() {
	have := 0           // octets of in that are not consumed
	var begun time.Time // when the message that is not whole began to arrive
	for {
		if have > 0 && begun.IsZero() {
			begun = time.Now()
		}
		if !st.readUntil(begun) {
			return
		}
		n, err := st.conn.Read(st.in[have:])
		filled := have+n == len(st.in)
		have += n
		if n > 0 {
			used, ok := st.consume(st.in[:have])
			if !ok {
				return
			}
			if used > 0 {
				begun = time.Time{}
			}
			have = copy(st.in, st.in[used:have])
			st.resize(have, filled)
		}
		if err != nil && !(have == 0 && st.waits(err)) {
			return
		}
	}
}

// waits reports whether a read failed only because the client was silent while
// replies are due to it: such a client is not idle.
func (st *stream) waits(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) && len(st.slots) > 0 && !st.s.stopping.Load()
}

// readUntil sets the read deadline: for the rest of a message that has begun,
// or else for the next one. Deadlines that differ little are left as they are.
// It reports false when the server stops.
func (st *stream) readUntil(begun time.Time) bool {
	var by time.Time
	if begun.IsZero() {
		idle := st.s.conns.idle(st.s.cfg.IdleTimeout)
		by = time.Now().Add(idle)
		if early := by.Sub(st.readBy); early >= 0 && early < idle/8 {
			return !st.s.stopping.Load()
		}
	} else {
		by = begun.Add(messageTimeout)
	}
	st.readBy = by
	st.conn.SetReadDeadline(by)
	// stop raises stopping before it sets its own deadline, so one of the two is seen.
	return !st.s.stopping.Load()
}

// resize makes in longer where a read filled it, and gives a long one back when
// nothing is left in it. have octets stay.
func (st *stream) resize(have int, filled bool) {
	size := len(st.in)
	switch {
	case filled:
		limit := pipelineBuffer
		if have >= 2 {
			limit = max(limit, 2+int(binary.BigEndian.Uint16(st.in)))
		}
		size = max(size, min(2*size, limit))
	case have == 0 && size > pipelineBuffer:
		size = readBuffer
	}
	if size != len(st.in) {
		in := make([]byte, size)
		copy(in, st.in[:have])
		st.in = in
	}
}

// consume answers every whole query in b, or gives it to the pool, and returns
// how many octets that were. It reports false if the connection is of no more use.
func (st *stream) consume(b []byte) (used int, ok bool) {
	buffer := st.s.buffers.Get().(*[]byte)
	st.out = (*buffer)[:0]
	ok = true
	for ok && len(b)-used >= 2 {
		end := used + 2 + int(binary.BigEndian.Uint16(b[used:]))
		if end > len(b) {
			break
		}
		ok = st.one(b[used+2 : end])
		used = end
	}
	st.s.tcpCounters.publish(&st.tally)
	ok = st.flush() && ok
	if cap(st.out) <= maxSpareBuffer {
		*buffer = st.out
		st.s.buffers.Put(buffer)
	}
	st.out = nil
	return used, ok
}

// one answers a query into out or gives it to the pool. It reports false if the
// connection is of no more use, as after what is not a query.
func (st *stream) one(packet []byte) bool {
	if len(st.out) >= flushAt && !st.flush() {
		return false
	}
	at := len(st.out)
	st.out = append(st.out, 0, 0)
	start := len(st.out)
	if parse(&st.q, packet, &st.out, &st.tally) {
		st.q.MaxReply = maxTCPMessage
		if reply, ok := st.s.cfg.Handler.Hit(&st.q, st.out); ok {
			st.tally.hits++
			st.out = reply
		} else {
			st.out = st.out[:at]
			return st.submit()
		}
	}
	if len(st.out) == start {
		st.out = st.out[:at]
		return false
	}
	binary.BigEndian.PutUint16(st.out[at:], uint16(len(st.out)-start))
	return true
}

// submit gives the query to the pool. While as many as allowed are under way it
// waits, and so does the client. It reports false if the connection broke.
func (st *stream) submit() bool {
	select {
	case st.slots <- struct{}{}:
	default:
		if !st.flush() {
			return false
		}
		st.slots <- struct{}{}
	}
	m := st.s.misses.get()
	m.q, m.to = st.q, st
	if st.s.misses.submit(m) {
		st.tally.misses++
		return true
	}
	<-st.slots
	st.tally.shed++
	at := len(st.out)
	st.out = appendOverloaded(append(st.out, 0, 0), &st.q)
	binary.BigEndian.PutUint16(st.out[at:], uint16(len(st.out)-at-2))
	return true
}

// flush writes out. It reports false if the connection broke.
func (st *stream) flush() bool {
	if len(st.out) == 0 {
		return true
	}
	err := st.writeAll(st.out)
	st.out = st.out[:0]
	return err == nil
}

// writeAll writes b, which holds whole messages. After an error the connection is closed.
func (st *stream) writeAll(b []byte) error {
	st.write.Lock()
	defer st.write.Unlock()
	by := time.Now().Add(writeTimeout)
	if by.Sub(st.writeBy) > writeTimeout/8 {
		st.writeBy = by
		st.conn.SetWriteDeadline(by)
	}
	_, err := st.conn.Write(b)
	if err != nil {
		st.conn.Close()
	}
	return err
}

// reply takes the reply to a miss and leaves the writing to another goroutine.
func (st *stream) reply(_ *miss, message []byte) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.unwritten)+len(message) > maxUnwritten {
		st.conn.Close() // the writer sees it, and frees the places
	} else {
		st.unwritten = binary.BigEndian.AppendUint16(st.unwritten, uint16(len(message)))
		st.unwritten = append(st.unwritten, message...)
	}
	st.replies++
	if !st.writing {
		st.writing = true
		go st.writeMisses()
	}
}

// writeMisses writes the replies to misses until there are none.
func (st *stream) writeMisses() {
	var spare []byte
	for {
		st.mu.Lock()
		b, n := st.unwritten, st.replies
		st.unwritten, st.replies = spare[:0], 0
		if n == 0 {
			st.unwritten, st.writing = nil, false
			st.mu.Unlock()
			return
		}
		st.mu.Unlock()
		st.writeAll(b)
		for range n {
			<-st.slots
		}
		spare = b
	}
}
