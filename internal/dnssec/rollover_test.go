package dnssec

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	foreign "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

const day = 24 * time.Hour

// observed is a DNSKEY response at a time: the members, signed by the signers for ten
// days around.
func observed(t *testing.T, now time.Time, signers []*testKey, members ...*testKey) []dns.RR {
	t.Helper()
	var rrs []foreign.RR
	for _, m := range members {
		rrs = append(rrs, m.public)
	}
	out := slices.Clone(rrs)
	for _, s := range signers {
		out = append(out, s.sign(t, rrs, func(sig *foreign.RRSIG) {
			sig.Inception, sig.Expiration = uint32(now.Add(-day).Unix()), uint32(now.Add(10*day).Unix())
		}))
	}
	return records(t, out...)
}

// revokedTwin is the key with the revoke bit set.
func revokedTwin(k *testKey) *testKey {
	c := *k.public
	c.Flags |= FlagRevoke
	return &testKey{k.zone, &c, k.secret}
}

// story drives a Rollover and shows it as "tag state" lines with names for the tags.
type story struct {
	t     *testing.T
	v     *Validator
	r     Rollover
	now   time.Time
	names map[string]string // by public key
}

func (s *story) see(after time.Duration, signers []*testKey, members ...*testKey) Status {
	s.t.Helper()
	s.now = s.now.Add(after)
	before, _ := s.r.MarshalText()
	next, _, status := s.v.Observe(s.r, observed(s.t, s.now, signers, members...), s.now, new(Work))
	if unchanged, _ := s.r.MarshalText(); string(unchanged) != string(before) {
		s.t.Fatal("Observe changed its argument")
	}
	// The state goes through its text at every step, as a restart would have it.
	text, err := next.MarshalText()
	if err != nil {
		s.t.Fatal(err)
	}
	s.r = Rollover{}
	if err := s.r.UnmarshalText(text); err != nil {
		s.t.Fatalf("%v in\n%s", err, text)
	}
	if again, _ := s.r.MarshalText(); string(again) != string(text) {
		s.t.Fatalf("text\n%s\nreads back as\n%s", text, again)
	}
	return status
}

func (s *story) want(what, want string) {
	s.t.Helper()
	var got []string
	for _, m := range s.r.Keys {
		got = append(got, s.names[m.Key.PublicKey]+" "+m.State.String())
	}
	slices.Sort(got)
	if g := strings.Join(got, ", "); g != want {
		s.t.Fatalf("%s: %s; want %s", what, g, want)
	}
}

func newStory(t *testing.T, anchor string, keys map[string]*testKey) *story {
	t.Helper()
	anchors, err := ParseAnchors(anchor)
	if err != nil {
		t.Fatal(err)
	}
	s := &story{t: t, v: New(Config{}), r: NewRollover(dns.Root, anchors), now: testNow, names: map[string]string{}}
	for name, k := range keys {
		parsed, _ := ParseDNSKEY(records(t, k.public)[0].Data)
		s.names[parsed.PublicKey] = name
	}
	return s
}

func TestRollover(t *testing.T) {
	old, young := newKey(t, ".", foreign.ECDSAP256SHA256, 256), newKey(t, ".", foreign.ECDSAP256SHA256, 256)
	zsk := newKey(t, ".", foreign.ECDSAP256SHA256, 256)
	zsk.public.Flags = 256
	by := func(k ...*testKey) []*testKey { return k }
	for _, anchor := range []string{old.public.ToDS(2).String(), old.public.String()} {
		s := newStory(t, anchor, map[string]*testKey{"old": old, "young": young, "zsk": zsk})
		demand(t, "first sight", s.see(0, by(old), old, zsk), "secure")
		s.want("first sight", "old valid")
		demand(t, "second key", s.see(day, by(old), old, young, zsk), "secure")
		s.want("second key", "old valid, young pending")
		s.see(29*day, by(old), old, young, zsk)
		s.want("hold-down", "old valid, young pending")
		if got := s.see(0, by(young), old, young, zsk); !got.IsBogus() {
			t.Errorf("a pending key makes the set %v", got)
		}
		s.see(day, by(old), old, young, zsk)
		s.want("after the hold-down", "old valid, young valid")
		demand(t, "new key signs", s.see(day, by(young), young, zsk), "secure")
		s.want("old key gone", "old missing, young valid")
		s.see(day, by(young), old, young, zsk)
		s.want("old key back", "old valid, young valid")
		s.see(day, by(young, revokedTwin(old)), revokedTwin(old), young, zsk)
		s.want("old key revoked", "old revoked, young valid")
		if got := s.see(day, by(old), old, zsk); !got.IsBogus() {
			t.Errorf("a revoked key makes the set %v", got)
		}
		s.see(day, by(young), old, young, zsk)
		s.want("revoked key without the bit", "old revoked, young valid")
		s.see(30*day, by(young), young, zsk)
		s.want("long after", "old removed, young valid")
		anchors, _ := ParseAnchors(anchor)
		s.r = s.r.Trust(anchors)
		if got := s.see(day, by(old), old, young, zsk); !got.IsBogus() {
			t.Errorf("configuration brings a revoked key back: %v", got)
		}
	}
}

