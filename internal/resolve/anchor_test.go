package resolve

import (
	"net/netip"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// islands is an unsigned root that delegates two zones, each signed in its own way and
// an island of security (RFC 4033 §2).
func islands(t *testing.T, one, two simnet.Signing) (Config, *simnet.Tree) {
	t.Helper()
	leaf := func(origin, host string) string {
		return origin + " SOA ns h. 1 1 1 1 60\n" + origin + " NS ns." + origin + "\nns." + origin + " A 192.0.2." + host + "\nwww." + origin + " A 198.51.100.1\n"
	}
	tree, err := simnet.Build(1,
		simnet.Spec{Origin: ".", Text: ". SOA a.root. h. 1 1 1 1 60\n. NS a.root.\na.root. A 192.0.2.1\n" +
			"one. NS ns.one.\nns.one. A 192.0.2.2\ntwo. NS ns.two.\nns.two. A 192.0.2.3\n"},
		simnet.Spec{Origin: "one.", Signing: &one, Text: leaf("one.", "2")},
		simnet.Spec{Origin: "two.", Signing: &two, Text: leaf("two.", "3")})
	if err != nil {
		t.Fatal(err)
	}
	in := simnet.New(1)
	for i, origin := range []string{".", "one.", "two."} {
		in.Serve([]*simnet.Zone{tree.Zone(origin)}, netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}))
	}
	return Config{Network: in, Memory: newMemory(), Hints: hints(rootAddr)}, tree
}

// anchorsOf reads the trust anchors of zones as an operator would write them.
func anchorsOf(t *testing.T, tree *simnet.Tree, key bool, origins ...string) []dnssec.Anchor {
	t.Helper()
	text := ""
	for _, origin := range origins {
		a, err := tree.Anchor(origin)
		if err != nil {
			t.Fatal(err)
		}
		records := a.DS
		if key {
			records = a.DNSKEY
		}
		for _, rr := range records {
			text += rr.String() + "\n"
		}
	}
	anchors, err := dnssec.ParseAnchors(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return anchors
}

func aDay() simnet.Signing {
	return simnet.Signing{Inception: time.Now().Add(-time.Hour), Expiration: time.Now().Add(24 * time.Hour)}
}

// Anchors stand at any name, as DS or as DNSKEY; below none of them nobody can tell.
func TestAnchorsAtSeveralNames(t *testing.T) {
	for _, key := range []bool{false, true} {
		story(t, func(t *testing.T) {
			c, tree := islands(t, aDay(), aDay())
			c.Anchors = anchorsOf(t, tree, key, "one.", "two.")
			r := New(c)
			for _, name := range []string{"www.one", "www.two"} {
				if a := r.Resolve(t.Context(), dns.MustName(name), dns.TypeA); !a.Status().IsSecure() {
					t.Errorf("%s: %s %s", name, a.Status(), a.Status().Reason())
				}
			}
			if a := r.Resolve(t.Context(), dns.MustName("a.root"), dns.TypeA); !a.Status().IsIndeterminate() {
				t.Errorf("a.root: %s", a.Status())
			}
		})
	}
}

// An anchor at a name counts behind a forwarder too, which is asked as the root is.
func TestAnchorsBehindAForwarder(t *testing.T) {
	story(t, func(t *testing.T) {
		c, tree := islands(t, aDay(), aDay())
		c.Anchors, c.Zones = anchorsOf(t, tree, false, "one."), forwarded("192.0.2.2")
		for _, typ := range []dns.Type{dns.TypeA, dns.TypeTXT, dns.TypeDS} {
			if a := New(c).Resolve(t.Context(), dns.MustName("www.one"), typ); !a.Status().IsSecure() {
				t.Errorf("%s: %s %s", typ, a.Status(), a.Status().Reason())
			}
		}
	})
}

// An anchor of an algorithm that is not supported makes its own zone insecure and no other.
func TestAnchorOfUnsupportedAlgorithm(t *testing.T) {
	story(t, func(t *testing.T) {
		gost := aDay()
		gost.Algorithm = 12
		c, tree := islands(t, gost, aDay())
		c.Anchors = anchorsOf(t, tree, false, "one.", "two.")
		r := New(c)
		if a := r.Resolve(t.Context(), dns.MustName("www.one"), dns.TypeA); !a.Status().IsInsecure() || a.Status().EDE() != dns.EDEUnsupportedDNSKEYAlgorithm {
			t.Errorf("www.one: %s %s", a.Status(), a.Status().Reason())
		}
		if a := r.Resolve(t.Context(), dns.MustName("www.two"), dns.TypeA); !a.Status().IsSecure() {
			t.Errorf("www.two: %s %s", a.Status(), a.Status().Reason())
		}
	})
}

// RSA/SHA-1 is insecure unless it is switched on.
func TestSHA1IsAChoice(t *testing.T) {
	for _, on := range []bool{false, true} {
		story(t, func(t *testing.T) {
			old := aDay()
			old.Algorithm = 5
			c, tree := islands(t, old, aDay())
			c.Anchors, c.Validation.SHA1 = anchorsOf(t, tree, false, "one."), on
			a := New(c).Resolve(t.Context(), dns.MustName("www.one"), dns.TypeA)
			if a.Status().IsSecure() != on || a.Status().IsInsecure() == on {
				t.Errorf("switched on %t: %s %s", on, a.Status(), a.Status().Reason())
			}
		})
	}
}

// Zones signed long ago are secure at the time that is configured, and stay in memory
// for as long as any.
func TestValidationAtAnotherTime(t *testing.T) {
	then := time.Date(2007, 4, 18, 10, 15, 46, 0, time.UTC)
	old := simnet.Signing{Inception: then.Add(-time.Hour), Expiration: then.Add(time.Hour)}
	for _, tc := range []struct {
		what   string
		config dnssec.Config
		secure bool
	}{
		{"by the clock", dnssec.Config{}, false},
		{"at that time", dnssec.Config{At: then}, true},
		{"at any time", dnssec.Config{AnyTime: true}, true},
	} {
		story(t, func(t *testing.T) {
			c, tree := islands(t, old, old)
			c.Anchors, c.Validation = anchorsOf(t, tree, false, "one."), tc.config
			r := New(c)
			a := r.Resolve(t.Context(), dns.MustName("www.one"), dns.TypeA)
			if a.Status().IsSecure() != tc.secure {
				t.Errorf("%s: %s %s", tc.what, a.Status(), a.Status().Reason())
			}
			if tc.secure && a.TTL() != 5*time.Minute {
				t.Errorf("%s: kept for %v", tc.what, a.TTL())
			}
			before := c.Network.(*simnet.Internet).Queries()
			r.Resolve(t.Context(), dns.MustName("www.one"), dns.TypeAAAA)
			if n := c.Network.(*simnet.Internet).Queries() - before; tc.secure && n != 1 {
				t.Errorf("%s: %d queries for another type", tc.what, n)
			}
		})
	}
}
