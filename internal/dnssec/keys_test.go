package dnssec

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	foreign "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

func TestVerifyKeys(t *testing.T) {
	k := newKey(t, "example.", foreign.ECDSAP256SHA256, 256)
	other := newKey(t, "example.", foreign.ED25519, 256)
	noZone := newKey(t, "example.", foreign.ED25519, 256)
	noZone.public.Flags = 1
	revoked := newKey(t, "example.", foreign.ED25519, 256)
	revoked.public.Flags |= FlagRevoke
	protocol := newKey(t, "example.", foreign.ED25519, 256)
	protocol.public.Protocol = 4
	large := newKey(t, "example.", foreign.RSASHA256, 1024)
	large.public.PublicKey = base64Of(append([]byte{3, 1, 0, 1}, slices.Repeat([]byte{0xFF}, 600)...))
	unsupported := newKey(t, "example.", foreign.ED25519, 256)
	unsupported.public.Algorithm = foreign.ED448
	bad := k.ds(t, 2)
	bad.Digest = strings.Repeat("x", 32)
	gost := k.ds(t, 2)
	gost.Type = 3
	sha1Wrong := k.ds(t, 1)
	sha1Wrong.Digest = strings.Repeat("x", 20)
	set := func(signer *testKey, members ...*testKey) []dns.RR {
		var rrs []foreign.RR
		for _, m := range members {
			rrs = append(rrs, m.public)
		}
		return records(t, append(slices.Clone(rrs), signer.sign(t, rrs))...)
	}
	v := New(Config{})
	for _, c := range []struct {
		what    string
		ds      []DS
		records []dns.RR
		want    string
		ede     dns.ErrorCode
	}{
		{"one key", []DS{k.ds(t, 2)}, set(k, k), "secure", 0},
		{"two keys, the entry point signs", []DS{k.ds(t, 2)}, set(k, other, k), "secure", 0},
		{"two keys, the other one signs", []DS{k.ds(t, 2)}, set(other, other, k), "bogus: no matching DNSKEY record", dns.EDEDNSKEYMissing},
		{"both digests", []DS{k.ds(t, 1), k.ds(t, 2)}, set(k, k), "secure", 0},
		{"a wrong SHA-1 digest beside a right SHA-256 one", []DS{sha1Wrong, k.ds(t, 2)}, set(k, k), "secure", 0},
		{"a right SHA-1 digest beside a wrong SHA-256 one", []DS{k.ds(t, 1), bad}, set(k, k), "bogus: no matching DNSKEY record", dns.EDEDNSKEYMissing},
		{"SHA-1 digest alone", []DS{k.ds(t, 1)}, set(k, k), "secure", 0},
		{"wrong digest", []DS{bad}, set(k, k), "bogus: no matching DNSKEY record", dns.EDEDNSKEYMissing},
		{"no DS", nil, set(k, k), "bogus: no matching DNSKEY record", dns.EDEDNSKEYMissing},
		{"no DNSKEY", []DS{k.ds(t, 2)}, nil, "bogus: no matching DNSKEY record", dns.EDEDNSKEYMissing},
		{"unsigned", []DS{k.ds(t, 2)}, set(k, k)[:1], "bogus: no RRSIG record", dns.EDERRSIGsMissing},
		{"unknown digest", []DS{gost}, set(k, k), "insecure: no supported DS digest", dns.EDEUnsupportedDSDigestType},
		{"unknown digest beside a known one that is wrong", []DS{gost, bad}, set(k, k), "bogus: no matching DNSKEY record", dns.EDEDNSKEYMissing},
		{"unknown algorithm", []DS{unsupported.ds(t, 2)}, set(k, k), "insecure: no supported signature algorithm", dns.EDEUnsupportedDNSKEYAlgorithm},
		{"unknown algorithm beside a known one", []DS{unsupported.ds(t, 2), k.ds(t, 2)}, set(k, k, unsupported), "secure", 0},
		{"unknown algorithm beside a known one that fails", []DS{unsupported.ds(t, 2), k.ds(t, 2)}, set(other, other, unsupported), "bogus: no matching DNSKEY record", dns.EDEDNSKEYMissing},
		{"key of an unsupported size", []DS{large.ds(t, 2)}, set(k, k, large), "insecure: key size not supported", dns.EDEUnsupportedDNSKEYAlgorithm},
		{"key of an unsupported size beside one that is missing", []DS{large.ds(t, 2), other.ds(t, 2)}, set(k, k, large), "bogus: no matching DNSKEY record", dns.EDEDNSKEYMissing},
		{"not a zone key", []DS{noZone.ds(t, 2)}, set(noZone, noZone), "bogus: DNSKEY is not a zone key", dns.EDENoZoneKeyBitSet},
		{"another protocol", []DS{protocol.ds(t, 2)}, set(protocol, protocol), "bogus: no matching DNSKEY record", dns.EDEDNSKEYMissing},
		{"revoked key", []DS{revoked.ds(t, 2)}, set(revoked, revoked), "bogus: no matching DNSKEY record", dns.EDEDNSKEYMissing},
	} {
		keys, status := v.VerifyKeys(dns.MustName("example."), c.ds, c.records, testNow, new(Work))
		demand(t, c.what, status, c.want)
		if status.EDE() != c.ede {
			t.Errorf("%s: EDE %v, want %v", c.what, status.EDE(), c.ede)
		}
		if (keys != nil) != status.IsSecure() {
			t.Errorf("%s: keys %v with status %v", c.what, keys, status)
		}
	}
}