func TestRolloverHoldDownBeginsAnew(t *testing.T) {
	old, young := newKey(t, ".", foreign.ED25519, 256), newKey(t, ".", foreign.ED25519, 256)
	s := newStory(t, old.public.String(), map[string]*testKey{"old": old, "young": young})
	s.see(0, []*testKey{old}, old, young)
	s.want("first", "old valid, young pending")
	s.see(20*day, []*testKey{old}, old)
	s.want("gone", "old valid")
	s.see(day, []*testKey{old}, old, young)
	s.see(29*day, []*testKey{old}, old, young)
	s.want("30 days after its first sight, 29 after its second", "old valid, young pending")
	s.see(day, []*testKey{old}, old, young)
	s.want("30 days after its second", "old valid, young valid")
}

// A forged set changes nothing but the time of the next query.
func TestRolloverForged(t *testing.T) {
	old, evil := newKey(t, ".", foreign.ED25519, 256), newKey(t, ".", foreign.ED25519, 256)
	s := newStory(t, old.public.String(), map[string]*testKey{"old": old, "evil": evil})
	s.see(0, []*testKey{old}, old)
	for what, signers := range map[string][]*testKey{"forged": {evil}, "unsigned": nil} {
		s.see(day, signers, evil, revokedTwin(old))
		s.want(what, "old valid")
		if !s.r.Next.Equal(s.now.Add(max(minRefresh, s.r.Interval/5))) {
			t.Errorf("%s: next at %v", what, s.r.Next)
		}
	}
	s.see(day, []*testKey{evil, old}, evil, revokedTwin(old), old)
	s.want("revocation not signed by the key itself", "evil pending, old valid")
}

// The last key revokes itself: the zone has no trust anchor any more (RFC 5011 §5).
func TestRolloverLastKeyRevoked(t *testing.T) {
	for _, seen := range []bool{true, false} {
		old := newKey(t, ".", foreign.ED25519, 256)
		s := newStory(t, old.public.ToDS(2).String(), map[string]*testKey{"old": old})
		if seen {
			s.see(0, []*testKey{old}, old)
		}
		s.see(day, []*testKey{revokedTwin(old)}, revokedTwin(old))
		s.want("revoked", "old revoked")
		if len(s.r.DS()) != 0 || len(s.r.Tags()) != 0 {
			t.Errorf("seen before %v: anchors %v", seen, s.r.DS())
		}
	}
}

// An anchor whose key is not in the zone yet stays one.
func TestRolloverStandbyAnchor(t *testing.T) {
	old, next := newKey(t, ".", foreign.ED25519, 256), newKey(t, ".", foreign.ED25519, 256)
	s := newStory(t, old.public.ToDS(2).String()+"\n"+next.public.ToDS(2).String(), map[string]*testKey{"old": old, "next": next})
	s.see(0, []*testKey{old}, old)
	s.want("first", "old valid")
	if len(s.r.Tags()) != 2 {
		t.Errorf("tags %v", s.r.Tags())
	}
	s.see(day, []*testKey{old}, old, next)
	s.want("the key appears", "next valid, old valid")
	if len(s.r.Anchors) != 0 {
		t.Errorf("anchors %v", s.r.Anchors)
	}
}

