package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/shoji-dns/shoji/internal/audit"
	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/evidence"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/ledger"
)

// office is a state folder whose control loop a test runs, and an auditor who looks at its log.
type office struct {
	t       *testing.T
	dir     string
	guard   curate.Guard
	store   *evidence.Store
	policy  *policy.Policy
	sources []curate.Source
	texts   map[string]string // by the id of the source
	reader  curate.Fetch      // nil: the texts
	now     time.Time
}

func newOffice(t *testing.T) *office {
	d := &office{t: t, dir: t.TempDir(), texts: map[string]string{}, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	var err error
	if d.guard, err = curate.NewGuard([]string{"dns.isp.example"}, nil); err != nil {
		t.Fatal(err)
	}
	if d.policy, err = policy.Default(); err != nil {
		t.Fatal(err)
	}
	if d.store, err = evidence.Open(t.Context(), filepath.Join(d.dir, "evidence.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.store.Close() })
	return d
}

func (d *office) source(id string, format feed.Format, kind, text string) {
	d.sources = append(d.sources, curate.Source{ID: id, Location: "https://" + id + ".example/", Format: format, Kinds: []string{kind}, Interval: time.Hour})
	d.texts[id] = text
}

func (d *office) fetch(_ context.Context, location string, _ feed.Validators, out *os.File) (feed.Validators, bool, error) {
	id := strings.TrimSuffix(strings.TrimPrefix(location, "https://"), ".example/")
	_, err := out.WriteString(d.texts[id])
	return feed.Validators{LastModified: d.now.Format(http.TimeFormat)}, false, err
}

func (d *office) loop() *curate.Loop {
	d.t.Helper()
	fetch := d.reader
	if fetch == nil {
		fetch = d.fetch
	}
	l, err := curate.NewLoop(curate.LoopConfig{
		Dir: d.dir, Guard: d.guard, Policy: d.policy, Store: d.store, Sources: d.sources, Fetch: fetch, Now: func() time.Time { return d.now },
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return l
}

func (d *office) update() *curate.UpdateReport {
	d.t.Helper()
	rep, err := d.loop().Update(d.t.Context(), curate.UpdateOptions{Confirm: true})
	if err != nil {
		d.t.Fatal(err)
	}
	return rep
}

// writer lets a person change the list.
func (d *office) writer(change func(*curate.Writer) error) {
	d.t.Helper()
	w, err := curate.Open(d.t.Context(), curate.Config{
		Dir: d.dir, Guard: d.guard, Policy: d.policy, Evidence: d.store, Sources: d.sources, Now: func() time.Time { return d.now },
	})
	if err != nil {
		d.t.Fatal(err)
	}
	if err := change(w); err != nil {
		d.t.Error(err)
	}
	if err := w.Close(); err != nil {
		d.t.Error(err)
	}
}

// audit has the log looked at, by somebody who comes again and by somebody who never did.
func (d *office) audit(what string) *audit.Report {
	d.t.Helper()
	key, err := sequence.ReadVerifier(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	vkey, err := os.ReadFile(filepath.Join(d.dir, "key.pub"))
	if err != nil {
		d.t.Fatal(err)
	}
	var rep *audit.Report
	for _, memories := range []string{filepath.Join(d.dir, "again"), d.t.TempDir()} {
		rep = d.look(what, key, strings.TrimSpace(string(vkey)), memories)
	}
	return rep
}

func (d *office) look(what string, key note.Verifier, vkey, memories string) *audit.Report {
	d.t.Helper()
	memory, err := audit.OpenMemory(memories, vkey)
	if err != nil {
		d.t.Fatal(err)
	}
	log, err := ledger.OpenFolder(sequence.Folder(d.dir))
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	rep, err := audit.Run(d.t.Context(), audit.Config{Source: log, Key: key, Memory: memory, Now: d.now, EveryList: true})
	if err != nil || rep.Verdict != audit.Verified {
		d.t.Errorf("%s: the log is %s, %v", what, rep.Verdict, err)
		for _, c := range rep.Checks {
			for _, f := range c.Findings {
				d.t.Errorf("%s: check %s: %+v", what, c.Name, f)
			}
		}
	}
	return rep
}

func hosts(first, next int) string {
	var b strings.Builder
	for i := first; i < next; i++ {
		fmt.Fprintf(&b, "host-%d.bad%d.example\n", i, i%7)
	}
	return b.String()
}

// TestALogThatTheLoopWroteIsVerified lets everything happen over some months that lists and
// delists, and has verify's auditor look at the log after each step.
func TestALogThatTheLoopWroteIsVerified(t *testing.T) {
	d := newOffice(t)
	d.source("plain", feed.Plain, policy.C2, hosts(0, 300)+"*.evil.pages.example\npages.example\ncom\ndns.isp.example\nxn--ypal-43d9g.example\n198.51.100.7\n0.0.0.0/0\nrelay.example\npopular.example\n")
	d.source("dated", feed.CSV, policy.C2, "domain,malware,first_seen,last_seen,reference\n"+
		"*.evil.pages.example,canarybot,2026-02-01,2026-02-27,\nrelay.example,canarybot,2026-02-01,2026-02-27,\npopular.example,canarybot,2026-02-01,2026-02-27,\n198.51.100.7,canarybot,2026-02-01,2026-02-27,\n"+
		"sampled.example,canarybot,2026-02-20,2026-02-25,sha256:"+strings.Repeat("0a", 32)+"\n"+strings.ReplaceAll(hosts(0, 200), "\n", ",canarybot,2026-02-01,2026-02-27,\n"))
	d.source("copy", feed.Plain, policy.C2, hosts(200, 300))
	d.sources[2].Group = "plain" // it copies the first one
	d.source("zone", feed.RPZ, policy.C2, "*.vendor.example CNAME .\nok.vendor.example CNAME rpz-passthru.\nhost-299.bad5.example CNAME .\nx.vendor.example CNAME .\n")
	d.source("apexes", feed.Plain, policy.SharedApex, "pages.example\n")
	d.source("ranks", feed.Plain, policy.Popular, "popular.example\n")
	d.source("relays", feed.Plain, policy.Proxy, "relay.example\n")
	d.source("dedicated", feed.Plain, policy.Dedicated, "relay.example\n")
	rep := d.update()
	for clause, want := range map[string]uint64{"c2-two-sources": 202, "c2-host": 1, "c2-sample": 1, "class-combined": 1, "popular": 1, "public-suffix": 1, "own": 2, "shared-apex": 1} {
		if rep.Clauses[clause] != want {
			t.Errorf("clause %s: %d subjects, not %d: %v", clause, rep.Clauses[clause], want, rep.Clauses)
		}
	}
	d.audit("the first list")

	d.texts["plain"] = hosts(20, 310)
	d.now = d.now.Add(26 * time.Hour)
	d.update()
	d.audit("a source says other things")

	d.writer(func(w *curate.Writer) error { // a person takes names off, and lists others
		s, _ := curate.ParseSubject("host-5.bad5.example")
		_, _, err := w.Remove(t.Context(), []curate.Subject{s}, "a mistake")
		return err
	})
	d.writer(func(w *curate.Writer) error {
		file := curate.File{Name: "hand.txt", Open: func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("by-hand.example\n*.by-hand.example\n")), nil
		}}
		_, err := w.Import(t.Context(), []curate.File{file}, curate.Claim{Source: "vendor", Kind: policy.C2}, false)
		return err
	})
	d.audit("a person's word")

	d.now = d.now.AddDate(0, 0, 40)
	if rep := d.update(); rep.Delisted == 0 {
		t.Errorf("nothing goes stale: %+v", rep)
	}
	d.audit("a sample goes stale")

	document := strings.Replace(string(d.policy.Document), "fresh: 90d", "fresh: 30d", 1)
	document = strings.Replace(document, `version: "`, `version: "strict-`, 1)
	document = document[:strings.Index(document, "\nexamples:")+1]
	var err error
	if d.policy, err = policy.Parse([]byte(document)); err != nil {
		t.Fatal(err)
	}
	if rep := d.update(); rep.Delisted < 100 {
		t.Errorf("another policy: %+v", rep)
	}
	d.audit("another policy")

	d.sources[2].Group = "" // it copies nobody after all
	d.texts["copy"] = hosts(200, 320)
	d.sources = slices.DeleteFunc(d.sources, func(s curate.Source) bool { return s.ID == "dated" })
	if rep := d.update(); rep.Listed == 0 {
		t.Errorf("other groups: %+v", rep)
	}
	report := d.audit("other sources and groups")
	if report.Checks[4].Checked < 300 || report.Checks[5].Checked < 100 {
		t.Errorf("listings %+v, delistings %+v", report.Checks[4], report.Checks[5])
	}
}