func TestKeysExpire(t *testing.T) {
	k := newKey(t, "Example.", foreign.ECDSAP256SHA256, 256)
	keys := k.keys(t)
	if keys.Zone() != dns.MustName("example.") || !keys.Expires().Equal(testNow.Add(time.Hour)) {
		t.Errorf("zone %s, expires %v", keys.Zone(), keys.Expires())
	}
}

// A zone that has more keys than are put to use keeps its secure entry point.
func TestManyKeys(t *testing.T) {
	k := newKey(t, "example.", foreign.ED25519, 256)
	var set []foreign.RR
	for i := range 2 * MaxKeys {
		c := *k.public
		c.PublicKey = base64Of(slices.Repeat([]byte{byte(i)}, 32))
		set = append(set, &c)
	}
	set = append(set, k.public)
	keys, status := New(Config{}).VerifyKeys(dns.MustName("example."), []DS{k.ds(t, 2)}, records(t, append(slices.Clone(set), k.sign(t, set))...), testNow, new(Work))
	demand(t, "keys", status, "secure")
	if len(keys.keys) != MaxKeys {
		t.Errorf("%d keys, want %d", len(keys.keys), MaxKeys)
	}
	rrs := k.signed(t, "www.example. 300 IN A 192.0.2.1")
	demand(t, "RRset", New(Config{}).VerifyRRset(keys, rrs[:1], rrs[1:], testNow, new(Work)).Status, "secure")
}

func TestKeyTag(t *testing.T) {
	for _, a := range algorithms {
		for range 4 {
			k := newKey(t, "example.", a.number, a.bits)
			ours, ok := ParseDNSKEY(records(t, k.public)[0].Data)
			if !ok || ours.Tag() != k.public.KeyTag() {
				t.Errorf("algorithm %d: tag %d, want %d", a.number, ours.Tag(), k.public.KeyTag())
			}
			for _, d := range []Digest{SHA1, SHA256, SHA384} {
				if got, want := ours.DS(dns.MustName("EXAMPLE."), d), k.ds(t, uint8(d)); got != want {
					t.Errorf("DS %v, want %v", got, want)
				}
			}
		}
	}
}

func TestRSAKeySizes(t *testing.T) {
	modulus := func(bits int) []byte {
		b := slices.Repeat([]byte{0xFF}, (bits+7)/8)
		b[0] >>= (8 - bits%8) % 8
		return b
	}
	for _, c := range []struct {
		what string
		key  []byte
		ok   bool
	}{
		{"512 bits", append([]byte{3, 1, 0, 1}, modulus(512)...), false},
		{"1023 bits", append([]byte{3, 1, 0, 1}, modulus(1023)...), false},
		{"1024 bits", append([]byte{3, 1, 0, 1}, modulus(1024)...), true},
		{"4096 bits", append([]byte{3, 1, 0, 1}, modulus(4096)...), true},
		{"4096 bits after a zero", append([]byte{3, 1, 0, 1, 0}, modulus(4096)...), true},
		{"4097 bits", append([]byte{3, 1, 0, 1}, modulus(4097)...), false},
		{"65536 bits", append([]byte{3, 1, 0, 1}, modulus(65536)...), false},
		{"exponent 3", append([]byte{1, 3}, modulus(1024)...), true},
		{"exponent 1", append([]byte{1, 1}, modulus(1024)...), false},
		{"exponent 0", append([]byte{1, 0}, modulus(1024)...), false},
		{"even exponent", append([]byte{1, 4}, modulus(1024)...), false},
		{"even modulus", append([]byte{1, 3}, append(modulus(1024), 0)...), false},
		{"exponent of 31 bits", append([]byte{4, 0x7F, 0xFF, 0xFF, 0xFF}, modulus(1024)...), true},
		{"exponent of 32 bits", append([]byte{4, 0xFF, 0xFF, 0xFF, 0xFF}, modulus(1024)...), false},
		{"exponent 2^32+1", append([]byte{5, 1, 0, 0, 0, 1}, modulus(1024)...), true},
		{"exponent 2^32+3", append([]byte{5, 1, 0, 0, 0, 3}, modulus(1024)...), false},
		{"length of the exponent in three octets", append([]byte{0, 0, 3, 1, 0, 1}, modulus(1024)...), true},
		{"exponent longer than the key", []byte{200, 1, 0, 1}, false},
		{"exponent alone", []byte{3, 1, 0, 1}, false},
		{"cut short", []byte{0, 1}, false},
		{"nothing", nil, false},
	} {
		if got := parsePublic(RSASHA256, c.key) != nil; got != c.ok {
			t.Errorf("%s: supported %v", c.what, got)
		}
	}
}

