package config

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEmptyFileIsTheDefault(t *testing.T) {
	c, err := Parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Listen.Filtered[0].String(); got != "127.0.0.1:5300" {
		t.Errorf("filtered listens on %s", got)
	}
	if got := c.Listen.Unfiltered[1].String(); got != "[::1]:5301" {
		t.Errorf("unfiltered listens on %s", got)
	}
	if c.State == "" {
		t.Error("no state folder")
	}
}

func TestEveryKey(t *testing.T) {
	c, err := Parse([]byte(`
state: /srv/shoji
names: [dns.isp.example]
listen:
  filtered: [192.0.2.1:53, "[2001:db8::1]:53"]
  unfiltered: [192.0.2.2:53]
  allow: [192.0.2.0/24]
  workers: 4
resolve:
  root_hints:
    - {name: a.root.test, addr: 198.18.0.11}
  qname_minimisation: strict
  ipv6: false
cache: {size: 1GiB}
sinkhole: {ipv4: 192.0.2.53, ipv6: "2001:db8::53", ttl: 30s}
forward: [192.0.2.9, "192.0.2.10:5353"]
reporting: {level: warn}
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Cache.Size != 1<<30 || c.Sinkhole.TTL != Duration(30*time.Second) || *c.Resolve.IPv6 || !*c.Resolve.IPv4 {
		t.Errorf("read %+v", c)
	}
	if c.Forward[0].Port() != 53 || c.Forward[1].Port() != 5353 || c.Forward[0].Addr() != netip.MustParseAddr("192.0.2.9") {
		t.Errorf("forward: %v", c.Forward)
	}
	if c.Resolve.RootHints[0].Addr != netip.MustParseAddr("198.18.0.11") || c.Listen.Allow[0].Bits() != 24 {
		t.Errorf("read %+v", c)
	}
}

func TestKeysWithoutAValueKeepTheDefault(t *testing.T) {
	c, err := Parse([]byte("resolve: {ipv4: null, ipv6:}\nlisten:\n"))
	if err != nil || !*c.Resolve.IPv4 || !*c.Resolve.IPv6 || len(c.Listen.Filtered) != 2 {
		t.Errorf("read %+v, error %v", c, err)
	}
}

func TestErrorsSayWhatWhereAndWhatToDo(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"listn: {}\n", `line 1, column 1: unknown key "listn"; did you mean "listen"?`},
		{"listen:\n  filterd: []\n", `line 2, column 3: unknown key "filterd"; did you mean "listen.filtered"?`},
		{"cache: {size: 3 bananas}\n", "write it like 64MiB"},
		{"cache: {size: 1KiB}\n", "cache.size"},
		{"sinkhole: {ipv4: '::1'}\n", "sinkhole.ipv4"},
		{"listen: {filtered: [localhost]}\n", "write it like 192.0.2.1:53"},
		{"listen: {filtered: [192.0.2.1]}\n", "write it like 192.0.2.1:53"},
		{"listen: {filtered: [], unfiltered: []}\n", "neither view"},
		{"resolve: {ipv4: false, ipv6: false}\n", "both off"},
		{"resolve: {qname_minimisation: perhaps}\n", "relaxed, strict, off"},
		{"sinkhole: {ttl: 2h}\n", "sinkhole.ttl"},
		{"listen: {filtered: ['127.0.0.1:53'], unfiltered: ['127.0.0.1:53']}\n", "both views have 127.0.0.1:53"},
		{"state: [\n", "line"},
	} {
		_, err := Parse([]byte(tc.in))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: error %v, want one with %q", tc.in, err, tc.want)
		}
	}
}

func TestLoadBoundsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big.yaml")
	if err := os.WriteFile(path, []byte(strings.Repeat("# filler\n", MaxFile/8)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("error %v", err)
	}
}

// TestSchemaNamesEveryKey holds the schema to the structs that are read.
func TestSchemaNamesEveryKey(t *testing.T) {
	b, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var s map[string]any
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	props := s["properties"].(map[string]any)
	for _, key := range []string{"state", "names", "listen", "resolve", "cache", "sinkhole", "forward", "reporting"} {
		if props[key] == nil {
			t.Errorf("schema lacks %q", key)
		}
	}
	listen := props["listen"].(map[string]any)["properties"].(map[string]any)
	if items := listen["filtered"].(map[string]any)["items"].(map[string]any); items["type"] != "string" {
		t.Errorf("an address is %v in the schema", items)
	}
	if s["additionalProperties"] != false {
		t.Error("the schema allows unknown keys")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("resolve: {ipv4: null}\n"))
	f.Add([]byte("listen: {filtered: ['[::1]:53']}\n"))
	f.Add([]byte("cache: {size: 64MiB}\nresolve: {timeout: 3s}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4096 {
			return
		}
		c, err := Parse(b)
		if err == nil && len(c.Listen.Filtered)+len(c.Listen.Unfiltered) == 0 {
			t.Error("accepted a configuration that listens nowhere")
		}
	})
}
