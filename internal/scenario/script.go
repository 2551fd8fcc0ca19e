package scenario

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/simnet"
)

// errUnreachable is what the network says of an address without a server.
var errUnreachable = errors.New("scenario: no route to host")

// script is the story's network: it satisfies resolve.Network.
type script struct {
	story   *Scenario
	addrs   map[netip.Addr]bool
	glue    []dns.RR
	zones   map[netip.Addr]simnet.Handler
	hold    bool // keep queries that no entry fits for a step to come
	queries int

	tracing sync.Mutex
	trace   io.Writer

	mu      sync.Mutex
	now     int // index of the current step
	pending []*held
	used    map[*Step]bool // REPLY steps of Deckard's that have answered
}

// held is a query that no entry fits yet.
type held struct {
	asked
	replies chan []delivery
}

// asked is a query as it arrived.
type asked struct {
	addr netip.Addr
	tcp  bool
	wire []byte
	msg  *dns.Msg
}

func (a *asked) question() string {
	q := question(a.msg)
	return strings.ToLower(q.Name) + " " + dns.Type(q.Qtype).String()
}

// delivery is one message on its way to the resolver.
type delivery struct {
	wire  []byte
	after time.Duration
}

func newScript(s *Scenario, zones map[netip.Addr]simnet.Handler, trace io.Writer) *script {
	p := &script{story: s, addrs: make(map[netip.Addr]bool), zones: zones, glue: s.glue(), trace: trace, used: make(map[*Step]bool)}
	for _, a := range s.serverAddrs() {
		p.addrs[a] = true
	}
	p.hold = s.Dialect == Unbound && s.has("TIMEOUT", "ERROR", "REPLY", "CHECK_OUT_QUERY")
	return p
}

func (p *script) logf(format string, a ...any) {
	p.tracing.Lock()
	defer p.tracing.Unlock()
	if p.trace != nil {
		fmt.Fprintf(p.trace, format+"\n", a...)
	}
}

