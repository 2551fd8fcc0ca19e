package rpz

import (
	"context"
	"errors"
	"net/netip"

	mdns "github.com/miekg/dns"
)

// Grant admits transfers.
type Grant struct {
	From netip.Prefix
	Key  *Key // that requests must be signed with; nil: unsigned ones are taken too
}

// access is who may transfer.
type access []Grant

// knows reports whether any grant is for the address.
func (a access) knows(from netip.Addr) bool {
	for i := range a {
		if a[i].From.Contains(from) {
			return true
		}
	}
	return false
}

// admits reports whether a request from an address, signed with key or nil, is granted.
func (a access) admits(from netip.Addr, key *Key) bool {
	for i := range a {
		if a[i].From.Contains(from) && (a[i].Key == nil || key != nil && a[i].Key.name == key.name) {
			return true
		}
	}
	return false
}

// exchange is one request and what is sent for it.
type exchange struct {
	zone    *Zone
	request mdns.Msg
	session session
	stream  bool                        // over TCP: transfers are possible
	write   func([]byte) error          // sends one message
	turn    func(context.Context) error // waits until one more transfer may begin
	done    func()                      // ends it
}

// errIgnored says that a message draws no reply.
var errIgnored = errors.New("not a request")

// answer replies to one request of an address. An error says that the connection is of no
// more use.
func (s *Server) answer(ctx context.Context, raw []byte, from netip.Addr, x *exchange) error {
	m := &x.request
	unpacked := m.Unpack(raw)
	if len(raw) < 12 || m.Response { // the header's length
		return errIgnored
	}
	x.zone = s.cfg.Zone
	var err error
	switch {
	case unpacked != nil:
		m.Question, m.Extra = nil, nil
		return x.refuse(mdns.RcodeFormatError)
	case m.Opcode != mdns.OpcodeQuery:
		return x.refuse(mdns.RcodeNotImplemented)
	case len(m.Question) != 1:
		return x.refuse(mdns.RcodeFormatError)
	}
	if x.session, err = accept(s.keys, raw, m); err != nil {
		return x.refuse(mdns.RcodeFormatError)
	}
	if x.session.fault != 0 {
		return x.refuse(mdns.RcodeNotAuth)
	}
	if !s.grants.admits(from, x.session.key) {
		return x.refuse(mdns.RcodeRefused)
	}
	return x.zoneAnswer(ctx)
}

// zoneAnswer replies to a request that is granted.
func (x *exchange) zoneAnswer(ctx context.Context) error {
	q := x.request.Question[0]
	wanted := q.Qtype == mdns.TypeAXFR || q.Qtype == mdns.TypeIXFR
	if q.Qclass != mdns.ClassINET || mdns.CanonicalName(q.Name) != x.zone.origin {
		if wanted {
			return x.refuse(mdns.RcodeNotAuth) // RFC 5936 §2.2.1
		}
		return x.refuse(mdns.RcodeRefused)
	}
	now := x.zone.now.Load()
	if now == nil {
		return x.refuse(mdns.RcodeServerFailure)
	}
	c := &x.zone.cfg.Content
	soa := c.soa(now.list.Epoch())
	switch {
	case q.Qtype == mdns.TypeSOA:
		return x.reply([]mdns.RR{soa}, nil)
	case q.Qtype == mdns.TypeNS:
		return x.reply([]mdns.RR{c.ns()}, nil)
	case !wanted:
		return x.reply(nil, []mdns.RR{soa})
	case q.Qtype == mdns.TypeAXFR && !x.stream: // RFC 5936 §4.2
		return x.refuse(mdns.RcodeFormatError)
	case q.Qtype == mdns.TypeAXFR:
		return x.transfer(ctx, now, nil)
	}
	have, ok := x.has()
	switch {
	case !ok:
		return x.refuse(mdns.RcodeFormatError)
	case !x.stream, have == now.serial(), newer(have, now.serial()):
		return x.reply([]mdns.RR{soa}, nil) // RFC 1995 §2 and §4
	}
	if steps, ok := now.journal.since(have); ok && uint64(steps.size()) <= now.list.Count() {
		return x.transfer(ctx, now, steps)
	}
	return x.transfer(ctx, now, nil)
}

// newer reports whether serial number a is greater than b (RFC 1982 §3.2).
func newer(a, b uint32) bool { return a != b && a-b < 1<<31 }

// has is the serial number that an IXFR says the requester has (RFC 1995 §3).
func (x *exchange) has() (uint32, bool) {
	if len(x.request.Ns) != 1 {
		return 0, false
	}
	soa, ok := x.request.Ns[0].(*mdns.SOA)
	return soaSerial(soa), ok && mdns.CanonicalName(soa.Hdr.Name) == x.zone.origin
}

