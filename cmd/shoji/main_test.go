package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"shoji": main})
}

// TestScripts plays testdata/script: what a user types, and sees.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script"})
}

// lab is a running `shoji serve --lab` on free ports.
type lab struct {
	filtered, unfiltered []string // addresses
	state, conf          string
	log                  string // where it is published
	banner               string
}

// startLab runs serve in this process until the test ends.
func startLab(t *testing.T, flags ...string) *lab {
	t.Helper()
	return startLabWith(t, "", flags...)
}

// startLabWith is startLab with more of a configuration.
func startLabWith(t *testing.T, more string, flags ...string) *lab {
	t.Helper()
	return startBare(t, "log: {listen: ['127.0.0.1:0']}\nreporting: {level: error}\n"+more, flags...)
}

// startBare is startLab with a configuration that says all but what is listened on.
func startBare(t *testing.T, more string, flags ...string) *lab {
	t.Helper()
	return startWith(t, more, append([]string{"--lab"}, flags...)...)
}

// startWith is startBare over the Internet that the configuration names.
func startWith(t *testing.T, more string, flags ...string) *lab {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "shoji.yaml")
	text := "state: '" + filepath.Join(dir, "state") + "'\nlisten: {filtered: ['127.0.0.1:0', '[::1]:0'], unfiltered: ['127.0.0.1:0', '[::1]:0']}\n" + more
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l := &lab{state: filepath.Join(dir, "state"), conf: conf}
	l.banner = startServe(t, append([]string{"--config", conf, "--state", l.state}, flags...)...)
	l.filtered, l.unfiltered = addresses(l.banner, "filtered"), addresses(l.banner, "unfiltered")
	if at := regexp.MustCompile(`(?m)^  log +(http://\S+/)$`).FindStringSubmatch(l.banner); at != nil {
		l.log = at[1]
	}
	if len(l.filtered) != 2 || len(l.unfiltered) != 2 {
		t.Fatalf("the banner names no addresses:\n%s", l.banner)
	}
	return l
}

// startServe runs serve in this process until the test ends, and returns its banner.
func startServe(t *testing.T, flags ...string) (banner string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, append([]string{"serve"}, flags...), terminal{strings.NewReader(""), w, os.Stderr})
		w.Close()
	}()
	t.Cleanup(func() {
		cancel()
		go io.Copy(io.Discard, r)
		if status := <-done; status != exitOK {
			t.Errorf("serve ended with status %d", status)
		}
	})
	lines := bufio.NewScanner(r)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "Ctrl-C") {
		banner += lines.Text() + "\n"
	}
	return banner
}

func addresses(banner, view string) []string {
	line := regexp.MustCompile(`(?m)^  ` + view + ` +(.*?)  \(`).FindStringSubmatch(banner)
	if line == nil {
		return nil
	}
	return strings.Fields(line[1])
}

// reply is what query --json prints.
type reply struct {
	RCode     string
	Validated bool
	Answer    []string
	Authority []string
	Errors    []extendedError
}

func ask(t *testing.T, server, question string, flags ...string) reply {
	t.Helper()
	var out strings.Builder
	args := append([]string{"query", "--json", "--timeout", "20s", "--server", server}, append(flags, strings.Fields(question)...)...)
	if status := run(t.Context(), args, terminal{nil, &out, os.Stderr}); status != exitOK {
		t.Fatalf("query %s: status %d", question, status)
	}
	var r reply
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
		t.Fatalf("query %s: %v in %s", question, err, out.String())
	}
	return r
}

