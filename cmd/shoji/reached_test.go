package main

import (
	"slices"
	"testing"

	"github.com/shoji-dns/shoji/internal/config"
)

// TestReached: over HTTPS both views have one name, and over TLS and QUIC each has its own.
func TestReached(t *testing.T) {
	conf, err := config.Parse([]byte(`
listen: {filtered: ["192.0.2.1:53"], unfiltered: ["192.0.2.2:5353"]}
encrypted:
  dot: ["192.0.2.1:853"]
  doh: ["192.0.2.1:443"]
  doq: ["192.0.2.1:853"]
  filtered: {name: dns1.example}
  unfiltered: {name: dns2.example}
`))
	if err != nil {
		t.Fatal(err)
	}
	r := reached(conf)
	for what, lists := range map[string][2][]string{
		"plain, filtered":       {r.Filtered, {"192.0.2.1"}},
		"plain, unfiltered":     {r.Unfiltered, {"192.0.2.2:5353"}},
		"encrypted, filtered":   {r.EncryptedFiltered, {"https://dns1.example/dns-query", "tls://dns1.example", "quic://dns1.example"}},
		"encrypted, unfiltered": {r.EncryptedUnfiltered, {"https://dns1.example/dns-fully", "tls://dns2.example", "quic://dns2.example"}},
	} {
		if !slices.Equal(lists[0], lists[1]) {
			t.Errorf("%s: %v, want %v", what, lists[0], lists[1])
		}
	}
}
