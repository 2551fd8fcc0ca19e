package resolve

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// signedTree is a signed root, a signed TLD and a zone below it.
func signedTree(t *testing.T, leaf simnet.Signing) *simnet.Tree {
	t.Helper()
	good := simnet.Signing{Inception: time.Now().Add(-time.Hour), Expiration: time.Now().Add(24 * time.Hour)}
	if leaf.Inception.IsZero() {
		leaf.Inception, leaf.Expiration = good.Inception, good.Expiration
	}
	tree, err := simnet.Build(1,
		simnet.Spec{Origin: ".", Signing: &good, Text: ". SOA a.root. h. 1 1 1 1 60\n. NS a.root.\na.root. A 192.0.2.1\ntest. NS ns.test.\nns.test. A 192.0.2.2\n"},
		simnet.Spec{Origin: "test.", Signing: &good, Text: "test. SOA ns h. 1 1 1 1 60\ntest. NS ns.test.\nns.test. A 192.0.2.2\n" +
			"bank.test. NS ns1.bank.test.\nbank.test. NS ns2.bank.test.\nns1.bank.test. A 192.0.2.3\nns2.bank.test. A 192.0.2.4\n"},
		simnet.Spec{Origin: "bank.test.", Signing: &leaf, Text: "bank.test. SOA ns1 h. 1 1 1 1 60\nbank.test. NS ns1.bank.test.\nbank.test. NS ns2.bank.test.\n" +
			"ns1.bank.test. A 192.0.2.3\nns2.bank.test. A 192.0.2.4\n*.bank.test. A 198.51.100.1\n" +
			"alias.bank.test. CNAME ns1.bank.test.\nlost.bank.test. CNAME gone.ns1.bank.test.\n" +
			"old.bank.test. DNAME deep.bank.test.\n*.deep.bank.test. CNAME ns1.bank.test.\n"})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// signedLab is a signedTree, its last zone on two servers.
func signedLab(t *testing.T, leaf simnet.Signing, second func(simnet.Handler) simnet.Handler) (*simnet.Internet, Config) {
	t.Helper()
	tree := signedTree(t, leaf)
	in := simnet.New(1)
	for i, origin := range []string{".", "test.", "bank.test."} {
		in.Serve([]*simnet.Zone{tree.Zone(origin)}, netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}))
	}
	in.Handle(second(simnet.Authoritative(tree.Zone("bank.test."))), netip.MustParseAddr("192.0.2.4"))
	anchor, err := tree.Anchor(".")
	if err != nil {
		t.Fatal(err)
	}
	anchors, err := dnssec.ParseAnchors(anchor.DS[0].String())
	if err != nil {
		t.Fatal(err)
	}
	return in, Config{Network: in, Memory: newMemory(), Hints: hints(rootAddr), Anchors: anchors}
}

func honest(h simnet.Handler) simnet.Handler { return h }

// forging answers with another address under the true signature.
func forging(h simnet.Handler) simnet.Handler {
	return func(q simnet.Query) []simnet.Reply {
		replies := h(q)
		for i := range replies {
			replies[i].Bytes = bytes.ReplaceAll(replies[i].Bytes, []byte{198, 51, 100, 1}, []byte{203, 0, 113, 66})
		}
		return replies
	}
}

func TestOneForgingServerCostsNoAnswer(t *testing.T) {
	story(t, func(t *testing.T) {
		in, c := signedLab(t, simnet.Signing{}, forging)
		r := New(c)
		forger := in.Server(netip.MustParseAddr("192.0.2.4"))
		for i := 0; i < 40 || forger.Queries() == 0 && i < 1000; i++ { // which server is asked is chance
			a := r.Resolve(t.Context(), dns.MustName(fmt.Sprintf("n%d.bank.test", i)), dns.TypeA)
			if !a.Status().IsSecure() || len(a.Answer()) != 2 {
				t.Fatalf("%s: %s %s", a.Name(), a.Status(), a.Status().Reason())
			}
		}
		if forger.Queries() == 0 {
			t.Error("the forging server was never asked")
		}
	})
}

