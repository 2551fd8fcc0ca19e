package listen

import (
	"bytes"
	"context"
	"net/netip"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/listen/doh"
	"github.com/shoji-dns/shoji/internal/odoh"
)

// maxRelays bounds the oblivious queries that are being carried to targets; as many again may queue. One
// source has relayShare of them. A target that hangs costs its clients alone: these places are not those of queries.
const maxRelays = 1024

// relayShare is which part of the places to carry queries, the queue's with them, one source may hold: 64. That is a
// quarter of what one target is sent at once (package oblivious), so that nobody keeps others from a target by
// questions that it is slow to answer.
const relayShare = 32

// maxCarried is the longest oblivious query in octets that is carried: a DNS query has some hundred, padded, and
// twice maxRelays of these are held.
const maxCarried = 8 << 10

// Statuses of HTTP (RFC 9110 §15.5.14, §15.6.4).
const (
	statusLong = 413
	statusFull = 503
)

// unseal opens an oblivious query that came to the path of a view, and says which view it is for. The error
// is one of package odoh. Opening takes as long as wayQueries queries and more: plain ones have their turn after each,
// and, where there are several processors, one that opens none.
func (s *Server) unseal(view int, message []byte) (*odoh.Opened, int, error) {
	s.opens <- struct{}{}
	o, err := s.cfg.Secure.Oblivious().Open(message)
	<-s.opens
	s.MakeWay()
	if err != nil {
		return nil, 0, err
	}
	if data, ok := dns.FindOption(o.Message, odoh.ViewOption); ok {
		if len(data) != 1 || int(data[0]) >= len(s.cfg.Secure.Views) {
			return nil, 0, odoh.ErrMessage
		}
		view = int(data[0])
	}
	return o, view, nil
}

// stampStream is stamp for a query over a stream. One that is oblivious gets no cookie: it would be bound
// to the proxy's address, and the client's own part would tell that two queries are of one client.
func (s *Server) stampStream(q *dns.Query, from netip.Addr, now time.Time, oblivious bool) {
	q.MaxReply = maxTCPMessage
	if oblivious {
		q.MaxReply, q.HasCookie = odoh.MaxMessage, false
	}
	s.stamp(q, from, now)
}

// errand is an oblivious query that is carried to a target.
type errand struct {
	relay   Relay
	query   string
	message []byte
	result  doh.Relayed
}

// newErrand makes one of what a request says, which may be used again.
func (s *Server) newErrand(query string, message []byte) *errand {
	return &errand{relay: s.cfg.Secure.Relay, query: query, message: bytes.Clone(message)}
}

// full is what becomes of a request for which there is no place.
func full() doh.Relayed { return doh.Relayed{Status: statusFull, Cause: doh.CauseFull} }

// run carries it, unless it has waited for too long.
func (e *errand) run(ctx context.Context, waited time.Duration) {
	if waited > missPatience {
		e.result = full()
		return
	}
	e.result = e.relay.Carry(ctx, e.query, e.message)
}

// tooLong is what becomes of a query that is longer than any.
func tooLong() doh.Relayed { return doh.Relayed{Status: statusLong, Cause: doh.CauseRequest} }

// relay has a request carried on.
func (st *stream) relay(r *doh.Request, out []byte) []byte {
	if len(r.Message) > maxCarried {
		none := tooLong()
		return st.http.session.Relay(out, r.Stream, &none)
	}
	select {
	case st.slots <- struct{}{}:
	default:
		st.tally.shed++
		return st.http.session.Refuse(out, r.Stream)
	}
	m := st.s.relays.get()
	m.to, m.source, m.stream, m.errand = st, missSource(st.from, !st.forgeable), r.Stream, st.s.newErrand(r.Query, r.Message)
	if st.s.relays.submit(m) == "" {
		return out
	}
	<-st.slots
	st.tally.shed++
	none := full()
	return st.http.session.Relay(out, r.Stream, &none)
}

// Carry has an oblivious query of a guest carried to a target.
func (s *Server) Carry(ctx context.Context, from netip.Addr, query string, message []byte) (doh.Relayed, error) {
	if len(message) > maxCarried {
		return tooLong(), nil
	}
	w, e := make(waiting, 1), s.newErrand(query, message)
	m := s.relays.get()
	m.to, m.source, m.errand = w, missSource(from, true), e
	if s.relays.submit(m) != "" {
		return full(), nil
	}
	select {
	case <-w:
		return e.result, nil
	case <-ctx.Done():
		return doh.Relayed{}, ctx.Err()
	}
}

// AnswerOblivious is Answer for an oblivious query, and returns the oblivious reply. The error may be one
// of package odoh.
func (s *Server) AnswerOblivious(ctx context.Context, g Guest, message []byte) ([]byte, error) {
	o, view, err := s.unseal(g.View, message)
	if err != nil {
		return nil, err
	}
	g.View, g.oblivious = view, true
	reply, _, err := s.Answer(ctx, g, o.Message, nil)
	if err != nil {
		return nil, err
	}
	return o.Seal(reply)
}
