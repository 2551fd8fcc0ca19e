package dnssec

import (
	"bytes"
	"strings"
	"testing"

	foreign "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

// twoStates is a text of two zones' states.
func twoStates(t testing.TB) []byte {
	t.Helper()
	k := fixed(t)
	anchors, err := ParseAnchors(RootAnchors + k.public.ToDS(foreign.SHA256).String())
	if err != nil {
		t.Fatal(err)
	}
	next, _, status := New(Config{}).Observe(NewRollover(dns.MustName("example."), anchors), keySet(t, k), testNow, new(Work))
	demand(t, "example.", status, "secure")
	states := []Rollover{NewRollover(dns.Root, anchors), next}
	text, err := MarshalRollovers(states)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRolloversText(t *testing.T) {
	text := twoStates(t)
	states, err := ParseRollovers(text)
	if err != nil || len(states) != 2 {
		t.Fatalf("%d states, %v", len(states), err)
	}
	if r, ok := StateOf(dns.MustName("example."), states); !ok || len(r.Keys) != 1 || len(r.DS()) != 1 {
		t.Errorf("example.: %v %v", r, ok)
	}
	if again, err := MarshalRollovers(states); err != nil || !bytes.Equal(again, text) {
		t.Errorf("%s\nreads back as\n%s", text, again)
	}
	for n := range text {
		if n == len(text)-1 {
			break // the last line's end is no part of it
		}
		if _, err := ParseRollovers(text[:n]); err == nil {
			t.Fatalf("cut to %d octets of %d, and read", n, len(text))
		}
		bad := bytes.Clone(text)
		bad[n] ^= 0x01
		if _, err := ParseRollovers(bad); err == nil {
			t.Fatalf("octet %d changed, and read:\n%s", n, bad)
		}
	}
}

func TestRolloversTextRefuses(t *testing.T) {
	one := []Rollover{{Zone: dns.Root}}
	twice, err := MarshalRollovers([]Rollover{one[0], one[0]})
	if err != nil {
		t.Fatal(err)
	}
	many := make([]Rollover, MaxManagedZones+1)
	for i := range many {
		many[i].Zone = dns.MustName(strings.Repeat("a", i%60+1) + strings.Repeat(".b", i/60) + ".")
	}
	tooMany, err := MarshalRollovers(many)
	if err != nil {
		t.Fatal(err)
	}
	for want, text := range map[string][]byte{
		"two trust anchor states": twice,
		"more than 64 zones":      tooMany,
		"octets":                  bytes.Repeat([]byte(" "), MaxRolloversText+1),
		"without a digest":        nil,
	} {
		if _, err := ParseRollovers(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// FuzzRollovers reads damaged and forged states: no panic, and what is read is what would
// be written.
func FuzzRollovers(f *testing.F) {
	f.Add(twoStates(f))
	f.Add([]byte("zone .\nsha256 00\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := ParseRollovers(text); err == nil && !bytes.Contains(text, []byte(digestField)) {
			t.Error("read without a digest")
		}
		// The digest keeps a fuzzer out: what stands before it is tried by itself.
		for _, section := range sections(text) {
			var r Rollover
			if r.UnmarshalText(section) != nil {
				continue
			}
			once, err := MarshalRollovers([]Rollover{r})
			if err != nil {
				t.Fatal(err)
			}
			states, err := ParseRollovers(once)
			if err != nil {
				t.Fatalf("%v in\n%s", err, once)
			}
			if again, _ := MarshalRollovers(states); !bytes.Equal(again, once) {
				t.Fatalf("%s\nreads back as\n%s", once, again)
			}
		}
	})
}