func TestRolloverPendingKeyIsConfigured(t *testing.T) {
	old, next := newKey(t, ".", foreign.ED25519, 256), newKey(t, ".", foreign.ED25519, 256)
	s := newStory(t, old.public.String(), map[string]*testKey{"old": old, "next": next})
	s.see(0, []*testKey{old}, old, next)
	anchors, _ := ParseAnchors(next.public.String())
	s.r = s.r.Trust(anchors)
	demand(t, "signed by the configured key alone", s.see(day, []*testKey{next}, old, next), "secure")
	s.want("configured", "next valid, old valid")
}

// Intervals of RFC 5011 §2.3: half the TTL and half the signature's life, within
// bounds.
func TestRolloverIntervals(t *testing.T) {
	for _, c := range []struct {
		ttl         uint32
		left        time.Duration
		want, retry time.Duration
	}{
		{172800, 10 * day, day, day / 5},
		{172800, day, day / 2, day / 10},
		{60, 10 * day, time.Hour, time.Hour},
		{1 << 30, 365 * day, 15 * day, day},
	} {
		k := newKey(t, ".", foreign.ED25519, 256)
		k.public.Hdr.Ttl = c.ttl
		set := []foreign.RR{k.public}
		sig := k.sign(t, set, func(s *foreign.RRSIG) { s.Expiration = uint32(testNow.Add(c.left).Unix()) })
		s := newStory(t, k.public.String(), nil)
		r, _, status := s.v.Observe(s.r, records(t, k.public, sig), testNow, new(Work))
		demand(t, "set", status, "secure")
		if !r.Refreshed.Equal(testNow) || !r.Next.Equal(testNow.Add(c.want)) {
			t.Errorf("TTL %d, %v left: next in %v, want %v", c.ttl, c.left, r.Next.Sub(testNow), c.want)
		}
		if r = r.Retry(testNow); !r.Next.Equal(testNow.Add(c.retry)) {
			t.Errorf("TTL %d, %v left: retry in %v, want %v", c.ttl, c.left, r.Next.Sub(testNow), c.retry)
		}
	}
}

func TestRolloverKeysAreBounded(t *testing.T) {
	old := newKey(t, ".", foreign.ED25519, 256)
	members := []*testKey{old}
	for i := range 3 * maxManagedKeys {
		c := *old.public
		c.PublicKey = base64Of(slices.Repeat([]byte{byte(i)}, 32))
		members = append(members, &testKey{".", &c, nil})
	}
	s := newStory(t, old.public.String(), nil)
	demand(t, "set", s.see(0, []*testKey{old}, members...), "secure")
	if len(s.r.Keys) != maxManagedKeys {
		t.Errorf("%d keys", len(s.r.Keys))
	}
}

func TestRolloverTextRefuses(t *testing.T) {
	key := "key valid since - until - . IN DNSKEY 257 3 15 " + base64Of(make([]byte, 32))
	for what, text := range map[string]string{
		"nothing":               "",
		"no zone":               "refreshed - next - interval 0s",
		"two zones":             "zone .\nzone .",
		"unknown line":          "zone .\nfoo bar",
		"unknown state":         "zone .\n" + strings.Replace(key, "valid", "good", 1),
		"a key twice":           "zone .\n" + key + "\n" + key,
		"a key of another zone": "zone example.\n" + key,
		"a DS record as a key":  "zone .\nkey valid since - until - . IN DS 1 13 2 " + strings.Repeat("ab", 32),
		"a key as an anchor":    "zone .\nanchor . IN DNSKEY 257 3 15 " + base64Of(make([]byte, 32)),
		"no anchor":             "zone .\nanchor",
		"bad time":              "zone .\nrefreshed yesterday next - interval 0s",
		"bad interval":          "zone .\nrefreshed - next - interval 9999h",
		"too many keys":         "zone .\n" + manyKeys(maxManagedKeys+1),
		"too long":              strings.Repeat(";", maxRolloverText+1),
	} {
		r := Rollover{Zone: dns.MustName("kept.")}
		if err := r.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%s is accepted: %v", what, r)
		}
		if !reflect.DeepEqual(r, Rollover{Zone: dns.MustName("kept.")}) {
			t.Errorf("%s: the state changed", what)
		}
	}
	var r Rollover
	if err := r.UnmarshalText([]byte("zone .\n" + manyKeys(maxManagedKeys))); err != nil {
		t.Error(err)
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "key pending since - until - . IN DNSKEY 257 3 15 %s\n", base64Of(slices.Repeat([]byte{byte(i)}, 32)))
	}
	return b.String()
}
