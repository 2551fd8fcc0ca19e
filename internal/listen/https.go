package listen

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/listen/doh"
	"github.com/shoji-dns/shoji/internal/odoh"
)

// https is what a stream is beside, where HTTP/2 carries the messages. The reader and the
// writer of replies to misses share the session. Each reply is a TLS record of its own, and many
// records are one write: there are clients that look at one reply for each record (dnsperf).
type https struct {
	mu      sync.Mutex
	session *doh.Session
	message []byte // the reader's: a reply before it is in frames
}

// maxSpareMessage is the longest buffer for one reply that a connection keeps: it holds no
// more while it is idle.
const maxSpareMessage = 1 << 10

// overHTTP has st carry HTTP/2.
func (st *stream) overHTTP() { st.http = &https{session: doh.NewSession(st.s.routes)} }

// consumeHTTP reads every whole frame in b.
func (st *stream) consumeHTTP(b []byte) (used int, ok bool) {
	h := st.http
	h.mu.Lock()
	defer h.mu.Unlock()
	var err error
	used, st.out, err = h.session.Consume(b, st.out, st.now, st)
	st.oldest = h.session.Oldest()
	if cap(h.message) > maxSpareMessage {
		h.message = nil
	}
	return used, err == nil && !st.broken
}

// Ask answers a request, or gives it to the pool. Package doh calls it, in consumeHTTP.
func (st *stream) Ask(r *doh.Request, out []byte) []byte {
	st.work()
	session := st.http.session
	if r.Relay {
		return st.relay(r, out)
	}
	view, packet := r.View, r.Message
	var sealed *odoh.Opened
	if r.Oblivious {
		o, v, err := st.s.unseal(r.View, r.Message)
		if err != nil {
			st.tally.malformed++
			return session.Fail(out, r.Stream, errors.Is(err, odoh.ErrKey))
		}
		sealed, view, packet = o, v, o.Message
	}
	message := st.http.message[:0]
	if parse(&st.desk.q, packet, &message, &st.tally) {
		st.s.stampStream(&st.desk.q, st.from, st.now, sealed != nil)
		h := st.s.cfg.Secure.Views[view].Handler
		reply, ok := h.Hit(&st.desk.q, message)
		if !ok {
			return st.askLater(h, r.Stream, sealed, out)
		}
		st.tally.hits++
		message = reply
	}
	st.http.message = message
	if len(message) == 0 {
		return session.Fail(out, r.Stream, false)
	}
	out = st.http.answer(out, r.Stream, message, sealed)
	st.broken = st.broken || st.put(out, true) != nil
	return out[:0]
}

// askLater gives a request that needs the network to the pool.
func (st *stream) askLater(h Handler, stream uint32, sealed *odoh.Opened, out []byte) []byte {
	select {
	case st.slots <- struct{}{}:
	default: // those that were reset keep their places until they end
		st.tally.shed++
		return st.http.session.Refuse(out, stream)
	}
	m := st.s.misses.get()
	m.q, m.h, m.to, m.source, m.stream, m.sealed = st.desk.q, h, st, missSource(st.from, !st.forgeable), stream, sealed
	why := st.s.misses.submit(m)
	if why == "" {
		st.tally.misses++
		return out
	}
	<-st.slots
	st.tally.shed++
	return st.http.answer(out, stream, appendOverloaded(nil, &st.desk.q, why), sealed)
}

// answer appends a reply's frames. sealed is what an oblivious one is encrypted by; nil: it is none.
func (h *https) answer(out []byte, id uint32, message []byte, sealed *odoh.Opened) []byte {
	if sealed == nil {
		return h.reply(out, id, message)
	}
	message, err := sealed.Seal(message)
	if err != nil {
		return h.session.Fail(out, id, false)
	}
	return h.session.Reply(out, id, message, true, 0)
}

// reply appends a reply's frames. It pads message where it lies.
func (h *https) reply(out []byte, id uint32, message []byte) []byte {
	message = dns.PadMessage(message, 0, replyBlock, maxTCPMessage)
	return h.session.Reply(out, id, message, false, dns.LeastTTL(message))
}

// The kinds of replies that wait for the writer.
const (
	laterPlain byte = iota
	laterSealed
	laterRelayed
)

// laterHead is the length of what stands before a message that waits.
const laterHead = 4 + 1 + 1 + 2 + 4

// later appends what of a miss's reply waits for the writer: its stream, kind, where it was carried from a target
// what came of that, its length, and the message.
func later(out []byte, m *miss, message []byte) []byte {
	kind, relayed := laterPlain, doh.Relayed{}
	switch {
	case m.errand != nil:
		kind, relayed = laterRelayed, m.errand.result
	case m.sealed != nil:
		kind = laterSealed
	}
	out = binary.BigEndian.AppendUint32(out, m.stream)
	out = append(out, kind, byte(relayed.Cause))
	out = binary.BigEndian.AppendUint16(out, uint16(relayed.Status))
	out = binary.BigEndian.AppendUint32(out, uint32(len(message)))
	return append(out, message...)
}

// replyAll writes the replies that later has collected, each in a record of its own.
func (h *https) replyAll(st *stream, waiting []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []byte
	for len(waiting) > 0 {
		id, n := binary.BigEndian.Uint32(waiting), int(binary.BigEndian.Uint32(waiting[8:]))
		message := waiting[laterHead : laterHead+n : laterHead+n]
		switch kind := waiting[4]; {
		case kind == laterPlain:
			out = h.reply(out[:0], id, message)
		case kind == laterSealed && n == 0:
			out = h.session.Fail(out[:0], id, false)
		case kind == laterSealed:
			out = h.session.Reply(out[:0], id, message, true, 0)
		default:
			out = h.session.Relay(out[:0], id, &doh.Relayed{Status: int(binary.BigEndian.Uint16(waiting[6:])), Cause: doh.Cause(waiting[5]), Message: message})
		}
		waiting = waiting[laterHead+n:]
		if len(out) > 0 {
			st.put(out, true)
		}
	}
	st.put(nil, false)
	if h.session.Overfull() {
		st.raw.Close()
	}
}
