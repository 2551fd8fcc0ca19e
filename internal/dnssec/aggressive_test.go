package dnssec

import (
	"bytes"
	"slices"
	"testing"
	"time"

	foreign "github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/shoji-dns/shoji/internal/dns"
)

// shelf is a store of denials as a cache may keep them.
type shelf struct {
	nsec, nsec3 []Denial
}

func (s *shelf) put(list []Denial) {
	for _, d := range list {
		to := &s.nsec
		if d.IsNSEC3() {
			to = &s.nsec3
		}
		if !slices.ContainsFunc(*to, func(x Denial) bool { return x.Owner() == d.Owner() }) {
			*to = append(*to, d)
		}
	}
	slices.SortFunc(s.nsec, func(a, b Denial) int { return a.Owner().Compare(b.Owner()) })
	slices.SortFunc(s.nsec3, func(a, b Denial) int { x, y := a.Hash(), b.Hash(); return bytes.Compare(x[:], y[:]) })
}

func (s *shelf) Before(zone, name dns.Name) (d Denial, ok bool) {
	for _, x := range s.nsec {
		if x.Zone() == zone && x.Owner().Compare(name) <= 0 {
			d, ok = x, true
		}
	}
	return d, ok
}

func (s *shelf) Hashed(zone dns.Name) (Denial, bool) {
	if len(s.nsec3) == 0 {
		return Denial{}, false
	}
	return s.nsec3[0], s.nsec3[0].Zone() == zone
}

func (s *shelf) BeforeHash(zone dns.Name, h [20]byte) (Denial, bool) {
	if len(s.nsec3) == 0 {
		return Denial{}, false
	}
	d := s.nsec3[len(s.nsec3)-1]
	for _, x := range s.nsec3 {
		if hash := x.Hash(); bytes.Compare(hash[:], h[:]) <= 0 {
			d = x
		}
	}
	return d, d.Zone() == zone
}

// What is synthesised from the denials of some answers is what the zone would have
// said.
func TestModelSynthesis(t *testing.T) {
	key, keys := modelKey(t)
	v := New(Config{})
	synthesised := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		z := drawLab(rt, t, key)
		s := new(shelf)
		for range rapid.IntRange(1, 6).Draw(rt, "learned") {
			name, qtype := drawQuestion(rt, z)
			r := z.query(name, qtype)
			if r.kind == "unprovable" {
				continue
			}
			if r.kind == "referral" {
				d := v.ProveDelegation(keys, dns.MustName(z.cut(name)), records(t, r.authority...), testNow, new(Work))
				s.put(d.Denials)
				continue
			}
			s.put(v.VerifyAnswer(keys, z.response(r, name, qtype), testNow, new(Work)).Denials)
		}
		for range 6 {
			name, qtype := drawQuestion(rt, z)
			w := new(Work)
			n, ok := Synthesize(s, keys.Zone(), dns.MustName(name), dns.Type(qtype), testNow, w)
			if !ok {
				continue
			}
			want := z.query(name, qtype)
			got := "nodata"
			if n.RCode == dns.RCodeNameError {
				got = "nxdomain"
			}
			if !n.Status.IsSecure() || got != want.kind || len(want.answer) > 0 {
				rt.Fatalf("%s %s: %v, %s; want %s\n%s", name, dns.Type(qtype), n.Status, got, want.kind, z.dump(want))
			}
			if n.TTL == 0 || n.TTL > 300 || len(n.Denials) == 0 || w.Verifications() > 0 {
				rt.Fatalf("%s %s: TTL %d, %d denials, %d verifications", name, dns.Type(qtype), n.TTL, len(n.Denials), w.Verifications())
			}
			synthesised[got]++
		}
	})
	if synthesised["nodata"] == 0 || synthesised["nxdomain"] == 0 {
		t.Errorf("too little was synthesised for a test: %v", synthesised)
	}
}

