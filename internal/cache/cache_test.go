package cache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
)

// start is when the tests' answers are born.
var start = time.Unix(1_800_000_000, 500_000_000)

func newCache(t testing.TB, size int64) *Cache {
	t.Helper()
	c, err := New(Config{Bytes: size})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func rr(owner string, typ dns.Type, ttl uint32, data ...any) dns.RR {
	r := dns.RR{Name: dns.MustName(owner), Type: typ, Class: dns.ClassIN, TTL: ttl}
	for _, d := range data {
		switch d := d.(type) {
		case string:
			r.Data = append(r.Data, dns.MustName(d)...)
		case []byte:
			r.Data = append(r.Data, d...)
		case netip.Addr:
			r.Data = append(r.Data, d.AsSlice()...)
		}
	}
	return r
}

func signature(owner string, covered dns.Type, ttl uint32) dns.RR {
	fixed := make([]byte, 18)
	binary.BigEndian.PutUint16(fixed, uint16(covered))
	return rr(owner, dns.TypeRRSIG, ttl, fixed, "example.", []byte("a signature of some octets"))
}

func address(name string, ttl uint32, addrs ...string) *answer.Answer {
	p := answer.Parts{Name: dns.MustName(name), Type: dns.TypeA, Born: start, TTL: time.Duration(ttl) * time.Second}
	for _, a := range addrs {
		p.Answer = append(p.Answer, rr(name, dns.TypeA, ttl, netip.MustParseAddr(a)))
	}
	return answer.New(p)
}

// query is a parsed request.
func query(t rapid.TB, name string, typ dns.Type, do bool) *dns.Query {
	t.Helper()
	m := dns.Message{ID: 4711, Flags: dns.FlagRD, Question: []dns.Question{{Name: dns.MustName(name), Type: typ, Class: dns.ClassIN}}}
	if do {
		m.EDNS = &dns.EDNS{UDPSize: 1232, DO: true}
	}
	packet, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	q := new(dns.Query)
	if err := q.Parse(packet); err != nil {
		t.Fatal(err)
	}
	return q
}

// diff says how two answers differ, apart from the case of letters.
func diff(a, b *answer.Answer) string {
	var out strings.Builder
	check := func(what string, x, y any) {
		if !reflect.DeepEqual(x, y) {
			fmt.Fprintf(&out, "%s: %v, %v\n", what, x, y)
		}
	}
	check("name", a.Name(), b.Name())
	check("type", a.Type(), b.Type())
	check("rcode", a.RCode(), b.RCode())
	check("status", a.Status(), b.Status())
	check("born", a.Born().UnixNano(), b.Born().UnixNano())
	check("ttl", a.TTL(), b.TTL())
	ac, at, ao := a.Error()
	bc, bt, bo := b.Error()
	check("error", []any{ac, at, ao}, []any{bc, bt, bo})
	check("answers", len(a.Answer()), len(b.Answer()))
	check("authority", len(a.Authority()), len(b.Authority()))
	if out.Len() > 0 {
		return out.String()
	}
	for i, r := range append(a.Answer()[:len(a.Answer()):len(a.Answer())], a.Authority()...) {
		s := append(b.Answer()[:len(b.Answer()):len(b.Answer())], b.Authority()...)[i]
		if folded(r, r.TTL) != folded(s, s.TTL) {
			fmt.Fprintf(&out, "record %d: %v, %v\n", i, r, s)
		}
	}
	return out.String()
}

func TestPutThenGet(t *testing.T) {
	c := newCache(t, 0)
	soa := rr("example.", dns.TypeSOA, 300, "ns.example.", "hostmaster.example.", make([]byte, 20))
	for name, p := range map[string]answer.Parts{
		"address": {Type: dns.TypeA, Answer: []dns.RR{
			rr("www.example.", dns.TypeA, 60, []byte{192, 0, 2, 1}), rr("www.example.", dns.TypeA, 60, []byte{192, 0, 2, 2})}},
		"signed": {Type: dns.TypeA, Answer: []dns.RR{
			rr("www.example.", dns.TypeCNAME, 60, "other.example."), signature("www.example.", dns.TypeCNAME, 60),
			rr("other.example.", dns.TypeA, 50, []byte{192, 0, 2, 1}), signature("other.example.", dns.TypeA, 50)}},
		"signed alias to nothing": {Type: dns.TypeAAAA, RCode: dns.RCodeNameError, Answer: []dns.RR{
			rr("www.example.", dns.TypeCNAME, 60, "other.example."), signature("www.example.", dns.TypeCNAME, 60)},
			Authority: []dns.RR{soa, signature("example.", dns.TypeSOA, 300),
				rr("a.example.", dns.TypeNSEC, 300, "z.example.", []byte{0, 1, 0x40}), signature("a.example.", dns.TypeNSEC, 300)}},
		"signed nothing": {Type: dns.TypeTXT, RCode: dns.RCodeNameError, Authority: []dns.RR{
			rr("a.example.", dns.TypeNSEC, 300, "z.example.", []byte{0, 1, 0x40}), signature("a.example.", dns.TypeNSEC, 300),
			soa, signature("example.", dns.TypeSOA, 300)}},
		"wildcard": {Type: dns.TypeA, Answer: []dns.RR{
			rr("www.example.", dns.TypeA, 60, []byte{192, 0, 2, 1}), signature("www.example.", dns.TypeA, 60)},
			Authority: []dns.RR{rr("a.example.", dns.TypeNSEC, 300, "z.example.", []byte{0, 1, 0x40}), signature("a.example.", dns.TypeNSEC, 300)}},
		"NSEC asked for": {Type: dns.TypeNSEC, Answer: []dns.RR{
			rr("www.example.", dns.TypeNSEC, 300, "z.example.", []byte{0, 1, 0x40}), signature("www.example.", dns.TypeNSEC, 300)}},
		"failure":    {Type: dns.TypeMX, RCode: dns.RCodeServerFailure, HasError: true, ErrorCode: dns.EDENoReachableAuthority, ErrorText: "nobody at home"},
		"empty":      {Type: dns.TypeHTTPS},
		"mixed case": {Type: dns.TypeNS, Answer: []dns.RR{rr("WWW.eXample.", dns.TypeNS, 60, "nS.Www.Example.")}},
	} {
		t.Run(name, func(t *testing.T) {
			p.Name, p.Born, p.TTL = dns.MustName("www.Example."), start, 50*time.Second
			a := answer.New(p)
			c.Put(a, start)
			got, fresh := c.Get(dns.MustName("WWW.example"), p.Type, start.Add(time.Second))
			if got == nil || !fresh {
				t.Fatalf("Get: %v, fresh %t", got, fresh)
			}
			if d := diff(a, got); d != "" {
				t.Error(d)
			}
			if _, fresh := c.Get(p.Name, p.Type, start.Add(50*time.Second)); fresh {
				t.Error("fresh when its time is over")
			}
			if a, _ := c.Get(dns.MustName("xww.example"), p.Type, start); a != nil {
				t.Error("found another name")
			}
			if a, _ := c.Get(p.Name, p.Type+1000, start); a != nil {
				t.Error("found another type")
			}
			for _, do := range []bool{false, true} {
				checkRendering(t, c, a, do)
			}
		})
	}
}

// findKind finds what was put for the answer's question, of the answer's kind: a failure
// or not.
func findKind(c *Cache, e *Entry, a *answer.Answer) bool {
	h := c.hash([]byte(a.Name()), a.Type())
	if isFailure(a) {
		h |= failureBit
	}
	return c.shard(h).find(e, h, []byte(a.Name()), a.Type())
}

// folded is a record in canonical form, with all letters in lower case.
func folded(r dns.RR, ttl uint32) string {
	b := r.AppendCanonical(nil, ttl)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// checkRendering compares what a client gets with the answer's records.
func checkRendering(t rapid.TB, c *Cache, a *answer.Answer, do bool) {
	t.Helper()
	var e Entry
	q := query(t, a.Name().String(), a.Type(), do)
	now := start.Add(10 * time.Second)
	if !findKind(c, &e, a) {
		t.Fatal("not found")
	}
	msg, ok := e.AppendMessage([]byte("before"), q, dns.FlagQR, now, 0)
	if !ok || !bytes.HasPrefix(msg, []byte("before")) || len(msg) != 6+e.Len(do) {
		t.Fatalf("AppendMessage: %t, %d octets, Len %d", ok, len(msg)-6, e.Len(do))
	}
	var m dns.Message
	if err := m.Unpack(msg[6:]); err != nil {
		t.Fatal(err)
	}
	if m.ID != q.ID || m.RCode != a.RCode()&0xF || m.Question[0].Name.String() != dns.Name(q.RawName()).String() {
		t.Errorf("header or question: %+v", m)
	}
	for s, section := range [][]dns.RR{a.Answer(), a.Authority()} {
		want := map[string]int{}
		for _, r := range section {
			if do || !isProof(r.Type, a.Type()) {
				want[folded(r, r.TTL-min(r.TTL, 10))]++
			}
		}
		got := [][]dns.RR{m.Answer, m.Authority}[s]
		for _, r := range got {
			want[folded(r, r.TTL)]--
		}
		for k, n := range want {
			if n != 0 {
				t.Errorf("section %d, DO %t: %+d of %q in %v", s, do, n, k, got)
			}
		}
	}
}

func TestFailureDoesNotReplaceAnswer(t *testing.T) {
	c := newCache(t, MinBytes)
	name := dns.MustName("www.example")
	c.Put(address("www.example", 60, "192.0.2.1"), start)
	later := start.Add(2 * time.Minute)
	c.Put(answer.New(answer.Parts{Name: name, Type: dns.TypeA, RCode: dns.RCodeServerFailure, Born: later, TTL: 5 * time.Second}), later)
	if a, fresh := c.Get(name, dns.TypeA, later); a == nil || !fresh || a.RCode() != dns.RCodeServerFailure {
		t.Errorf("while the failure is fresh: %v, %t", a, fresh)
	}
	if a, fresh := c.Get(name, dns.TypeA, later.Add(6*time.Second)); a == nil || fresh || len(a.Answer()) != 1 {
		t.Errorf("after the failure: %v, %t", a, fresh)
	}
	c.Put(answer.New(answer.Parts{Name: name, Type: dns.TypeA, Answer: address("www.example", 9, "192.0.2.2").Answer(), Born: later, TTL: 9 * time.Second}), later)
	if a, fresh := c.Get(name, dns.TypeA, later); a == nil || !fresh || a.RCode() != 0 {
		t.Errorf("a fresh answer beside a fresh failure: %v, %t", a, fresh)
	}
}

func TestBoundedUnderFlood(t *testing.T) {
	const size = 2 << 20
	c := newCache(t, size)
	popular := make([]*answer.Answer, 500)
	buf := make([]byte, 0, dns.MaxName)
	find := func(a *answer.Answer) bool {
		var e Entry
		return c.Find(&e, append(buf, a.Name()...), a.Type(), start)
	}
	for i := range popular {
		popular[i] = address(fmt.Sprintf("popular%d.example", i), 3600, "192.0.2.1")
		c.Put(popular[i], start)
	}
	random := rand.New(rand.NewPCG(1, 2))
	const flood = 200_000
	missed, asked := 0, 0
	for i := range flood {
		if i%10 == 0 {
			a := popular[random.IntN(len(popular))]
			asked++
			if !find(a) {
				missed++
				c.Put(a, start)
			}
		}
		c.Put(address(fmt.Sprintf("%016x.flood.example", random.Uint64()), 3600, "192.0.2.1"), start)
	}
	s := c.Stats()
	t.Logf("%+v; %d of %d popular ones missed", s, missed, asked)
	if s.Bytes > size || s.Bytes < size*8/10 {
		t.Errorf("%d octets in use, %d allowed", s.Bytes, size)
	}
	if missed*20 > asked {
		t.Errorf("%d of %d questions for popular names missed during a flood", missed, asked)
	}
	if s.Entries < 5000 {
		t.Errorf("only %d entries in %d octets", s.Entries, size)
	}
}

func TestFindDoesNotAllocate(t *testing.T) {
	c := newCache(t, MinBytes)
	c.Put(address("www.example", 60, "192.0.2.1"), start)
	q := query(t, "wWw.example", dns.TypeA, true)
	out := make([]byte, 0, 512)
	var e Entry
	if n := testing.AllocsPerRun(100, func() {
		if !c.Find(&e, q.Name(), dns.TypeA, start) {
			t.Fatal("not found")
		}
		if _, ok := e.AppendMessage(out, q, 0, start, 0); !ok {
			t.Fatal("evicted")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
