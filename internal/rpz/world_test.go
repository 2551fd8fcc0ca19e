package rpz

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/ledger"
)

// world is a log, and what it adds up to.
type world struct {
	entries []*ledger.Entry
	listed  map[subject]scopes
}

func newWorld() *world { return &world{listed: map[subject]scopes{}} }

// subjectOf reads NAME, *.NAME or a prefix.
func subjectOf(text string) (subject, scopes) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return subject{prefix: p}, exactly
	}
	if below, ok := strings.CutPrefix(text, "*."); ok {
		return subject{name: dns.MustName(below)}, subtree
	}
	return subject{name: dns.MustName(text)}, exactly
}

// change appends an entry: "+" or "-" and a subject.
func (w *world) change(texts ...string) {
	for _, text := range texts {
		s, scope := subjectOf(text[1:])
		e := &ledger.Entry{Kind: ledger.KindList, Scope: ledger.ScopeExact}
		if text[0] == '-' {
			e.Kind = ledger.KindDelist
		}
		switch {
		case s.prefix.IsValid():
			e.Scope, e.Prefix = ledger.ScopePrefix, s.prefix
		case scope == subtree:
			e.Scope = ledger.ScopeSubtree
		}
		e.Name = strings.TrimSuffix(s.name.String(), ".")
		if s.name == "" {
			e.Name = ""
		}
		w.entries = append(w.entries, e)
		c := change{subject: s, scope: scope, listed: text[0] == '+'}
		c.apply(w.listed)
	}
}

// publish brings what is listed into force, and returns it.
func (w *world) publish() *model {
	m := &model{epoch: uint64(len(w.entries)), listed: maps.Clone(w.listed)}
	w.entries = append(w.entries, &ledger.Entry{Kind: ledger.KindEpoch, Size: m.epoch})
	return m
}

func (w *world) walk(_ context.Context, first, next uint64, each func(uint64, *ledger.Entry) error) error {
	for n := first; n < next; n++ {
		if err := each(n, w.entries[n]); err != nil {
			return err
		}
	}
	return nil
}

// model is a List.
type model struct {
	epoch  uint64
	listed map[subject]scopes
}

func (m *model) Epoch() uint64 { return m.epoch }

func (m *model) Count() uint64 { return uint64(len(m.listed)) }

func (m *model) subjects() []subject {
	return slices.SortedFunc(maps.Keys(m.listed), func(a, b subject) int {
		return cmp.Or(strings.Compare(string(a.name), string(b.name)), a.prefix.Addr().Compare(b.prefix.Addr()), a.prefix.Bits()-b.prefix.Bits())
	})
}

func (m *model) Names(yield func(dns.Name, ledger.Scope) bool) error {
	for _, s := range m.subjects() {
		as := m.listed[s]
		if s.name == "" {
			continue
		}
		if as&exactly != 0 && !yield(s.name, ledger.ScopeExact) || as&subtree != 0 && !yield(s.name, ledger.ScopeSubtree) {
			return nil
		}
	}
	return nil
}

func (m *model) Prefixes(yield func(netip.Prefix) bool) {
	for _, s := range m.subjects() {
		if s.prefix.IsValid() && m.listed[s] != 0 && !yield(s.prefix) {
			return
		}
	}
}

func (m *model) Has(name dns.Name, scope ledger.Scope) bool {
	as := m.listed[subject{name: name}]
	return as&exactly != 0 && scope == ledger.ScopeExact || as&subtree != 0 && scope == ledger.ScopeSubtree
}

func (m *model) HasPrefix(p netip.Prefix) bool { return m.listed[subject{prefix: p}] != 0 }

const testOrigin = "rpz.test."

func content(f Flavour) Content {
	return Content{
		Origin: dns.MustName(testOrigin), Flavour: f, TTL: 10 * time.Second,
		Sinkhole4: netip.MustParseAddr("192.0.2.53"), Sinkhole6: netip.MustParseAddr("2001:db8::53"),
	}
}

var everybody = []Grant{{From: netip.MustParsePrefix("0.0.0.0/0")}, {From: netip.MustParsePrefix("::/0")}}

