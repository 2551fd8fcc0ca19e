package dnssec

import (
	"fmt"
	"testing"
	"time"

	foreign "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

var algorithms = []struct {
	number uint8
	bits   int
}{
	{foreign.RSASHA1, 1024},
	{foreign.RSASHA1NSEC3SHA1, 1024},
	{foreign.RSASHA256, 1024},
	{foreign.RSASHA256, 2048},
	{foreign.RSASHA512, 2048},
	{foreign.ECDSAP256SHA256, 256},
	{foreign.ECDSAP384SHA384, 384},
	{foreign.ED25519, 256},
}

func TestAlgorithms(t *testing.T) {
	for _, a := range algorithms {
		t.Run(fmt.Sprintf("%s-%d", foreign.AlgorithmToString[a.number], a.bits), func(t *testing.T) {
			k := newKey(t, "example.", a.number, a.bits)
			set := parse(t,
				"WWW.example. 3600 IN MX 10 Mail.Example.",
				"www.example. 3600 IN MX 5 b.example.",
				"www.example. 3600 IN MX 10 a.example.")
			ours, sigs := records(t, set...), records(t, k.sign(t, set))
			v := New(Config{SHA1: true})
			for _, digest := range []uint8{foreign.SHA1, foreign.SHA256, foreign.SHA384} {
				keys, status := v.VerifyKeys(dns.MustName("EXAMPLE."), []DS{k.ds(t, digest)}, keySet(t, k), testNow, new(Work))
				demand(t, fmt.Sprintf("keys by digest %d", digest), status, "secure")
				w := new(Work)
				r := v.VerifyRRset(keys, ours, sigs, testNow, w)
				demand(t, "RRset", r.Status, "secure")
				if r.TTL != 3600 || r.Encloser != "" || w.Verifications() != 1 || w.Failures() != 0 {
					t.Errorf("TTL %d, encloser %q, %d verifications, %d failures", r.TTL, r.Encloser, w.Verifications(), w.Failures())
				}
			}
			for i := range ours {
				for j := range ours[i].Data {
					bad := records(t, set...)
					bad[i].Data[j] ^= 0x01
					if r := v.VerifyRRset(k.keys(t), bad, sigs, testNow, new(Work)); !r.Status.IsBogus() {
						t.Errorf("octet %d of record %d changed: %v", j, i, r.Status)
					}
				}
			}
		})
	}
}

func TestSHA1IsUnsupportedByDefault(t *testing.T) {
	k := newKey(t, "example.", foreign.RSASHA1NSEC3SHA1, 1024)
	_, status := New(Config{}).VerifyKeys(dns.MustName("example."), []DS{k.ds(t, 2)}, keySet(t, k), testNow, new(Work))
	demand(t, "keys", status, "insecure: no supported signature algorithm")
	if status.EDE() != dns.EDEUnsupportedDNSKEYAlgorithm {
		t.Errorf("EDE %v", status.EDE())
	}
}

func TestSignatureValidity(t *testing.T) {
	k := newKey(t, "example.", foreign.ECDSAP256SHA256, 256)
	at := func(inception, expiration time.Duration) func(*foreign.RRSIG) {
		return func(s *foreign.RRSIG) {
			s.Inception = uint32(testNow.Add(inception).Unix())
			s.Expiration = uint32(testNow.Add(expiration).Unix())
		}
	}
	far := time.Date(2106, 2, 7, 6, 28, 0, 0, time.UTC) // 16 seconds before the 32-bit clock wraps
	for _, c := range []struct {
		name   string
		change func(*foreign.RRSIG)
		skew   time.Duration
		now    time.Time
		want   string
		ede    dns.ErrorCode
		ttl    uint32
	}{
		{"valid", at(-time.Hour, time.Hour), 0, testNow, "secure", 0, 300},
		{"first second", at(0, time.Hour), 0, testNow, "secure", 0, 300},
		{"last second", at(-time.Hour, 0), 0, testNow, "secure", 0, 0},
		{"near the end", at(-time.Hour, time.Minute), 0, testNow, "secure", 0, 60},
		{"over", at(-time.Hour, -time.Second), 0, testNow, "bogus: signature expired", dns.EDESignatureExpired, 0},
		{"over, within the skew", at(-time.Hour, -time.Second), time.Minute, testNow, "secure", 0, 59},
		{"too early", at(time.Second, time.Hour), 0, testNow, "bogus: signature not yet valid", dns.EDESignatureNotYetValid, 0},
		{"too early, within the skew", at(time.Second, time.Hour), time.Minute, testNow, "secure", 0, 300},
		{"backwards", at(time.Hour, -time.Hour), 0, testNow, "bogus: signature expires before its inception", dns.EDESignatureExpiredBeforeValid, 0},
		{"across the wrap of the clock", func(s *foreign.RRSIG) {
			s.Inception, s.Expiration = uint32(far.Add(-time.Hour).Unix()), uint32(far.Add(time.Hour).Unix())
		}, 0, far.Add(time.Minute), "secure", 0, 300},
	} {
		t.Run(c.name, func(t *testing.T) {
			set := parse(t, "www.example. 300 IN A 192.0.2.1")
			sig := k.sign(t, set, c.change)
			r := New(Config{Skew: c.skew}).VerifyRRset(k.keys(t), records(t, set...), records(t, sig), c.now, new(Work))
			demand(t, "RRset", r.Status, c.want)
			if r.Status.EDE() != c.ede || r.TTL != c.ttl {
				t.Errorf("EDE %v, TTL %d; want %v, %d", r.Status.EDE(), r.TTL, c.ede, c.ttl)
			}
		})
	}
	set := parse(t, "www.example. 300 IN A 192.0.2.1")
	sig := k.sign(t, set, at(-2*time.Hour, -time.Hour))
	r := New(Config{AnyTime: true}).VerifyRRset(k.keys(t), records(t, set...), records(t, sig), testNow, new(Work))
	demand(t, "any time", r.Status, "secure")
}

// A fixed time judges signatures; what is kept is kept by the clock.
func TestFixedTime(t *testing.T) {
	k := newKey(t, "example.", foreign.ECDSAP256SHA256, 256)
	set := parse(t, "www.example. 300 IN A 192.0.2.1")
	long := testNow.AddDate(20, 0, 0)
	v := New(Config{At: testNow})
	keys, status := v.VerifyKeys(dns.MustName("example."), []DS{k.ds(t, 2)}, keySet(t, k), long, new(Work))
	demand(t, "keys", status, "secure")
	if got := keys.Expires(); !got.Equal(long.Add(time.Hour)) {
		t.Errorf("keys expire at %v, an hour after %v is right", got, long)
	}
	sig := records(t, k.sign(t, set))
	demand(t, "RRset", v.VerifyRRset(keys, records(t, set...), sig, long, new(Work)).Status, "secure")
	late := New(Config{At: testNow.AddDate(0, 1, 0)})
	demand(t, "RRset", late.VerifyRRset(keys, records(t, set...), sig, testNow, new(Work)).Status, "bogus: signature expired")
}

func TestTTLIsCapped(t *testing.T) {
	k := newKey(t, "example.", foreign.ECDSAP256SHA256, 256)
	set := parse(t, "www.example. 300 IN A 192.0.2.1", "www.example. 300 IN A 192.0.2.2")
	ours := records(t, append(set, k.sign(t, set))...)
	for _, c := range []struct {
		rr1, rr2, sig, want uint32
	}{{300, 300, 300, 300}, {86400, 86400, 86400, 300}, {300, 20, 300, 20}, {300, 300, 10, 10}} {
		ours[0].TTL, ours[1].TTL, ours[2].TTL = c.rr1, c.rr2, c.sig
		r := New(Config{}).VerifyRRset(k.keys(t), ours[:2], ours[2:], testNow, new(Work))
		if !r.Status.IsSecure() || r.TTL != c.want {
			t.Errorf("TTLs %d, %d, %d: %v, %d; want %d", c.rr1, c.rr2, c.sig, r.Status, r.TTL, c.want)
		}
	}
}

func TestWildcardExpansion(t *testing.T) {
	k := newKey(t, "example.", foreign.ECDSAP256SHA256, 256)
	set := parse(t, "*.w.example. 300 IN A 192.0.2.1")
	ours := records(t, append(set, k.sign(t, set))...)
	for _, c := range []struct{ owner, encloser string }{
		{"*.w.example.", ""},
		{"a.w.example.", "w.example."},
		{"A.b.C.W.example.", "W.example."},
		{"*.b.w.example.", "w.example."},
	} {
		ours[0].Name = dns.MustName(c.owner)
		ours[1].Name = ours[0].Name
		r := New(Config{}).VerifyRRset(k.keys(t), ours[:1], ours[1:], testNow, new(Work))
		demand(t, c.owner, r.Status, "secure")
		got := ""
		if r.Encloser != "" {
			got = r.Encloser.String()
		}
		if got != c.encloser {
			t.Errorf("%s: encloser %q, want %q", c.owner, got, c.encloser)
		}
	}
	for _, owner := range []string{"w.example.", "a.x.example.", "example."} {
		ours[0].Name = dns.MustName(owner)
		ours[1].Name = ours[0].Name
		if r := New(Config{}).VerifyRRset(k.keys(t), ours[:1], ours[1:], testNow, new(Work)); !r.Status.IsBogus() {
			t.Errorf("%s: %v", owner, r.Status)
		}
	}
}

func TestSignatureIsNotTheZones(t *testing.T) {
	parent := newKey(t, "example.", foreign.ECDSAP256SHA256, 256)
	child := newKey(t, "sub.example.", foreign.ECDSAP256SHA256, 256)
	other := newKey(t, "example.", foreign.ECDSAP256SHA256, 256)
	set := parse(t, "www.sub.example. 300 IN A 192.0.2.1")
	v := New(Config{})
	for _, c := range []struct {
		name string
		sig  *foreign.RRSIG
		keys *Keys
		want string
		ede  dns.ErrorCode
	}{
		{"the child's own", child.sign(t, set), child.keys(t), "secure", 0},
		{"by the parent, verified as the child's", parent.sign(t, set), child.keys(t), "bogus: RRSIG not made by the zone", dns.EDERRSIGsMissing},
		{"by the child, verified as the parent's", child.sign(t, set), parent.keys(t), "bogus: RRSIG not made by the zone", dns.EDERRSIGsMissing},
		{"by a key that is not in the set", other.sign(t, set), parent.keys(t), "bogus: no matching DNSKEY record", dns.EDEDNSKEYMissing},
		{"by an unsupported algorithm", child.sign(t, set), child.keys(t), "bogus: no supported signature algorithm", dns.EDEUnsupportedDNSKEYAlgorithm},
	} {
		ours := records(t, append(set[:1:1], c.sig)...)
		if c.ede == dns.EDEUnsupportedDNSKEYAlgorithm {
			ours[1].Data[2] = 16 // Ed448
		}
		r := v.VerifyRRset(c.keys, ours[:1], ours[1:], testNow, new(Work))
		demand(t, c.name, r.Status, c.want)
		if r.Status.EDE() != c.ede {
			t.Errorf("%s: EDE %v, want %v", c.name, r.Status.EDE(), c.ede)
		}
	}
	r := v.VerifyRRset(child.keys(t), records(t, set...), nil, testNow, new(Work))
	demand(t, "unsigned", r.Status, "bogus: no RRSIG record")
	demand(t, "without keys", v.VerifyRRset(nil, records(t, set...), nil, testNow, new(Work)).Status, "indeterminate")
}

// A labels field below the number of labels of the zone would make the record stem from
// a wildcard above the zone.
func TestLabelsBelowTheSigner(t *testing.T) {
	k := newKey(t, "a.b.example.", foreign.ECDSAP256SHA256, 256)
	v := New(Config{})
	set := parse(t, "www.a.b.example. 300 IN A 192.0.2.1")
	for labels, want := range map[uint8]string{
		0: "bogus: malformed record",
		2: "bogus: malformed record",
		5: "bogus: malformed record",
	} {
		// A right signature over what the labels field makes of the owner.
		wild := set
		if labels == 2 {
			wild = parse(t, "*."+foreignSuffix("www.a.b.example.", int(labels))+" 300 IN A 192.0.2.1")
		}
		sig := k.sign(t, wild)
		ours := records(t, set[0], sig)
		ours[1].Name = ours[0].Name
		ours[1].Data[3] = labels
		r := v.VerifyRRset(k.keys(t), ours[:1], ours[1:], testNow, new(Work))
		demand(t, fmt.Sprintf("%d labels", labels), r.Status, want)
	}
}

// foreignSuffix is the last labels labels of a name.
func foreignSuffix(name string, labels int) string {
	all := foreign.SplitDomainName(name)
	out := ""
	for _, l := range all[len(all)-labels:] {
		out += l + "."
	}
	return out
}

func TestRRsetOfSeveralKinds(t *testing.T) {
	k := newKey(t, "example.", foreign.ED25519, 256)
	v := New(Config{})
	keys := k.keys(t)
	good := k.signed(t, "www.example. 300 IN A 192.0.2.1")
	for name, change := range map[string]func(rr *dns.RR){
		"another name":         func(rr *dns.RR) { rr.Name = dns.MustName("ww.example.") },
		"another type":         func(rr *dns.RR) { rr.Type = dns.TypeTXT },
		"another class":        func(rr *dns.RR) { rr.Class = dns.ClassCH },
		"a name outside":       func(rr *dns.RR) { rr.Name = dns.MustName("www.example.net.") },
		"a name that is none":  func(rr *dns.RR) { rr.Name = "\x03www\x07exam" },
		"a name with pointers": func(rr *dns.RR) { rr.Name = "\x03www\xC0\x0C\x00" },
		"no name":              func(rr *dns.RR) { rr.Name = "" },
	} {
		set := []dns.RR{good[0]}
		change(&set[0])
		demand(t, name+", alone", Status{outcome: v.VerifyRRset(keys, set, good, testNow, new(Work)).Status.outcome}, "bogus")
		set = append([]dns.RR{good[0]}, set...)
		demand(t, name+", beside", Status{outcome: v.VerifyRRset(keys, set, good, testNow, new(Work)).Status.outcome}, "bogus")
	}
	demand(t, "a record twice", v.VerifyRRset(keys, []dns.RR{good[0], good[0]}, good, testNow, new(Work)).Status, "secure")
	demand(t, "nothing", v.VerifyRRset(keys, nil, good, testNow, new(Work)).Status, "bogus: malformed record")
}
