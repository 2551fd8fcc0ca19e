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
	if r := c.Resolve; r.Rollover != nil || !*r.Signalling || !*r.Sentinel || !*r.Aggressive {
		t.Errorf("trust anchors: %+v", r)
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
  rate_limit: 200
  cookie_secret: "000102030405060708090a0b0c0d0e0f, 0f0e0d0c0b0a09080706050403020100"
identity: {nsid: node 7, id_server: tokyo, version: ""}
resolve:
  root_hints:
    - {name: a.root.test, addr: 198.18.0.11}
  qname_minimisation: strict
  ipv6: false
  sha1: true
  nsec3_iterations: 100
  trust_anchor_rollover: false
  trust_anchor_signaling: false
  sentinel: false
  aggressive_nsec: false
  validation_time: "2007-04-18T10:15:46Z"
  loopback: true
  cookies: false
  copies:
    - {zone: ., transfer_from: [192.0.2.1, "192.0.2.2:5353"]}
    - {zone: example, file: /srv/example.zone}
  zones:
    - {name: corp.example, kind: stub, servers: [192.0.2.1, "192.0.2.2:5353"], hosts: [ns1.corp.example], first: true, tcp: true, prime: true}
    - {name: ., kind: forward, servers: ["2001:db8::1"]}
cache: {size: 1GiB, nonrecursive: true, min_ttl: 10s, max_ttl: 2h, min_negative_ttl: 5s, max_negative_ttl: 10m, prefetch: false,
  stale: {enabled: false, max_age: 1h, answer_ttl: 10s, client_timeout: 0s}}
sinkhole: {ipv4: 192.0.2.53, ipv6: "2001:db8::53", ttl: 30s}
forward: [192.0.2.9, "192.0.2.10:5353", "tls://192.0.2.11#dns.example"]
forward_fallback: true
reporting: {level: warn}
transfer:
  listen: [192.0.2.1:5353]
  zone: rpz.isp.example
  flavour: nxdomain
  keys:
    - {name: one.example, secret: MDEyMzQ1Njc4OWFiY2RlZg==}
    - {name: two.example, algorithm: hmac-sha512, secret_file: /srv/two.key}
  allow: [{from: 192.0.2.0/24, key: one.example}, {from: "2001:db8::/32"}]
  notify: [{to: 192.0.2.3, key: two.example}, {to: "[2001:db8::3]:5353"}]
information: {url: "https://dns.isp.example/", policy: "https://dns.isp.example/policy", log: "https://log.isp.example/", contact: ["mailto:desk@isp.example"], justification: it controls malware, organisation: ISP, language: en-GB, database: isp}
rebinding: {enabled: true, allow: [plex.direct], prefixes: [10.0.0.0/8]}
dns64: {prefix: "64:ff9b::/96", exclude: ["::ffff:0:0/96"], synthesise_all: true}
log: {listen: [192.0.2.1:80]}
metrics: {listen: ["127.0.0.1:9353"]}
local_zones:
  - {name: 10.in-addr.arpa, kind: nodefault}
  - {name: home.example, kind: static, records: ["printer 3600 IN A 192.168.1.9"]}
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Cache.Size != 1<<30 || c.Sinkhole.TTL != Duration(30*time.Second) || *c.Resolve.IPv6 || !*c.Resolve.IPv4 {
		t.Errorf("read %+v", c)
	}
	if want := time.Date(2007, 4, 18, 10, 15, 46, 0, time.UTC); !c.Resolve.SHA1 || c.Resolve.Iterations != 100 || !c.Resolve.Validation.Time.Equal(want) {
		t.Errorf("sha1 %t, validation at %v", c.Resolve.SHA1, c.Resolve.Validation)
	}
	off := c.Cache
	off.Prefetch, off.Stale.Enabled = nil, nil
	if want := (Cache{Size: 1 << 30, MinTTL: Duration(10 * time.Second), MaxTTL: Duration(2 * time.Hour),
		MinNegativeTTL: Duration(5 * time.Second), MaxNegativeTTL: Duration(10 * time.Minute), Nonrecursive: true,
		Stale: Stale{MaxAge: Duration(time.Hour), AnswerTTL: Duration(10 * time.Second)}}); off != want ||
		*c.Cache.Prefetch || *c.Cache.Stale.Enabled {
		t.Errorf("cache: %+v", c.Cache)
	}
	if r := c.Resolve; r.Rollover == nil || *r.Rollover || *r.Signalling || *r.Sentinel || *r.Aggressive {
		t.Errorf("trust anchors: %+v", c.Resolve)
	}
	if f := c.Forward; f[0].Port() != 53 || f[1].Port() != 5353 || f[0].Addr() != netip.MustParseAddr("192.0.2.9") || f[2].URL != "tls://192.0.2.11#dns.example" || !c.Fallback {
		t.Errorf("forward: %v", c.Forward)
	}
	if z := c.Resolve.Zones; z[0].Servers[1].Port() != 5353 || !z[0].First || !z[0].TCP || !z[0].Prime || z[0].Hosts[0] != "ns1.corp.example" || z[1].Kind != "forward" || !c.Resolve.Loopback || *c.Resolve.Cookies || c.Resolve.Copies[0].From[1].Port() != 5353 || c.Resolve.Copies[1].File != "/srv/example.zone" {
		t.Errorf("zones: %+v", z)
	}
	if c.Listen.RateLimit != 200 || len(c.Listen.Cookies) != 2 || c.Listen.Cookies[0][15] != 15 || c.Listen.Cookies[1][0] != 15 {
		t.Errorf("listen: %+v", c.Listen)
	}
	if c.Identity.NSID != "node 7" || c.Identity.Server != "tokyo" || c.Identity.VersionText() != "" {
		t.Errorf("identity: %+v", c.Identity)
	}
	if at := *c.Log.Listen; len(at) != 1 || at[0].String() != "192.0.2.1:80" {
		t.Errorf("log: %v", at)
	}
	if !c.Rebinding.Enabled || c.Rebinding.Allow[0] != "plex.direct" || c.Rebinding.Prefixes[0].Bits() != 8 {
		t.Errorf("rebinding: %+v", c.Rebinding)
	}
	if c.DNS64.Prefix.Bits() != 96 || len(c.DNS64.Exclude) != 1 || !c.DNS64.All {
		t.Errorf("dns64: %+v", c.DNS64)
	}
	if i := c.Information; i.Log != "https://log.isp.example/" || len(i.Contact) != 1 || i.Justification == "" || i.Organisation != "ISP" || i.Language != "en-GB" || i.Database != "isp" {
		t.Errorf("information: %+v", c.Information)
	}
	if c.LocalZones[0].Kind != "nodefault" || c.LocalZones[1].Records[0] != "printer 3600 IN A 192.168.1.9" {
		t.Errorf("local zones: %v", c.LocalZones)
	}
	if c.Resolve.RootHints[0].Addr != netip.MustParseAddr("198.18.0.11") || c.Listen.Allow[0].Bits() != 24 {
		t.Errorf("read %+v", c)
	}
}