func TestSynthesisExpires(t *testing.T) {
	key, keys := modelKey(t)
	for _, nsec3 := range []bool{false, true} {
		z := newLab(t, key, nsec3, false, "www.example. 300 IN A 192.0.2.1")
		r := z.query("nothing.example.", foreign.TypeA)
		s := new(shelf)
		s.put(New(Config{}).VerifyAnswer(keys, z.response(r, "nothing.example.", foreign.TypeA), testNow, new(Work)).Denials)
		for after, want := range map[time.Duration]bool{0: true, 299 * time.Second: true, 300 * time.Second: false, time.Hour: false} {
			n, ok := Synthesize(s, keys.Zone(), dns.MustName("nothing.example."), dns.TypeTXT, testNow.Add(after), new(Work))
			if ok != want || ok && n.TTL != uint32((300*time.Second-after)/time.Second) {
				t.Errorf("nsec3 %v, after %v: %v, TTL %d", nsec3, after, ok, n.TTL)
			}
		}
	}
}

// A name that the store knows nothing about costs a hash or two, not one for each
// label.
func TestSynthesisGivesUpEarly(t *testing.T) {
	key, keys := modelKey(t)
	z := newLab(t, key, true, false, "www.example. 300 IN A 192.0.2.1", "a.b.c.example. 300 IN A 192.0.2.1")
	r := z.query("nothing.example.", foreign.TypeA)
	s := new(shelf)
	s.put(New(Config{}).VerifyAnswer(keys, z.response(r, "nothing.example.", foreign.TypeA), testNow, new(Work)).Denials)
	w := new(Work)
	if _, ok := Synthesize(s, keys.Zone(), dns.MustName(deepName(30)), dns.TypeA, testNow, w); w.Hashes() > 3 {
		t.Errorf("%d hashes (answered: %v)", w.Hashes(), ok)
	}
}

// A synthesised denial holds what proves it, and not all that was looked at.
func TestSynthesisHoldsWhatProvesIt(t *testing.T) {
	key, keys := modelKey(t)
	z := newLab(t, key, true, false, "www.example. 300 IN A 192.0.2.1", "c.example. 300 IN A 192.0.2.1", "b.c.example. 300 IN A 192.0.2.1")
	s := new(shelf)
	for _, name := range []string{"example.", "c.example.", "b.c.example.", "nothing.b.c.example."} {
		r := z.query(name, foreign.TypeTXT)
		s.put(New(Config{}).VerifyAnswer(keys, z.response(r, name, foreign.TypeTXT), testNow, new(Work)).Denials)
	}
	for name, want := range map[string]int{"example.": 1, "b.c.example.": 1, "nothing.b.c.example.": 3} {
		n, ok := Synthesize(s, keys.Zone(), dns.MustName(name), dns.TypeMX, testNow, new(Work))
		if owners := map[dns.Name]bool{}; ok {
			for _, d := range n.Denials {
				owners[d.Owner()] = true
			}
			ok = len(owners) == len(n.Denials) && len(owners) <= want && len(owners) > 0
		}
		if !ok {
			t.Errorf("%s: %d records, want at most %d", name, len(n.Denials), want)
		}
	}
}

// What is kept of a denial shares no memory with the response, and proves the same.
func TestKeep(t *testing.T) {
	key, keys := modelKey(t)
	for _, nsec3 := range []bool{false, true} {
		z := newLab(t, key, nsec3, false, "www.example. 300 IN A 192.0.2.1")
		m := z.response(z.query("nothing.example.", foreign.TypeA), "nothing.example.", foreign.TypeA)
		kept := new(shelf)
		for _, d := range New(Config{}).VerifyAnswer(keys, m, testNow, new(Work)).Denials {
			if sig := d.Sig(); sig.Covered() != d.RR().Type || !sig.Name.Equal(d.RR().Name) {
				t.Errorf("%v is signed by %v", d.RR(), sig)
			}
			kept.put([]Denial{d.Keep(testNow.Add(time.Minute))})
		}
		for i := range m.Authority {
			clear(m.Authority[i].Data)
		}
		if n, ok := Synthesize(kept, keys.Zone(), dns.MustName("nothing.example."), dns.TypeTXT, testNow, new(Work)); !ok || n.TTL != 60 {
			t.Errorf("nsec3 %v: %v, TTL %d", nsec3, ok, n.TTL)
		}
	}
}
