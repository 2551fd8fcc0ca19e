package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	cosig "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"github.com/transparency-dev/witness/config"
	"github.com/transparency-dev/witness/persistence/inmemory"
	"github.com/transparency-dev/witness/witness"
	"golang.org/x/mod/sumdb/note"

	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/ledger"
)

// testWitness is a witness of transparency-dev/witness over HTTP, which cosigns for whatever
// log it meets first under a name.
type testWitness struct {
	line string // of a policy
	away atomic.Bool
}

func startWitness(t *testing.T, name, logKey string) *testWitness {
	t.Helper()
	skey, plain, err := note.GenerateKey(nil, name+".test")
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := cosig.VKeyToCosignatureV1(plain)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := cosig.NewSignerForCosignatureV1(skey)
	if err != nil {
		t.Fatal(err)
	}
	log, err := note.NewVerifier(logKey)
	if err != nil {
		t.Fatal(err)
	}
	state := inmemory.New()
	if err := state.AddLogs(t.Context(), []config.Log{{Origin: log.Name(), VKey: logKey, Verifier: log}}); err != nil {
		t.Fatal(err)
	}
	foreign, err := witness.New(t.Context(), witness.Opts{Persistence: state, Signers: []note.Signer{signer}, VerifierForLog: func(ctx context.Context, origin string) (note.Verifier, bool, error) {
		l, ok, err := state.Log(ctx, origin)
		return l.Verifier, ok, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	w := &testWitness{}
	real := witness.NewHTTPHandler(foreign)
	h := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if w.away.Load() {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		real.AddCheckpoint(rw, r)
	}))
	t.Cleanup(h.Close)
	w.line = fmt.Sprintf("witness %s %s %s/\n", name, vkey, h.URL)
	return w
}

// witnessed is a state folder whose log two of three witnesses have to cosign.
func witnessed(t *testing.T, more string) (state, file string, policy *ledger.WitnessPolicy, all []*testWitness) {
	t.Helper()
	dir := t.TempDir()
	state, file = filepath.Join(dir, "state"), filepath.Join(dir, "shoji.yaml")
	list(t, "first.example\n", "import", "-", "--source", "test", "--kind", "c2", "--state", state) // makes the key that witnesses need
	vkey, err := sequence.ReadVerifierKey(state)
	if err != nil {
		t.Fatal(err)
	}
	var text string
	for _, name := range []string{"a", "b", "c"} {
		w := startWitness(t, name, vkey)
		all, text = append(all, w), text+w.line
	}
	text += "group most 2 a b c\nquorum most\n"
	if policy, err = ledger.ParseWitnessPolicy([]byte(text)); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf("state: %q\nlog:\n  witnesses: |\n    %s%s", state, strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    "), more)
	if err := os.WriteFile(file, []byte(conf+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return state, file, policy, all
}

// list runs shoji list and wants success.
func list(t *testing.T, in string, args ...string) string {
	t.Helper()
	out, status := shoji(t, in, append([]string{"list"}, args...)...)
	if status != exitOK {
		t.Fatalf("list %v: status %d: %s", args, status, out)
	}
	return out
}

// tip is the published checkpoint.
func tip(t *testing.T, state string) (ledger.Checkpoint, note.Verifier) {
	t.Helper()
	key, err := sequence.ReadVerifier(state)
	if err != nil {
		t.Fatal(err)
	}
	src, err := ledger.OpenFolder(sequence.Folder(state))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	c, err := ledger.ReadCheckpoint(t.Context(), src, key)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

// With a policy, what is in force is cosigned; with too few witnesses a delisting waits, the
// list in force stays, and it comes into force when they are back.
func TestListWaitsForWitnesses(t *testing.T) {
	t.Parallel()
	state, file, policy, all := witnessed(t, "")
	list(t, "c2.example\nother.example\n", "import", "-", "--source", "test", "--kind", "c2", "--config", file)
	all[2].away.Store(true) // two of three are enough
	list(t, "", "remove", "other.example", "--reason", "a test", "--config", file)
	before, key := tip(t, state)
	if who := policy.Check(before); !who.Satisfied {
		t.Fatal(who.Err())
	}
	fetch := client.FileFetcher{Root: sequence.Folder(state)}
	if err := fsck.New(key.Name(), key, fetch, leafHashes, fsck.Opts{N: 1}).Check(t.Context()); err != nil {
		t.Errorf("Tessera's fsck of a cosigned log: %v", err)
	}
	all[1].away.Store(true)
	if out, status := shoji(t, "", "list", "remove", "c2.example", "--reason", "a test", "--config", file); status != exitFailure {
		t.Errorf("status %d: %s", status, out)
	}
	if after, _ := tip(t, state); after.Size != before.Size {
		t.Errorf("%d entries are published without witnesses, after %d", after.Size, before.Size)
	}
	if out := list(t, "", "status", "--config", file); !strings.Contains(out, "2 listings") || !strings.Contains(out, "alert     the log's newest entries lack cosignatures") {
		t.Errorf("while it waits: %s", out)
	}
	if _, status := shoji(t, "", "log", "publish", "--config", file); status != exitFailure {
		t.Error("published while witnesses are away")
	}
	all[1].away.Store(false)
	if out, status := shoji(t, "", "log", "publish", "--config", file); status != exitOK || !strings.Contains(out, "1 listings") {
		t.Errorf("once they are back: status %d: %s", status, out)
	}
	after, _ := tip(t, state)
	if who := policy.Check(after); !who.Satisfied || after.Size <= before.Size {
		t.Errorf("%d entries: %v", after.Size, who.Err())
	}
	if out := list(t, "", "status", "--config", file); strings.Contains(out, "alert") {
		t.Errorf("afterwards: %s", out)
	}
}

// An operator for whom a wrong listing weighs more than a checkpoint without witnesses.
func TestListPublishedWithoutWitnesses(t *testing.T) {
	state, file, policy, all := witnessed(t, "\n  uncosigned: publish")
	for _, w := range all {
		w.away.Store(true)
	}
	if out := list(t, "", "remove", "first.example", "--reason", "a test", "--config", file); !strings.Contains(out, " 0 listings") {
		t.Errorf("removed: %s", out)
	}
	if out := list(t, "", "status", "--config", file); !strings.Contains(out, "alert     the log's newest entries lack cosignatures") {
		t.Errorf("status: %s", out)
	}
	for _, w := range all {
		w.away.Store(false)
	}
	if out, status := shoji(t, "", "log", "publish", "--config", file); status != exitOK {
		t.Errorf("status %d: %s", status, out)
	}
	if c, _ := tip(t, state); policy.Check(c).Err() != nil {
		t.Error(policy.Check(c).Err())
	}
}

// What cannot work as a policy is told where it is read.
func TestWitnessPolicyOfTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"/does/not/exist":                    "log.witnesses: open /does/not/exist",
		"|\n    quorum a":                    `log.witnesses: witness policy, line 1: "a" is no witness`,
		"|\n    witness a b+c\n    quorum a": "line 1",
	} {
		file := filepath.Join(dir, "shoji.yaml")
		if err := os.WriteFile(file, fmt.Appendf(nil, "state: %q\nlog:\n  witnesses: %s\n", filepath.Join(dir, "state"), text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs strings.Builder
		status := run(t.Context(), []string{"list", "remove", "x.example", "--reason", "x", "--config", file}, terminal{strings.NewReader(""), &out, &errs})
		if status == exitOK || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: status %d: %s", text, status, errs.String())
		}
	}
}
