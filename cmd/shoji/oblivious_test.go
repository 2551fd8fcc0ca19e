package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOblivious asks both views of a target through a proxy, and through a node that forwards so. Neither the key nor
// the path says which view it is; and what is not as it should be is an error that says so.
func TestOblivious(t *testing.T) {
	target := startLabWith(t, "encrypted: {doh: ['127.0.0.1:0'], filtered: {name: dns1.example}, unfiltered: {name: dns2.example}, oblivious: {target: true}}\n")
	at := addresses(target.banner, "HTTPS")
	certificate := func(l *lab) string { return filepath.Join(l.state, "tls", "self-signed.pem") }
	if len(at) != 1 || !strings.Contains(target.banner, "oblivious   target") {
		t.Fatalf("the banner:\n%s", target.banner)
	}
	proxy := startLabWith(t, fmt.Sprintf(`encrypted:
  doh: ["127.0.0.1:0"]
  filtered: {name: dns3.example}
  unfiltered: {name: dns4.example}
  oblivious: {proxy_for: ["https://%s/dns-query#dns1.example"], proxy_ca: '%s'}
`, at[0], certificate(target)))
	by := addresses(proxy.banner, "HTTPS")
	if len(by) != 1 || !strings.Contains(proxy.banner, "oblivious   proxy at /proxy") {
		t.Fatalf("the banner:\n%s", proxy.banner)
	}
	trust := filepath.Join(t.TempDir(), "both.pem")
	var both []byte
	for _, l := range []*lab{target, proxy} {
		b, err := os.ReadFile(certificate(l))
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, b...)
	}
	if err := os.WriteFile(trust, both, 0o600); err != nil {
		t.Fatal(err)
	}
	url := func(view, transport string) string {
		return fmt.Sprintf("odoh://%s/dns-query%s#dns1.example via %s://%s/proxy#dns3.example", at[0], view, transport, by[0])
	}
	for view, data := range map[string]string{"": "127.83.72.1", "?view=filtered": "127.83.72.1", "?view=unfiltered": "192.0.2.66"} {
		for _, transport := range []string{"https", "h3"} {
			r := ask(t, url(view, transport), "c2.evil.test", "--trust", trust)
			if len(r.Answer) != 1 || !strings.HasSuffix(r.Answer[0], "\t"+data) {
				t.Errorf("%s over %s: %+v", view, transport, r)
			}
		}
	}
	node := startWith(t, fmt.Sprintf("forward: ['%s']\nforward_ca: '%s'\nresolve: {trust_anchors: []}\nlocal_zones: [{name: test, kind: nodefault}]\nlog: {listen: ['127.0.0.1:0']}\nreporting: {level: error}\n",
		url("?view=unfiltered", "https"), trust))
	if r := ask(t, node.unfiltered[0], "c2.evil.test"); len(r.Answer) != 1 || !strings.HasSuffix(r.Answer[0], "\t192.0.2.66") {
		t.Errorf("a node: %+v", r)
	}
	file := filepath.Join(t.TempDir(), "shoji.yaml")
	out, status := shoji(t, "", "setup", "--lang", "en", "--follow", "-", "--view", "unfiltered", "--through", url("?view=unfiltered", "h3"), "--ca", trust, "--file", file)
	if text, err := os.ReadFile(file); err != nil || status != exitOK || !strings.Contains(string(text), url("?view=unfiltered", "h3")) {
		t.Errorf("setup: status %d, %v, %s\n%s", status, err, out, text)
	}
	for server, want := range map[string]string{
		strings.Replace(url("", "https"), "/proxy", "/dns-query", 1):           "status 4", // no proxy there
		strings.Replace(url("", "https"), "/dns-query#", "/other#", 1):         "status 403",
		strings.Replace(url("", "https"), "via https", "via tls", 1):           "a path belongs",
		strings.ReplaceAll(url("", "https"), at[0], by[0]):                     "its own target",
		strings.Split(url("", "https"), " via")[0]:                             "via https",
		strings.Replace(url("", "https"), "#dns1.example", "#dns9.example", 1): "dns9.example",
	} {
		if out, status := complains(t, "query", "c2.evil.test", "--trust", trust, "--server", server); status == exitOK || !strings.Contains(out, want) {
			t.Errorf("%s: status %d, %s, want %q", server, status, out, want)
		}
	}
}

func TestChoices(t *testing.T) {
	for text, want := range map[string]string{
		"tls://a,https://b/c":                 "tls://a|https://b/c",
		"odoh://a/b via https://c/d, tls://e": "odoh://a/b via https://c/d|tls://e",
		"via":                                 "via",
		" , ":                                 "",
	} {
		if got := strings.Join(choices(text), "|"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestObliviousConfiguration: a proxy that is its own target is none.
func TestObliviousConfiguration(t *testing.T) {
	for text, want := range map[string]string{
		"encrypted: {oblivious: {target: true}}": "no address",
		"encrypted: {doh: ['127.0.0.1:8443'], oblivious: {proxy_for: ['https://127.0.0.1:8443/dns-query']}}":        "itself",
		"encrypted: {doh: ['127.0.0.1:8443'], oblivious: {proxy_for: ['tls://127.0.0.2']}}":                         "https://192.0.2.1",
		"encrypted: {doh: ['127.0.0.1:8443'], oblivious: {proxy_for: ['https://dns.example/dns-query']}}":           "no address",
		"encrypted: {doh: ['127.0.0.1:8443'], oblivious: {proxy_ca: /x}}":                                           "proxy_for",
		"encrypted: {doh: ['127.0.0.1:8443'], oblivious: {proxy_for: ['https://127.0.0.2/q'], proxy_ca: /nowhere}}": "proxy_ca",
		"encrypted: {doh: ['127.0.0.1:8443'], oblivious: {proxy_path: proxy, proxy_for: ['https://127.0.0.2/q']}}":  "begin with /",
		"listen: {balancers: [0.0.0.0/0]}":              "everybody",
		"listen: {balancers: ['::ffff:192.0.2.0/120']}": "IPv6 form",
	} {
		path := filepath.Join(t.TempDir(), "shoji.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, status := complains(t, "config", "check", path); status == exitOK || !strings.Contains(out, want) {
			t.Errorf("%s: status %d, %s, want %q", text, status, out, want)
		}
	}
}

// complains runs a command and returns what it says is wrong.
func complains(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out strings.Builder
	status := run(t.Context(), args, terminal{strings.NewReader(""), io.Discard, &out})
	return out.String(), status
}
