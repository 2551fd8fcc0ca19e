package dnssec

import (
	"crypto"
	"encoding/base64"
	"slices"
	"testing"
	"time"

	foreign "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

// The tests sign with miekg/dns, a foreign implementation of the same RFCs.

var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// records turns foreign records into ours, by way of the wire.
func records(t testing.TB, rrs ...foreign.RR) []dns.RR {
	t.Helper()
	var out []dns.RR
	for _, rr := range rrs {
		m := new(foreign.Msg)
		m.Answer = []foreign.RR{rr}
		b, err := m.Pack()
		if err != nil {
			t.Fatalf("pack %v: %v", rr, err)
		}
		var ours dns.Message
		if err := ours.Unpack(b); err != nil {
			t.Fatalf("unpack %v: %v", rr, err)
		}
		out = append(out, ours.Answer...)
	}
	return out
}

// parse reads zone file lines.
func parse(t testing.TB, lines ...string) []foreign.RR {
	t.Helper()
	var out []foreign.RR
	for _, line := range lines {
		rr, err := foreign.NewRR(line)
		if err != nil || rr == nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, rr)
	}
	return out
}

// testKey is a key pair of a zone.
type testKey struct {
	zone   string
	public *foreign.DNSKEY
	secret crypto.Signer
}

func newKey(t testing.TB, zone string, algorithm uint8, bits int) *testKey {
	t.Helper()
	k := &testKey{zone: zone, public: &foreign.DNSKEY{
		Hdr:   foreign.RR_Header{Name: zone, Rrtype: foreign.TypeDNSKEY, Class: foreign.ClassINET, Ttl: 3600},
		Flags: 257, Protocol: 3, Algorithm: algorithm,
	}}
	secret, err := k.public.Generate(bits)
	if err != nil {
		t.Fatalf("algorithm %d, %d bits: %v", algorithm, bits, err)
	}
	k.secret = secret.(crypto.Signer)
	return k
}

// sign signs an RRset, from an hour before testNow to a day after, unless change says
// otherwise.
func (k *testKey) sign(t testing.TB, rrset []foreign.RR, change ...func(*foreign.RRSIG)) *foreign.RRSIG {
	t.Helper()
	s := &foreign.RRSIG{
		Algorithm: k.public.Algorithm, KeyTag: k.public.KeyTag(), SignerName: k.zone,
		Inception: uint32(testNow.Add(-time.Hour).Unix()), Expiration: uint32(testNow.Add(24 * time.Hour).Unix()),
	}
	for _, f := range change {
		f(s)
	}
	s.Hdr.Ttl = rrset[0].Header().Ttl
	if err := s.Sign(k.secret, rrset); err != nil {
		t.Fatalf("sign %v: %v", rrset, err)
	}
	s.Hdr.Ttl = rrset[0].Header().Ttl
	return s
}

// signed is an RRset with its signature, in our form.
func (k *testKey) signed(t testing.TB, lines ...string) []dns.RR {
	t.Helper()
	set := parse(t, lines...)
	return records(t, append(slices.Clone(set), k.sign(t, set))...)
}

// keySet is the signed DNSKEY RRset of a zone.
func keySet(t testing.TB, keys ...*testKey) []dns.RR {
	t.Helper()
	var set []foreign.RR
	for _, k := range keys {
		set = append(set, k.public)
	}
	return records(t, append(slices.Clone(set), keys[0].sign(t, set))...)
}

// ds is a DS record for the key.
func (k *testKey) ds(t testing.TB, digest uint8) DS {
	t.Helper()
	ds, ok := ParseDS(records(t, k.public.ToDS(digest))[0].Data)
	if !ok {
		t.Fatal("no DS")
	}
	return ds
}

// keys is the verified key set of the zone.
func (k *testKey) keys(t testing.TB) *Keys {
	t.Helper()
	keys, status := New(Config{SHA1: true}).VerifyKeys(dns.MustName(k.zone), []DS{k.ds(t, 2)}, keySet(t, k), testNow, new(Work))
	if !status.IsSecure() {
		t.Fatalf("keys of %s: %v (%s)", k.zone, status, status.Reason())
	}
	return keys
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// demand fails the test unless a status is as wanted.
func demand(t testing.TB, what string, got Status, want string) {
	t.Helper()
	s := got.String()
	if got.Reason() != "" {
		s += ": " + got.Reason()
	}
	if s != want {
		t.Errorf("%s: %s; want %s", what, s, want)
	}
}