// serveWorld is a server of the world's zone, without sockets.
func serveWorld(t testing.TB, w *world, f Flavour) (*Zone, *Server) {
	t.Helper()
	z, err := New(Config{Content: content(f), Walk: w.walk})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Listen(ServerConfig{Zone: z, Allow: everybody})
	if err != nil {
		t.Fatal(err)
	}
	return z, s
}

// ask sends a request over TCP, or UDP, and returns the messages of the reply.
func ask(t testing.TB, s *Server, stream bool, m *mdns.Msg) []*mdns.Msg {
	t.Helper()
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	var out []*mdns.Msg
	x := &exchange{stream: stream, turn: s.turn, done: func() { <-s.turns }, write: func(b []byte) error {
		r := new(mdns.Msg)
		if err := r.Unpack(b); err != nil {
			t.Fatalf("reply: %v", err)
		}
		out = append(out, r)
		return nil
	}}
	if err := s.answer(t.Context(), raw, netip.MustParseAddr("127.0.0.1"), x); err != nil {
		t.Fatal(err)
	}
	return out
}

// records are the answers of a transfer.
func records(t testing.TB, messages []*mdns.Msg) (all []mdns.RR) {
	t.Helper()
	for i, m := range messages {
		if m.Rcode != mdns.RcodeSuccess || !m.Authoritative {
			t.Fatalf("message %d: %v", i, m)
		}
		all = append(all, m.Answer...)
	}
	return all
}

// secondary holds a zone as a strict secondary does: what is removed must be there, what is
// added must not.
type secondary struct {
	serial uint32
	zone   map[string]bool
}

// refresh brings the secondary up to date and says how: "same", "difference" or "whole".
func (sec *secondary) refresh(t testing.TB, s *Server) string {
	t.Helper()
	m := new(mdns.Msg)
	if m.SetIxfr(testOrigin, sec.serial, ".", "."); sec.zone == nil {
		m.SetAxfr(testOrigin)
	}
	rrs := records(t, ask(t, s, true, m))
	last := rrs[0].(*mdns.SOA).Serial
	if len(rrs) == 1 && sec.zone != nil {
		if last != sec.serial {
			t.Fatalf("one SOA record with serial %d for one who has %d", last, sec.serial)
		}
		return "same"
	}
	if rrs[len(rrs)-1].String() != rrs[0].String() {
		t.Fatalf("begins with %v, ends with %v", rrs[0], rrs[len(rrs)-1])
	}
	body := rrs[1 : len(rrs)-1]
	if soa, ok := body[0].(*mdns.SOA); ok && soa.Serial == sec.serial {
		sec.apply(t, body, last)
		return "difference"
	}
	sec.zone, sec.serial = map[string]bool{}, last
	for _, rr := range body {
		sec.add(t, rr)
	}
	return "whole"
}

func (sec *secondary) apply(t testing.TB, body []mdns.RR, last uint32) {
	t.Helper()
	adding := true
	for _, rr := range body {
		if soa, ok := rr.(*mdns.SOA); ok {
			if adding = !adding; !adding && soa.Serial != sec.serial {
				t.Fatalf("a step from %d for one who has %d", soa.Serial, sec.serial)
			}
			sec.serial = soa.Serial
			continue
		}
		if adding {
			sec.add(t, rr)
			continue
		}
		if !sec.zone[rr.String()] {
			t.Fatalf("removes what is not there: %v", rr)
		}
		delete(sec.zone, rr.String())
	}
	if !adding || sec.serial != last {
		t.Fatalf("the difference ends at %d, and not at %d", sec.serial, last)
	}
}

func (sec *secondary) add(t testing.TB, rr mdns.RR) {
	t.Helper()
	if sec.zone[rr.String()] {
		t.Fatalf("adds what is there: %v", rr)
	}
	sec.zone[rr.String()] = true
}

// owners are the owners of the secondary's policy records.
func (sec *secondary) owners() string {
	all := map[string]bool{}
	for text := range sec.zone {
		owner, _, _ := strings.Cut(text, "\t")
		if owner != testOrigin {
			all[strings.TrimSuffix(owner, "."+testOrigin)] = true
		}
	}
	return fmt.Sprint(slices.Sorted(maps.Keys(all)))
}
