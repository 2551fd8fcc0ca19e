package dnssec

import (
	"slices"
	"strings"
	"testing"

	foreign "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

func TestParseAnchors(t *testing.T) {
	k := newKey(t, "Example.", foreign.ECDSAP256SHA256, 256)
	for what, text := range map[string]string{
		"DNSKEY":                k.public.String(),
		"DS":                    k.public.ToDS(2).String(),
		"no class":              "example. DS " + rdata(k.public.ToDS(2)),
		"TTL alone":             "example. 3600 DS " + rdata(k.public.ToDS(2)),
		"class and TTL":         "example. IN 3600 DS " + rdata(k.public.ToDS(2)),
		"lower case":            "example. in ds " + strings.ToLower(rdata(k.public.ToDS(2))),
		"comments":              "; a comment\n\n" + k.public.ToDS(2).String() + " ; and another\n",
		"parentheses":           "example. IN DNSKEY 257 3 13 ( ; begins\n" + wrapped(k.public.PublicKey) + " )\n",
		"a blank in the digest": "example. DS " + rdata(k.public.ToDS(2))[:20] + " " + rdata(k.public.ToDS(2))[20:],
	} {
		anchors, err := ParseAnchors(text)
		if err != nil || len(anchors) != 1 {
			t.Errorf("%s: %d anchors, %v", what, len(anchors), err)
			continue
		}
		a := anchors[0]
		if a.Zone != dns.MustName("example.") || a.DS != k.ds(t, 2) {
			t.Errorf("%s: %v", what, a)
		}
		if again, err := ParseAnchors(a.String()); err != nil || !slices.Equal(again, anchors) {
			t.Errorf("%s: %v reads back as %v, %v", what, a, again, err)
		}
	}
}

// rdata is a record's RDATA in presentation form.
func rdata(rr foreign.RR) string { return strings.TrimPrefix(rr.String(), rr.Header().String()) }

// wrapped breaks a text into lines.
func wrapped(s string) string {
	var lines []string
	for len(s) > 30 {
		lines, s = append(lines, "  "+s[:30]), s[30:]
	}
	return strings.Join(append(lines, s), "\n")
}

// A name may hold what has a meaning of its own in a zone file, if it is escaped.
func TestParseAnchorsEscapes(t *testing.T) {
	for _, name := range []string{`\(a.`, `\).`, `a\;b.`, `a\032b.`, `\\.`, `a\.b.c.`} {
		text := name + " IN DS 1 13 2 (" + strings.Repeat("ab", 32) + ");x"
		anchors, err := ParseAnchors(text)
		if err != nil || len(anchors) != 1 || anchors[0].Zone != dns.MustName(name) {
			t.Errorf("%s: %v, %v", name, anchors, err)
			continue
		}
		if again, err := ParseAnchors(anchors[0].String()); err != nil || !slices.Equal(again, anchors) {
			t.Errorf("%s reads back as %v, %v", name, again, err)
		}
		var r, back Rollover
		r = NewRollover(anchors[0].Zone, anchors)
		state, _ := r.MarshalText()
		if err := back.UnmarshalText(state); err != nil || back.Zone != r.Zone || len(back.Anchors) != 1 {
			t.Errorf("%s: the roll-over reads back as %v, %v", name, back, err)
		}
	}
}

func TestParseAnchorsRefuses(t *testing.T) {
	digest := strings.Repeat("ab", 32)
	for what, text := range map[string]string{
		"nothing":              "; just a comment",
		"another type":         "example. IN A 192.0.2.1 1 1 1",
		"short digest":         "example. IN DS 1 13 2 abcd",
		"odd digest":           "example. IN DS 1 13 2 " + digest[1:],
		"no hex":               "example. IN DS 1 13 2 " + digest[2:] + "xy",
		"tag too large":        "example. IN DS 65536 13 2 " + digest,
		"algorithm too large":  "example. IN DS 1 256 2 " + digest,
		"negative":             "example. IN DS -1 13 2 " + digest,
		"too few fields":       "example. IN DS 1 13",
		"not a zone key":       "example. IN DNSKEY 1 3 15 " + base64Of(make([]byte, 32)),
		"revoked":              "example. IN DNSKEY 385 3 15 " + base64Of(make([]byte, 32)),
		"another protocol":     "example. IN DNSKEY 257 2 15 " + base64Of(make([]byte, 32)),
		"bad base 64":          "example. IN DNSKEY 257 3 15 AAA",
		"open parenthesis":     "example. IN DS ( 1 13 2 " + digest,
		"closed parenthesis":   "example. IN DS 1 13 2 " + digest + " )",
		"nested parentheses":   "example. IN DS ( ( 1 13 2 " + digest + " ) )",
		"a name that is none":  "ex..ample. IN DS 1 13 2 " + digest,
		"one good, one bad":    ". IN DS 1 13 2 " + digest + "\n. IN DS 1 13 2 zz",
		"more than is allowed": strings.Repeat(". IN DS 1 13 2 "+digest+"\n", maxAnchors+1),
		"a very long text":     strings.Repeat(" ", maxAnchorText+1),
	} {
		if anchors, err := ParseAnchors(text); err == nil {
			t.Errorf("%s: %v", what, anchors)
		}
	}
}

func TestRootAnchors(t *testing.T) {
	anchors, err := ParseAnchors(RootAnchors)
	if err != nil {
		t.Fatal(err)
	}
	set := AnchorsOf(dns.Root, anchors)
	if len(set) != 2 || set[0].Tag != 20326 || set[1].Tag != 38696 {
		t.Errorf("%v", set)
	}
	if len(AnchorsOf(dns.MustName("example."), anchors)) != 0 {
		t.Error("the root's anchors are another zone's")
	}
}

func TestKeyTagQuery(t *testing.T) {
	for _, c := range []struct {
		zone string
		tags []uint16
		want string
	}{
		{".", []uint16{20326}, "_ta-4f66."},
		{".", []uint16{38696, 20326, 38696}, "_ta-4f66-9728."},
		{"example.", []uint16{5}, "_ta-0005.example."},
		{".", nil, ""},
		{".", make([]uint16, MaxSignalledTags+1), "_ta-0000."},
	} {
		name, ok := KeyTagQuery(dns.MustName(c.zone), c.tags)
		if present(name) != c.want || ok != (c.want != "") {
			t.Errorf("%s %v: %s, want %s", c.zone, c.tags, present(name), c.want)
		}
	}
	var many []uint16
	for i := range uint16(MaxSignalledTags + 1) {
		many = append(many, i)
	}
	if _, ok := KeyTagQuery(dns.Root, many); ok {
		t.Error("more tags than a label holds")
	}
	if name, ok := KeyTagQuery(dns.Root, many[1:]); !ok || name[0] != 63 {
		t.Errorf("%v", name)
	}
}

func TestSentinel(t *testing.T) {
	secure, insecure := Status{outcome: secure}, Status{outcome: insecure}
	tags := []uint16{20326, 38696}
	for _, c := range []struct {
		name    string
		t       dns.Type
		status  Status
		refuses bool
	}{
		{"root-key-sentinel-is-ta-20326.example.", dns.TypeA, secure, false},
		{"root-key-sentinel-is-ta-19036.example.", dns.TypeA, secure, true},
		{"root-key-sentinel-not-ta-20326.example.", dns.TypeAAAA, secure, true},
		{"root-key-sentinel-not-ta-19036.example.", dns.TypeAAAA, secure, false},
		{"Root-Key-SENTINEL-is-ta-19036.example.", dns.TypeAAAA, secure, true},
		{"root-key-sentinel-is-ta-19036.example.", dns.TypeTXT, secure, false},
		{"root-key-sentinel-is-ta-19036.example.", dns.TypeA, insecure, false},
		{"root-key-sentinel-is-ta-19036.", dns.TypeA, secure, true},
	} {
		s, ok := ParseSentinel([]byte(dns.MustName(c.name)))
		if !ok {
			t.Errorf("%s is not recognised", c.name)
		}
		if s.Refuses(c.t, c.status, tags) != c.refuses {
			t.Errorf("%s %v %v: refuses %v", c.name, c.t, c.status, !c.refuses)
		}
	}
	for _, name := range []string{
		"root-key-sentinel-is-ta-2032.example.", "root-key-sentinel-is-ta-020326.example.", "root-key-sentinel-is-ta-2032x.example.",
		"root-key-sentinel-is-ta-65536.example.", "root-key-sentinel-not-ta-.example.", "x.root-key-sentinel-is-ta-20326.example.", "example.", ".",
	} {
		if s, ok := ParseSentinel([]byte(dns.MustName(name))); ok {
			t.Errorf("%s: %v", name, s)
		}
	}
	if _, ok := ParseSentinel(nil); ok {
		t.Error("no name")
	}
	if _, ok := ParseSentinel([]byte{29, 'r'}); ok {
		t.Error("a name cut short")
	}
}
