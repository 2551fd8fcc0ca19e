package listen

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/listen/balancer"
	"github.com/shoji-dns/shoji/internal/listen/doh"
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
	// replyBlock is what the length of replies over TLS is a multiple of (RFC 8467 §4.1).
	replyBlock = 468
	// keepaliveUnit is what edns-tcp-keepalive counts in (RFC 7828 §3.1).
	keepaliveUnit = 100 * time.Millisecond
)

// stream is one connection on which queries and replies follow each other with
// their lengths (RFC 1035 §4.2.2, RFC 7766).
//
// One goroutine reads. It answers hits into its own buffer and writes all that a
// read brought in one go. Misses reply from the pool's goroutines: these add to
// unwritten and start a writer if there is none, so that a client which does not
// read holds up nothing but its own connection.
type stream struct {
	s         *Server
	conn      net.Conn
	raw       net.Conn   // below TLS; else conn
	from      netip.Addr // of the client, also where a balancer is between
	h         Handler
	forgeable bool      // what a balancer brings from a datagram
	unknown   bool      // a balancer's, that has not yet said whom it speaks for
	stranger  bool      // is not served, and may come for a challenge of ACME
	ahead     []byte    // read with what said so, and not yet by who reads
	tls       bool      // replies are padded, and flushed before the connection is waited for
	now       time.Time // of the last read
	desk      *desk     // what is worked with; nil while there is nothing to do
	tally     tally
	in        []byte
	below     *records  // what TLS writes to; nil without TLS
	http      *https    // nil: messages have their lengths before them
	oldest    time.Time // when the request over HTTP began that has waited longest for its end
	begun     time.Time // when what is not whole began to arrive
	asked     time.Time // when a query last came, or its reply was waited for
	broken    bool      // a write failed while requests were read
	done      uint      // queries that were read
	out       []byte    // replies to hits, collected

	slots chan struct{} // one taken for each miss under way

	readBy time.Time // the read deadline as it was set

	write   sync.Mutex // held around conn.Write
	writeBy time.Time  // the write deadline as it was set

	mu        sync.Mutex
	unwritten []byte // replies to misses
	replies   int    // how many
	writing   bool   // writeMisses runs
}

// desk is what a stream works with while it reads queries. Idle streams have none.
type desk struct {
	q   dns.Query
	out []byte
	in  []byte // over TLS; else a stream has its own
}

func newDesk() *desk { return &desk{out: make([]byte, 0, flushAt+MaxUDPReply)} }

// sit takes a desk.
func (st *stream) sit() {
	if st.desk == nil {
		st.desk = st.s.desks.Get().(*desk)
		st.out = st.desk.out[:0]
	}
}

// leave gives the desk back; what was collected has been sent.
func (st *stream) leave() {
	if st.desk == nil {
		return
	}
	if cap(st.out) <= maxSpareBuffer {
		st.desk.out = st.out
	}
	st.s.desks.Put(st.desk)
	st.desk, st.out = nil, nil
}

func newStream(s *Server, c net.Conn, from netip.Addr) *stream {
	return &stream{s: s, conn: c, raw: c, from: from, h: s.cfg.Handler, in: make([]byte, readBuffer), slots: make(chan struct{}, maxPipeline)}
}

// serve answers what comes until the client ends, errs or is silent too long.
// A client that has only ended its own side gets the replies that are due.
func (st *stream) serve() {
	defer st.conn.Close()
	if st.http != nil {
		st.writeAll(st.http.session.Start(nil))
	}
	st.read()
	st.send()
	st.leave()
	if st.http != nil {
		st.writeAll(st.http.session.GoAway(nil))
	}
	for range maxPipeline { // when every place can be taken, nothing is under way
		st.slots <- struct{}{}
	}
}

// read reads queries and answers them, until there is nothing more to read.
func (st *stream) read() {
	st.asked = time.Now()
	have, ok := st.beginning() // octets of in that are not consumed
	for ok {
		if have > 0 && st.begun.IsZero() {
			st.begun = time.Now()
		}
		if st.tls {
			if !st.ready(have) {
				return
			}
		} else if !st.readUntil() {
			return
		}
		n, err := st.conn.Read(st.in[have:])
		if n > 0 {
			var ok bool
			if have, ok = st.take(have, n); !ok {
				return
			}
			st.s.MakeWay()
		}
		if err != nil && !(have == 0 && st.oldest.IsZero() && st.waits(err)) {
			return
		}
	}
}

// beginning takes what came in one record with a balancer's header.
func (st *stream) beginning() (have int, ok bool) {
	if len(st.ahead) == 0 {
		return 0, true
	}
	st.sit()
	st.makeRoom(0)
	n := copy(st.in, st.ahead) // of one record
	st.ahead = nil
	return st.take(0, n)
}

// take consumes what was read behind what was there, and returns what is left.
func (st *stream) take(have, n int) (left int, ok bool) {
	filled := have+n == len(st.in)
	have += n
	used, ok := st.consume(st.in[:have])
	if !ok {
		return have, false
	}
	if used > 0 {
		st.begun = st.oldest
	}
	have = copy(st.in, st.in[used:have])
	st.resize(have, filled)
	return have, true
}

// ready waits until there is something to read over TLS. Where nothing is left from before, the
// stream waits without a desk, and without the deep stack of TLS, which is why it does not
// wait in conn.Read. It reports false if the connection is of no more use.
func (st *stream) ready(have int) bool {
	for {
		switch {
		case have > 0: // of a message that has begun
			if !st.readUntil() {
				return false
			}
		case st.below.empty():
			if !st.dry() {
				return false
			}
			st.in = nil
			st.leave()
		}
		err := st.below.ready()
		if err == nil {
			break
		}
		if !(have == 0 && st.oldest.IsZero() && st.waits(err)) {
			return false
		}
	}
	st.sit()
	st.makeRoom(have)
	return true
}

