package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// deskOf is where a running serve has its pages.
func deskOf(t *testing.T, l *lab) string {
	t.Helper()
	at := regexp.MustCompile(`(?m)^  desk +(http://127\S+)/$`).FindStringSubmatch(l.banner)
	if at == nil {
		t.Fatalf("no desk in\n%s", l.banner)
	}
	return at[1]
}

// accused is a lab in which two sources, files, list what they are said to.
func accused(t *testing.T, names ...string) (l *lab, say func(source string, names ...string)) {
	t.Helper()
	dir := t.TempDir()
	say = func(source string, names ...string) {
		if err := os.WriteFile(filepath.Join(dir, source), []byte(strings.Join(names, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	conf := "desk: {listen: ['127.0.0.1:0']}\nsources:\n"
	for _, id := range []string{"a", "b"} {
		say(id, append(names, "nothing.test")...)
		conf += fmt.Sprintf("  - {id: %s, location: '%s', format: plain, kinds: [c2], interval: 24h}\n", id, filepath.Join(dir, id))
	}
	l = startLabWith(t, conf)
	for _, name := range names {
		until(t, l, name, "127.83.72.1")
	}
	return l, say
}

// until asks the filtered view until it gives an address.
func until(t *testing.T, l *lab, name, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		if strings.Contains(strings.Join(ask(t, l.filtered[0], name).Answer, " "), address) {
			return
		}
	}
	t.Fatalf("%s is not answered by %s", name, address)
}

// submit hands an appeal in, as a browser without scripts does, and returns the page of its receipt.
func submit(t *testing.T, desk, name string) string {
	t.Helper()
	r, err := http.PostForm(desk+"/en/appeal", url.Values{"name": {name}, "cause": {"cleaned"}, "contact": {"owner@bank.test"}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK || !strings.HasPrefix(r.Request.URL.Path, "/en/receipt/") {
		t.Fatalf("%d %s %v", r.StatusCode, r.Request.URL, err)
	}
	return string(b)
}

// From the form to the right DNS answer, without a person: what a source no longer says does
// not outlive an appeal. All of it stands in the log, which verifies.
func TestAnAppealInARunningServe(t *testing.T) {
	l, say := accused(t, "www.bank.test", "www.shop.test")
	desk := deskOf(t, l)
	say("b", "www.shop.test", "nothing.test")
	start := time.Now()
	page := submit(t, desk, "www.bank.test")
	until(t, l, "www.bank.test", "192.0.2.20")
	t.Logf("from submit to the right answer: %s", time.Since(start).Round(time.Millisecond))
	if !strings.Contains(page, "the policy lists it no longer") {
		t.Errorf("the receipt says\n%s", page)
	}
	if page := submit(t, desk, "www.shop.test"); !strings.Contains(page, "a person decides") {
		t.Errorf("the receipt says\n%s", page)
	}
	until(t, l, "www.shop.test", "127.83.72.1")
	var out strings.Builder
	if status := run(t.Context(), []string{"verify", l.state, "--json", "--memory", t.TempDir()}, terminal{nil, &out, os.Stderr}); status != exitOK || !strings.Contains(out.String(), `"cases_open":1`) && !strings.Contains(out.String(), `"cases_open": 1`) {
		t.Errorf("verify: status %d:\n%s", status, out.String())
	}
	if strings.Contains(out.String(), `"faults": 1`) {
		t.Errorf("%s", out.String())
	}
}

// A backup of a running serve, restored, goes on where the log ended, with its cases and its staff.
func TestBackupAndRestoreOfARunningServe(t *testing.T) {
	l, _ := accused(t, "www.bank.test")
	desk := deskOf(t, l)
	submit(t, desk, "www.bank.test")
	dir := t.TempDir()
	file, state := filepath.Join(dir, "backup.tar.gz"), filepath.Join(dir, "restored")
	shoji := func(want int, args ...string) string {
		t.Helper()
		var out strings.Builder
		if status := run(t.Context(), args, terminal{strings.NewReader(""), &out, &out}); status != want {
			t.Fatalf("shoji %v: status %d, not %d: %s", args, status, want, out.String())
		}
		return out.String()
	}
	shoji(exitOK, "backup", file, "--state", l.state, "--with-key")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	shoji(exitOK, "list", "remove", "www.bank.test", "--reason", "after the backup", "--config", l.conf) // the log goes on
	shoji(exitUsage, "restore", file, "--state", state)
	out := shoji(exitOK, "restore", file, "--state", state, "--newest", l.log)
	if !regexp.MustCompile(`of which [1-9]\d* came after the backup`).MatchString(out) {
		t.Error(out)
	}
	if out := shoji(exitFailure, "restore", file, "--state", state, "--nothing-newer"); !strings.Contains(out, "move it away first") {
		t.Error(out)
	}
	shoji(exitOK, "list", "remove", "c2.canary.example", "--reason", "the restored log goes on", "--state", state)
	if out := shoji(exitOK, "list", "status", "--state", state); !strings.Contains(out, "in force") {
		t.Error(out)
	}
	if out := shoji(exitOK, "staff", "trail", "--state", state); !strings.Contains(out, "console  invited") {
		t.Error(out)
	}
	shoji(exitOK, "verify", state, "--memory", t.TempDir())
}
