package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/publish"
	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/ledger"
)

// nosyServer serves the log of a state folder and notes what it is asked for.
type nosyServer struct {
	*httptest.Server
	vkey string
	mu   sync.Mutex
	saw  []string
}

func newNosyServer(t *testing.T, state string, spoil func(path string, b []byte)) *nosyServer {
	t.Helper()
	vkey, err := sequence.ReadVerifierKey(state)
	if err != nil {
		t.Fatal(err)
	}
	s, h := &nosyServer{vkey: vkey}, publish.Handler(sequence.Folder(state), curate.Lists(state), vkey)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.saw = append(s.saw, r.URL.Path)
		s.mu.Unlock()
		if spoil == nil {
			h.ServeHTTP(w, r)
			return
		}
		kept := httptest.NewRecorder()
		h.ServeHTTP(kept, r)
		spoil(r.URL.Path, kept.Body.Bytes())
		w.WriteHeader(kept.Code)
		w.Write(kept.Body.Bytes())
	}))
	t.Cleanup(s.Close)
	return s
}

// took is what was asked for since the last call, in order of name.
func (s *nosyServer) took() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Sorted(slices.Values(s.saw))
	s.saw = nil
	return strings.Join(out, " ")
}

// manyNames is a state folder with 3000 names, and more that are given.
func manyNames(t *testing.T, more string) string {
	t.Helper()
	state := filepath.Join(t.TempDir(), "state")
	var b strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&b, "c2.host-%d.example\n", i)
	}
	if out, status := shoji(t, b.String()+more, "list", "import", "-", "--source", "test", "--kind", "c2", "--state", state); status != exitOK {
		t.Fatal(out)
	}
	return state
}

// TestLookupShowsOnlyAPage looks names up at a server that notes everything.
func TestLookupShowsOnlyAPage(t *testing.T) {
	s := newNosyServer(t, manyNames(t, "*.evil.example\n198.51.100.0/24\n"), nil)
	look := func(status int, args ...string) string {
		t.Helper()
		out, got := shoji(t, "", append([]string{"lookup", "--log", s.URL, "--key", s.vkey, "--lang", "en"}, args...)...)
		if got != status {
			t.Errorf("%v: status %d: %s", args, got, out)
		}
		return out
	}
	look(exitListed, "a.b.evil.example")
	listed := s.took()
	for _, other := range []struct {
		name   string
		status int
	}{{"evil.example", exitListed}, {"x.evil.example", exitListed}, {"evil.example.", exitListed}, {"EVIL.example", exitListed}} {
		look(other.status, other.name)
		if saw := s.took(); saw != listed {
			t.Errorf("%s shows %s; another name of its group %s", other.name, saw, listed)
		}
	}
	if n := strings.Count(listed, "/map/"); n != 2 || strings.Contains(listed, "/tile/entries/000 ") {
		t.Errorf("a look-up reads %s", listed)
	}
	page := func(saw string) string {
		for _, path := range strings.Fields(saw) {
			if strings.HasPrefix(path, "/map/") && !strings.HasSuffix(path, "/head") {
				return path
			}
		}
		return ""
	}
	pages := map[string]bool{}
	for i := range 60 { // names of the same page cannot be told apart, listed or not
		name := fmt.Sprintf("www.unlisted-%d.example", i)
		look(exitOK, name)
		saw := s.took()
		pages[page(saw)] = true
		if page(saw) == page(listed) && saw != listed {
			t.Errorf("%s is not listed and shows %s; a listed name of the page %s", name, saw, listed)
		}
	}
	if len(pages) != 4 {
		t.Errorf("60 names are in %d pages of 4", len(pages))
	}
	look(exitListed, "198.51.100.7")
	look(exitListed, "198.51.100.128/25")
	look(exitOK, "198.51.101.7")
	look(exitOK, "c2.host-3000.example")
	s.took()
	for _, wide := range []string{"example", "0.0.0.0/0", "::/0"} { // by the map's head alone
		if out := look(exitOK, wide); !strings.Contains(out, "nothing as wide") || !strings.Contains(out, "head, which counts no listing") || strings.Contains(out, " 0 proofs") || strings.Count(s.took(), "/map/") != 1 {
			t.Error(out)
		}
	}
	if out := look(exitListed, "c2.host-2999.example"); !strings.Contains(out, "is LISTED: log entry ") || !strings.Contains(out, "of 4 of the map") || strings.Contains(out, "by clause") {
		t.Error(out)
	}
	s.took()
	if out := look(exitListed, "c2.host-1.example", "--entry"); !strings.Contains(out, "by clause chosen") || !strings.Contains(s.took(), "/tile/entries/000") {
		t.Error(out)
	}
}

