package serve

import (
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
)

// Clients find what the resolver says of itself under its own names, and under resolver.arpa
// where they found it by discovery (RFC 9606 §3). Other questions for its names are resolved.
func TestResolverInformation(t *testing.T) {
	v := newViews(t)
	l, err := NewLocal(LocalConfig{
		Zones: localZones(t, "home.example static\nhome.example. 60 IN A 192.0.2.1"),
		Information: &Information{
			Names: []dns.Name{dns.MustName("DNS.isp.example"), dns.MustName("dns.home.example"), dns.MustName("use-application-dns.net")},
			URL:   "https://dns.isp.example/", Policy: "https://dns.isp.example/policy", Logs: []string{"https://log.isp.example/"}, Minimise: true,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	v.rebuild(func(cfg *Config) { cfg.Local = l })
	want := `"qnamemin" "exterr=` + possibleErrors + `" "infourl=https://dns.isp.example/" "temp-policy=https://dns.isp.example/policy" "temp-log=https://log.isp.example/"`
	for _, name := range []string{"dns.isp.example.", "resolver.arpa.", "dns.home.example."} {
		expect(t, v.twin, name+" RESINFO", "NOERROR aa\n"+name+" 10800 IN RESINFO "+want)
	}
	expect(t, v.twin, "use-application-dns.net RESINFO", "NXDOMAIN aa\nuse-application-dns.net. 10800 IN SOA use-application-dns.net. nobody.invalid. 1 3600 1200 604800 10800")
	if v.asked.Load() != 0 {
		t.Error("somebody was asked")
	}
	ask(t, v.twin, "dns.isp.example A")
	if v.asked.Load() == 0 {
		t.Error("nobody was asked for an address")
	}
	expect(t, v.twin, "_dns.resolver.arpa SVCB", "NOERROR aa\nresolver.arpa. 10800 IN SOA resolver.arpa. nobody.invalid. 1 3600 1200 604800 10800")
	for _, bad := range []Information{{URL: "http://x.example"}, {URL: "https://"}, {Logs: []string{"https://x.example/a b"}}, {Policy: "https://x.example/\n"}, {Logs: []string{"https://" + strings.Repeat("x", 250)}}, {Names: []dns.Name{dns.Root}}} {
		if _, err := NewLocal(LocalConfig{Information: &bad}); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
