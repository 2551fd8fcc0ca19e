package curate

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/evidence"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/ledger"
)

// newsroom is a folder of sources that publish what the test says, with a clock of its own.
type newsroom struct {
	t       testing.TB
	dir     string
	store   *evidence.Store
	sources []Source
	policy  *policy.Policy
	now     time.Time
	texts   map[string]string // by location; "" is a server that fails
	still   bool              // nothing is published anew: what is read is a snapshot of the first day
}

// firstDay is when newsrooms open.
var firstDay = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func news(t testing.TB) *newsroom {
	t.Helper()
	n := &newsroom{t: t, dir: t.TempDir(), now: firstDay, texts: map[string]string{}}
	var err error
	if n.store, err = evidence.Open(t.Context(), filepath.Join(n.dir, "evidence.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.store.Close() })
	if n.policy, err = policy.Default(); err != nil {
		t.Fatal(err)
	}
	for id, kind := range map[string]string{"a": policy.C2, "b": policy.C2, "ranks": policy.Popular, "shared": policy.SharedApex, "benign": policy.Benign} {
		n.sources = append(n.sources, Source{ID: id, Location: "https://" + id + ".example/list", Format: feed.Plain, Kinds: []string{kind}, Interval: time.Hour})
		n.texts[id] = "nothing.example\n"
	}
	return n
}

func (n *newsroom) fetch(_ context.Context, location string, _ feed.Validators, out *os.File) (feed.Validators, bool, error) {
	id := strings.TrimSuffix(strings.TrimPrefix(location, "https://"), ".example/list")
	if n.texts[id] == "" {
		return feed.Validators{}, false, fmt.Errorf("nobody answers")
	}
	published := n.now
	if n.still {
		published = firstDay
	}
	_, err := out.WriteString(n.texts[id])
	return feed.Validators{LastModified: published.Format(http.TimeFormat)}, false, err
}

func (n *newsroom) loop() *Loop {
	n.t.Helper()
	l, err := NewLoop(LoopConfig{
		Dir: n.dir, Guard: guard(n.t), Policy: n.policy, Store: n.store, Sources: n.sources,
		Fetch: n.fetch, Now: func() time.Time { return n.now },
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return l
}

func (n *newsroom) update(o UpdateOptions) *UpdateReport {
	n.t.Helper()
	rep, err := n.loop().Update(n.t.Context(), o)
	if err != nil {
		n.t.Fatal(err)
	}
	return rep
}

func (n *newsroom) listed(want ...string) {
	n.t.Helper()
	l := inForce(n.t, n.dir)
	var got []string
	for _, text := range []string{"one.example", "www.one.example", "two.example", "three.example", "pages.example", "evil.pages.example", "x.evil.pages.example", "com", "co.uk", "known.example"} {
		if listed(l, text) {
			got = append(got, text)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		n.t.Errorf("listed: %v, not %v", got, want)
	}
}

func lines(names ...string) string { return strings.Join(names, "\n") + "\n" }

// The first source is slow: the others are fetched meanwhile, a terminal shows for whom it is
// waited, and the sources are read in their order.
func TestASlowSourceHoldsUpNoOther(t *testing.T) {
	n := news(t)
	n.texts["a"], n.texts["b"] = lines("one.example"), lines("one.example")
	slices.SortFunc(n.sources, func(x, y Source) int { return strings.Compare(x.ID, y.ID) })
	l := n.loop()
	alone := make(chan struct{})
	var once sync.Once
	l.cfg.Progress = func(stage string, done, total uint64) {
		if stage == "fetching sources, waiting for a" && done == 4 && total == 5 {
			once.Do(func() { close(alone) })
		}
	}
	l.cfg.Fetch = func(ctx context.Context, location string, have feed.Validators, out *os.File) (feed.Validators, bool, error) {
		if location == n.sources[0].Location {
			select {
			case <-alone:
			case <-ctx.Done():
			}
		}
		return n.fetch(ctx, location, have, out)
	}
	rep, err := l.Update(t.Context(), UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range rep.Sources {
		if s.ID != n.sources[i].ID || s.State != SourceRefreshed {
			t.Errorf("source %d: %+v", i, s)
		}
	}
	n.listed("one.example")
}

// Two sources agree, one falls silent, its evidence goes stale: names come and go, each by a
// clause, and doing it again changes nothing.
func TestEvidenceComesAndGoes(t *testing.T) {
	n := news(t)
	n.texts["a"] = lines("one.example", "*.two.example", "three.example", "com", "co.uk", "dns.isp.example", "pages.example", "*.evil.pages.example")
	n.texts["b"] = lines("one.example", "two.example", "com", "co.uk", "dns.isp.example", "pages.example", "*.evil.pages.example")
	n.texts["shared"] = lines("pages.example")
	rep := n.update(UpdateOptions{})
	// one.example by both; two.example as the name alone, for only one source speaks of its subtree;
	// of evil.pages.example nothing but the host.
	n.listed("one.example", "two.example", "evil.pages.example")
	for clause, want := range map[string]uint64{"c2-two-sources": 2, "c2-host": 1, "thin": 1, "public-suffix": 2, "own": 1, "shared-apex": 1} {
		if rep.Clauses[clause] != want {
			t.Errorf("clause %s: %d subjects, not %d of %v", clause, rep.Clauses[clause], want, rep.Clauses)
		}
	}
	size := inForce(t, n.dir).Epoch()
	n.now = n.now.Add(2 * time.Hour)
	if rep := n.update(UpdateOptions{}); rep.Listed+rep.Delisted != 0 || inForce(t, n.dir).Epoch() != size {
		t.Errorf("again: %+v", rep)
	}
	n.now = n.now.Add(24 * time.Hour)
	n.texts["b"] = lines("com", "co.uk", "two.example", "dns.isp.example", "pages.example", "*.evil.pages.example")
	if rep := n.update(UpdateOptions{}); rep.Listed+rep.Delisted != 0 {
		t.Errorf("a source that says no more unsays nothing: %+v", rep)
	}
	n.now = n.now.Add(89 * 24 * time.Hour)
	n.update(UpdateOptions{})
	n.listed("one.example", "two.example", "evil.pages.example")
	n.now = n.now.Add(2 * 24 * time.Hour)
	n.update(UpdateOptions{})
	n.listed("two.example", "evil.pages.example")
	l := inForce(t, n.dir)
	for i := l.Epoch(); i > 0; i-- {
		if e := entry(t, n.dir, i-1); e.Kind == ledger.KindDelist {
			if e.Name != "one.example" || e.Cause != "policy" || e.Clause != "thin" {
				t.Errorf("the log says %+v", e)
			}
			return
		}
	}
	t.Error("no delisting in the log")
}

// A snapshot is read every day for a hundred days: what it says goes stale all the same, and is
// fresh again when it is published anew. An archive's names count when they are new to it.
func TestSnapshotsGoStale(t *testing.T) {
	n := news(t)
	n.still = true
	n.texts["a"], n.texts["b"] = lines("one.example"), lines("one.example")
	for day := range 101 {
		n.now = firstDay.AddDate(0, 0, day)
		n.update(UpdateOptions{})
		if day == 90 {
			n.listed("one.example")
		}
	}
	n.listed()
	n.still = false
	n.update(UpdateOptions{})
	n.listed("one.example")
	for i := range n.sources {
		n.sources[i].Undated = UndatedArchive
	}
	n.update(UpdateOptions{})
	n.listed()
	n.texts["a"], n.texts["b"] = lines("one.example", "two.example"), lines("one.example", "two.example")
	n.update(UpdateOptions{})
	n.listed("two.example")
}

// The popular and the vouched-for wait for a person, and appeals and imports by hand are heeded.
func TestPeopleAreHeeded(t *testing.T) {
	n := news(t)
	n.texts["a"], n.texts["b"] = lines("one.example", "two.example", "known.example"), lines("one.example", "two.example", "known.example")
	n.texts["ranks"], n.texts["benign"] = lines("www.example", "two.example"), lines("known.example")
	rep := n.update(UpdateOptions{})
	n.listed("one.example")
	if rep.Clauses["popular"] != 1 || rep.Clauses["vouched"] != 1 || len(rep.Review) != 2 {
		t.Errorf("%+v", rep)
	}
	w, err := Open(t.Context(), Config{Dir: n.dir, Guard: guard(t), Evidence: n.store, Sources: n.sources, Now: func() time.Time { return n.now }})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := ParseSubject("one.example")
	if _, _, err := w.Remove(t.Context(), []Subject{s}, "a mistake"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Import(t.Context(), []File{text("a.txt", "three.example\n")}, claim, false); err != nil {
		t.Fatal(err)
	}
	w.Close()
	n.now = n.now.Add(25 * time.Hour) // everything is decided anew
	n.texts["a"] = lines("one.example", "two.example", "known.example", "three.example")
	rep = n.update(UpdateOptions{})
	n.listed("three.example")
	if rep.Clauses["appeal-granted"] != 1 || rep.Listed+rep.Delisted != 0 {
		t.Errorf("%+v", rep)
	}
}

// What waits for a person is listed when one confirms it, and delisted when one rejects it; no
// more of the popular names change in one epoch than the policy's share without a further word.
func TestAPersonRules(t *testing.T) {
	n := news(t)
	n.texts["a"], n.texts["b"] = lines("one.example", "two.example", "known.example"), lines("one.example", "two.example", "known.example")
	n.texts["ranks"], n.texts["benign"] = lines("www.example", "two.example"), lines("known.example")
	n.update(UpdateOptions{})
	var waiting []string
	for w, err := range n.loop().Waiting(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, w.Subject+" "+w.Clause.ID)
	}
	if want := []string{"known.example vouched", "two.example popular"}; !slices.Equal(waiting, want) {
		t.Errorf("waiting: %q", waiting)
	}
	rule := func(confirmed bool, texts ...string) (*UpdateReport, error) {
		n.now = n.now.Add(time.Minute)
		var subjects []Subject
		for _, text := range texts {
			s, _ := ParseSubject(text)
			subjects = append(subjects, s)
		}
		return n.loop().Rule(t.Context(), subjects, confirmed)
	}
	if _, err := rule(true, "known.example", "one.example"); err == nil || !strings.Contains(err.Error(), "one.example: nobody is asked") {
		t.Errorf("not asked: %v", err)
	}
	n.listed("one.example")
	if rep, err := rule(true, "known.example"); err != nil || rep.Listed != 1 {
		t.Errorf("confirmed: %+v, %v", rep, err)
	}
	n.listed("one.example", "known.example")
	if rep, err := rule(false, "known.example"); err != nil || rep.Delisted != 1 {
		t.Errorf("rejected: %+v, %v", rep, err)
	}
	n.listed("one.example")
	rep, err := rule(true, "two.example")
	if err != nil || !strings.Contains(rep.Held, "1 of 2 popular names would change") {
		t.Errorf("a popular name: %+v, %v", rep, err)
	}
	n.listed("one.example")
	n.update(UpdateOptions{Confirm: true})
	n.listed("one.example", "two.example")
}

// A source that fails, comes empty, as garbage or shrunken takes nothing off the list, and
// there is an alert; a person may accept that it shrank.
func TestAFailedSourceRemovesNothing(t *testing.T) {
	n := news(t)
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("host%d.example", i))
	}
	n.texts["a"], n.texts["b"] = lines(append(names, "one.example")...), lines(append(names, "one.example")...)
	n.update(UpdateOptions{})
	before := inForce(t, n.dir)
	for _, broken := range []string{"", "# nothing\n", "<html>no</html>\n", lines(names[:20]...), "a b c\nd e f\ng h i\nj k l\n"} {
		n.texts["b"] = broken
		n.now = n.now.Add(2 * time.Hour)
		rep := n.update(UpdateOptions{})
		if l := inForce(t, n.dir); l.Count() != before.Count() || rep.Listed+rep.Delisted != 0 || len(rep.Alerts()) != 1 {
			t.Errorf("%.20q: %d listings, alerts %q", broken, l.Count(), rep.Alerts())
		}
		st, err := n.store.Source(t.Context(), "b")
		if err != nil || st.Alert == "" {
			t.Errorf("%.20q: state %+v, %v", broken, st, err)
		}
	}
	n.texts["b"] = lines(names[:20]...)
	if rep := n.update(UpdateOptions{Accept: []string{"b"}}); len(rep.Alerts()) != 0 {
		t.Errorf("accepted: %q", rep.Alerts())
	}
}

// More than the policy's share of the list would change: nothing does until a person confirms it.
func TestALargeChangeWaitsForAPerson(t *testing.T) {
	n := news(t)
	n.texts["a"], n.texts["b"] = lines("one.example"), lines("one.example")
	n.update(UpdateOptions{})
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("host%d.example", i))
	}
	n.texts["a"], n.texts["b"] = lines(append(names, "one.example")...), lines(append(names, "one.example")...)
	n.now = n.now.Add(2 * time.Hour)
	dry := n.update(UpdateOptions{DryRun: true})
	if dry.Listed != 50 || dry.Held == "" {
		t.Errorf("dry: %+v", dry)
	}
	if st, err := n.store.Source(t.Context(), "a"); err != nil || st.Claims != 1 {
		t.Errorf("a dry run left %+v, %v", st, err)
	}
	for range 2 {
		if rep := n.update(UpdateOptions{}); rep.Listed != 50 || !strings.Contains(rep.Held, "50 of 1 listings") {
			t.Errorf("held: %+v", rep)
		}
		if count := inForce(t, n.dir).Count(); count != 1 {
			t.Fatalf("%d listings without a person's word", count)
		}
	}
	n.update(UpdateOptions{Confirm: true})
	if count := inForce(t, n.dir).Count(); count != 51 {
		t.Errorf("%d listings after a person's word", count)
	}
}

// Sources are declared in the log, changed and retired; what a retired one said counts no more.
func TestSourcesAreDeclared(t *testing.T) {
	n := news(t)
	n.texts["a"], n.texts["b"] = lines("one.example"), lines("one.example")
	n.update(UpdateOptions{})
	at := slices.IndexFunc(n.sources, func(s Source) bool { return s.ID == "b" })
	n.sources[at].Title = "A list"
	n.update(UpdateOptions{})
	n.sources = slices.Delete(n.sources, at, at+1)
	n.update(UpdateOptions{})
	n.listed()
	var statuses []string
	for i := range inForce(t, n.dir).Epoch() {
		if e := entry(t, n.dir, i); e.Kind == ledger.KindSource && e.Source == "b" {
			statuses = append(statuses, e.Status+" "+e.Title)
		}
	}
	if want := []string{"active ", "active A list", "retired A list"}; !slices.Equal(statuses, want) {
		t.Errorf("the log says %q, not %q", statuses, want)
	}
}

func TestSourcesAreChecked(t *testing.T) {
	good := Source{ID: "a", Location: "https://a.example/", Kinds: []string{policy.C2}, Interval: time.Hour}
	for want, spoil := range map[string]func(s *Source){
		"id":          func(s *Source) { s.ID = "A list" },
		"stands for":  func(s *Source) { s.ID = "operator" },
		"location":    func(s *Source) { s.Location = "http://a.example/" },
		"kinds":       func(s *Source) { s.Kinds = nil },
		"no kind":     func(s *Source) { s.Kinds = []string{"malware"} },
		"a person":    func(s *Source) { s.Kinds = []string{policy.Confirmed} },
		"format":      func(s *Source) { s.Format = "xml" },
		"interval":    func(s *Source) { s.Interval = time.Second },
		"undated":     func(s *Source) { s.Undated = "never" },
		"scope":       func(s *Source) { s.Scope = "prefix" },
		"group":       func(s *Source) { s.Group = "G" },
		"stands ther": func(s *Source) {},
	} {
		bad := good
		spoil(&bad)
		if err := CheckSources([]Source{good, bad}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if err := CheckSources([]Source{good}); err != nil {
		t.Error(err)
	}
}
