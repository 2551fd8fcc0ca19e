package dnssec

import (
	"crypto"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	foreign "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

// fixed is a key pair that is the same in every run, so that found inputs stay found.
func fixed(t testing.TB) *testKey {
	t.Helper()
	rr := parse(t, "example. 3600 IN DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=")[0].(*foreign.DNSKEY)
	secret, err := rr.NewPrivateKey("Private-key-format: v1.2\nAlgorithm: 15 (ED25519)\nPrivateKey: ODIyNjAzODQ2MjgwODAxMjI2NDUxOTAyMDQxNDIyNjI=\n")
	if err != nil {
		t.Fatal(err)
	}
	return &testKey{"example.", rr, secret.(crypto.Signer)}
}

// FuzzVerifyRRset holds the verification of any RRset, signature and key against the
// foreign one. The foreign one looks at neither the time nor the zone's name, so those
// are right here.
func FuzzVerifyRRset(f *testing.F) {
	k := fixed(f)
	for _, lines := range [][]string{
		{"www.example. 300 IN A 192.0.2.1"},
		{"WWW.example. 300 IN MX 10 Mail.EXAMPLE.", "www.example. 300 IN MX 5 a.example."},
		{"*.example. 300 IN TXT a b c"},
		{"example. 300 IN SOA Ns.example. Host.example. 1 2 3 4 5"},
		{"_s._tcp.example. 300 IN SRV 1 2 3 Target.Example."},
	} {
		set := parse(f, lines...)
		ours := records(f, set...)
		var more []byte
		if len(ours) > 1 {
			more = ours[1].Data
		}
		f.Add([]byte(ours[0].Name), uint16(ours[0].Type), ours[0].Data, more, records(f, k.sign(f, set))[0].Data, records(f, k.public)[0].Data)
	}
	f.Fuzz(func(t *testing.T, owner []byte, rrtype uint16, data, more, sig, dnskey []byte) {
		if nameLength(owner) != len(owner) || len(data) > 4096 || len(more) > 4096 {
			return
		}
		set := []dns.RR{{Name: dns.Name(owner), Type: dns.Type(rrtype), Class: dns.ClassIN, TTL: 300, Data: data}}
		if more != nil {
			set = append(set, dns.RR{Name: dns.Name(owner), Type: dns.Type(rrtype), Class: dns.ClassIN, TTL: 300, Data: more})
		}
		rrsig := dns.RR{Name: dns.Name(owner), Type: dns.TypeRRSIG, Class: dns.ClassIN, TTL: 300, Data: sig}
		v := New(Config{SHA1: true, AnyTime: true})
		keys := &Keys{zone: dns.MustName("example.")}
		if len(dnskey) > dnskeyFixed && keyUse(dnskey) == causeNone && v.supports(Algorithm(dnskey[3])) {
			if public := parsePublic(Algorithm(dnskey[3]), dnskey[dnskeyFixed:]); public != nil {
				keys.keys = []key{{keyTag(dnskey), Algorithm(dnskey[3]), public, keyID(Algorithm(dnskey[3]), dnskey[dnskeyFixed:])}}
			}
		}
		w := new(Work)
		r := v.VerifyRRset(keys, set, []dns.RR{rrsig}, testNow, w)
		if w.Verifications() > MaxVerificationsPerRRset {
			t.Fatalf("%d verifications", w.Verifications())
		}
		theirs, known := foreignVerify(set, rrsig, dnskey)
		if known && theirs && !r.Status.IsSecure() && foreignAgrees(sig, keys) {
			t.Errorf("the foreign implementation accepts what is %v (%s) here", r.Status, r.Status.Reason())
		}
		if known && !theirs && r.Status.IsSecure() {
			t.Error("the foreign implementation refuses what is secure here")
		}
	})
}

// foreignAgrees leaves out where this package is stricter on purpose: signatures by
// another zone, labels fields that lie, keys that are not supported.
func foreignAgrees(sig []byte, keys *Keys) bool {
	s, ok := parseRRSIG(sig)
	return ok && sameName(s.signer, keys.zone) && s.labels >= keys.zone.Labels() && len(keys.keys) == 1
}

// foreignVerify has miekg/dns verify; known is false where it cannot even read the
// records.
func foreignVerify(set []dns.RR, sig dns.RR, key []byte) (ok, known bool) {
	defer func() {
		if recover() != nil {
			known = false
		}
	}()
	var theirs []foreign.RR
	for _, rr := range set {
		x, good := foreignRR(rr)
		if !good {
			return false, false
		}
		theirs = append(theirs, x)
	}
	s, good := foreignRR(sig)
	if !good {
		return false, false
	}
	k, good := foreignRR(dns.RR{Name: dns.MustName("example."), Type: dns.TypeDNSKEY, Class: dns.ClassIN, Data: key})
	if !good {
		return false, false
	}
	return s.(*foreign.RRSIG).Verify(k.(*foreign.DNSKEY), foreign.Dedup(theirs, nil)) == nil, true
}

// foreignRR turns one of our records into a foreign one that has the same wire form.
func foreignRR(rr dns.RR) (foreign.RR, bool) {
	wire := slices.Concat([]byte(rr.Name), []byte{byte(rr.Type >> 8), byte(rr.Type), 0, 1, 0, 0, 1, 44, byte(len(rr.Data) >> 8), byte(len(rr.Data))}, rr.Data)
	out, end, err := foreign.UnpackRR(wire, 0)
	if err != nil || end != len(wire) {
		return nil, false
	}
	back := make([]byte, len(wire)+512)
	n, err := foreign.PackRR(out, back, 0, nil, false)
	return out, err == nil && n == len(wire) && slices.Equal(back[:n], wire)
}

// FuzzNSEC and FuzzNSEC3 have any record, rightly signed, prove any question: no panic,
// and nothing is proven about a name outside the zone or a type that the record has.
func FuzzNSEC(f *testing.F) {
	for _, line := range []string{
		"example. 300 IN NSEC z.example. NS SOA RRSIG NSEC",
		"a.example. 300 IN NSEC c.b.example. A RRSIG NSEC",
		"sub.example. 300 IN NSEC example. NS RRSIG NSEC",
		`a.example. 300 IN NSEC \000.a.example. RRSIG NSEC TYPE65280`,
	} {
		rr := records(f, parse(f, line)...)[0]
		f.Add([]byte(rr.Name), rr.Data, []byte(dns.MustName("b.example.")), uint16(dns.TypeA))
	}
	k := fixed(f)
	f.Fuzz(func(t *testing.T, owner, data, name []byte, qtype uint16) {
		fuzzDenial(t, k, dns.RR{Name: dns.Name(owner), Type: dns.TypeNSEC, Class: dns.ClassIN, TTL: 300, Data: data}, name, qtype)
	})
}

func FuzzNSEC3(f *testing.F) {
	for _, line := range []string{
		"0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example. 300 IN NSEC3 1 0 12 aabbccdd 2t7b4g4vsa5smi47k61mv5bv1a22bojr NS SOA MX RRSIG",
		"0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example. 300 IN NSEC3 1 1 0 - 0p9mhaveqvm6t7vbl5lop2u3t2rp3tom A",
		"0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example. 300 IN NSEC3 1 1 51 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr A",
	} {
		rr := records(f, parse(f, line)...)[0]
		f.Add([]byte(rr.Name), rr.Data, []byte(dns.MustName("b.example.")), uint16(dns.TypeA))
	}
	k := fixed(f)
	f.Fuzz(func(t *testing.T, owner, data, name []byte, qtype uint16) {
		fuzzDenial(t, k, dns.RR{Name: dns.Name(owner), Type: dns.TypeNSEC3, Class: dns.ClassIN, TTL: 300, Data: data}, name, qtype)
	})
}

// fuzzDenial asks one signed record everything.
func fuzzDenial(t *testing.T, k *testKey, rr dns.RR, name []byte, qtype uint16) {
	if len(rr.Data) > 2048 || len(name) > 512 || len(rr.Name) > 512 {
		return
	}
	v := New(Config{AnyTime: true})
	v.memo = nil
	m := match{zone: dns.MustName("example."), set: records(t, k.public)}
	entry, _ := m.all([]DS{k.ds(t, 2)})
	keys := &Keys{zone: dns.MustName("example."), keys: entry}
	section := []dns.RR{rr}
	if x, ok := foreignRR(rr); ok && strings.HasSuffix(strings.ToLower(rr.Name.String()), "example.") {
		s := &foreign.RRSIG{Algorithm: 15, KeyTag: k.public.KeyTag(), SignerName: "example.", Inception: 1, Expiration: 2}
		if s.Sign(k.secret, []foreign.RR{x}) == nil {
			section = append(section, records(t, s)...)
			section[1].TTL = 300
		}
	}
	question := dns.Name(name)
	for _, rcode := range []dns.RCode{dns.RCodeSuccess, dns.RCodeNameError} {
		w := new(Work)
		n := v.ProveNegative(keys, question, dns.Type(qtype), rcode, section, testNow, w)
		if w.Hashes() > MaxHashes || w.Verifications() > 2 {
			t.Fatalf("%d hashes, %d verifications", w.Hashes(), w.Verifications())
		}
		if !n.Status.IsBogus() && !question.IsSubdomainOf(keys.zone) {
			t.Fatalf("%v about %s", n.Status, question)
		}
		if n.Status.IsSecure() && rr.Name.Equal(question) && rr.Type == dns.TypeNSEC {
			if rcode == dns.RCodeNameError && n.RCode == rcode {
				t.Fatalf("%s does not exist by its own record", question)
			}
			if x, ok := foreignRR(rr); ok && slices.Contains(x.(*foreign.NSEC).TypeBitMap, qtype) {
				t.Fatalf("%s has no %d by a record that lists it", question, qtype)
			}
		}
	}
	fuzzSynthesis(t, v, keys, section, question, dns.Type(qtype))
	v.ProveDelegation(keys, question, section, testNow, new(Work))
	v.ProveWildcard(keys, question, question.Parent(), section, testNow, new(Work))
	v.VerifyAnswer(keys, &Response{Name: question, Type: dns.Type(qtype), Answer: section, Authority: section}, testNow, new(Work))
}

// fuzzSynthesis keeps the record that a response proves something by, and demands that it
// answers no question which the response itself would not have been proof for.
func fuzzSynthesis(t *testing.T, v *Validator, keys *Keys, section []dns.RR, question dns.Name, qtype dns.Type) {
	s := new(shelf)
	p := v.newProof(keys, section, testNow, new(Work))
	for _, list := range [][]candidate{p.nsec, p.nsec3} {
		for i := range list {
			if p.good(&list[i]) {
				s.put([]Denial{list[i].Keep(testNow.Add(time.Hour))})
			}
		}
	}
	n, ok := Synthesize(s, keys.Zone(), question, qtype, testNow, new(Work))
	if !ok {
		return
	}
	if want := v.ProveNegative(keys, question, qtype, n.RCode, section, testNow, new(Work)); !want.Status.IsSecure() || want.RCode != n.RCode {
		t.Fatalf("%s %s: %s out of the store; %s, %s by the response", question, qtype, n.RCode, want.Status, want.RCode)
	}
}

// FuzzKeys gives any DNSKEY and DS records to VerifyKeys.
func FuzzKeys(f *testing.F) {
	k := fixed(f)
	f.Add(records(f, k.public)[0].Data, records(f, k.public.ToDS(2))[0].Data, records(f, k.sign(f, []foreign.RR{k.public}))[0].Data)
	rsa, _ := hex.DecodeString("0101030803010001" + strings.Repeat("ff", 128))
	f.Add(rsa, records(f, k.public.ToDS(2))[0].Data, []byte{})
	f.Fuzz(func(t *testing.T, key, ds, sig []byte) {
		zone := dns.MustName("example.")
		set := []dns.RR{
			{Name: zone, Type: dns.TypeDNSKEY, Class: dns.ClassIN, TTL: 300, Data: key},
			{Name: zone, Type: dns.TypeRRSIG, Class: dns.ClassIN, TTL: 300, Data: sig},
		}
		var given []DS
		if d, ok := ParseDS(ds); ok {
			given = append(given, d)
			if !slices.Equal(d.Append(nil), ds) {
				t.Fatal("DS does not come back")
			}
		}
		if k, ok := ParseDNSKEY(key); ok {
			given = append(given, k.DS(zone, SHA256))
			if !slices.Equal(k.Append(nil), key) || k.Tag() != keyTag(key) {
				t.Fatal("DNSKEY does not come back")
			}
		}
		v := New(Config{SHA1: true, AnyTime: true})
		if keys, status := v.VerifyKeys(zone, given, set, testNow, new(Work)); (keys != nil) != status.IsSecure() {
			t.Fatalf("%v with keys %v", status, keys)
		}
		v.Observe(Rollover{Zone: zone, Anchors: given}, set, testNow, new(Work))
	})
}

// FuzzAnchor reads any text as trust anchors and as the state of a roll-over: what is
// read can be written and read again.
func FuzzAnchor(f *testing.F) {
	f.Add(RootAnchors)
	f.Add("example. 3600 IN DNSKEY 257 3 15 ( l02Woi0iS8Aa25FQkUd9RMzZHJpB ; one\n oRQwAQEX1SxZJA4= )")
	f.Add(`\046x\ y. DS 1 13 2 ` + strings.Repeat("ab", 32))
	r := Rollover{Zone: dns.Root, Refreshed: time.Unix(1e9, 0), Keys: []ManagedKey{{Key: DNSKEY{257, 3, 15, "xyz"}, State: KeyRevoked, Until: time.Unix(2e9, 0)}}}
	text, _ := r.MarshalText()
	f.Add(string(text))
	f.Fuzz(func(t *testing.T, text string) {
		if anchors, err := ParseAnchors(text); err == nil {
			var again strings.Builder
			for _, a := range anchors {
				again.WriteString(a.String() + "\n")
			}
			back, err := ParseAnchors(again.String())
			if err != nil || !slices.Equal(back, anchors) {
				t.Fatalf("%v reads back as %v, %v", anchors, back, err)
			}
		}
		var r, back Rollover
		if r.UnmarshalText([]byte(text)) != nil {
			return
		}
		once, _ := r.MarshalText()
		if err := back.UnmarshalText(once); err != nil {
			t.Fatalf("%v in\n%s", err, once)
		}
		if twice, _ := back.MarshalText(); string(twice) != string(once) {
			t.Fatalf("%s\nreads back as\n%s", once, twice)
		}
	})
}
