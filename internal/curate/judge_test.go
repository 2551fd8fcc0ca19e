package curate

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/evidence"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/ledger"
)

// operatorPolicy is a policy of another operator, with clauses of other names.
const operatorPolicy = `version: operator-1
title: {en: Imports, ja: 取り込み}
limits: {popular: 0.1, changed: 0.1}
clauses:
  - {id: import, title: {en: Imported, ja: 取り込み}, reason: {en: Imported, ja: 取り込み}, when: 'evidence.has("chosen")', then: list}
  - {id: rest, title: {en: The rest, ja: その他}, reason: {en: Nothing, ja: なし}, when: "true", then: spare}
`

// A log was begun under another policy. Its listings stay, citing that policy, and what
// is decided from now on cites the new one, which is an entry of the log before them.
func TestLogOfAnotherPolicyGoesOn(t *testing.T) {
	dir := t.TempDir()
	before, err := policy.Parse([]byte(operatorPolicy))
	if err != nil {
		t.Fatal(err)
	}
	w, err := Open(t.Context(), Config{Dir: dir, Policy: before})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Import(t.Context(), []File{text("a.txt", "old.example\n")}, claim, false); err != nil {
		t.Fatal(err)
	}
	w.Close()
	importText(t, dir, text("b.txt", "new.example\nold.example\n"))
	l := inForce(t, dir)
	for name, want := range map[string]string{"old.example": "import", "new.example": policy.Chosen} {
		v, ok := l.MatchName(dns.MustName(name))
		if !ok {
			t.Fatalf("%s is not listed", name)
		}
		if e := entry(t, dir, v.Entry); e.Clause != want {
			t.Errorf("%s cites clause %s, not %s", name, e.Clause, want)
		}
	}
	definition, err := policy.Default()
	if err != nil {
		t.Fatal(err)
	}
	v, _ := l.MatchName(dns.MustName("new.example"))
	if e := entry(t, dir, v.Entry-1); e.Kind != ledger.KindPolicy || e.Policy != definition.Digest || e.Document != string(definition.Document) {
		t.Errorf("before the first listing of the new policy stands %+v", e.Kind)
	}
}

// An operator removes a name. Whoever imports a list with it afterwards is told that it
// stays off, until a person confirms it; once removed again, it stays off again.
func TestRemovalIsRemembered(t *testing.T) {
	dir := t.TempDir()
	store, err := evidence.Open(t.Context(), filepath.Join(dir, "evidence.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	w, err := Open(t.Context(), Config{Dir: dir, Evidence: store, Now: func() time.Time { return time.Unix(1767323045, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	subject, _ := ParseSubject("evil.example")
	for step, tc := range []struct {
		confirmed, remove bool
		listed            uint64
	}{{listed: 1}, {remove: true}, {}, {confirmed: true, listed: 1}, {remove: true}, {}} {
		if tc.remove {
			if n, _, err := w.Remove(t.Context(), []Subject{subject}, "no C&C"); err != nil || n != 1 {
				t.Fatalf("step %d: %d ended, %v", step, n, err)
			}
			continue
		}
		c := claim
		c.Confirmed = tc.confirmed
		rep, err := w.Import(t.Context(), []File{text("a.txt", "evil.example\n")}, c, false)
		if err != nil || rep.Listed != tc.listed || rep.Files[0].NotListed() != 1-tc.listed {
			t.Fatalf("step %d: %+v, %v", step, rep, err)
		}
		if tc.listed == 0 && rep.Files[0].Spared[policy.AppealGranted] != 1 {
			t.Errorf("step %d: %v", step, rep.Files[0].Spared)
		}
	}
}

// What no clause may list is refused, even if a policy does.
func TestGuardIsTheLastLine(t *testing.T) {
	careless, err := policy.Parse([]byte(operatorPolicy))
	if err != nil {
		t.Fatal(err)
	}
	w, err := Open(t.Context(), Config{Dir: t.TempDir(), Policy: careless, Guard: guard(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	rep, err := w.Import(t.Context(), []File{text("a.txt", "com\nco.uk\n0.0.0.0/0\ndns.isp.example\nevil.example\n")}, claim, false)
	if err != nil || rep.Listed != 1 || rep.Files[0].Guarded != 4 || len(rep.Files[0].FirstGuards) != 4 {
		t.Errorf("%+v, %v", rep.Files[0], err)
	}
}