func TestKeysWithoutAValueKeepTheDefault(t *testing.T) {
	c, err := Parse([]byte("resolve: {ipv4: null, ipv6:, sentinel:, aggressive_nsec:, trust_anchor_signaling:}\nlisten:\n"))
	if err != nil || !*c.Resolve.IPv4 || !*c.Resolve.IPv6 || !*c.Resolve.Sentinel || !*c.Resolve.Aggressive || !*c.Resolve.Signalling || len(c.Listen.Filtered) != 2 {
		t.Errorf("read %+v, error %v", c, err)
	}
}

func TestValidationTimes(t *testing.T) {
	want := time.Date(2007, 4, 18, 10, 15, 46, 0, time.UTC)
	for _, text := range []string{`"2007-04-18T10:15:46Z"`, "2007-04-18T12:15:46+02:00", "1176891346", `"1176891346"`, "20070418101546"} {
		c, err := Parse([]byte("resolve: {validation_time: " + text + "}\n"))
		if err != nil || !c.Resolve.Validation.Time.Equal(want) || c.Resolve.Validation.Any {
			t.Errorf("%s: read %+v, error %v", text, c.Resolve.Validation, err)
		}
	}
	for _, text := range []string{"-1", `"-1"`} {
		c, err := Parse([]byte("resolve: {validation_time: " + text + "}\n"))
		if err != nil || !c.Resolve.Validation.Any || !c.Resolve.Validation.Time.IsZero() {
			t.Errorf("%s: read %+v, error %v", text, c.Resolve.Validation, err)
		}
	}
}

