package cache

import (
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
)

// What an entry says of its age, and what is found beside a failure.
func TestAges(t *testing.T) {
	c := newCache(t, 0)
	name := dns.MustName("www.example")
	p := answer.Parts{Name: name, Type: dns.TypeA, Born: start, TTL: 80 * time.Second,
		Answer: []dns.RR{rr("www.example.", dns.TypeA, 80, []byte{192, 0, 2, 1}), rr("www.example.", dns.TypeA, 10, []byte{192, 0, 2, 2})}}
	c.Put(answer.New(p), start)
	var e Entry
	for _, age := range []struct {
		age          time.Duration
		young, fresh bool
	}{
		{0, true, true},
		{69 * time.Second, true, true},
		{70 * time.Second, false, true},
		{80*time.Second - 1, false, true},
		{80 * time.Second, false, false},
	} {
		now := start.Add(age.age)
		if !c.Find(&e, []byte(name), dns.TypeA, now) {
			t.Fatal("not found")
		}
		if e.Young(now) != age.young || e.Fresh(now) != age.fresh || e.Left(now) != 80*time.Second-age.age || e.TTL() != 80*time.Second || e.IsFailure() {
			t.Errorf("%v: young %t, fresh %t, %v of %v left", age.age, e.Young(now), e.Fresh(now), e.Left(now), e.TTL())
		}
	}
	first := e.Print()
	late := start.Add(100 * time.Second)
	if c.Failing([]byte(name), dns.TypeA, late) {
		t.Error("failing without a failure")
	}
	failure := answer.Parts{Name: name, Type: dns.TypeA, RCode: dns.RCodeServerFailure, Born: late, TTL: time.Second}
	c.Put(answer.New(failure), late)
	if !c.Find(&e, []byte(name), dns.TypeA, late) || !e.IsFailure() || !c.Failing([]byte(name), dns.TypeA, late) {
		t.Error("the fresh failure is not found")
	}
	if !c.FindAnswer(&e, []byte(name), dns.TypeA) || e.IsFailure() || e.Print() != first {
		t.Error("the answer beside the failure is not found")
	}
	if late = late.Add(time.Second); c.Failing([]byte(name), dns.TypeA, late) {
		t.Error("still failing")
	}
	p.Born = late
	c.Put(answer.New(p), late)
	if !c.FindAnswer(&e, []byte(name), dns.TypeA) || e.Print() == first || e.Print() == 0 {
		t.Error("a later answer cannot be told from the first")
	}
}

// Records past their time get the floor as their TTL, or their own where that was less.
func TestTTLsOfStaleRecords(t *testing.T) {
	c := newCache(t, 0)
	c.Put(answer.New(answer.Parts{Name: dns.MustName("www.example"), Type: dns.TypeA, Born: start, TTL: 10 * time.Second,
		Answer: []dns.RR{
			rr("www.example.", dns.TypeA, 10, []byte{192, 0, 2, 1}), rr("www.example.", dns.TypeA, 100, []byte{192, 0, 2, 2}),
			rr("www.example.", dns.TypeA, 1000, []byte{192, 0, 2, 3})}}), start)
	var e Entry
	if !c.FindAnswer(&e, []byte(dns.MustName("www.example")), dns.TypeA) {
		t.Fatal("not found")
	}
	for _, want := range []struct {
		age  time.Duration
		ttls [3]uint32
	}{
		{5 * time.Second, [3]uint32{10, 95, 995}},
		{80 * time.Second, [3]uint32{10, 30, 920}},
		{2000 * time.Second, [3]uint32{10, 30, 30}},
	} {
		msg, ok := e.AppendMessage(nil, query(t, "www.example", dns.TypeA, false), dns.FlagQR, start.Add(want.age), 30)
		var m dns.Message
		if err := m.Unpack(msg); err != nil || !ok || len(m.Answer) != 3 {
			t.Fatal(err, ok, len(m.Answer))
		}
		for i, ttl := range want.ttls {
			if m.Answer[i].TTL != ttl {
				t.Errorf("after %v: %v, want a TTL of %d", want.age, m.Answer[i], ttl)
			}
		}
	}
}