// spoiling changes the signatures of replies to one type of question.
func spoiling(t uint16) func(simnet.Handler) simnet.Handler {
	return func(h simnet.Handler) simnet.Handler {
		return func(q simnet.Query) []simnet.Reply {
			replies := h(q)
			for i := range replies {
				m := new(mdns.Msg)
				if m.Unpack(replies[i].Bytes) != nil || m.Question[0].Qtype != t {
					continue
				}
				for _, rr := range m.Answer {
					if sig, ok := rr.(*mdns.RRSIG); ok {
						sig.Signature = "AAAA" + sig.Signature[4:]
					}
				}
				replies[i].Bytes, _ = m.Pack()
			}
			return replies
		}
	}
}

// A server that is behind with the signatures over its zone's keys does not cost the zone.
func TestOneServerWithBadKeysCostsNoZone(t *testing.T) {
	bad := uint64(0)
	for range 20 {
		story(t, func(t *testing.T) {
			in, c := signedLab(t, simnet.Signing{}, spoiling(mdns.TypeDNSKEY))
			a := New(c).Resolve(t.Context(), dns.MustName("www.bank.test"), dns.TypeA)
			if !a.Status().IsSecure() {
				t.Errorf("%s: %s %s", a.Name(), a.Status(), a.Status().Reason())
			}
			bad += in.Server(netip.MustParseAddr("192.0.2.4")).Queries()
		})
	}
	if bad == 0 {
		t.Error("the bad server was never asked")
	}
}

func TestBogusHoldsItsDataAndIsSoonAskedAgain(t *testing.T) {
	story(t, func(t *testing.T) {
		in, c := signedLab(t, simnet.Signing{Break: simnet.BreakSignatures}, honest)
		r := New(c)
		a := r.Resolve(t.Context(), dns.MustName("www.bank.test"), dns.TypeA)
		if !a.Status().IsBogus() || len(a.Answer()) == 0 || a.TTL() > maxBogusTTL {
			t.Fatalf("%s, %d records, %v", a.Status(), len(a.Answer()), a.TTL())
		}
		if n := in.Queries(); n > 20 {
			t.Errorf("%d queries for a bogus answer", n)
		}
		before := in.Queries()
		r.Resolve(t.Context(), dns.MustName("www.bank.test"), dns.TypeA)
		if in.Queries() != before {
			t.Error("asked again at once")
		}
	})
}

func TestNegativeTrustAnchors(t *testing.T) {
	story(t, func(t *testing.T) {
		_, c := signedLab(t, simnet.Signing{Break: simnet.BreakSignatures}, honest)
		c.Exempt = []dns.Name{dns.MustName("bank.test")}
		a := New(c).Resolve(t.Context(), dns.MustName("www.bank.test"), dns.TypeA)
		if !a.Status().IsInsecure() {
			t.Errorf("%s", a.Status())
		}
	})
}

// The chain of trust is fetched once for many names.
func TestKeysAreKept(t *testing.T) {
	story(t, func(t *testing.T) {
		in, c := signedLab(t, simnet.Signing{}, honest)
		r := New(c)
		r.Resolve(t.Context(), dns.MustName("www.bank.test"), dns.TypeA)
		before := in.Queries()
		for i := range 50 {
			r.Resolve(t.Context(), dns.MustName(fmt.Sprintf("n%d.bank.test", i)), dns.TypeA)
		}
		if n := in.Queries() - before; n > 55 {
			t.Errorf("%d queries for 50 names of a known zone", n)
		}
	})
}

// Many who need the same keys at once have each signature computed with about once.
func TestWaitersShareVerifications(t *testing.T) {
	for what, leaf := range map[string]simnet.Signing{"good": {}, "broken": {Break: simnet.BreakKeySignatures}} {
		story(t, func(t *testing.T) {
			_, c := signedLab(t, leaf, honest)
			r := New(c)
			var all sync.WaitGroup
			for i := range 300 {
				all.Go(func() {
					a := r.Resolve(t.Context(), dns.MustName(fmt.Sprintf("n%d.bank.test", i)), dns.TypeA)
					if a.Status().IsSecure() != (what == "good") {
						t.Errorf("%s: %s %s", a.Name(), a.Status(), a.Status().Reason())
					}
				})
			}
			all.Wait()
			if n := r.validator.Operations(); n > 60 {
				t.Errorf("%s keys: %d signatures computed for 300 names of one zone", what, n)
			}
		})
	}
}

