package serve

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
)

// A user asks by a sentinel's name whether key 20326 is trusted (RFC 8509 §3). Both views
// say the same, asked first and from the cache, and the cache keeps what the Internet said.
func TestSentinels(t *testing.T) {
	v := newViews(t, "*.evil.example")
	v.zone(`
	root-key-sentinel-is-ta-20326.test.example A ad
	root-key-sentinel-is-ta-20326.test.example. 60 IN A 192.0.2.1

	root-key-sentinel-not-ta-20326.test.example A ad
	root-key-sentinel-not-ta-20326.test.example. 60 IN A 192.0.2.1

	root-key-sentinel-is-ta-00001.test.example AAAA ad
	root-key-sentinel-is-ta-00001.test.example. 60 IN AAAA 2001:db8::1

	root-key-sentinel-is-ta-00001.test.example TXT ad
	root-key-sentinel-is-ta-00001.test.example. 60 IN TXT x

	root-key-sentinel-is-ta-00001.unsigned.example A
	root-key-sentinel-is-ta-00001.unsigned.example. 60 IN A 192.0.2.1

	root-key-sentinel-is-ta-00001.evil.example A ad
	root-key-sentinel-is-ta-00001.evil.example. 60 IN A 192.0.2.1
`)
	for _, s := range []*Server{v.filtered, v.twin} {
		s.cfg.Sentinel = func(name []byte, t dns.Type, status answer.Status) bool {
			sentinel, ok := dnssec.ParseSentinel(name)
			return ok && sentinel.Refuses(t, status, []uint16{20326})
		}
	}
	for _, tc := range []struct {
		query   string
		refused bool
	}{
		{"root-key-sentinel-is-ta-20326.test.example A do", false},
		{"root-key-sentinel-not-ta-20326.test.example A do", true},
		{"Root-Key-Sentinel-NOT-ta-20326.test.example A", true},
		{"root-key-sentinel-not-ta-20326.test.example A do cd", false},
		{"root-key-sentinel-is-ta-00001.test.example AAAA", true},
		{"root-key-sentinel-is-ta-00001.test.example TXT", false},
		{"root-key-sentinel-is-ta-00001.unsigned.example A do", false},
	} {
		for _, s := range []*Server{v.filtered, v.twin, v.filtered} {
			if got := show(t, ask(t, s, tc.query)); strings.HasPrefix(got, "SERVFAIL") != tc.refused {
				t.Errorf("%s:\n%s", tc.query, got)
			}
		}
	}
	if got := show(t, ask(t, v.filtered, "root-key-sentinel-is-ta-00001.evil.example A do")); !strings.Contains(got, v.filtered.cfg.Sinkhole4.String()) {
		t.Errorf("a listed sentinel:\n%s", got)
	}
	v.filtered.cfg.Sentinel = nil
	if got := show(t, ask(t, v.filtered, "root-key-sentinel-not-ta-20326.test.example A do")); !strings.Contains(got, netip.MustParseAddr("192.0.2.1").String()) {
		t.Errorf("switched off:\n%s", got)
	}
}
