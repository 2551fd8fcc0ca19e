package dnssec

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	foreign "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

// colliding makes copies of a key whose tags are the same and whose public keys are
// not: the checksum does not see two octets in even places change places.
func colliding(t *testing.T, k *testKey, n int) []foreign.RR {
	t.Helper()
	raw := []byte(records(t, k.public)[0].Data)[dnskeyFixed:]
	var out []foreign.RR
	for i := 0; len(out) < n; i++ {
		b := slices.Clone(raw)
		x, y := 2*(i%16), 2*(i/16)
		b[x], b[y] = b[y], b[x]
		if slices.Equal(b, raw) {
			continue
		}
		c := *k.public
		c.PublicKey = base64Of(b)
		if c.KeyTag() != k.public.KeyTag() {
			t.Fatal("the tags do not collide")
		}
		out = append(out, &c)
	}
	return out
}

// KeyTrap (CVE-2023-50387): many keys of one tag, many signatures by them, none right.
func TestKeyTrap(t *testing.T) {
	k := newKey(t, "example.", foreign.ED25519, 256)
	twins := colliding(t, k, 30)
	keySet := append([]foreign.RR{k.public}, twins...)
	dnskeys := records(t, append(slices.Clone(keySet), k.sign(t, keySet))...)
	v := New(Config{})
	w := new(Work)
	keys, status := v.VerifyKeys(dns.MustName("example."), []DS{k.ds(t, 2)}, dnskeys, testNow, w)
	demand(t, "the key set, whose entry point the DS record tells", status, "secure")
	if w.Verifications() != 1 {
		t.Errorf("%d verifications for the key set, want 1", w.Verifications())
	}

	set := parse(t, "www.example. 300 IN A 192.0.2.1")
	ours := records(t, set...)
	var sigs []dns.RR
	for i := range 40 {
		sig := records(t, k.sign(t, set))[0]
		sig.Data[len(sig.Data)-1-i%32] ^= 0x55
		sigs = append(sigs, sig)
	}
	w = new(Work)
	r := v.VerifyRRset(keys, ours, sigs, testNow, w)
	demand(t, "first RRset", r.Status, "bogus: validation work limit reached")
	if r.Status.EDE() != dns.EDEDNSSECBogus {
		t.Errorf("EDE %v", r.Status.EDE())
	}
	if w.Verifications() != MaxVerificationsPerRRset {
		t.Errorf("%d verifications of one RRset, want %d", w.Verifications(), MaxVerificationsPerRRset)
	}
	for range 10 {
		r = v.VerifyRRset(keys, ours, sigs, testNow, w)
	}
	demand(t, "last RRset", r.Status, "bogus: validation work limit reached")
	if w.Failures() != MaxFailures {
		t.Errorf("%d failures in one request, want %d", w.Failures(), MaxFailures)
	}
	good := v.VerifyRRset(keys, ours, records(t, k.sign(t, set)), testNow, new(Work))
	demand(t, "a right signature in a request of its own", good.Status, "secure")
}

// One signature is tried with a few keys of its tag, not with all.
func TestCollidingKeys(t *testing.T) {
	k := newKey(t, "example.", foreign.ED25519, 256)
	keys := *k.keys(t)
	for range 3 * MaxCollidingKeys {
		keys.keys = append(keys.keys, keys.keys[0])
	}
	set := parse(t, "www.example. 300 IN A 192.0.2.1")
	sig := records(t, k.sign(t, set))
	sig[0].Data[len(sig[0].Data)-1] ^= 1
	w := new(Work)
	r := New(Config{}).VerifyRRset(&keys, records(t, set...), sig, testNow, w)
	demand(t, "RRset", r.Status, "bogus: signature does not verify")
	if w.Verifications() != MaxCollidingKeys {
		t.Errorf("%d verifications, want %d", w.Verifications(), MaxCollidingKeys)
	}
}

// The DS side of KeyTrap: many DS records and many keys of one tag.
func TestDigestsAreBounded(t *testing.T) {
	k := newKey(t, "example.", foreign.ED25519, 256)
	twins := colliding(t, k, 40)
	var ds []DS
	for i := range 60 {
		d := k.ds(t, 2)
		d.Digest = strings.Repeat(string(rune('a'+i%26)), 32)
		ds = append(ds, d)
	}
	m := match{zone: dns.MustName("example."), set: records(t, twins...)}
	if _, c := m.all(ds); c != causeWork || m.digests != MaxDigests {
		t.Errorf("%v after %d digests, want the limit of %d", c, m.digests, MaxDigests)
	}
}