// Exchange carries a query to the entry that fits it, and what that sends back.
func (p *script) Exchange(ctx context.Context, addr netip.Addr, port uint16, tcp bool, query []byte, accept func([]byte) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a := asked{addr: addr.Unmap(), tcp: tcp, wire: slices.Clone(query), msg: new(dns.Msg)}
	if err := a.msg.Unpack(query); err != nil {
		return err
	}
	if !p.addrs[a.addr] {
		p.logf("  %s to %s: unreachable", a.question(), a.addr)
		return errUnreachable
	}
	deliveries, h := p.arrive(a)
	if h != nil {
		select {
		case deliveries = <-h.replies:
		case <-ctx.Done():
			p.drop(h)
			return ctx.Err()
		}
	}
	for _, d := range deliveries {
		if d.after > 0 {
			select {
			case <-time.After(d.after):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if accept(d.wire) {
			return nil
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// arrive finds what a query is answered. Where a step has to say it, the query is held.
func (p *script) arrive(a asked) ([]delivery, *held) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queries++
	if step := p.step(); step != nil && step.Kind == "CHECK_OUT_QUERY" && p.story.Dialect == Unbound && step.expects(&a, p.story.Dialect) {
		p.logf("  %s to %s: expected by step %d", a.question(), a.addr, step.ID)
		if step.Entry.Adjust["copy_id"] {
			p.moveTo(p.now + 1)
			return step.Entry.deliveries(&a), nil
		}
		h := p.keep(a)
		p.moveTo(p.now + 1)
		return nil, h
	}
	if e := p.find(&a); e != nil {
		p.logf("  %s to %s: entry of line %d", a.question(), a.addr, e.Line)
		return e.deliveries(&a), nil
	}
	if e := p.reply(&a); e != nil {
		return e.deliveries(&a), nil
	}
	if answer := p.zones[a.addr]; answer != nil {
		p.logf("  %s to %s: from its zones", a.question(), a.addr)
		var out []delivery
		for _, r := range answer(simnet.Query{Server: a.addr, TCP: a.tcp, Bytes: a.wire}) {
			out = append(out, delivery{r.Bytes, r.After})
		}
		return out, nil
	}
	p.logf("  %s to %s: not in the script", a.question(), a.addr)
	if p.hold {
		return nil, p.keep(a)
	}
	return p.unscripted(&a), nil
}

func (p *script) keep(a asked) *held {
	h := &held{a, make(chan []delivery, 1)}
	p.pending = append(p.pending, h)
	return h
}

func (p *script) drop(h *held) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = slices.DeleteFunc(p.pending, func(x *held) bool { return x == h })
}

// step is the current step; nil after the last.
func (p *script) step() *Step {
	if p.now < len(p.story.Steps) {
		return p.story.Steps[p.now]
	}
	return nil
}

// expects reports whether a CHECK_OUT_QUERY means this query.
func (s *Step) expects(a *asked, d Dialect) bool {
	return s.Entry != nil && (s.Addr == "" || sameAddr(s.Addr, a.addr)) && s.Entry.takes(a.msg, a.tcp, d)
}

// moveTo makes a step the current one, and answers held queries that its ranges fit.
func (p *script) moveTo(i int) {
	p.now = max(p.now, i)
	p.pending = slices.DeleteFunc(p.pending, func(h *held) bool {
		e := p.find(&h.asked)
		if e != nil {
			h.replies <- e.deliveries(&h.asked)
		}
		return e != nil
	})
}

// find finds the entry for a query: by the current step, the address and MATCH.
func (p *script) find(a *asked) *Entry {
	id := math.MaxInt
	if step := p.step(); step != nil {
		id = step.ID
	}
	for i := range p.story.Ranges {
		r := p.story.Ranges[i]
		if p.story.Dialect == Unbound {
			r = p.story.Ranges[len(p.story.Ranges)-1-i]
		}
		here := func(s string) bool { return sameAddr(s, a.addr) }
		if id < r.From || id > r.To || len(r.Addrs) > 0 && !slices.ContainsFunc(r.Addrs, here) {
			continue
		}
		for _, e := range r.Entries {
			if e.takes(a.msg, a.tcp, p.story.Dialect) {
				return e
			}
		}
	}
	return nil
}

// reply finds a REPLY step of Deckard's, which answers one query.
func (p *script) reply(a *asked) *Entry {
	if p.story.Dialect != Deckard {
		return nil
	}
	for i, s := range p.story.Steps {
		if i >= p.now && s.Kind == "REPLY" && s.Entry != nil && !p.used[s] && s.Entry.takes(a.msg, a.tcp, Deckard) {
			p.used[s] = true
			return s.Entry
		}
	}
	return nil
}

// unscripted answers what no entry does: stories hold what one resolver asked, and others ask
// for addresses of name servers too.
func (p *script) unscripted(a *asked) []delivery {
	q := question(a.msg)
	r := new(dns.Msg)
	r.SetRcode(a.msg, dns.RcodeServerFailure)
	for _, rr := range p.glue {
		if (q.Qtype != dns.TypeA && q.Qtype != dns.TypeAAAA) || !sameName(rr.Header().Name, q.Name) {
			continue
		}
		r.Rcode, r.Authoritative = dns.RcodeSuccess, true
		if rr.Header().Rrtype == q.Qtype {
			r.Answer = append(r.Answer, dns.Copy(rr))
		}
	}
	r.Answer = dns.Dedup(r.Answer, nil)
	if o := a.msg.IsEdns0(); o != nil {
		r.SetEdns0(clientSize, o.Do())
	}
	wire, err := r.Pack()
	if err != nil {
		return nil
	}
	return []delivery{{wire: wire}}
}

// deliveries are the entry's messages as replies to a query.
func (e *Entry) deliveries(a *asked) []delivery {
	if e.Adjust["do_not_answer"] {
		return nil
	}
	if e.IsRaw {
		wire := slices.Clone(e.Raw)
		if e.Adjust["raw_id"] && len(wire) > 1 {
			binary.BigEndian.PutUint16(wire, a.msg.Id)
		}
		return []delivery{{wire: wire}}
	}
	wait := e.After
	var out []delivery
	for _, m := range e.Messages {
		wait += m.After
		if wire := e.reply(m, a); wire != nil {
			out = append(out, delivery{wire, wait})
			wait = 0
		}
	}
	return out
}

// reply makes a message fit the query it answers, as ADJUST says.
func (e *Entry) reply(m *Message, a *asked) []byte {
	if m.Wire != nil {
		wire := slices.Clone(m.Wire)
		if e.Adjust["copy_id"] && len(wire) > 1 {
			binary.BigEndian.PutUint16(wire, a.msg.Id)
		}
		return wire
	}
	r := m.Msg.Copy()
	if e.Adjust["copy_id"] {
		r.Id = a.msg.Id
	}
	if e.Adjust["copy_query"] {
		r.Question = slices.Clone(a.msg.Question)
	} else if len(r.Question) > 0 && sameName(r.Question[0].Name, question(a.msg).Name) {
		r.Question[0].Name = a.msg.Question[0].Name // keep its letter case
	}
	e.mirror(r, a.msg)
	r.Compress = true
	wire, err := r.Pack()
	if err != nil {
		r.Compress = false
		if wire, err = r.Pack(); err != nil {
			return nil
		}
	}
	limit := dns.MinMsgSize
	opt := a.msg.IsEdns0()
	if opt != nil {
		limit = max(limit, int(opt.UDPSize()))
	}
	if a.tcp || len(wire) <= limit {
		return wire
	}
	r.Truncated, r.Answer, r.Ns, r.Extra = true, nil, nil, nil
	if opt != nil {
		r.SetEdns0(serverSize, opt.Do())
	}
	if wire, err = r.Pack(); err != nil {
		return nil
	}
	return wire
}

// serverSize is the UDP size in the OPT records that are added to replies.
const serverSize = 4096

// mirror adds an OPT record to the reply where the query had one, and takes it where not.
func (e *Entry) mirror(r, q *dns.Msg) {
	asked, have := q.IsEdns0(), r.IsEdns0()
	switch {
	case asked != nil && have == nil && r.Rcode != dns.RcodeFormatError && r.Rcode != dns.RcodeNotImplemented:
		r.SetEdns0(serverSize, asked.Do())
	case asked == nil && have != nil && !e.Match["noedns"]:
		r.Extra = slices.DeleteFunc(r.Extra, func(rr dns.RR) bool { return rr == dns.RR(have) })
	}
}

// sameAddr compares an address of the story, which may have a port behind "@".
func sameAddr(text string, addr netip.Addr) bool {
	a, ok := readAddr(text)
	return ok && a == addr
}

func readAddr(text string) (netip.Addr, bool) {
	text, _, _ = strings.Cut(text, "#")
	text, _, _ = strings.Cut(text, "@")
	a, err := netip.ParseAddr(strings.TrimSpace(text))
	return a.Unmap(), err == nil
}
