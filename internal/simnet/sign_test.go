package simnet

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

func window(change func(*Signing)) *Signing {
	s := &Signing{Inception: labNow.Add(-time.Hour), Expiration: labNow.Add(time.Hour)}
	change(s)
	return s
}

// build makes a parent and a signed child zone.
func build(t *testing.T, s *Signing) (parent, child *Zone, tree *Tree) {
	t.Helper()
	tree, err := Build(9,
		Spec{Origin: "test.", Text: "z NS ns1.z\nns1.z A 198.18.9.1\n", Signing: window(func(*Signing) {})},
		Spec{Origin: "z.test.", Text: "@ NS ns1\nns1 A 198.18.9.1\nwww A 192.0.2.1\n*.w TXT w\nx CNAME www\n", Signing: s})
	if err != nil {
		t.Fatal(err)
	}
	return tree.Zone("test"), tree.Zone("z.test"), tree
}

// TestAlgorithms: each algorithm, with one key and with two, NSEC and NSEC3.
func TestAlgorithms(t *testing.T) {
	for _, alg := range []uint8{0, dns.RSASHA1, dns.RSASHA1NSEC3SHA1, dns.RSASHA256, dns.RSASHA512,
		dns.ECDSAP256SHA256, dns.ECDSAP384SHA384, dns.ED25519} {
		for _, split := range []bool{false, true} {
			_, z, tree := build(t, window(func(s *Signing) {
				s.Algorithm, s.Split, s.Digest = alg, split, dns.SHA384
				if split {
					s.NSEC3 = &NSEC3{Iterations: 2, Salt: "ab"}
				}
			}))
			probe(t, z)
			if truth, err := tree.Truth("www.z.test", "A", labNow); err != nil || truth.Status != "secure" {
				t.Errorf("algorithm %d: %v, %v", alg, truth, err)
			}
		}
	}
}

// TestBreaks: each fault spoils what it names, and Truth knows.
func TestBreaks(t *testing.T) {
	for _, c := range []struct {
		b                  Break
		data, keys, ds     bool // verifies
		positive, negative string
	}{
		{0, true, true, true, "secure", "secure"},
		{BreakSignatures, false, true, true, "bogus", "bogus"},
		{BreakKeySignatures, true, false, true, "bogus", "bogus"},
		{BreakDS, true, true, false, "bogus", "bogus"},
		{OmitSignatures, false, true, true, "bogus", "bogus"},
		{BreakDenial, true, true, true, "secure", "bogus"},
	} {
		up, z, tree := build(t, window(func(s *Signing) { s.Break = c.b }))
		www, keys := z.nodes["www.z.test."].of(dns.TypeA), z.apex().of(dns.TypeDNSKEY)
		if err := verified(z, www.rrs, www.sigs, labNow); (err == nil) != c.data {
			t.Errorf("%b: data: %v", c.b, err)
		}
		if err := verified(z, keys.rrs, keys.sigs, labNow); (err == nil) != c.keys {
			t.Errorf("%b: keys: %v", c.b, err)
		}
		ds := up.nodes["z.test."].of(dns.TypeDS).rrs[0].(*dns.DS)
		if strings.EqualFold(ds.Digest, z.keys.ksk.rr.ToDS(dns.SHA256).Digest) != c.ds {
			t.Errorf("%b: DS %v", c.b, ds)
		}
		for name, want := range map[string]string{"www.z.test.": c.positive, "no.z.test.": c.negative, "a.w.z.test.": c.negative} {
			m := answerOf(t, name, dns.TypeTXT, z)
			if err := newChecker(z).check(m); (err == nil) != (c.data && (c.b&BreakDenial == 0)) {
				t.Errorf("%b: %s: %v", c.b, name, err)
			}
			qtype := "TXT"
			if name == "www.z.test." {
				qtype = "A"
			}
			if truth, err := tree.Truth(name, qtype, labNow); err != nil || truth.Status != want {
				t.Errorf("%b: truth of %s: %v, %v", c.b, name, truth, err)
			}
		}
	}
}