// Many keys of one tag and many wrong signatures (KeyTrap, CVE-2023-50387).
func TestKeyTrapIsBounded(t *testing.T) {
	story(t, func(t *testing.T) {
		_, c := signedLab(t, simnet.Signing{Twins: 20, FalseSignatures: 20}, honest)
		r := New(c)
		w := newWork(time.Now())
		q := question{dns.MustName("www.bank.test"), dns.TypeA}
		w.push(q)
		if _, err := r.follow(t.Context(), w, q); err != nil {
			t.Fatal(err)
		}
		if w.proofs.Failures() > dnssec.MaxFailures {
			t.Errorf("%d failed verifications", w.proofs.Failures())
		}
	})
}

func TestValidationBehindAForwarder(t *testing.T) {
	story(t, func(t *testing.T) {
		in, up := signedLab(t, simnet.Signing{}, honest)
		addr := netip.MustParseAddr("192.0.2.100")
		in.Handle(validatingNothing(t, up), addr)
		near := Config{Network: in, Memory: newMemory(), Anchors: up.Anchors, Zones: []Zone{{Name: dns.Root, Forward: true, Servers: []Upstream{{Addr: addr}}}}}
		a := New(near).Resolve(t.Context(), dns.MustName("www.bank.test"), dns.TypeA)
		if !a.Status().IsSecure() {
			t.Errorf("%s %s", a.Status(), a.Status().Reason())
		}
		// A forward zone that is but a part of a zone: the proofs come from above it.
		near = Config{Network: in, Memory: newMemory(), Anchors: up.Anchors, Hints: up.Hints, Zones: []Zone{forwardZone("b.bank.test", addr.String())}}
		for _, typ := range []dns.Type{dns.TypeA, dns.TypeAAAA} {
			a := New(near).Resolve(t.Context(), dns.MustName("www.b.bank.test"), typ)
			if !a.Status().IsSecure() {
				t.Errorf("%s: %s %s", typ, a.Status(), a.Status().Reason())
			}
		}
	})
}

// validatingNothing is a resolver of its own behind an address.
func validatingNothing(t *testing.T, c Config) simnet.Handler {
	c.Anchors = nil
	far := New(c)
	return func(q simnet.Query) []simnet.Reply {
		m := new(mdns.Msg)
		if err := m.Unpack(q.Bytes); err != nil {
			return nil
		}
		ask := m.Question[0]
		a := far.Resolve(t.Context(), dns.MustName(strings.ToLower(ask.Name)), dns.Type(ask.Qtype))
		reply := dns.Message{
			ID: m.Id, Flags: dns.FlagQR | dns.FlagRD | dns.FlagRA, RCode: a.RCode(), EDNS: &dns.EDNS{UDPSize: 1232, DO: true},
			Question: []dns.Question{{Name: dns.MustName(ask.Name), Type: dns.Type(ask.Qtype), Class: dns.ClassIN}}, Answer: a.Answer(), Authority: a.Authority(),
		}
		b, err := reply.Append(nil)
		if err != nil {
			t.Error(err)
		}
		return []simnet.Reply{{Bytes: b}}
	}
}

func TestRefusingOneTypeDoesNotMakeAZoneLame(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		h := authority(shopZone)
		n.handle(shopAddr, func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			if q.Question[0].Qtype == mdns.TypeANY {
				return []*mdns.Msg{new(mdns.Msg).SetRcode(q, mdns.RcodeRefused)}
			}
			return h(q, tcp)
		})
		l := newLab(t, n)
		l.want(l.ask("www.shop.test", dns.TypeANY), dns.RCodeServerFailure)
		l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeSuccess, "www.shop.test. A 198.51.100.1")
	})
}