// A request's budget of verifications is one for all RRsets, right signatures included.
func TestVerificationsAreBounded(t *testing.T) {
	k := newKey(t, "example.", foreign.ED25519, 256)
	v, w := New(Config{}), new(Work)
	w.verifications.Store(MaxVerifications - 1)
	rrs := k.signed(t, "www.example. 300 IN A 192.0.2.1")
	keys := k.keys(t)
	demand(t, "last of the budget", v.VerifyRRset(keys, rrs[:1], rrs[1:], testNow, w).Status, "secure")
	demand(t, "beyond the budget", v.VerifyRRset(keys, rrs[:1], rrs[1:], testNow, w).Status, "bogus: validation work limit reached")
}

// deepName is a name with so many labels below the apex.
func deepName(labels int) string { return strings.Repeat("x.", labels) + "example." }

// CVE-2023-50868: names with many labels below a closest encloser that is high up.
func TestHashesOfALongName(t *testing.T) {
	k := newKey(t, "example.", foreign.ED25519, 256)
	z := newLab(t, k, true, false, "www.example. 300 IN A 192.0.2.1")
	name := deepName(120)
	r := z.query(name, foreign.TypeA)
	got, kind, w := judge(New(Config{}), k.keys(t), r, z.response(r, name, foreign.TypeA))
	demand(t, "name error", got, "secure")
	if kind != "nxdomain" || w.Hashes() > 4 {
		t.Errorf("%s after %d hashes; want nxdomain after 4 at most", kind, w.Hashes())
	}
}

// The same, with records arranged so that the search finds nothing.
func TestHashesAreBounded(t *testing.T) {
	k := newKey(t, "example.", foreign.ED25519, 256)
	z := newLab(t, k, true, false, "www.example. 300 IN A 192.0.2.1", deepName(100)+" 300 IN A 192.0.2.1")
	keys := k.keys(t)
	var proofs []dns.RR
	for _, rr := range z.chain {
		if rr != z.match("example.") {
			proofs = append(proofs, records(t, z.signedRR(rr)...)...)
		}
	}
	v, w := New(Config{}), new(Work)
	n := v.ProveNegative(keys, dns.MustName("y."+deepName(119)), dns.TypeA, dns.RCodeNameError, proofs, testNow, w)
	demand(t, "deep name", n.Status, "bogus: validation work limit reached")
	if w.Hashes() != MaxHashes {
		t.Errorf("%d hashes, want %d", w.Hashes(), MaxHashes)
	}
	for i := range 5 {
		n = v.ProveNegative(keys, dns.MustName(fmt.Sprintf("y%d.", i)+deepName(90)), dns.TypeA, dns.RCodeNameError, proofs, testNow, w)
	}
	demand(t, "another name of the same request", n.Status, "bogus: validation work limit reached")
	if w.Hashes() != MaxHashes {
		t.Errorf("%d hashes in one request, want %d", w.Hashes(), MaxHashes)
	}
	if w.Failures() > 0 || w.Verifications() > 3*MaxHashes {
		t.Errorf("%d verifications, %d failed", w.Verifications(), w.Failures())
	}
}

// A denial that is padded with records which no proof needs costs no verification of
// them.
func TestPaddedDenial(t *testing.T) {
	k := newKey(t, "example.", foreign.ED25519, 256)
	keys := k.keys(t)
	for _, nsec3 := range []bool{false, true} {
		var lines []string
		for i := range 60 {
			lines = append(lines, fmt.Sprintf("n%d.example. 300 IN A 192.0.2.1", i))
		}
		z := newLab(t, k, nsec3, false, lines...)
		r := z.query("nothing.example.", foreign.TypeA)
		needed := len(r.denials)
		for _, rr := range z.chain {
			if len(r.denials) < MaxDenials {
				z.deny(r, rr)
			}
		}
		for _, rr := range r.authority {
			if s, ok := rr.(*foreign.RRSIG); ok && !slices.Contains(r.denials[:needed], s.Hdr.Name) && s.TypeCovered != foreign.TypeSOA {
				s.Signature = base64Of(make([]byte, 64))
			}
		}
		got, _, w := judge(New(Config{}), keys, r, z.response(r, "nothing.example.", foreign.TypeA))
		demand(t, fmt.Sprintf("nsec3 %v", nsec3), got, "secure")
		if want := needed + 1; w.Verifications() > want || w.Failures() > 0 {
			t.Errorf("nsec3 %v: %d verifications, %d failed; want %d at most, the SOA's included", nsec3, w.Verifications(), w.Failures(), want)
		}
	}
}

