package curate

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/ledger"
)

// sealedNews is a newsroom whose source a may not be told, with b and c that may.
func sealedNews(t *testing.T) *newsroom {
	n := news(t)
	n.sources = append(n.sources, Source{ID: "c", Location: "https://c.example/list", Format: feed.Plain, Kinds: []string{policy.C2}, Interval: time.Hour})
	n.texts["c"] = "nothing.example\n"
	for i := range n.sources {
		if n.sources[i].ID == "a" {
			n.sources[i].Publish = PublishCommitment
		}
	}
	return n
}

// told reports whether a text stands anywhere in the log.
func (n *newsroom) told(text string) bool {
	n.t.Helper()
	found := false
	dir := os.DirFS(sequence.Folder(n.dir))
	err := fs.WalkDir(dir, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := fs.ReadFile(dir, path)
		found = found || bytes.Contains(b, []byte(text))
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return found
}

// explained asks the state folder, and the log alone.
func (n *newsroom) explained(name string) []*Explanation {
	n.t.Helper()
	vkey, err := sequence.ReadVerifierKey(n.dir)
	if err != nil {
		n.t.Fatal(err)
	}
	s, err := ParseAsked(name)
	if err != nil {
		n.t.Fatal(err)
	}
	var out []*Explanation
	for _, open := range []func() (*Known, error){
		func() (*Known, error) { return OpenState(n.t.Context(), n.dir, n.store, guard(n.t), n.sources) },
		func() (*Known, error) {
			return OpenLog(n.t.Context(), sequence.Folder(n.dir), vkey, guard(n.t))
		},
	} {
		k, err := open()
		if err != nil {
			n.t.Fatal(err)
		}
		x, err := k.Explain(context.Background(), s, n.now)
		if err != nil {
			n.t.Fatal(err)
		}
		k.Close()
		out = append(out, x)
	}
	return out
}

// Names that are listed for a source whose licence keeps them from being told come and go, are
// filtered and explained to who knows them, and never stand in the log.
func TestSourceWhoseNamesAreNotTold(t *testing.T) {
	n := sealedNews(t)
	n.texts["shared"] = lines("hosting.example")
	n.texts["a"] = lines("one.example", "*.two.example", "three.example", "evil.hosting.example", "198.51.100.7", "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.deep.example")
	n.texts["b"] = lines("one.example", "*.two.example", "three.example", "evil.hosting.example", "198.51.100.7", "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.deep.example")
	n.texts["c"] = lines("three.example")
	rep := n.update(UpdateOptions{})
	n.listed("one.example", "two.example", "three.example")
	if rep.Listed != 4 || rep.Epoch.Count != 4 || !listed(inForce(t, n.dir), "evil.hosting.example") || inForce(t, n.dir).HasPrefix(mustSubject(t, "198.51.100.7").Prefix) {
		t.Errorf("%+v", rep)
	}
	for text, want := range map[string]bool{"one.example": false, "two.example": false, "three.example": true, "hosting.example": false, "198.51.100.7": false, "deep.example": false, sealedNote: true} {
		if n.told(text) != want {
			t.Errorf("that the log tells %s is %v", text, !want)
		}
	}
	if want := wholeMap(t, n.dir, rep.Epoch); rep.Epoch.Map != want {
		t.Errorf("the map has the root %s; the log adds up to %s", rep.Epoch.Map, want)
	}
	if again := n.update(UpdateOptions{}); again.Listed+again.Delisted != 0 {
		t.Errorf("again: %+v", again)
	}
	for name, listed := range map[string]string{"one.example": "one.example", "www.two.example": "*.two.example"} {
		for i, x := range n.explained(name) {
			if !x.Filtered || x.Listed != listed || x.Listing.Commitment.IsZero() || x.Listing.Name != "" || x.Decision.Outcome != policy.List {
				t.Errorf("%d: %+v of %+v", i, x, x.Listing)
			}
		}
	}
	if x := n.explained("three.example")[0]; x.Listing.Name != "three.example" || len(x.Listing.Evidence) != 2 {
		t.Errorf("%+v", x.Listing)
	}
	// A person takes one off, saying its name; a source falls silent about another.
	w := n.writer()
	if ended, _, err := w.Remove(t.Context(), []Subject{mustSubject(t, "one.example")}, "one.example is a mistake"); err != nil || ended != 1 {
		t.Errorf("%d ended, %v", ended, err)
	}
	w.Close()
	n.listed("two.example", "three.example")
	n.texts["a"], n.texts["b"] = lines("evil.hosting.example"), lines("evil.hosting.example", "three.example")
	n.now = n.now.AddDate(1, 0, 0)
	rep = n.update(UpdateOptions{Confirm: true})
	n.listed("three.example")
	if !listed(inForce(t, n.dir), "evil.hosting.example") || n.told("one.example") || n.told("two.example") || rep.Epoch.Map != wholeMap(t, n.dir, rep.Epoch) {
		t.Error("the ends tell the names, or the map is another")
	}
	// The source is not configured any more: what it alone carried ends.
	for i := range n.sources {
		if n.sources[i].ID == "a" {
			n.sources = append(n.sources[:i], n.sources[i+1:]...)
			break
		}
	}
	n.update(UpdateOptions{Confirm: true})
	n.listed("three.example")
	if listed(inForce(t, n.dir), "evil.hosting.example") || n.told("hosting.example") || n.told("evil.hosting.example") {
		t.Error("the log tells a name")
	}
}

func mustSubject(t *testing.T, text string) Subject {
	t.Helper()
	s, err := ParseSubject(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (n *newsroom) writer() *Writer {
	n.t.Helper()
	w, err := Open(n.t.Context(), Config{
		Dir: n.dir, Guard: guard(n.t), Policy: n.policy, Evidence: n.store, Sources: n.sources, Now: func() time.Time { return n.now },
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return w
}

// References that tell the name, or where to read it, are left out; a sample's digest stays.
func TestUntold(t *testing.T) {
	w := &Writer{sealed: map[string]bool{"a": true}}
	const digest = "sha256:00000000000000000000000000000000000000000000000000000000000000ab"
	given := []ledger.Evidence{
		{Source: "a", Kind: "c2", Reference: digest}, {Source: "a", Kind: "c2", Reference: "https://a.example/ioc/7"},
		{Source: "b", Kind: "c2", Reference: "https://b.example/about/WWW.Evil.test/"}, {Source: "b", Kind: "below-shared-apex", Reference: "evil.test"},
		{Source: "b", Kind: "c2", Reference: "https://b.example/ioc/7"},
	}
	var got []string
	for _, e := range w.untold(given, "c2.www.evil.test") {
		got = append(got, e.Reference)
	}
	if want := digest + "||||https://b.example/ioc/7"; strings.Join(got, "|") != want || given[1].Reference == "" {
		t.Errorf("%q", got)
	}
}

// What spares others is cited where it does, and cannot be kept from being told.
func TestOnlyAccusationsAreNotTold(t *testing.T) {
	s := Source{ID: "a", Location: "https://a.example/", Kinds: []string{policy.C2, policy.Benign}, Interval: time.Hour, Publish: PublishCommitment}
	if err := CheckSources([]Source{s}); err == nil {
		t.Error("a source of benign names may be kept from being told")
	}
	if s.Publish = "perhaps"; CheckSources([]Source{s}) == nil {
		t.Error("publish may be anything")
	}
	if s.Publish = PublishNames; CheckSources([]Source{s}) != nil {
		t.Error("names may not be told")
	}
}

// What a person imports for such a source is not told either, nor listed where it cannot be
// committed to.
func TestImportForASourceWhoseNamesAreNotTold(t *testing.T) {
	n := sealedNews(t)
	w := n.writer()
	files := []File{text("a.txt", "one.example\n*.two.example\n198.51.100.7\n")}
	for i, want := range []uint64{2, 0} {
		rep, err := w.Import(t.Context(), files, Claim{Source: "a", Kind: "c2"}, false)
		if err != nil || rep.Listed != want || rep.Files[0].Guarded != 1 || i == 1 && rep.Files[0].Known != 2 {
			t.Errorf("%+v of %+v, %v", rep.Files[0], rep, err)
		}
	}
	w.Close()
	n.listed("one.example", "two.example")
	if n.told("one.example") || n.told("two.example") || n.told("198.51.100.7") {
		t.Error("the log tells a name")
	}
	if rep := n.update(UpdateOptions{}); rep.Delisted != 0 {
		t.Errorf("%+v", rep)
	}
}

// An appeal against a listing that is not told ends it without telling it.
func TestAppealAgainstAnUntoldListing(t *testing.T) {
	n := sealedNews(t)
	n.texts["a"], n.texts["b"] = lines("one.example"), lines("one.example")
	n.update(UpdateOptions{})
	h := n.hear("one.example", func(h *Hearing) *Ruling {
		return &Ruling{Case: "case-1", Before: []*ledger.Entry{{Kind: ledger.KindCase, Time: h.Now, Case: "case-1", Status: ledger.CaseReceived}}, Granted: true, Note: "one.example is a shop"}
	})
	if !h.Listed || h.Listing.Commitment.IsZero() || h.Subject() != "one.example" {
		t.Errorf("%+v of %+v", h, h.Listing)
	}
	n.listed()
	if n.told("one.example") {
		t.Error("the log tells the name")
	}
	if rep := n.update(UpdateOptions{}); rep.Listed != 0 {
		t.Errorf("it came back: %+v", rep)
	}
}