// terse leaves denials out of replies that begin with an alias.
func terse(h simnet.Handler) simnet.Handler {
	return func(q simnet.Query) []simnet.Reply {
		replies := h(q)
		for i := range replies {
			var m mdns.Msg
			if m.Unpack(replies[i].Bytes) != nil || len(m.Answer) == 0 || m.Question[0].Name == "gone.ns1.bank.test." {
				continue
			}
			m.Ns = slices.DeleteFunc(m.Ns, func(rr mdns.RR) bool {
				sig, ok := rr.(*mdns.RRSIG)
				return rr.Header().Rrtype == mdns.TypeNSEC || ok && sig.TypeCovered == mdns.TypeNSEC
			})
			if b, err := m.Pack(); err == nil {
				replies[i].Bytes = b
			}
		}
		return replies
	}
}

// A server that answers for an alias and says only half of what is to be said of its
// target is asked for the target.
func TestHalfAProofBehindAnAliasCostsNoAnswer(t *testing.T) {
	story(t, func(t *testing.T) {
		var whole simnet.Handler
		in, c := signedLab(t, simnet.Signing{}, func(h simnet.Handler) simnet.Handler { whole = h; return terse(h) })
		in.Handle(terse(whole), netip.MustParseAddr("192.0.2.3"))
		a := New(c).Resolve(t.Context(), dns.MustName("lost.bank.test"), dns.TypeA)
		if !a.Status().IsSecure() || a.RCode() != dns.RCodeNameError {
			t.Errorf("%s, %s %s", a.RCode(), a.Status(), a.Status().Reason())
		}
		if len(a.Answer()) == 0 || a.Answer()[0].TTL <= uint32(maxBogusTTL/time.Second) {
			t.Errorf("the alias has the TTL of bogus data: %v", a.Answer())
		}
	})
}

// A denial stays with the answer that it belongs to: the alias that led to it leads to
// data as well.
func TestADenialDoesNotStayWithTheAlias(t *testing.T) {
	story(t, func(t *testing.T) {
		_, c := signedLab(t, simnet.Signing{}, honest)
		r := New(c)
		name := dns.MustName("alias.bank.test")
		if a := r.Resolve(t.Context(), name, dns.TypeMX); !a.Status().IsSecure() || len(a.Authority()) == 0 {
			t.Fatalf("MX: %s, %v", a.Status(), a.Authority())
		}
		if a := r.Resolve(t.Context(), name, dns.TypeA); !a.Status().IsSecure() || len(a.Authority()) != 0 {
			t.Errorf("A: %s, %v", a.Status(), a.Authority())
		}
	})
}

// An alias has an NSEC record of its own: whether the alias is remembered makes no difference.
func TestTheNSECOfAnAliasIsItsOwn(t *testing.T) {
	story(t, func(t *testing.T) {
		_, c := signedLab(t, simnet.Signing{}, honest)
		r := New(c)
		name := dns.MustName("alias.bank.test")
		r.Resolve(t.Context(), name, dns.TypeA)
		a := r.Resolve(t.Context(), name, dns.TypeNSEC)
		if !a.Status().IsSecure() || len(a.Answer()) != 2 || a.Answer()[0].Type != dns.TypeNSEC {
			t.Errorf("%s, %v", a.Status(), a.Answer())
		}
	})
}

// The CNAME below a DNAME has no signature of its own: the DNAME goes with it, also where
// the question is for the CNAME.
func TestTheCNAMEBelowADNAME(t *testing.T) {
	story(t, func(t *testing.T) {
		_, c := signedLab(t, simnet.Signing{}, honest)
		r := New(c)
		name := dns.MustName("x.old.bank.test")
		for _, typ := range []dns.Type{dns.TypeCNAME, dns.TypeA} {
			a := r.Resolve(t.Context(), name, typ)
			if !a.Status().IsSecure() || len(a.Answer()) < 3 || a.Answer()[0].Type != dns.TypeDNAME {
				t.Errorf("%s: %s %s, %v", typ, a.Status(), a.Status().Reason(), a.Answer())
			}
		}
	})
}