// RFC 9276 §3.2: too many iterations make a response insecure, but only if the zone has
// said so itself.
func TestIterations(t *testing.T) {
	k := newKey(t, "example.", foreign.ED25519, 256)
	keys := k.keys(t)
	v := New(Config{})
	for _, c := range []struct {
		iterations uint16
		spoil      bool
		want       string
	}{
		{MaxIterations, false, "secure"},
		{MaxIterations + 1, false, "insecure: too many NSEC3 iterations"},
		{65535, false, "insecure: too many NSEC3 iterations"},
		{MaxIterations + 1, true, "bogus: signature does not verify"},
	} {
		z := &lab{t: t, key: k, apex: k.zone, nsec3: true, iter: c.iterations, sigs: map[string]*foreign.RRSIG{}, data: map[string][]foreign.RR{}}
		for _, rr := range parse(t, "example. 300 IN SOA a.example.net. b.example.net. 1 1 1 1 300", "example. 300 IN NS ns.example.net.", "sub.example. 300 IN NS ns.example.net.") {
			z.data[rr.Header().Name] = append(z.data[rr.Header().Name], rr)
		}
		z.link()
		r, referral := z.query("nothing.example.", foreign.TypeA), z.query("www.sub.example.", foreign.TypeA)
		m, delegation := z.response(r, "nothing.example.", foreign.TypeA), z.response(referral, "www.sub.example.", foreign.TypeA)
		if c.spoil {
			for _, list := range [][]dns.RR{m.Authority, delegation.Authority} {
				for i := range list {
					if list[i].Covered() == dns.TypeNSEC3 {
						list[i].Data[len(list[i].Data)-1] ^= 1
					}
				}
			}
		}
		w := new(Work)
		a := v.VerifyAnswer(keys, m, testNow, w)
		demand(t, fmt.Sprintf("name error, %d iterations", c.iterations), a.Status, c.want)
		d := v.ProveDelegation(keys, dns.MustName("sub.example."), delegation.Authority, testNow, w)
		want := c.want
		if want == "secure" {
			want = "insecure"
		}
		demand(t, fmt.Sprintf("referral, %d iterations", c.iterations), d.Status, want)
		if a.Status.IsInsecure() && (a.Status.EDE() != dns.EDEUnsupportedNSEC3Iterations || w.Hashes() != 0) {
			t.Errorf("EDE %v, %d hashes", a.Status.EDE(), w.Hashes())
		}
	}
}

// childAndParent are two zones whose servers one attacker can listen to.
func childAndParent(t *testing.T, nsec3 bool) (parent, child *lab) {
	pk, ck := newKey(t, "example.", foreign.ED25519, 256), newKey(t, "sub.example.", foreign.ED25519, 256)
	parent = newLab(t, pk, nsec3, false, "sub.example. 300 IN NS ns.example.net.",
		"sub.example. 300 IN DS 1 15 2 "+strings.Repeat("ab", 32), "zzz.example. 300 IN A 192.0.2.1")
	child = newLab(t, ck, nsec3, false, "www.sub.example. 300 IN A 192.0.2.1")
	return parent, child
}

