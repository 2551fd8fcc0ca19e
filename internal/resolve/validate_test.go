package resolve

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// signedLab is a signed root, a signed TLD and a zone below it on two servers.
func signedLab(t *testing.T, leaf simnet.Signing, second func(simnet.Handler) simnet.Handler) (*simnet.Internet, Config) {
	t.Helper()
	good := simnet.Signing{Inception: time.Now().Add(-time.Hour), Expiration: time.Now().Add(24 * time.Hour)}
	leaf.Inception, leaf.Expiration = good.Inception, good.Expiration
	tree, err := simnet.Build(1,
		simnet.Spec{Origin: ".", Signing: &good, Text: ". SOA a.root. h. 1 1 1 1 60\n. NS a.root.\na.root. A 192.0.2.1\ntest. NS ns.test.\nns.test. A 192.0.2.2\n"},
		simnet.Spec{Origin: "test.", Signing: &good, Text: "test. SOA ns h. 1 1 1 1 60\ntest. NS ns.test.\nns.test. A 192.0.2.2\n" +
			"bank.test. NS ns1.bank.test.\nbank.test. NS ns2.bank.test.\nns1.bank.test. A 192.0.2.3\nns2.bank.test. A 192.0.2.4\n"},
		simnet.Spec{Origin: "bank.test.", Signing: &leaf, Text: "bank.test. SOA ns1 h. 1 1 1 1 60\nbank.test. NS ns1.bank.test.\nbank.test. NS ns2.bank.test.\n" +
			"ns1.bank.test. A 192.0.2.3\nns2.bank.test. A 192.0.2.4\n*.bank.test. A 198.51.100.1\n"})
	if err != nil {
		t.Fatal(err)
	}
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
		for i := range 40 {
			a := r.Resolve(t.Context(), dns.MustName(fmt.Sprintf("n%d.bank.test", i)), dns.TypeA)
			if !a.Status().IsSecure() || len(a.Answer()) != 2 {
				t.Fatalf("%s: %s %s", a.Name(), a.Status(), a.Status().Reason())
			}
		}
		if in.Server(netip.MustParseAddr("192.0.2.4")).Queries() == 0 {
			t.Error("the forging server was never asked")
		}
	})
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
		// The forwarder is a resolver of its own, that validates nothing.
		plain := up
		plain.Anchors = nil
		far := New(plain)
		addr := netip.MustParseAddr("192.0.2.100")
		in.Handle(func(q simnet.Query) []simnet.Reply {
			m := new(mdns.Msg)
			if err := m.Unpack(q.Bytes); err != nil {
				return nil
			}
			ask := m.Question[0]
			a := far.Resolve(t.Context(), dns.MustName(strings.ToLower(ask.Name)), dns.Type(ask.Qtype))
			name := dns.MustName(ask.Name)
			reply := dns.Message{
				ID: m.Id, Flags: dns.FlagQR | dns.FlagRD | dns.FlagRA, RCode: a.RCode(), EDNS: &dns.EDNS{UDPSize: 1232, DO: true},
				Question: []dns.Question{{Name: name, Type: dns.Type(ask.Qtype), Class: dns.ClassIN}}, Answer: a.Answer(), Authority: a.Authority(),
			}
			b, err := reply.Append(nil)
			if err != nil {
				t.Error(err)
			}
			return []simnet.Reply{{Bytes: b}}
		}, addr)
		near := Config{Network: in, Memory: newMemory(), Anchors: up.Anchors, Forward: []Upstream{{Addr: addr}}}
		a := New(near).Resolve(t.Context(), dns.MustName("www.bank.test"), dns.TypeA)
		if !a.Status().IsSecure() {
			t.Errorf("%s %s", a.Status(), a.Status().Reason())
		}
	})
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