func soaSerial(soa *mdns.SOA) uint32 {
	if soa == nil {
		return 0
	}
	return soa.Serial
}

// head begins a reply to the request.
func (x *exchange) head(rcode int) *mdns.Msg {
	m := new(mdns.Msg)
	m.SetRcode(&x.request, rcode)
	return m
}

// refuse replies with a response code and no more.
func (x *exchange) refuse(rcode int) error { return x.send(x.head(rcode)) }

// reply is one message with these sections.
func (x *exchange) reply(answer, authority []mdns.RR) error {
	m := x.head(mdns.RcodeSuccess)
	m.Authoritative, m.Answer, m.Ns = true, answer, authority
	return x.send(m)
}

// send signs a message where the request was signed, and sends it.
func (x *exchange) send(m *mdns.Msg) error {
	if x.request.IsEdns0() != nil && len(m.Question) > 0 {
		m.SetEdns0(maxDatagram, false)
	}
	b, err := x.session.pack(m)
	if err != nil {
		return err
	}
	return x.write(b)
}

// transfer waits for a turn and sends the zone, or its difference by these steps.
func (x *exchange) transfer(ctx context.Context, now *edition, steps journal) error {
	ctx, cancel := context.WithTimeout(ctx, transferTime)
	defer cancel()
	if err := x.turn(ctx); err != nil {
		return err
	}
	defer x.done()
	t := &transfer{ctx: ctx, exchange: x, content: &x.zone.cfg.Content}
	send, kind := func() error { return t.difference(now, steps) }, "difference"
	if len(steps) == 0 {
		send, kind = func() error { return t.whole(now) }, "whole"
	}
	if err := errors.Join(send(), t.flush()); err != nil {
		x.zone.cfg.Log.Warn("policy zone: a transfer was cut off", "zone", x.zone.origin, "kind", kind, "records", t.records, "cause", err)
		return err
	}
	x.zone.cfg.Log.Info("policy zone: transferred", "zone", x.zone.origin, "kind", kind, "serial", now.serial(), "records", t.records, "key", x.session.key.Name())
	return nil
}

// transfer is a stream of records on its way.
type transfer struct {
	ctx      context.Context
	exchange *exchange
	content  *Content
	batch    []mdns.RR
	size     int // octets of batch, not compressed
	begun    bool
	records  int
}

// add sends a record, with others in one message.
func (t *transfer) add(rr mdns.RR) error {
	t.size += mdns.Len(rr)
	t.records++
	t.batch = append(t.batch, rr)
	if t.size < messageFill {
		return nil
	}
	return t.flush()
}

// flush sends what is left. Only the first message repeats the question (RFC 5936 §2.2.1).
func (t *transfer) flush() error {
	if len(t.batch) == 0 {
		return nil
	}
	if err := t.ctx.Err(); err != nil {
		return err
	}
	m := t.exchange.head(mdns.RcodeSuccess)
	m.Authoritative, m.Answer = true, t.batch
	if t.begun {
		m.Question = nil
	}
	t.begun = true
	err := t.exchange.send(m)
	t.batch, t.size = t.batch[:0], 0
	return err
}

// whole sends the zone (RFC 5936).
func (t *transfer) whole(e *edition) error {
	soa := t.content.soa(e.list.Epoch())
	err := t.add(soa)
	if err != nil {
		return err
	}
	damage := t.content.records(e.list, func(rr mdns.RR) bool {
		err = t.add(rr)
		return err == nil
	})
	if err := errors.Join(err, damage); err != nil {
		return err
	}
	return t.add(soa)
}

// difference sends what changed since the serial that the requester has (RFC 1995 §4).
func (t *transfer) difference(e *edition, steps journal) error {
	soa := t.content.soa(e.list.Epoch())
	if err := t.add(soa); err != nil {
		return err
	}
	for i := range steps {
		st := &steps[i]
		for _, part := range []struct {
			epoch    uint64
			triggers []trigger
		}{{st.from, st.removed}, {st.to, st.added}} {
			if err := t.add(t.content.soa(part.epoch)); err != nil {
				return err
			}
			if err := t.policies(part.triggers); err != nil {
				return err
			}
		}
	}
	return t.add(soa)
}

// policies sends the records of triggers.
func (t *transfer) policies(of []trigger) error {
	origin := "." + t.content.Origin.String()
	for _, trigger := range of {
		if t.content.unfit(trigger) != "" {
			continue
		}
		for _, rr := range t.content.policy(nil, trigger, trigger.owner()+origin) {
			if err := t.add(rr); err != nil {
				return err
			}
		}
	}
	return nil
}