// The parent's record at a cut says NS and not A. It must not deny the child's data,
// neither at the cut nor below; the child's record at its apex must not deny the DS
// record (RFC 6840 §4.1 and §4.4, RFC 4035 §5.2).
func TestRecordsOfTheOtherSideOfACut(t *testing.T) {
	v := New(Config{})
	for _, nsec3 := range []bool{false, true} {
		parent, child := childAndParent(t, nsec3)
		pkeys, ckeys := parent.key.keys(t), child.key.keys(t)
		all := func(z *lab) (out []dns.RR) {
			for _, rr := range z.chain {
				out = append(out, records(t, z.signedRR(rr)...)...)
			}
			return out
		}
		cut := dns.MustName("sub.example.")
		for _, c := range []struct {
			what string
			keys *Keys
			name string
			t    dns.Type
			with []dns.RR
		}{
			{"A at the cut by the parent's records", pkeys, "sub.example.", dns.TypeA, all(parent)},
			{"A below the cut by the parent's records", pkeys, "www.sub.example.", dns.TypeA, all(parent)},
			{"A below the cut by the parent's records, as the child's", ckeys, "www.sub.example.", dns.TypeA, all(parent)},
			{"DS at the cut by the child's records", ckeys, "sub.example.", dns.TypeDS, all(child)},
			{"DS at the cut by the child's records, as the parent's", pkeys, "sub.example.", dns.TypeDS, all(child)},
		} {
			for _, rcode := range []dns.RCode{dns.RCodeSuccess, dns.RCodeNameError} {
				n := v.ProveNegative(c.keys, dns.MustName(c.name), c.t, rcode, c.with, testNow, new(Work))
				if !n.Status.IsBogus() {
					t.Errorf("nsec3 %v, %s, %v: %v", nsec3, c.what, rcode, n.Status)
				}
			}
		}
		if d := v.ProveDelegation(pkeys, cut, all(child), testNow, new(Work)); !d.Status.IsBogus() {
			t.Errorf("nsec3 %v: the child's records prove the cut %v", nsec3, d.Status)
		}
		if d := v.ProveDelegation(ckeys, cut, all(child), testNow, new(Work)); !d.Status.IsBogus() {
			t.Errorf("nsec3 %v: a zone proves its own cut %v", nsec3, d.Status)
		}
		if d := v.ProveDelegation(pkeys, cut, all(parent), testNow, new(Work)); !d.Status.IsBogus() {
			t.Errorf("nsec3 %v: a delegation whose record says DS is %v without the DS record", nsec3, d.Status)
		}
	}
}

// An NSEC record whose next name lies outside the zone, signed by the zone itself,
// denies nothing there, nor anything at all.
func TestNextNameOutsideTheZone(t *testing.T) {
	k := newKey(t, "b.example.", foreign.ED25519, 256)
	keys, v := k.keys(t), New(Config{})
	for _, next := range []string{"z.example.", "example.", "c.example.net.", "."} {
		for _, owner := range []string{"b.example.", "a.b.example."} {
			rrs := k.signed(t, owner+" 300 IN NSEC "+next+" A RRSIG NSEC")
			for _, name := range []string{"c.b.example.", "c.example.", "zz.b.example."} {
				n := v.ProveNegative(keys, dns.MustName(name), dns.TypeA, dns.RCodeNameError, rrs, testNow, new(Work))
				if !n.Status.IsBogus() {
					t.Errorf("%s to %s, %s: %v", owner, next, name, n.Status)
				}
			}
		}
	}
}

// NSEC3 records that are no part of the one chain of the response prove nothing, though
// the zone has signed them.
func TestNSEC3OfAnotherChain(t *testing.T) {
	k := newKey(t, "example.", foreign.ED25519, 256)
	keys, v := k.keys(t), New(Config{})
	z := newLab(t, k, true, false, "www.example. 300 IN A 192.0.2.1", "a.example. 300 IN A 192.0.2.1")
	everything := func() *foreign.NSEC3 { // an NSEC3 record that covers whatever it does not match
		rr := *z.match("www.example.").(*foreign.NSEC3)
		rr.NextDomain = strings.ToUpper(rr.Hdr.Name[:32])
		return &rr
	}
	for _, c := range []struct {
		what   string
		change func(*foreign.NSEC3)
		want   string
	}{
		{"as it should be", func(*foreign.NSEC3) {}, "secure"},
		{"another salt", func(rr *foreign.NSEC3) { rr.Salt = "ccdd" }, "bogus: NSEC or NSEC3 records do not prove it"},
		{"other iterations", func(rr *foreign.NSEC3) { rr.Iterations++ }, "bogus: NSEC or NSEC3 records do not prove it"},
		{"unknown hash algorithm", func(rr *foreign.NSEC3) { rr.Hash = 2 }, "bogus: NSEC or NSEC3 records do not prove it"},
		{"unknown flag", func(rr *foreign.NSEC3) { rr.Flags = 2 }, "bogus: NSEC or NSEC3 records do not prove it"},
		{"not directly below the apex", func(rr *foreign.NSEC3) { rr.Hdr.Name = rr.Hdr.Name[:32] + ".x.example." }, "bogus: NSEC or NSEC3 records do not prove it"},
		{"no hash for an owner", func(rr *foreign.NSEC3) { rr.Hdr.Name = "www.example." }, "bogus: NSEC or NSEC3 records do not prove it"},
		{"an owner of other digits", func(rr *foreign.NSEC3) { rr.Hdr.Name = strings.Repeat("z", 32) + ".example." }, "bogus: NSEC or NSEC3 records do not prove it"},
	} {
		rr := everything()
		c.change(rr)
		apex := *z.match("example.").(*foreign.NSEC3)
		apex.NextDomain = strings.ToUpper(apex.Hdr.Name[:31]) + "V" // an interval next to nothing
		rrs := records(t, &apex, k.sign(t, []foreign.RR{&apex}))
		rrs = append(rrs, records(t, rr, k.sign(t, []foreign.RR{rr}))...)
		n := v.ProveNegative(keys, dns.MustName("nothing.example."), dns.TypeA, dns.RCodeNameError, rrs, testNow, new(Work))
		demand(t, c.what, n.Status, c.want)
	}
}

