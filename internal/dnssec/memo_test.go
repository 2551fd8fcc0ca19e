package dnssec

import (
	"bytes"
	"testing"
	"time"

	foreign "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

// A signature is computed with once, whoever asks; its time is looked at each time.
func TestVerificationsAreRemembered(t *testing.T) {
	k := newKey(t, "example.", foreign.ECDSAP256SHA256, 256)
	rrs := k.signed(t, "www.example. 300 IN A 192.0.2.1")
	keys, v, w := k.keys(t), New(Config{}), new(Work)
	for range 5 {
		demand(t, "again", v.VerifyRRset(keys, rrs[:1], rrs[1:], testNow, w).Status, "secure")
	}
	if v.Operations() != 1 || w.Verifications() != 5 {
		t.Errorf("%d operations for %d verifications", v.Operations(), w.Verifications())
	}
	late := v.VerifyRRset(keys, rrs[:1], rrs[1:], testNow.Add(48*time.Hour), w)
	demand(t, "too late", late.Status, "bogus: signature expired")

	rrs[0].Data[3] ^= 1
	for range 3 {
		demand(t, "forged", v.VerifyRRset(keys, rrs[:1], rrs[1:], testNow, w).Status, "bogus: signature does not verify")
	}
	if v.Operations() != 2 || w.Failures() != 3 {
		t.Errorf("%d operations, %d failures", v.Operations(), w.Failures())
	}
}

// No octet of what a verification depends on can change behind the memo's back.
func TestNothingElseIsRemembered(t *testing.T) {
	k := newKey(t, "example.", foreign.ECDSAP256SHA256, 256)
	rrs := k.signed(t, "www.example. 300 IN TXT \"some text of a certain length\"")
	keys, v := k.keys(t), New(Config{})
	refused := func(what string, keys *Keys, set, sigs []dns.RR) {
		t.Helper()
		if r := v.VerifyRRset(keys, set, sigs, testNow, new(Work)); r.Status.IsSecure() {
			t.Errorf("%s: secure", what)
		}
	}
	demand(t, "as it is", v.VerifyRRset(keys, rrs[:1], rrs[1:], testNow, new(Work)).Status, "secure")
	for _, part := range []int{0, 1} {
		for i := range rrs[part].Data {
			bad := []dns.RR{rrs[0], rrs[1]}
			bad[part].Data = bytes.Clone(bad[part].Data)
			bad[part].Data[i] ^= 1
			refused("an octet changed", keys, bad[:1], bad[1:])
		}
	}
	bad := []dns.RR{rrs[0], rrs[1]}
	bad[0].Name, bad[1].Name = dns.MustName("ww2.example."), dns.MustName("ww2.example.")
	refused("another owner", keys, bad[:1], bad[1:])
	twin := *keys
	twin.keys = []key{keys.keys[0]}
	stranger := newKey(t, "example.", foreign.ECDSAP256SHA256, 256).keys(t).keys[0]
	twin.keys[0].public, twin.keys[0].id = stranger.public, stranger.id
	refused("another key of the same tag", &twin, rrs[:1], rrs[1:])
}

// parity is a key by which octets verify whose last one is even.
type parity struct{}

func (parity) verify(data, _ []byte) bool { return data[len(data)-1]%2 == 0 }

// More verifications than the memo has room for push one another out, and none gets
// another's outcome.
func TestMemoIsOverfull(t *testing.T) {
	k := newKey(t, "example.", foreign.ED25519, 256)
	keys, v := k.keys(t), New(Config{})
	keys.keys[0].public = parity{}
	rrs := k.signed(t, "www.example. 300 IN A 192.0.2.1")
	for round := range 2 {
		for i := range 3 * memoShards * memoSlots {
			rrs[0].Data[2], rrs[0].Data[3] = byte(i>>8), byte(i)
			if r := v.VerifyRRset(keys, rrs[:1], rrs[1:], testNow, new(Work)); r.Status.IsSecure() != (i%2 == 0) {
				t.Fatalf("round %d, number %d: %v", round, i, r.Status)
			}
		}
	}
}

// BenchmarkVerifyAgain is the verification of what was verified before.
func BenchmarkVerifyAgain(b *testing.B) {
	k := newKey(b, "example.", foreign.ECDSAP256SHA256, 256)
	rrs := k.signed(b, "www.example. 300 IN A 192.0.2.1", "www.example. 300 IN A 192.0.2.2")
	v, keys := New(Config{}), k.keys(b)
	b.ReportAllocs()
	for b.Loop() {
		if r := v.VerifyRRset(keys, rrs[:2], rrs[2:], testNow, new(Work)); !r.Status.IsSecure() {
			b.Fatal(r.Status)
		}
	}
}
