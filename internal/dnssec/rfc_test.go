package dnssec

import (
	"strings"
	"testing"
	"time"

	foreign "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

// examples are those of the RFCs that brought the algorithms.
var examples = []struct{ name, key, ds, rr, sig string }{
	{
		name: "RFC 6605 §6.1, P-256",
		key:  "example.net. 3600 IN DNSKEY 257 3 13 GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==",
		ds:   "example.net. 3600 IN DS 55648 13 2 b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17",
		rr:   "www.example.net. 3600 IN A 192.0.2.1",
		sig:  "www.example.net. 3600 IN RRSIG A 13 3 3600 20100909100439 20100812100439 55648 example.net. qx6wLYqmh+l9oCKTN6qIc+bw6ya+KJ8oMz0YP107epXAyGmt+3SNruPFKG7tZoLBLlUzGGus7ZwmwWep666VCw==",
	},
	{
		name: "RFC 6605 §6.2, P-384",
		key:  "example.net. 3600 IN DNSKEY 257 3 14 xKYaNhWdGOfJ+nPrL8/arkwf2EY3MDJ+SErKivBVSum1w/egsXvSADtNJhyem5RCOpgQ6K8X1DRSEkrbYQ+OB+v8/uX45NBwY8rp65F6Glur8I/mlVNgF6W/qTI37m40",
		ds:   "example.net. 3600 IN DS 10771 14 4 72d7b62976ce06438e9c0bf319013cf801f09ecc84b8d7e9495f27e305c6a9b0563a9b5f4d288405c3008a946df983d6",
		rr:   "www.example.net. 3600 IN A 192.0.2.1",
		sig:  "www.example.net. 3600 IN RRSIG A 14 3 3600 20100909102025 20100812102025 10771 example.net. /L5hDKIvGDyI1fcARX3z65qrmPsVz73QD1Mr5CEqOiLP95hxQouuroGCeZOvzFaxsT8Glr74hbavRKayJNuydCuzWTSSPdz7wnqXL5bdcJzusdnI0RSMROxxwGipWcJm",
	},
	{
		name: "RFC 8080 §6.1, Ed25519, first",
		key:  "example.com. 3600 IN DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=",
		ds:   "example.com. 3600 IN DS 3613 15 2 3aa5ab37efce57f737fc1627013fee07bdf241bd10f3b1964ab55c78e79a304b",
		rr:   "example.com. 3600 IN MX 10 mail.example.com.",
		sig:  "example.com. 3600 IN RRSIG MX 15 2 3600 1440021600 1438207200 3613 example.com. oL9krJun7xfBOIWcGHi7mag5/hdZrKWw15jPGrHpjQeRAvTdszaPD+QLs3fx8A4M3e23mRZ9VrbpMngwcrqNAg==",
	},
	{
		name: "RFC 8080 §6.1, Ed25519, second",
		key:  "example.com. 3600 IN DNSKEY 257 3 15 zPnZ/QwEe7S8C5SPz2OfS5RR40ATk2/rYnE9xHIEijs=",
		ds:   "example.com. 3600 IN DS 35217 15 2 401781b934e392de492ec77ae2e15d70f6575a1c0bc59c5275c04ebe80c6614c",
		rr:   "example.com. 3600 IN MX 10 mail.example.com.",
		sig:  "example.com. 3600 IN RRSIG MX 15 2 3600 1440021600 1438207200 35217 example.com. zXQ0bkYgQTEFyfLyi9QoiY6D8ZdYo4wyUhVioYZXFdT410QPRITQSqJSnzQoSm5poJ7gD7AQR0O7KuI5k2pcBg==",
	},
}

func TestExamplesOfTheRFCs(t *testing.T) {
	for _, e := range examples {
		t.Run(e.name, func(t *testing.T) {
			anchors, err := ParseAnchors(e.ds)
			if err != nil {
				t.Fatal(err)
			}
			set := records(t, parse(t, e.key, e.rr, e.sig)...)
			m := match{zone: anchors[0].Zone, set: set[:1]}
			entry, failure := m.all([]DS{anchors[0].DS})
			if len(entry) != 1 {
				t.Fatalf("the DS record does not match the DNSKEY record: %v", failure)
			}
			s, _ := parseRRSIG(set[2].Data)
			now := time.Unix(int64(s.inception)+60, 0)
			r := New(Config{}).VerifyRRset(&Keys{zone: anchors[0].Zone, keys: entry}, set[1:2], set[2:], now, new(Work))
			demand(t, e.rr, r.Status, "secure")
		})
	}
}

// The zone of RFC 5155 appendix A. Its keys are RSA of 512 bits, which is not
// supported; so it is signed anew. The hashes are the RFC's.
var rfc5155Zone = []string{
	"2t7b4g4vsa5smi47k61mv5bv1a22bojr.example. 3600 IN A 192.0.2.127",
	"a.example. 3600 IN NS ns1.a.example.",
	"a.example. 3600 IN NS ns2.a.example.",
	"a.example. 3600 IN DS 58470 5 1 3079F1593EBAD6DC121E202A8B766A6A4837206C",
	"ns1.a.example. 3600 IN A 192.0.2.5",
	"ns2.a.example. 3600 IN A 192.0.2.6",
	"ai.example. 3600 IN A 192.0.2.9",
	`ai.example. 3600 IN HINFO "KLH-10" "ITS"`,
	"ai.example. 3600 IN AAAA 2001:db8:0:0:0:0:f00:baa9",
	"c.example. 3600 IN NS ns1.c.example.",
	"c.example. 3600 IN NS ns2.c.example.",
	"ns1.c.example. 3600 IN A 192.0.2.7",
	"ns2.c.example. 3600 IN A 192.0.2.8",
	"ns1.example. 3600 IN A 192.0.2.1",
	"ns2.example. 3600 IN A 192.0.2.2",
	"*.w.example. 3600 IN MX 1 ai.example.",
	"x.w.example. 3600 IN MX 1 xx.example.",
	"x.y.w.example. 3600 IN MX 1 xx.example.",
	"xx.example. 3600 IN A 192.0.2.10",
	`xx.example. 3600 IN HINFO "KLH-10" "TOPS-20"`,
	"xx.example. 3600 IN AAAA 2001:db8:0:0:0:0:f00:baaa",
	"example. 3600 IN MX 1 xx.example.",
}

var rfc5155Hashes = map[string]string{
	"example.":       "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom",
	"a.example.":     "35mthgpgcu1qg68fab165klnsnk3dpvl",
	"ai.example.":    "gjeqe526plbf1g8mklp59enfd789njgi",
	"ns1.example.":   "2t7b4g4vsa5smi47k61mv5bv1a22bojr",
	"ns2.example.":   "q04jkcevqvmu85r014c7dkba38o0ji5r",
	"w.example.":     "k8udemvp1j2f7eg6jebps17vp3n8i58h",
	"*.w.example.":   "r53bq7cc2uvmubfu5ocmm6pers9tk9en",
	"x.w.example.":   "b4um86eghhds6nea196smvmlo4ors995",
	"y.w.example.":   "ji6neoaepv8b5o6k4ev33abha8ht9fgc",
	"x.y.w.example.": "2vptu5timamqttgl4luu9kg21e0aor3s",
	"xx.example.":    "t644ebqk9bibcna874givr6joj62mlhv",
	"2t7b4g4vsa5smi47k61mv5bv1a22bojr.example.": "kohar7mbb8dc2ce8a9qvl8hon4k53uhi",
}

func TestHashesOfRFC5155(t *testing.T) {
	salt := []byte{0xAA, 0xBB, 0xCC, 0xDD}
	for name, want := range rfc5155Hashes {
		var h hash
		if !decodeHash(&h, dns.Name(want)) {
			t.Fatalf("%s is no hash", want)
		}
		if got := hashName(dns.MustName(name), salt, 12); got != h {
			t.Errorf("%s: %x, want %x", name, got, h)
		}
	}
}

// rfc5155Lab is the zone with opt-out: c.example, an unsigned delegation, has no
// record.
func rfc5155Lab(t *testing.T) (*lab, *Keys) {
	key := newKey(t, "example.", foreign.ECDSAP256SHA256, 256)
	z := &lab{t: t, key: key, apex: "example.", nsec3: true, optOut: true, iter: 12, salt: "aabbccdd",
		data: map[string][]foreign.RR{}, sigs: map[string]*foreign.RRSIG{}}
	lines := append([]string{
		"example. 3600 IN SOA ns1.example. bugs.x.w.example. 1 3600 300 3600000 3600",
		"example. 3600 IN NS ns1.example.", "example. 3600 IN NS ns2.example."}, rfc5155Zone...)
	for _, rr := range parse(t, lines...) {
		z.data[rr.Header().Name] = append(z.data[rr.Header().Name], rr)
	}
	z.link()
	return z, key.keys(t)
}

// The answers of RFC 5155 appendix B: which records have to be in the authority
// section, and what they prove. All of the zone's records are opt-out, so that proofs
// which lean on a covered next closer name are insecure (RFC 5155 §9.2).
func TestAnswersOfRFC5155(t *testing.T) {
	z, keys := rfc5155Lab(t)
	v := New(Config{})
	for _, c := range []struct {
		what, name string
		qtype      uint16
		denials    []string // names whose record matches; "~": covers; "?": matches, and opt-out makes up for it
		status     string
		kind       string
	}{
		{"B.1 name error", "a.c.x.w.example.", foreign.TypeA, []string{"~c.x.w.example.", "x.w.example.", "~*.x.w.example."}, "insecure: NSEC3 opt-out", "nxdomain"},
		{"B.2 no data", "ns1.example.", foreign.TypeMX, []string{"ns1.example."}, "secure", "nodata"},
		{"B.2.1 no data, empty non-terminal", "y.w.example.", foreign.TypeA, []string{"y.w.example."}, "secure", "nodata"},
		{"B.3 referral to an opt-out unsigned zone", "mc.c.example.", foreign.TypeMX, []string{"~c.example.", "example."}, "insecure: NSEC3 opt-out", "referral"},
		{"B.4 wildcard expansion", "a.z.w.example.", foreign.TypeMX, []string{"~z.w.example."}, "insecure: NSEC3 opt-out", "data"},
		{"B.5 wildcard no data", "a.z.w.example.", foreign.TypeAAAA, []string{"w.example.", "~z.w.example.", "?*.w.example."}, "insecure: NSEC3 opt-out", "nodata"},
		{"B.6 DS child zone no data", "example.", foreign.TypeDS, []string{"example."}, "bogus: NSEC or NSEC3 records do not prove it", ""},
	} {
		r := &reply{rcode: foreign.RcodeSuccess, kind: c.kind}
		if c.kind == "nxdomain" {
			r.rcode = foreign.RcodeNameError
		}
		switch c.kind {
		case "data":
			r = z.query(c.name, c.qtype)
			r.authority, r.denials = nil, nil
		case "referral":
			r.authority = z.rrset("c.example.", foreign.TypeNS)
		default:
			z.soa(r)
		}
		for _, name := range c.denials {
			if name[0] == '~' {
				z.deny(r, z.cover(name[1:]))
			} else {
				z.deny(r, z.match(strings.TrimPrefix(name, "?")))
			}
		}
		got, kind, _ := judge(v, keys, r, z.response(r, c.name, c.qtype))
		demand(t, c.what, got, c.status)
		if kind != c.kind {
			t.Errorf("%s: %q, want %q", c.what, kind, c.kind)
		}
		// Each record is needed. A name error without its wildcard's denial is none, nor is it a
		// denial of data that opt-out makes up for.
		for i := range r.denials {
			if c.denials[i][0] == '?' {
				continue
			}
			less := *r
			less.denials = nil
			less.authority = nil
			for _, rr := range r.authority {
				if rr.Header().Name != r.denials[i] || rr.Header().Rrtype == foreign.TypeSOA {
					less.authority = append(less.authority, rr)
				}
			}
			got, kind, _ := judge(v, keys, &less, z.response(&less, c.name, c.qtype))
			if !got.IsBogus() && (kind == c.kind || c.kind == "nxdomain") {
				t.Errorf("%s: %v without the record of %s", c.what, got, r.denials[i])
			}
		}
	}
}