// TestLab asks both views of the lab, over IPv4, IPv6, UDP and TCP.
func TestLab(t *testing.T) {
	l := startLab(t)
	for i := range l.filtered {
		for _, flags := range [][]string{nil, {"--tcp"}, {"--dnssec"}, {"--cd"}} {
			for question, data := range map[string]string{
				"c2.evil.test A": "127.83.72.1", "deep.c2.evil.test A": "127.83.72.1", "c2.evil.test AAAA": "::1",
				"cdn.shop.test A": "127.83.72.1", "far.shop.test A": "127.83.72.1", "c2.canary.example A": "127.83.72.1",
			} {
				r := ask(t, l.filtered[i], question, flags...)
				if len(r.Answer) != 1 || !strings.HasSuffix(r.Answer[0], "\t"+data) || r.Validated ||
					len(r.Errors) != 1 || r.Errors[0].Code != 4 || !strings.HasPrefix(r.Errors[0].Text, "log entry ") {
					t.Errorf("filtered %s %v: %+v", question, flags, r)
				}
			}
			if r := ask(t, l.filtered[i], "c2.evil.test TXT", flags...); len(r.Answer) != 0 || len(r.Authority) != 1 || r.Errors[0].Code != 15 {
				t.Errorf("filtered TXT %v: %+v", flags, r)
			}
			if r := ask(t, l.unfiltered[i], "c2.evil.test A", flags...); !strings.Contains(strings.Join(r.Answer, " "), "192.0.2.66") || len(r.Errors) != 0 {
				t.Errorf("unfiltered %v: %+v", flags, r)
			}
		}
	}
	if r := ask(t, l.filtered[0], "www.bank.test"); !r.Validated || !strings.Contains(r.Answer[0], "192.0.2.20") {
		t.Errorf("a signed name: %+v", r)
	}
	if r := ask(t, l.filtered[0], "www.bank.test RRSIG"); r.RCode != "NOERROR" || len(r.Answer) == 0 || r.Validated {
		t.Errorf("signatures, which nobody signs: %+v", r)
	}
	if r := ask(t, l.filtered[0], "bogus.test"); r.RCode != "SERVFAIL" || len(r.Answer) != 0 {
		t.Errorf("broken signatures: %+v", r)
	}
	if r, err := http.Get(l.log + "checkpoint"); err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("the log at %q: %v, %v", l.log, r, err)
	} else {
		r.Body.Close()
	}
	if !strings.Contains(l.banner, "query c2.evil.test --server "+l.filtered[0]) {
		t.Errorf("the banner's commands do not fit:\n%s", l.banner)
	}
}

// TestListComesIntoForceWhileServing imports and removes a name under a running resolver.
func TestListComesIntoForceWhileServing(t *testing.T) {
	l := startLab(t)
	shoji := func(in string, args ...string) {
		t.Helper()
		var out strings.Builder
		if status := run(t.Context(), args, terminal{strings.NewReader(in), &out, &out}); status != exitOK {
			t.Fatalf("%v: status %d: %s", args, status, out.String())
		}
	}
	until := func(want string) {
		t.Helper()
		for range 10_000 { // the follower looks five times a second; each question takes a while
			if r := ask(t, l.filtered[0], "www.shop.test"); len(r.Answer) == 1 && strings.HasSuffix(r.Answer[0], want) {
				return
			}
		}
		t.Fatalf("www.shop.test never led to %s", want)
	}
	until("192.0.2.10")
	shoji("www.shop.test\n", "list", "import", "-", "--source", "test", "--kind", "c2", "--state", l.state)
	until("127.83.72.1")
	shoji("", "list", "remove", "www.shop.test", "--reason", "a test", "--state", l.state)
	until("192.0.2.10")
}

// TestSourcesComeIntoForceWhileServing lets two sources agree on a name before serve starts;
// it is filtered soon after.
func TestSourcesComeIntoForceWhileServing(t *testing.T) {
	dir := t.TempDir()
	conf := "sources:\n"
	for _, id := range []string{"a", "b"} {
		path := filepath.Join(dir, id+".txt")
		if err := os.WriteFile(path, []byte("www.shop.test\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		conf += fmt.Sprintf("  - {id: %s, location: '%s', kinds: [c2]}\n", id, path)
	}
	l := startLabWith(t, conf)
	for range 10_000 { // the loop begins when both views answer
		if r := ask(t, l.filtered[0], "www.shop.test"); len(r.Answer) == 1 && strings.HasSuffix(r.Answer[0], "127.83.72.1") {
			return
		}
	}
	t.Fatal("what two sources say never came into force")
}

// TestLabUnderFaults asks the lab with everything that can go wrong on the way.
func TestLabUnderFaults(t *testing.T) {
	l := startLab(t, "--loss", "0.1", "--duplicate", "0.1", "--reorder", "0.1", "--truncate", "0.1", "--spoof", "0.2", "--seed", "7")
	for i, name := range []string{"www.shop.test", "www.bank.test", "chain.shop.test", "www.d4.d3.d2.d1.deep.example"} {
		want := []string{"192.0.2.10", "192.0.2.20", "192.0.2.46", "192.0.2.54"}[i]
		r := ask(t, l.unfiltered[0], name)
		if r.RCode != "SERVFAIL" && !strings.Contains(fmt.Sprint(r.Answer), want) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