// TestTwins: the material of KeyTrap is what it claims to be.
func TestTwins(t *testing.T) {
	const twins, lies = 20, 15
	_, z, _ := build(t, window(func(s *Signing) { s.Twins, s.FalseSignatures = twins, lies }))
	seen := map[string]bool{}
	for _, rr := range z.apex().of(dns.TypeDNSKEY).rrs {
		k := rr.(*dns.DNSKEY)
		if k.KeyTag() != z.keys.zsk.rr.KeyTag() || k.Algorithm != dns.ECDSAP256SHA256 || k.Flags&dns.ZONE == 0 || k.Flags&dns.REVOKE != 0 {
			t.Errorf("no twin: %v", k)
		}
		seen[k.PublicKey] = true
	}
	if len(seen) != twins+1 {
		t.Errorf("%d keys", len(seen))
	}
	set := z.nodes["www.z.test."].of(dns.TypeA)
	right := 0
	for i, sig := range set.sigs {
		for _, k := range z.apex().of(dns.TypeDNSKEY).rrs {
			if sig.(*dns.RRSIG).Verify(k.(*dns.DNSKEY), set.rrs) == nil {
				right++
				if i != lies {
					t.Errorf("signature %d of %d is the right one", i+1, len(set.sigs))
				}
			}
		}
	}
	if len(set.sigs) != lies+1 || right != 1 {
		t.Errorf("%d signatures, %d right", len(set.sigs), right)
	}
}

// TestPlanted: signatures and keys in the text stand beside the generated ones.
func TestPlanted(t *testing.T) {
	tree, err := Build(1, Spec{Origin: "z.", Signing: window(func(*Signing) {}), Text: `
www A 192.0.2.1
www RRSIG A 13 1 300 20300101000000 20200101000000 4711 z. AAAA
@ DNSKEY 256 3 13 AAAA
`})
	if err != nil {
		t.Fatal(err)
	}
	z := tree.Zone("z.")
	www := z.nodes["www.z."].of(dns.TypeA)
	if len(www.sigs) != 2 || www.sigs[0].(*dns.RRSIG).KeyTag != 4711 || verified(z, www.rrs, www.sigs, labNow) != nil {
		t.Errorf("%v", www.sigs)
	}
	if keys := z.apex().of(dns.TypeDNSKEY); len(keys.rrs) != 2 || verified(z, keys.rrs, keys.sigs, labNow) != nil {
		t.Errorf("%v", keys.rrs)
	}
}

func TestBuildErrors(t *testing.T) {
	for what, specs := range map[string][]Spec{
		"syntax":   {{Origin: "z.", Text: "www A nonsense"}},
		"outside":  {{Origin: "z.", Text: "www.y. A 192.0.2.1"}},
		"twice":    {{Origin: "z."}, {Origin: "Z"}},
		"no times": {{Origin: "z.", Signing: &Signing{}}},
		"salt":     {{Origin: "z.", Signing: window(func(s *Signing) { s.NSEC3 = &NSEC3{Salt: "xyz"} })}},
		"too many": {{Origin: "z.", Text: "$GENERATE 1-65535 a$ A 192.0.2.1\n$GENERATE 1-65535 b$ A 192.0.2.1\n$GENERATE 1-65535 c$ A 192.0.2.1\n$GENERATE 1-65535 d$ A 192.0.2.1\n"}},
	} {
		if _, err := Build(1, specs...); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

// TestConcurrent is for the race detector: everything at once.
func TestConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := Lab(7, labNow)
		in.SetFaults(Faults{Duplicate: 0.2, Spoof: 0.2, Truncate: 0.2})
		tree, server := in.Tree(), in.Server(LabHints()[0].Addrs[0])
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for addr := range in.servers {
					ctx, cancel := context.WithTimeout(context.Background(), time.Second)
					_ = in.Exchange(ctx, addr, 53, i%4 == 0, packet(t, "www.bank.test.", uint16(i)), func([]byte) bool { return true })
					cancel()
				}
				in.SetTrace(func(e Event) { _ = e.String() })
				server.SetFaults(Faults{Lame: LameRefused})
				server.ClearFaults()
				if _, err := tree.Truth("www.bank.test", "A", labNow); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if want := uint64(8 * len(in.servers)); in.Queries() != want {
			t.Errorf("%d queries counted, %d sent", in.Queries(), want)
		}
	})
}
