package curate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/ledger"
)

// open opens a Writer whose clock stands at a fixed moment.
func open(t testing.TB, dir string) *Writer {
	t.Helper()
	w, err := Open(t.Context(), Config{Dir: dir, Guard: guard(t), Now: func() time.Time {
		return time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func guard(t testing.TB) Guard {
	t.Helper()
	g, err := NewGuard([]string{"dns.isp.example"}, []netip.Addr{netip.MustParseAddr("203.0.113.53")})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func text(name, content string) File {
	return File{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }}
}

var claim = Claim{Source: "test-feed", Kind: "c2"}

func importText(t *testing.T, dir string, files ...File) *ImportReport {
	t.Helper()
	w := open(t, dir)
	defer w.Close()
	rep, err := w.Import(t.Context(), files, claim, false)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// inForce reads the list in force as a resolver does.
func inForce(t testing.TB, dir string) *filter.List {
	t.Helper()
	f, err := Follow(dir)
	if err != nil {
		t.Fatal(err)
	}
	l, _, err := f.Poll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func listed(l *filter.List, name string) bool {
	_, ok := l.MatchName(dns.MustName(name))
	return ok
}

func TestImportComesIntoForce(t *testing.T) {
	dir := t.TempDir()
	rep := importText(t, dir, text("a.txt", "evil.example\n*.botnet.example\n198.51.100.0/24\nevil.example\n"), text("b.txt", "||more.example^\nevil.example\n"))
	if a, b := rep.Files[0], rep.Files[1]; a.Listed != 3 || a.Known != 1 || b.Listed != 1 || rep.Listed != 4 {
		t.Errorf("report: %+v %+v", a, b)
	}
	l := inForce(t, dir)
	for name, want := range map[string]bool{
		"evil.example": true, "www.evil.example": false, "botnet.example": true, "x.y.botnet.example": true,
		"www.more.example": true, "example": false, "other.example": false,
	} {
		if listed(l, name) != want {
			t.Errorf("%s: listed is %t", name, !want)
		}
	}
	v, ok := l.MatchAddr(netip.MustParseAddr("198.51.100.9"))
	if !ok {
		t.Fatal("the prefix is not listed")
	}
	e := entry(t, dir, v.Entry)
	if e.Kind != ledger.KindList || e.Prefix.String() != "198.51.100.0/24" || e.Clause != policy.Chosen || e.Evidence[0].Source != "test-feed" {
		t.Errorf("the verdict cites %+v", e)
	}
	if rep := importText(t, dir, text("a.txt", "evil.example\n")); rep.Listed != 0 || rep.Files[0].Known != 1 {
		t.Errorf("a second import listed %d", rep.Listed)
	}
}

// entry reads an entry of the log, verified.
func entry(t testing.TB, dir string, n uint64) *ledger.Entry {
	t.Helper()
	key, err := sequence.ReadVerifier(dir)
	if err != nil {
		t.Fatal(err)
	}
	src, err := ledger.OpenFolder(sequence.Folder(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	tip, err := ledger.ReadCheckpoint(t.Context(), src, key)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ledger.ReadEntry(t.Context(), src, tip, n)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestGuardRefusesByName(t *testing.T) {
	g := guard(t)
	for _, tc := range []struct {
		subject, why string
	}{
		{"evil.example", ""}, {"*.evil.example", ""}, {"evil.co.uk", ""}, {"someone.github.io", ""}, {"203.0.113.7", ""}, {"203.0.113.53", "203.0.113.53"}, {"203.0.113.0/24", "root server"}, {"use-application-dns.net", "infrastructure"}, {"198.51.0.0/16", ""}, {"2001:db8::/32", ""},
		{".", "root"}, {"com", "top-level"}, {"*.com", "top-level"}, {"co.uk", "public suffix"}, {"github.io", "public suffix"}, {"*.github.io", "public suffix"},
		{"dns.isp.example", "dns.isp.example"}, {"*.isp.example", "dns.isp.example"}, {"isp.example", ""}, {"a.root-servers.net", "root-servers.net"},
		{"root-servers.net", "infrastructure"}, {"_dns.resolver.arpa", "resolver.arpa"}, {"7.113.0.203.in-addr.arpa", "in-addr.arpa"},
		{"0.0.0.0/0", "too broad"}, {"203.0.0.0/15", "too broad"}, {"::/0", "too broad"}, {"127.0.0.1", "not on the Internet"}, {"192.168.1.0/24", "not on the Internet"}, {"fe80::1", "not on the Internet"}, {"fd00::/48", "not on the Internet"}, {"0.0.0.0", "not on the Internet"},
	} {
		s, err := ParseSubject(tc.subject)
		if err != nil {
			t.Fatal(err)
		}
		why := ""
		if s.Prefix.IsValid() {
			why = g.Prefix(s.Prefix)
		} else {
			why = g.Name(s.Name, s.Scope == feed.Subtree)
		}
		if (tc.why == "") != (why == "") || !strings.Contains(why, tc.why) {
			t.Errorf("%s: %q, want %q", tc.subject, why, tc.why)
		}
	}
	rep := importText(t, t.TempDir(), text("a.txt", "com\nco.uk\ndns.isp.example\n0.0.0.0/0\nevil.example\n"))
	if f := rep.Files[0]; f.NotListed() != 4 || f.Spared["public-suffix"] != 2 || f.Spared["own"] != 2 || f.Listed != 1 || len(f.FirstSpared) != 4 || f.FirstSpared[1].Subject != "co.uk" || f.FirstSpared[1].Line != 2 {
		t.Errorf("report: %+v", f)
	}
}

func TestGarbageIsRefusedWhole(t *testing.T) {
	dir := t.TempDir()
	importText(t, dir, text("a.txt", "evil.example\n"))
	before := inForce(t, dir)
	garbage := text("bad.txt", "fresh.example\n"+strings.Repeat("this is no name at all\n", 20))
	w := open(t, dir)
	rep, err := w.Import(t.Context(), []File{garbage}, claim, false)
	if err != nil || rep.Files[0].Refused == "" || rep.Listed != 0 {
		t.Errorf("report %+v, error %v", rep.Files[0], err)
	}
	w.Close()
	if l := inForce(t, dir); l.Epoch() != before.Epoch() || listed(l, "fresh.example") {
		t.Error("the list in force changed")
	}
	// A name of the refused file may still come from another file.
	if rep := importText(t, dir, garbage, text("good.txt", "fresh.example\n")); rep.Files[1].Listed != 1 {
		t.Errorf("the good file listed %d", rep.Files[1].Listed)
	}
	if !listed(inForce(t, dir), "fresh.example") {
		t.Error("the good file is not in force")
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	dir := t.TempDir()
	importText(t, dir, text("a.txt", "evil.example\n"))
	w := open(t, dir)
	size := w.Size()
	rep, err := w.Import(t.Context(), []File{text("b.txt", "new.example\n")}, claim, true)
	if err != nil || rep.Listed != 1 || w.Size() != size {
		t.Errorf("listed %d, log grew by %d, error %v", rep.Listed, w.Size()-size, err)
	}
	w.Close()
	if listed(inForce(t, dir), "new.example") {
		t.Error("a dry run listed a name")
	}
}

func TestUnreadableFileChangesNothing(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir)
	defer w.Close()
	size := w.Size()
	broken := File{Name: "gone.txt", Open: func() (io.ReadCloser, error) { return nil, os.ErrNotExist }}
	_, err := w.Import(t.Context(), []File{text("a.txt", "evil.example\n"), broken}, claim, false)
	if err == nil || !strings.Contains(err.Error(), "gone.txt") {
		t.Errorf("error %v", err)
	}
	if w.Size() != size {
		t.Error("the log grew")
	}
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	importText(t, dir, text("a.txt", "evil.example\n*.evil.example\nother.example\n198.51.100.0/24\n"))
	w := open(t, dir)
	subjects := func(texts ...string) []Subject {
		var out []Subject
		for _, s := range texts {
			subject, err := ParseSubject(s)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, subject)
		}
		return out
	}
	size := w.Size()
	_, _, err := w.Remove(t.Context(), subjects("other.example", "absent.example"), "why")
	if err == nil || !strings.Contains(err.Error(), "absent.example") || w.Size() != size {
		t.Errorf("error %v, log grew by %d", err, w.Size()-size)
	}
	n, _, err := w.Remove(t.Context(), subjects("evil.example", "198.51.100.0/24"), "a false positive")
	if err != nil || n != 3 {
		t.Errorf("%d listings ended, error %v", n, err)
	}
	w.Close()
	l := inForce(t, dir)
	if listed(l, "evil.example") || listed(l, "www.evil.example") || !listed(l, "other.example") {
		t.Error("the wrong listings ended")
	}
	if e := entry(t, dir, size); e.Kind != ledger.KindDelist || e.Note != "a false positive" {
		t.Errorf("the log says %+v", e)
	}
}

func TestSeedOnlyOnce(t *testing.T) {
	dir := t.TempDir()
	canary, _ := ParseSubject("c2.canary.example")
	w := open(t, dir)
	if done, err := w.Seed(t.Context(), []Subject{canary}); err != nil || !done {
		t.Fatal(done, err)
	}
	other, _ := ParseSubject("other.example")
	if done, err := w.Seed(t.Context(), []Subject{other}); err != nil || done {
		t.Error("a list was seeded twice", err)
	}
	w.Close()
	if l := inForce(t, dir); !listed(l, "c2.canary.example") || listed(l, "other.example") {
		t.Error("the seed is not what is in force")
	}
}

func TestFollowWithoutAList(t *testing.T) {
	dir := t.TempDir()
	if _, err := Follow(dir); !errors.Is(err, ErrNoList) {
		t.Errorf("an empty folder: %v", err)
	}
	open(t, dir).Close() // a log, and nothing published
	if _, err := Follow(dir); !errors.Is(err, ErrNoList) {
		t.Errorf("a folder without a list: %v", err)
	}
}

func TestFollowerSeesEachListOnce(t *testing.T) {
	dir := t.TempDir()
	importText(t, dir, text("a.txt", "one.example\n"))
	f, err := Follow(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"one.example", "", "two.example", ""} {
		if i == 2 {
			importText(t, dir, text("b.txt", "two.example\n"))
		}
		l, epoch, err := f.Poll(t.Context())
		if err != nil || (l != nil) != (want != "") {
			t.Fatalf("poll %d: list %v, error %v", i, l, err)
		}
		if l != nil && (!listed(l, want) || epoch.Count != l.Count()) {
			t.Errorf("poll %d: not the list in force", i)
		}
	}
}

func TestDamagedListIsRebuilt(t *testing.T) {
	dir := t.TempDir()
	importText(t, dir, text("a.txt", "evil.example\n"))
	f, err := Follow(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, epoch, err := f.Poll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	path := listPath(dir, epoch.Digest)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func() error{
		"gone":       func() error { return os.Remove(path) },
		"cut":        func() error { return os.Truncate(path, int64(len(b)/2)) },
		"one bit":    func() error { c := append([]byte(nil), b...); c[len(c)-1] ^= 1; return os.WriteFile(path, c, 0o644) },
		"no pointer": func() error { return os.Remove(pointerPath(dir)) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if f, err := Follow(dir); err == nil {
			if _, _, err := f.Poll(t.Context()); err == nil {
				t.Errorf("%s: the damage was not seen", name)
			}
		}
		open(t, dir).Close()
		if !listed(inForce(t, dir), "evil.example") {
			t.Errorf("%s: the list was not rebuilt", name)
		}
		if again, err := os.ReadFile(path); err != nil || string(again) != string(b) {
			t.Errorf("%s: the rebuilt list differs: %v", name, err)
		}
	}
}

func TestFollowerRefusesAnotherHistory(t *testing.T) {
	dir := t.TempDir()
	importText(t, dir, text("a.txt", "evil.example\n"))
	old := t.TempDir()
	if err := os.CopyFS(old, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	importText(t, dir, text("b.txt", "later.example\n"))
	f, err := Follow(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The log goes back to what it was, and forks from there.
	replaceFolder(t, dir, old)
	if _, _, err := f.Poll(t.Context()); !errors.Is(err, ledger.ErrRollback) {
		t.Errorf("after a roll-back: %v", err)
	}
	if err := os.Chmod(filepath.Join(old, "key"), 0o600); err != nil {
		t.Fatal(err)
	}
	importText(t, old, text("c.txt", "fork1.example\nfork2.example\nfork3.example\n"))
	replaceFolder(t, dir, old)
	var fork *ledger.ForkError
	if _, _, err := f.Poll(t.Context()); !errors.As(err, &fork) {
		t.Errorf("after a fork: %v", err)
	}
}

// replaceFolder puts the files of from in place of those of dir.
func replaceFolder(t *testing.T, dir, from string) {
	t.Helper()
	for _, sub := range []string{"log", "list"} {
		if err := os.RemoveAll(filepath.Join(dir, sub)); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(dir, sub), os.DirFS(filepath.Join(from, sub))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTwoMachinesCompileTheSameList(t *testing.T) {
	dir := t.TempDir()
	var names strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&names, "host%d.evil%d.example\n", i, i%7)
	}
	rep := importText(t, dir, text("a.txt", names.String()))
	other := t.TempDir()
	if err := os.CopyFS(filepath.Join(other, "log"), os.DirFS(filepath.Join(dir, "log"))); err != nil {
		t.Fatal(err)
	}
	key, err := sequence.ReadVerifier(dir)
	if err != nil {
		t.Fatal(err)
	}
	src, err := ledger.OpenFolder(filepath.Join(other, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	st, err := ledger.ReplayAt(t.Context(), src, key, rep.Epoch.Size, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := filter.Compile(io.Discard, st)
	if err != nil || ledger.Digest(d) != rep.Epoch.Digest {
		t.Errorf("another machine compiles %s, the log says %s (%v)", d, rep.Epoch.Digest, err)
	}
}

func TestSecondWriterWaits(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, Config{Dir: dir, Guard: guard(t)}); err == nil {
		t.Error("two writers at once")
	}
	w.Close()
	open(t, dir).Close()
}

func TestParseSubject(t *testing.T) {
	for text, want := range map[string]feed.Scope{"evil.example": feed.Exact, "*.Evil.Example.": feed.Subtree, "192.0.2.1": feed.Prefix, "192.0.2.77/24": feed.Prefix, "2001:db8::1": feed.Prefix} {
		if s, err := ParseSubject(text); err != nil || s.Scope != want {
			t.Errorf("%s: %+v, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "a..b", strings.Repeat("a", 64) + ".example", "*.", "*", "192.0.2.0/99", "2001:db8::g", "fe80::1%eth0"} {
		if s, err := ParseSubject(text); err == nil && s.Name != dns.Root {
			t.Errorf("%q was read as %+v", text, s)
		}
	}
}

func FuzzParseSubject(f *testing.F) {
	for _, s := range []string{"evil.example", "*.evil.example", "192.0.2.1", "2001:db8::/32", "\\000.example", "*.", ".", "00:aa0::0%", "\\*", "*.\\*.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		subject, err := ParseSubject(s)
		if err != nil {
			return
		}
		text := prefixText(subject.Prefix)
		if subject.Name != "" { // with the dot at its end, for a name may look like an address
			text = map[bool]string{true: "*."}[subject.Scope == feed.Subtree] + subject.Name.String()
		}
		again, err := ParseSubject(text)
		if subject.Name != dns.Root && (err != nil || again != subject) {
			t.Errorf("%q: %+v reads back as %+v, %v", s, subject, again, err)
		}
	})
}

// TestLostLogIsNotBegunAnew holds that a folder whose log is gone does not get a second history.
func TestLostLogIsNotBegunAnew(t *testing.T) {
	dir := t.TempDir()
	importText(t, dir, text("a.txt", "evil.example\n"))
	if err := os.RemoveAll(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Config{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "restore the log") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "log")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a new log was begun: %v", err)
	}
}