// An NSEC record at a wildcard, expanded to another owner, would deny what is between
// that owner and the next name (CVE-2017-15105).
func TestExpandedDenial(t *testing.T) {
	k := newKey(t, "example.", foreign.ED25519, 256)
	keys, v := k.keys(t), New(Config{})
	rrs := k.signed(t, "*.example. 300 IN NSEC z.example. TXT RRSIG NSEC")
	for i := range rrs {
		rrs[i].Name = dns.MustName("b.example.")
	}
	if r := v.VerifyRRset(keys, rrs[:1], rrs[1:], testNow, new(Work)); !r.Status.IsSecure() || r.Encloser == "" {
		t.Fatalf("%v: the signature is good for the expanded record, or the test tests nothing", r.Status)
	}
	n := v.ProveNegative(keys, dns.MustName("b.example."), dns.TypeA, dns.RCodeSuccess, rrs, testNow, new(Work))
	demand(t, "no data", n.Status, "bogus: NSEC or NSEC3 records do not prove it")
	n = v.ProveNegative(keys, dns.MustName("c.example."), dns.TypeA, dns.RCodeNameError, rrs, testNow, new(Work))
	demand(t, "name error", n.Status, "bogus: NSEC or NSEC3 records do not prove it")
	ds := k.signed(t, "*.example. 300 IN DS 1 15 2 "+strings.Repeat("ab", 32))
	for i := range ds {
		ds[i].Name = dns.MustName("sub.example.")
	}
	d := v.ProveDelegation(keys, dns.MustName("sub.example."), ds, testNow, new(Work))
	demand(t, "DS out of a wildcard", d.Status, "bogus: malformed record")
}

// A wildcard must not hide a name that exists, nor one closer to the name.
func TestClosestEncloserTricks(t *testing.T) {
	k := newKey(t, "example.", foreign.ED25519, 256)
	v, keys := New(Config{}), k.keys(t)
	for _, nsec3 := range []bool{false, true} {
		z := newLab(t, k, nsec3, false, "*.example. 300 IN A 192.0.2.1", "a.b.example. 300 IN A 192.0.2.2", "x.example. 300 IN TXT x")
		var all []dns.RR
		for _, rr := range z.chain {
			all = append(all, records(t, z.signedRR(rr)...)...)
		}
		for name, want := range map[string]bool{"c.example.": true, "d.c.example.": true, "x.example.": false, "b.example.": false, "y.b.example.": false, "q.x.example.": false} {
			answer := records(t, z.signedRR(z.data["*.example."]...)...)
			for i := range answer {
				answer[i].Name = dns.MustName(name)
			}
			a := v.VerifyAnswer(keys, &Response{Name: dns.MustName(name), Type: dns.TypeA, Answer: answer, Authority: all}, testNow, new(Work))
			if a.Status.IsSecure() != want {
				t.Errorf("nsec3 %v: %s out of *.example. is %v", nsec3, name, a.Status)
			}
		}
	}
}