// makeRoom has room for all that one TLS record holds behind the have octets of in: what is left of
// a record after a read nobody would come for, as it waits inside of TLS, and not for the connection.
func (st *stream) makeRoom(have int) {
	if len(st.in)-have >= maxPlaintext {
		return
	}
	if st.desk.in == nil {
		st.desk.in = make([]byte, doh.MaxFrame)
	}
	in := st.desk.in
	if have > 0 {
		in = make([]byte, have+maxPlaintext)
		copy(in, st.in[:have])
	}
	st.in = in
}

// dry is called before the connection is waited for: replies leave, and the time begins in
// which something has to come. It reports false if the connection is of no more use.
func (st *stream) dry() bool {
	if !st.oldest.IsZero() {
		acknowledge(st.raw)
	}
	return st.send() && st.readUntil()
}

// resize makes in longer where a read filled it, and gives a long one back when
// nothing is left in it. have octets stay.
func (st *stream) resize(have int, filled bool) {
	size := len(st.in)
	switch {
	case st.tls: // it is the desk's, or goes when there is nothing to do: see makeRoom
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
	st.sit()
	st.now = time.Now()
	if st.http != nil {
		return st.consumeHTTP(b)
	}
	if !st.tls && balancer.Begins(b) { // from who is no balancer of ours
		return 0, false
	}
	ok = true
	for ok && len(b)-used >= 2 {
		end := used + 2 + int(binary.BigEndian.Uint16(b[used:]))
		if end > len(b) {
			break
		}
		st.work()
		ok = st.one(b[used+2 : end])
		used = end
	}
	if !st.tls { // over TLS, each query is a read, and there may be more of them
		ok = st.send() && ok
		st.leave()
	}
	return used, ok
}

// work counts a query; over TLS, after wayQueries of them it makes way for plain ones.
func (st *stream) work() {
	st.asked = st.now
	if st.tls {
		if st.done++; st.done%wayQueries == 0 {
			st.s.MakeWay()
		}
	}
}

// send writes what is collected. It reports false if the connection broke.
func (st *stream) send() bool {
	st.s.tcpCounters.publish(&st.tally)
	return st.desk == nil || st.flush()
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
	if parse(&st.desk.q, packet, &st.out, &st.tally) {
		st.desk.q.MaxReply = maxTCPMessage
		st.s.stamp(&st.desk.q, st.from, st.now)
		if st.desk.q.Keepalive {
			idle := st.s.conns.idle(st.s.cfg.IdleTimeout)
			st.desk.q.Reply.HasKeepalive, st.desk.q.Reply.Keepalive = true, uint16(min(idle/keepaliveUnit, 0xFFFF))
		}
		if reply, ok := st.h.Hit(&st.desk.q, st.out); ok {
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
	if st.tls {
		st.out = dns.PadMessage(st.out, start, replyBlock, maxTCPMessage)
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
	m.q, m.h, m.to, m.source = st.desk.q, st.h, st, missSource(st.from, !st.forgeable)
	why := st.s.misses.submit(m)
	if why == "" {
		st.tally.misses++
		return true
	}
	<-st.slots
	st.tally.shed++
	st.out = st.appendFrame(st.out, appendOverloaded(nil, &st.desk.q, why))
	return true
}

// appendFrame appends a reply with its length, padded over TLS.
func (st *stream) appendFrame(out, message []byte) []byte {
	at := len(out)
	out = append(append(out, 0, 0), message...)
	if st.tls {
		out = dns.PadMessage(out, at+2, replyBlock, maxTCPMessage)
	}
	binary.BigEndian.PutUint16(out[at:], uint16(len(out)-at-2))
	return out
}

// flush writes out. It reports false if the connection broke.
func (st *stream) flush() bool {
	if len(st.out) == 0 && st.http == nil {
		return true
	}
	err := st.writeAll(st.out)
	st.out = st.out[:0]
	return err == nil
}

// writeAll writes b, which holds whole messages. After an error the connection is closed.
func (st *stream) writeAll(b []byte) error { return st.put(b, false) }

// put writes b, or over TLS has it wait as a record of its own for what is written next.
func (st *stream) put(b []byte, hold bool) error {
	st.write.Lock()
	defer st.write.Unlock()
	by := time.Now().Add(writeTimeout)
	if by.Sub(st.writeBy) > writeTimeout/8 {
		st.writeBy = by
		st.conn.SetWriteDeadline(by)
	}
	if hold && st.below != nil {
		st.below.hold(true)
		defer st.below.hold(false)
	}
	var err error
	if len(b) > 0 {
		_, err = st.conn.Write(b)
	} else if st.below != nil {
		err = st.below.flush()
	}
	if err != nil {
		st.raw.Close()
	}
	return err
}

// reply takes the reply to a miss and leaves the writing to another goroutine.
func (st *stream) reply(m *miss, message []byte) {
	if m.sealed != nil {
		// What is longer than fits was bounded before, and an empty one is refused where it is written.
		message, _ = m.sealed.Seal(message)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.unwritten)+len(message) > maxUnwritten {
		st.raw.Close() // the writer sees it, and frees the places
	} else if st.http != nil {
		st.unwritten = later(st.unwritten, m, message)
	} else {
		st.unwritten = st.appendFrame(st.unwritten, message)
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
		if st.http != nil {
			st.http.replyAll(st, b)
		} else {
			st.writeAll(b)
		}
		for range n {
			<-st.slots
		}
		spare = b
	}
}