// TestLookupIsProof checks with package tlog what lookup --json hands over.
func TestLookupIsProof(t *testing.T) {
	s := newNosyServer(t, manyNames(t, ""), nil)
	for name, want := range map[string]bool{"c2.host-17.example": true, "host-17.example": false} {
		out, _ := shoji(t, "", "lookup", name, "--log", s.URL, "--key", s.vkey, "--json")
		var got struct {
			Listed     bool
			Checkpoint string
			Head       string
			InForce    struct {
				Entry      int64
				Raw, Map   string
				Proof      []string
				MapDigests string
			} `json:"in_force"`
			Probes []struct {
				Key, Proof string
				Listed     bool
				Entry      uint64
			}
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatal(err, out)
		}
		key, err := note.NewVerifier(s.vkey)
		if err != nil {
			t.Fatal(err)
		}
		tip, err := ledger.OpenCheckpoint([]byte(got.Checkpoint), key)
		if err != nil {
			t.Fatal(err)
		}
		var proof tlog.RecordProof
		for _, text := range got.InForce.Proof {
			h, err := tlog.ParseHash(text)
			if err != nil {
				t.Fatal(err)
			}
			proof = append(proof, h)
		}
		if err := tlog.CheckRecord(proof, int64(tip.Size), tip.Root, got.InForce.Entry, tlog.RecordHash([]byte(got.InForce.Raw))); err != nil {
			t.Error(err)
		}
		e, err := ledger.Parse([]byte(got.InForce.Raw))
		if err != nil {
			t.Fatal(err)
		}
		head, err := ledger.ParseMapHead([]byte(got.Head))
		if err != nil || head.Root() != e.Map || e.Map.String() != got.InForce.Map {
			t.Fatalf("%v: the head's root is not that of the epoch", err)
		}
		if got.Listed != want || len(got.Probes) == 0 {
			t.Errorf("%s: listed is %v with %d proofs", name, got.Listed, len(got.Probes))
		}
		for _, p := range got.Probes {
			raw, err1 := hex.DecodeString(p.Key)
			octets, err2 := base64.StdEncoding.DecodeString(p.Proof)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			entry, listed, err := head.CheckMapProof(ledger.MapKey(raw), octets)
			if err != nil || listed != p.Listed || entry != p.Entry {
				t.Errorf("%s: the proof says %d, %v, %v; the report %+v", name, entry, listed, err, p)
			}
		}
	}
}

// TestLookupOfWhatLies has a server alter what it serves, each part in turn.
func TestLookupOfWhatLies(t *testing.T) {
	state := manyNames(t, "")
	for part, status := range map[string]int{"/head": exitFailure, "/map/": exitFailure, "/tile/entries/": exitFailure, "/checkpoint": exitUnchecked} {
		s := newNosyServer(t, state, func(path string, b []byte) {
			if strings.Contains(path, part) && len(b) > 40 {
				b[len(b)-9] ^= 1
			}
		})
		if out, got := shoji(t, "", "lookup", "c2.host-17.example", "--log", s.URL, "--key", s.vkey); got != status || out != "" {
			t.Errorf("%s altered: status %d: %s", part, got, out)
		}
	}
	s := newNosyServer(t, state, nil)
	s.Close()
	if _, got := shoji(t, "", "lookup", "c2.host-17.example", "--log", s.URL, "--key", s.vkey); got != exitUnchecked {
		t.Errorf("a server that is away: status %d", got)
	}
}

// TestLookupInACopy asks nobody: the state folder, with its map or without, or the log alone.
func TestLookupInACopy(t *testing.T) {
	state := manyNames(t, "*.evil.example\n")
	look := func(status int, args ...string) {
		t.Helper()
		out, got := shoji(t, "", append([]string{"lookup", "--lang", "ja", "--memory", t.TempDir()}, args...)...)
		if got != status || !strings.Contains(out, "誰にも尋ねていません") || (status == exitListed) != strings.Contains(out, "条項 chosen") {
			t.Errorf("%v: status %d: %s", args, got, out)
		}
	}
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(sequence.Folder(state))); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		look(exitListed, "www.evil.example", "--state", state)
		look(exitOK, "www.good.example", "--state", state)
		look(exitListed, "c2.host-2.example", "--log", state)
		files, err := filepath.Glob(filepath.Join(curate.Lists(state), "*"+publish.MapFileSuffix))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			os.Remove(f)
		}
	}
	look(exitListed, "c2.host-2.example", "--log", copied)
	look(exitOK, "example", "--log", copied)
	for _, bad := range []string{".", "", "a..b", "300.1.2.3/8"} {
		if out, got := shoji(t, "", "lookup", bad, "--state", state); got != exitUsage {
			t.Errorf("%q: status %d: %s", bad, got, out)
		}
	}
}

// TestServePublishesTheMap asks a running resolver's log.
func TestServePublishesTheMap(t *testing.T) {
	l := startLab(t)
	r, err := http.Get(l.log + publish.MapCurrentPath)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var current struct {
		Epoch uint64
		Map   string
	}
	if err := json.NewDecoder(r.Body).Decode(&current); err != nil || len(current.Map) != 64 || r.Header.Get("Access-Control-Allow-Origin") != "*" || r.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("%+v, %v, %v", current, err, r.Header)
	}
	memory := t.TempDir()
	for _, from := range []string{"at first sight", "as when this log was first met"} {
		out, status := shoji(t, "", "lookup", "c2.canary.example", "--log", l.log, "--memory", memory, "--lang", "en")
		if status != exitListed || !strings.Contains(out, from) {
			t.Errorf("status %d: %s", status, out)
		}
	}
}
