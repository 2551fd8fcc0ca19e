package filter

import (
	"net/netip"
	"testing"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
)

// The first list that lists a thing decides about it, whatever the others say; one that is not
// there keeps its place, and what one list does not list another may.
func TestJoin(t *testing.T) {
	one, _ := build(t, exact("both.test", 1), subtree("one.test", 2), prefix("192.0.2.0/24", 3))
	two, _ := build(t, subtree("test", 4), prefix("192.0.2.7/32", 5), prefix("203.0.113.0/24", 6))
	for _, c := range []struct {
		lists []*List
		name  string
		want  Verdict
	}{
		{[]*List{one, two}, "both.test", Verdict{1, Exact, 2, 0}},
		{[]*List{two, one}, "both.test", Verdict{4, Subtree, 1, 0}},
		{[]*List{one, two}, "www.ONE.test", Verdict{2, Subtree, 2, 0}},
		{[]*List{one, two}, "two.test", Verdict{4, Subtree, 1, 1}},
		{[]*List{nil, one, two}, "two.test", Verdict{4, Subtree, 1, 2}},
		{[]*List{two, nil}, "both.test", Verdict{4, Subtree, 1, 0}},
		{[]*List{one, nil}, "two.test", Verdict{}},
		{[]*List{nil, nil}, "both.test", Verdict{}},
		{nil, "both.test", Verdict{}},
		{[]*List{one, two}, "other.example", Verdict{}},
	} {
		if v, ok := Join(c.lists...).MatchName(dns.MustName(c.name)); v != c.want || ok != (c.want != Verdict{}) {
			t.Errorf("%s: %+v, %v; want %+v", c.name, v, ok, c.want)
		}
	}
	both := Join(one, two)
	for text, want := range map[string]Verdict{
		"192.0.2.7": {3, Prefix, 24, 0}, "::ffff:203.0.113.1": {6, Prefix, 24, 1}, "198.51.100.1": {},
	} {
		if v, ok := both.MatchAddr(netip.MustParseAddr(text)); v != want || ok != (want != Verdict{}) {
			t.Errorf("%s: %+v, %v; want %+v", text, v, ok, want)
		}
	}
	cname := dns.RR{Name: dns.MustName("x.shop.example"), Type: dns.TypeCNAME, Class: dns.ClassIN, Data: []byte(dns.MustName("far.test"))}
	a := func(owner string, addr ...byte) dns.RR {
		return dns.RR{Name: dns.MustName(owner), Type: dns.TypeA, Class: dns.ClassIN, Data: addr}
	}
	of := func(rrs ...dns.RR) *answer.Answer {
		return answer.New(answer.Parts{Name: dns.MustName("x.shop.example"), Type: dns.TypeA, Answer: rrs})
	}
	reply := of(a("x.shop.example", 203, 0, 113, 9))
	if v, on, ok := both.Explain(reply); !ok || v != (Verdict{6, Prefix, 24, 1}) || on.Addr != netip.MustParseAddr("203.0.113.9") {
		t.Errorf("an address: %+v, %+v, %v", v, on, ok)
	}
	reply = of(cname, a("far.test", 192, 0, 2, 7))
	if v, on, ok := both.Explain(reply); !ok || v != (Verdict{4, Subtree, 1, 1}) || on.Name != dns.MustName("far.test") {
		t.Errorf("an alias: %+v, %+v, %v", v, on, ok)
	}
	if both.Count() != one.Count()+two.Count() || both.Bytes() != one.Bytes()+two.Bytes() || Join(nil, nil).Bytes() != 0 {
		t.Errorf("%d listings in %d octets", both.Count(), both.Bytes())
	}
}

// A joined list is asked without allocating, and no more can be joined than there is a limit for.
func TestJoinLimits(t *testing.T) {
	l, _ := build(t, exact("both.test", 1))
	lists := make([]*List, MaxJoined)
	lists[MaxJoined-1] = l
	joined, name := Join(lists...), []byte(dns.MustName("both.test"))
	if n := testing.AllocsPerRun(100, func() {
		if v, ok := joined.Match(name); !ok || v.Log != MaxJoined-1 {
			t.Fatalf("%+v", v)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	defer func() {
		if recover() == nil {
			t.Error("one more is joined")
		}
	}()
	Join(append(lists, l)...)
}
