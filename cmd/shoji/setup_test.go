package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/sequence"
)

// TestNodeOfOnesOwn: somebody answers three questions, and has a node that follows an
// operator's log, resolves through his encrypted unfiltered view, and filters, or does not,
// as its owner chose.
func TestNodeOfOnesOwn(t *testing.T) {
	operator := startLabWith(t, fmt.Sprintf("encrypted: {dot: ['127.0.0.1:%d'], filtered: {name: dns1.example}, unfiltered: {name: dns2.example}}\n", freePort(t)))
	key, err := sequence.ReadVerifierKey(operator.state)
	if err != nil {
		t.Fatal(err)
	}
	at := addresses(operator.banner, "TLS")
	if len(at) == 0 {
		t.Fatalf("no encrypted address in\n%s", operator.banner)
	}
	through := "tls://" + at[0] + "#dns2.example"
	for view, want := range map[string]string{"filtered": "127.83.72.1", "unfiltered": "192.0.2.66"} {
		dir := t.TempDir()
		file := filepath.Join(dir, "shoji.yaml")
		out, status := shoji(t, strings.Join([]string{operator.log, "y", view, through}, "\n")+"\n", "setup", "--lang", "en",
			"--file", file, "--ca", filepath.Join(operator.state, "tls", "self-signed.pem"))
		if status != exitOK || !strings.Contains(out, key) || !strings.Contains(out, "Its name is encrypted on the way") || !strings.Contains(out, "the signature is right") || !strings.Contains(out, " answers in ") {
			t.Fatalf("setup: status %d\n%s", status, out)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// As it is written, but for what a test must not do: have port 53, ask the real root
		// servers, look for their keys in the lab, and take test. for the special name that it is.
		text = regexp.MustCompile(`"127\.0\.0\.1:\d+", "\[::1\]:\d+"`).ReplaceAll(text, []byte(`"127.0.0.1:0", "[::1]:0"`))
		text = append([]byte(strings.Replace(string(text), "forward_fallback: true", "forward_fallback: false", 1)), "resolve: {trust_anchors: []}\nreporting: {level: error}\nlocal_zones: [{name: test, kind: nodefault}]\n"...)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		banner := startServe(t, "--config", file, "--state", filepath.Join(dir, "state"))
		mine := addresses(banner, view)
		if len(mine) != 2 || !strings.Contains(banner, through+"&ech=auto") {
			t.Fatalf("%s:\n%s", view, banner)
		}
		awaits(t, mine[0], "c2.evil.test", want)
		awaits(t, mine[1], "www.bank.test", "192.0.2.20")
	}
}

// TestSetupRefusesAnotherKey: who does not confirm the key that a log shows gets no file.
func TestSetupRefusesAnotherKey(t *testing.T) {
	operator := startLab(t)
	file := filepath.Join(t.TempDir(), "shoji.yaml")
	for _, args := range [][]string{
		{"--follow", operator.log},
		{"--follow", operator.log, "--key", "other.example+12345678+AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAh"},
	} {
		out, status := shoji(t, "n\n", append([]string{"setup", "--file", file, "--view", "filtered", "--through", "-"}, args...)...)
		if _, err := os.Stat(file); status == exitOK || err == nil {
			t.Errorf("%v: status %d, file %v\n%s", args, status, err, out)
		}
	}
}
