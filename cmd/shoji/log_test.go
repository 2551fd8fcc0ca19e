package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/shoji-dns/shoji/internal/sequence"
)

// shoji runs one command line and returns its output and status.
func shoji(t *testing.T, in string, args ...string) (string, int) {
	t.Helper()
	var out strings.Builder
	status := run(t.Context(), args, terminal{strings.NewReader(in), &out, os.Stderr})
	return out.String(), status
}

// TestVerifyOverHTTP follows a log over its changes, as a customer does.
func TestVerifyOverHTTP(t *testing.T) {
	l, memory := startLab(t), t.TempDir()
	verify := func(args ...string) (map[string]any, int) {
		t.Helper()
		out, status := shoji(t, "", append([]string{"verify", "--json", "--memory", memory}, args...)...)
		var report map[string]any
		if err := json.Unmarshal([]byte(out), &report); err != nil {
			t.Fatalf("%v: %v in %s", args, err, out)
		}
		return report, status
	}
	if r, status := verify(l.log); status != exitOK || r["verdict"] != "verified" || r["key_from"] != "first-use" {
		t.Errorf("status %d: %v", status, r)
	}
	for _, args := range [][]string{
		{"list", "import", "-", "--source", "test", "--kind", "c2", "--state", l.state},
		{"list", "remove", "one.example", "--reason", "a test", "--state", l.state},
	} {
		if out, status := shoji(t, "one.example\n*.two.example\n203.0.113.0/24\n", args...); status != exitOK {
			t.Fatal(out)
		}
	}
	if r, status := verify(l.log); status != exitOK || r["verdict"] != "verified" || r["key_from"] != "remembered" || r["before"].(float64) == 0 {
		t.Errorf("status %d: %v", status, r)
	}
	if out, status := shoji(t, "", "verify", l.state, "--memory", t.TempDir(), "--lang", "ja"); status != exitOK || !strings.Contains(out, "検証できました。") {
		t.Errorf("status %d: %s", status, out)
	}
	_, other, err := note.GenerateKey(nil, "shoji-log")
	if err != nil {
		t.Fatal(err)
	}
	if r, status := verify(l.log, "--key", other); status != exitFailure || r["verdict"] != "fault" {
		t.Errorf("another key: status %d: %v", status, r)
	}
}

// TestForeignToolsReadThePublishedLog reads the log over HTTP with Tessera's client and
// checker, and has package tlog check what they fetch.
func TestForeignToolsReadThePublishedLog(t *testing.T) {
	l := startLab(t)
	var many strings.Builder
	for i := range 700 {
		many.WriteString("host-" + string(rune('a'+i%26)) + strings.Repeat("x", i/26) + ".example\n")
	}
	if out, status := shoji(t, many.String(), "list", "import", "-", "--source", "test", "--kind", "c2", "--state", l.state); status != exitOK {
		t.Fatal(out)
	}
	vkey, err := sequence.ReadVerifierKey(l.state)
	if err != nil {
		t.Fatal(err)
	}
	key, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	root, err := url.Parse(l.log)
	if err != nil {
		t.Fatal(err)
	}
	fetch, err := client.NewHTTPFetcher(root, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	if err := fsck.New(key.Name(), key, fetch, leafHashes, fsck.Opts{N: 2}).Check(t.Context()); err != nil {
		t.Errorf("fsck: %v", err)
	}
	tip, _, _, err := client.FetchCheckpoint(t.Context(), fetch.ReadCheckpoint, key, key.Name())
	if err != nil {
		t.Fatal(err)
	}
	proofs, err := client.NewProofBuilder(t.Context(), tip.Size, fetch.ReadTile)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := client.GetEntryBundle(t.Context(), fetch.ReadEntryBundle, 1, tip.Size)
	if err != nil {
		t.Fatal(err)
	}
	const n = 300
	hashes, err := proofs.InclusionProof(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	var proof tlog.RecordProof
	for _, h := range hashes {
		proof = append(proof, tlog.Hash(h))
	}
	if err := tlog.CheckRecord(proof, int64(tip.Size), tlog.Hash(tip.Hash), n, tlog.RecordHash(bundle.Entries[n-256])); err != nil {
		t.Error(err)
	}
}

// leafHashes are the leaf hashes of a bundle, as fsck wants them.
func leafHashes(bundle []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	out := make([][]byte, len(b.Entries))
	for i, e := range b.Entries {
		h := tlog.RecordHash(e)
		out[i] = h[:]
	}
	return out, nil
}