// A wildcard that is an alias to a name without the type asked for: the reply has a proof
// for each of them, and neither is given out with the other.
func TestProofsOfAWildcardAndOfItsTarget(t *testing.T) {
	story(t, func(t *testing.T) {
		_, c := signedLab(t, simnet.Signing{}, honest)
		r := New(c)
		for _, ask := range []struct {
			name   string
			typ    dns.Type
			proofs int
		}{{"x.deep.bank.test", dns.TypeTXT, 2}, {"x.deep.bank.test", dns.TypeA, 1}, {"ns1.bank.test", dns.TypeTXT, 1}} {
			a := r.Resolve(t.Context(), dns.MustName(ask.name), ask.typ)
			n := 0
			for _, rr := range a.Authority() {
				if rr.Type == dns.TypeNSEC {
					n++
				}
			}
			if !a.Status().IsSecure() || n != ask.proofs {
				t.Errorf("%s %s: %s, %d proofs: %v", ask.name, ask.typ, a.Status(), n, a.Authority())
			}
		}
	})
}

// A wildcard's answer is insecure where its proof lies in an opt-out span (RFC 5155 §9.2);
// the name that it is an alias for is not.
func TestAnOptOutProofDoesNotSpoilTheTarget(t *testing.T) {
	story(t, func(t *testing.T) {
		_, c := signedLab(t, simnet.Signing{NSEC3: &simnet.NSEC3{OptOut: true}}, honest)
		r := New(c)
		if a := r.Resolve(t.Context(), dns.MustName("x.deep.bank.test"), dns.TypeA); !a.Status().IsInsecure() || len(a.Answer()) != 4 {
			t.Errorf("x.deep: %s %s, %v", a.Status(), a.Status().Reason(), a.Answer())
		}
		if a := r.Resolve(t.Context(), dns.MustName("ns1.bank.test"), dns.TypeA); !a.Status().IsSecure() {
			t.Errorf("ns1: %s %s", a.Status(), a.Status().Reason())
		}
	})
}

// One server has a signed zone and an unsigned one below it: a chain of aliases there is
// proven insecure once, and not again at every link.
func TestAChainInAnUnsignedZoneBelow(t *testing.T) {
	story(t, func(t *testing.T) {
		s := simnet.Signing{Inception: time.Now().Add(-time.Hour), Expiration: time.Now().Add(24 * time.Hour), NSEC3: &simnet.NSEC3{OptOut: true}}
		text := "@ SOA ns h. 1 1 1 1 60\n@ NS ns\nns A 192.0.2.1\n"
		chain := ""
		for i := range 9 {
			chain += fmt.Sprintf("c%d CNAME c%d\n", i, i+1)
		}
		tree, err := simnet.Build(1, simnet.Spec{Origin: ".", Signing: &s, Text: "@ SOA ns. h. 1 1 1 1 60\n@ NS ns.\nns. A 192.0.2.1\nd.c.b.a. NS ns.\n"},
			simnet.Spec{Origin: "d.c.b.a.", Text: text + chain + "c9 A 198.51.100.1\n"})
		if err != nil {
			t.Fatal(err)
		}
		in := simnet.New(1)
		in.Serve(tree.Zones(), netip.MustParseAddr(rootAddr))
		anchor, err := tree.Anchor(".")
		if err != nil {
			t.Fatal(err)
		}
		anchors, err := dnssec.ParseAnchors(anchor.DS[0].String())
		if err != nil {
			t.Fatal(err)
		}
		a := New(Config{Network: in, Memory: newMemory(), Hints: hints(rootAddr), Anchors: anchors}).Resolve(t.Context(), dns.MustName("c0.d.c.b.a"), dns.TypeA)
		if !a.Status().IsInsecure() || len(a.Answer()) != 10 || in.Queries() > 20 {
			t.Errorf("%s %s, %d records, %d queries", a.Status(), a.Status().Reason(), len(a.Answer()), in.Queries())
		}
	})
}