// TestFermat5 verifies by the exponent 2^32+1 what was signed by its inverse.
func TestFermat5(t *testing.T) {
	pair, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	e := new(big.Int).SetUint64(fermat5)
	p, q := pair.Primes[0], pair.Primes[1]
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	d := new(big.Int).ModInverse(e, phi)
	if d == nil {
		t.Skip("the exponent has no inverse for these primes")
	}
	field := append(append([]byte{5}, e.Bytes()...), pair.N.Bytes()...)
	for _, a := range []Algorithm{RSASHA1, RSASHA256, RSASHA512} {
		key := parsePublic(a, field)
		if key == nil {
			t.Fatalf("algorithm %d: the key is not supported", a)
		}
		data := []byte("what is signed")
		good := pkcs1(key.(*rsaKey).hash, data, pair.Size())
		sig := new(big.Int).Exp(new(big.Int).SetBytes(good), d, pair.N).FillBytes(make([]byte, pair.Size()))
		if !key.verify(data, sig) {
			t.Errorf("algorithm %d: a right signature is refused", a)
		}
		if key.verify([]byte("something else"), sig) || key.verify(data, sig[1:]) {
			t.Errorf("algorithm %d: a wrong signature is accepted", a)
		}
	}
}

// pkcs1 is EMSA-PKCS1-v1_5 (RFC 8017 §9.2) as encoding/asn1 makes it.
func pkcs1(h crypto.Hash, data []byte, size int) []byte {
	oid := map[crypto.Hash]asn1.ObjectIdentifier{
		crypto.SHA1: {1, 3, 14, 3, 2, 26}, crypto.SHA256: {2, 16, 840, 1, 101, 3, 4, 2, 1}, crypto.SHA512: {2, 16, 840, 1, 101, 3, 4, 2, 3},
	}[h]
	sum := h.New()
	sum.Write(data)
	info, err := asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}{pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.NullRawValue}, sum.Sum(nil)})
	if err != nil {
		panic(err)
	}
	out := append([]byte{0, 1}, slices.Repeat([]byte{0xFF}, size-3-len(info))...)
	return append(append(out, 0), info...)
}

func TestOtherKeysAreRefused(t *testing.T) {
	for a, lengths := range map[Algorithm][]int{
		ECDSAP256SHA256: {0, 63, 64, 65}, ECDSAP384SHA384: {0, 95, 96, 97}, Ed25519: {0, 31, 33}, RSAMD5: {130}, 16: {57}, 12: {64},
	} {
		for _, n := range lengths {
			// All octets 0x07: no point of either curve.
			if parsePublic(a, slices.Repeat([]byte{7}, n)) != nil {
				t.Errorf("algorithm %d accepts a key of %d octets", a, n)
			}
		}
	}
}

func TestWeakest(t *testing.T) {
	expired := Status{bogus, causeExpired}
	order := []Status{{outcome: bogus}, {}, {outcome: insecure}, {outcome: secure}}
	for i, a := range order {
		for j, b := range order {
			if got, want := Weakest(a, b), order[min(i, j)]; got != want {
				t.Errorf("Weakest(%v, %v) is %v", a, b, got)
			}
		}
	}
	if Weakest(order[0], expired) != expired || Weakest(expired, order[0]) != expired {
		t.Error("the reason is lost")
	}
	if s := Exempt(); !s.IsInsecure() || s.EDE() != dns.EDEOther || s.Reason() == "" {
		t.Errorf("Exempt is %v, %v, %q", s, s.EDE(), s.Reason())
	}
}

// Every cause has words, and a bogus one an Extended DNS Error.
func TestCauses(t *testing.T) {
	for c := causeExempt; c <= causeWork; c++ {
		if c.String() == "" {
			t.Errorf("cause %d has no words", c)
		}
		if c > causeOptOut && c.code() == dns.EDEOther {
			t.Errorf("%s has no code", c)
		}
	}
}