func TestErrorsSayWhatWhereAndWhatToDo(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"listn: {}\n", `line 1, column 1: unknown key "listn"; did you mean "listen"?`},
		{"listen:\n  filterd: []\n", `line 2, column 3: unknown key "filterd"; did you mean "listen.filtered"?`},
		{"state: a\n---\nstate: b\n", "a second document"},
		{"cache: {size: 3 bananas}\n", "write it like 64MiB"},
		{"cache: {size: 1KiB}\n", "cache.size"},
		{"cache: {min_ttl: 2h}\n", "cache.min_ttl: 2h0m0s is not between 0s and 1h0m0s"},
		{"cache: {stale: {client_timeout: 11s}}\n", "cache.stale.client_timeout: 11s is not between 0s and 10s"},
		{"cache: {stale: {max_age: 0s}}\n", "cache.stale.max_age"},
		{"cache: {stale: {ttl: 30s}}\n", `unknown key "ttl"`},
		{"cache: {max_ttl: 0s}\n", "cache.max_ttl"},
		{"cache: {max_negative_ttl: 1000h}\n", "cache.max_negative_ttl"},
		{"cache: {min_ttl: 1m, max_ttl: 30s}\n", "longer than cache.max_ttl"},
		{"cache: {min_negative_ttl: 1m, max_negative_ttl: 30s}\n", "longer than cache.max_negative_ttl"},
		{"sinkhole: {ipv4: '::1'}\n", "sinkhole.ipv4"},
		{"listen: {filtered: [localhost]}\n", "write it like 192.0.2.1:53"},
		{"listen: {filtered: [192.0.2.1]}\n", "write it like 192.0.2.1:53"},
		{"listen: {filtered: [], unfiltered: []}\n", "neither view"},
		{"resolve: {ipv4: false, ipv6: false}\n", "both off"},
		{"resolve: {qname_minimisation: perhaps}\n", "relaxed, strict, off"},
		{"sinkhole: {ttl: 2h}\n", "sinkhole.ttl"},
		{"resolve: {validation_time: yesterday}\n", "write it like 2007-04-18T10:15:46Z"},
		{"resolve: {nsec3_iterations: 151}\n", "resolve.nsec3_iterations: 151 is more than 150"},
		{"resolve: {validation_time: -2}\n", "-1 for any time"},
		{"listen: {filtered: ['127.0.0.1:53'], unfiltered: ['127.0.0.1:53']}\n", "both views have 127.0.0.1:53"},
		{"local_zones: [{name: home.example, kind: statick}]\n", `local_zones[0] (home.example): kind "statick" is none of static, `},
		{"local_zones: [{kind: static}]\n", "local_zones[0]: no name"},
		{"listen: {cookie_secret: 0123}\n", "32 hexadecimal digits"},
		{"listen: {rate_limit: -1}\n", "listen.rate_limit"},
		{"identity: {nsid: " + strings.Repeat("x", 129) + "}\n", "identity.nsid"},
		{"dns64: {synthesise_all: true}\n", "dns64: no prefix"},
		{"rebinding: {prefixes: [" + strings.Repeat("10.0.0.0/8,", 65) + "]}\n", "rebinding.prefixes"},
		{"state: [\n", "line"},
		{"resolve: {zones: [{name: a.test, kind: sub, servers: [192.0.2.1]}]}\n", `resolve.zones[0] (a.test): kind "sub"`},
		{"resolve: {copies: [{zone: .}]}\n", "one of the two"},
		{"resolve: {zones: [{name: a.test, kind: stub}]}\n", "give addresses in servers"},
		{"resolve: {zones: [{name: a.test, kind: forward, prime: true, servers: [192.0.2.1]}]}\n", "prime is for stub zones"},
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
	f.Add([]byte("cache: {size: 64MiB}\nsinkhole: {ttl: 3s}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("names: !!binary AAAA\n"))
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

func TestTransferKeys(t *testing.T) {
	c, err := Parse([]byte("transfer: {listen: [192.0.2.1:53], keys: [{name: k, secret: x}], notify: [{to: 192.0.2.3, key: k}]}"))
	if err != nil {
		t.Fatal(err)
	}
	if tr := c.Transfer; tr.Zone != "rpz.shoji" || tr.Flavour != "sinkhole" || len(tr.Allow) != 2 || tr.Keys[0].Algorithm != "hmac-sha256" || tr.Notify[0].To.Port() != 53 {
		t.Errorf("read %+v", tr)
	}
	for text, want := range map[string]string{
		"{zone: ''}":                          "transfer.zone: no name",
		"{flavour: drop}":                     "neither sinkhole nor nxdomain",
		"{listen: [192.0.2.1:53], allow: []}": "nobody may transfer",
		"{keys: [{name: k}]}":                 "one of the two",
		"{keys: [{secret: x}]}":               "no name",
		"{keys: [{name: k, secret: x, algorithm: hmac-md5}]}":  "neither hmac-sha256 nor",
		"{keys: [{name: k, secret: x}, {name: k, secret: y}]}": "twice",
		"{allow: [{from: 192.0.2.0/24, key: k}]}":              `has no key "k"`,
		"{allow: [{key: ''}]}":                                 "no prefix",
		"{notify: [{to: 192.0.2.1, key: k}]}":                  `has no key "k"`,
		"{notify: [{key: ''}]}":                                "no address",
	} {
		if _, err := Parse([]byte("transfer: " + text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
