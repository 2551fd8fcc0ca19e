package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	cosig "github.com/transparency-dev/formats/note"

	"github.com/shoji-dns/shoji/internal/forger"
	"github.com/shoji-dns/shoji/ledger"
)

// wrong is what is said of a command line, and its status.
func wrong(t *testing.T, args ...string) (string, int) {
	var out strings.Builder
	status := run(t.Context(), args, terminal{strings.NewReader(""), &out, &out})
	return out.String(), status
}

// verdictOf verifies the log of a server.
func verdictOf(t *testing.T, url string, flags ...string) (v verdict, status int) {
	t.Helper()
	out, status := shoji(t, "", append([]string{"verify", url, "--json"}, flags...)...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return v, status
}

// A file of the log that the server does not give out is a fault, with whatever status he says so;
// where the server fails, nothing is proved either way.
func TestVerifyWithheldFiles(t *testing.T) {
	t.Parallel()
	l := forger.New(1)
	l.Add(forger.Hosts(300)...)
	l.Epoch()
	var code atomic.Int64
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c := code.Load(); c != 0 && strings.Contains(r.URL.Path, "entries/000") {
			w.WriteHeader(int(c))
			return
		}
		l.ServeHTTP(w, r)
	}))
	defer web.Close()
	for c, want := range map[int64]int{401: exitFailure, 403: exitFailure, 404: exitFailure, 410: exitFailure, 451: exitFailure, 500: exitUnchecked, 503: exitUnchecked, 429: exitUnchecked} {
		code.Store(c)
		v, status := verdictOf(t, web.URL, "--key", l.VKey, "--memory", t.TempDir())
		if status != want || (v.Verdict == "fault") != (want == exitFailure) || v.Verdict == "verified" || want == exitFailure && !strings.Contains(v.details(), "tile/entries/000") {
			t.Errorf("status %d: exit %d, %s %s: %s", c, status, v.Verdict, v.Error, v.details())
		}
	}
}

// An interrupt is told as one, and proves nothing.
func TestVerifyInterrupted(t *testing.T) {
	l := forger.New(1)
	l.Add(forger.Hosts(3)...)
	ctx, cancel := context.WithCancel(t.Context())
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "tile") {
			cancel()
			<-r.Context().Done()
			return
		}
		l.ServeHTTP(w, r)
	}))
	defer web.Close()
	for _, args := range [][]string{{"verify"}, {"lookup", "a.example", "--log"}} {
		var out, err strings.Builder
		args = append(args, web.URL, "--key", l.VKey, "--memory", t.TempDir(), "--lang", "en")
		status := run(ctx, args, terminal{strings.NewReader(""), &out, &err})
		if text := out.String() + err.String(); status != exitUnchecked || !strings.Contains(text, "shoji: interrupted") || strings.Contains(text, "canceled") || strings.Contains(text, "Verified:") {
			t.Errorf("%v: status %d: %s", args[0], status, text)
		}
		ctx, cancel = context.WithCancel(t.Context())
	}
	cancel()
}

// What is remembered of a log does not depend on how its key was written, and a log is not its own
// witness.
func TestVerifyKeys(t *testing.T) {
	l := forger.New(1)
	l.Add(forger.Hosts(3)...)
	l.Epoch()
	var shown atomic.Pointer[forger.Log]
	shown.Store(l)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { shown.Load().ServeHTTP(w, r) }))
	defer web.Close()
	memory := t.TempDir()
	name, rest, _ := strings.Cut(l.VKey, "+")
	hash, key, _ := strings.Cut(rest, "+")
	verdictOf(t, web.URL, "--memory", memory, "--key", name+"+"+strings.ToUpper(hash)+"+"+key)
	fork := l.Twin(2)
	fork.Add(forger.Hosts(5)...)
	fork.Epoch()
	shown.Store(fork)
	if v, status := verdictOf(t, web.URL, "--memory", memory, "--key", " "+l.VKey); status != exitFailure || !strings.Contains(strings.Join(v.codes(), " "), "history fork") {
		t.Errorf("%d %s %s", status, v.Verdict, v.details())
	}
	// That the proof cannot be kept is told beside the fault.
	other := t.TempDir()
	shown.Store(l)
	verdictOf(t, web.URL, "--memory", other, "--key", l.VKey)
	folders, err := filepath.Glob(filepath.Join(other, "log-*"))
	if err != nil || len(folders) != 1 {
		t.Fatal(folders, err)
	}
	if err := os.WriteFile(filepath.Join(folders[0], "forks"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	shown.Store(fork)
	if out, status := wrong(t, "verify", web.URL, "--memory", other, "--key", l.VKey, "--lang", "en"); status != exitFailure || !strings.Contains(out, "NOT RIGHT") || !strings.Contains(out, "Besides: ") {
		t.Errorf("%d: %s", status, out)
	}
	file := filepath.Join(t.TempDir(), "policy")
	own := "witness own " + witnessOf(t, l.VKey) + "\nquorum own\n"
	if err := os.WriteFile(file, []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	out, status := wrong(t, "verify", web.URL, "--memory", memory, "--key", l.VKey, "--witnesses", file)
	if status != exitUsage || !strings.Contains(out, "witness own has the log's own key") {
		t.Errorf("%d: %s", status, out)
	}
	policy, err := ledger.ParseWitnessPolicy([]byte(own))
	if err != nil || policy.Own(l.VKey) != "own" {
		t.Errorf("%v", err)
	}
	if out := checked(t, "follow: [{log: a, key: '"+l.VKey+"', witnesses: \""+strings.ReplaceAll(own, "\n", `\n`)+"\"}]"); !strings.Contains(out, "follow[0].witnesses: witness own has the log's own key") {
		t.Error(out)
	}
}

// witnessOf is a log's key as one of a witness.
func witnessOf(t *testing.T, vkey string) string {
	t.Helper()
	out, err := cosig.VKeyToCosignatureV1(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Names that are given open commitments, from a file too.
func TestVerifyOpensCommitments(t *testing.T) {
	l := forger.New(1)
	e := forger.Listing("secret.example")
	e.Salt = ledger.Salt{1}
	e.Commitment, e.Name = ledger.Commit(e.Salt, e.Scope, e.Name), ""
	l.Add(e)
	l.Epoch()
	web := httptest.NewServer(l)
	defer web.Close()
	file := filepath.Join(t.TempDir(), "names")
	if err := os.WriteFile(file, []byte("# mine\n\nwww.Example.org.\n*.SECRET.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hidden, _ := verdictOf(t, web.URL, "--key", l.VKey, "--memory", t.TempDir())
	opened, _ := verdictOf(t, web.URL, "--key", l.VKey, "--memory", t.TempDir(), "--open", file)
	if a, b := hidden.details(), opened.details(); strings.Contains(a, "secret.example") || !strings.Contains(b, "secret.example") {
		t.Errorf("hidden:\n%sopened:\n%s", a, b)
	}
	if err := os.WriteFile(file, []byte("a.example\na..b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, status := wrong(t, "verify", web.URL, "--open", file); status != exitUsage || !strings.Contains(out, "line 2") {
		t.Errorf("%d: %s", status, out)
	}
}
