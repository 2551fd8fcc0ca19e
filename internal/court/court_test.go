// Package court holds stories of appeals: what those who appeal, staff and people who mean harm
// do, played against the docket, the control loop, a log and a list as they run in serve.
package court

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/database"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/docket"
	"github.com/shoji-dns/shoji/internal/evidence"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/policy"
)

// court is a desk with a list that two sources, files, carry, and a clock of its own.
type court struct {
	t      *testing.T
	dir    string
	store  *evidence.Store
	loop   *curate.Loop
	docket *docket.Docket
	db     *database.DB
	broken error // Hear fails with it

	sources []curate.Source
	policy  *policy.Policy
	guard   curate.Guard

	mu  sync.Mutex
	now time.Time
}

// both plays a story with the docket in SQLite and, where there is a server, in PostgreSQL.
func both(t *testing.T, story func(c *court)) {
	t.Run("sqlite", func(t *testing.T) { story(open(t, filepath.Join(t.TempDir(), "desk.db"))) })
	t.Run("postgres", func(t *testing.T) {
		server := os.Getenv("SHOJI_TEST_POSTGRES")
		if server == "" {
			t.Skip("no PostgreSQL: set SHOJI_TEST_POSTGRES to postgres://USER@HOST/DATABASE")
		}
		address, drop, err := database.Scratch(t.Context(), server)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := drop(); err != nil {
				t.Error(err)
			}
		})
		story(open(t, address))
	})
}

func open(t *testing.T, address string) *court {
	t.Helper()
	c := &court{t: t, dir: t.TempDir(), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	var err error
	if c.store, err = evidence.Open(t.Context(), filepath.Join(c.dir, "evidence.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.store.Close() })
	definition, err := policy.Default()
	if err != nil {
		t.Fatal(err)
	}
	guard, err := curate.NewGuard([]string{"dns.isp.example"}, []netip.Addr{netip.MustParseAddr("203.0.113.53")})
	if err != nil {
		t.Fatal(err)
	}
	for id, kind := range map[string]string{"a": policy.C2, "b": policy.C2, "ranks": policy.Popular} {
		c.say(id, "nothing.example")
		c.sources = append(c.sources, curate.Source{ID: id, Location: c.source(id), Format: feed.Plain, Kinds: []string{kind}, Interval: time.Hour})
	}
	c.policy, c.guard = definition, guard
	c.reopen()
	if c.db, err = database.Open(address, database.Options{Erase: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.db.Close() })
	c.docket = c.opened()
	return c
}

// reopen begins anew with the sources as they are declared.
func (c *court) reopen() {
	c.t.Helper()
	var err error
	c.loop, err = curate.NewLoop(curate.LoopConfig{
		Dir: c.dir, Guard: c.guard, Policy: c.policy, Store: c.store, Sources: c.sources, Fetch: feed.NewFetcher(nil, "test").Fetch, Now: c.clock,
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// opened is the docket, opened once more.
func (c *court) opened() *docket.Docket {
	c.t.Helper()
	d, err := docket.Open(c.t.Context(), docket.Config{Database: c.db, Dir: c.dir, Hear: c.hear, Reviewer: c.loop, Now: c.clock})
	if err != nil {
		c.t.Fatal(err)
	}
	return d
}

func (c *court) hear(ctx context.Context, s curate.Subject, rule func(*curate.Hearing) (*curate.Ruling, error)) error {
	if c.broken != nil {
		return c.broken
	}
	return c.loop.Hear(ctx, s, rule)
}

func (c *court) clock() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// later lets time pass, in which the sources say again what they say.
func (c *court) later(d time.Duration) {
	c.t.Helper()
	c.mu.Lock()
	c.now = c.now.Add(d)
	c.mu.Unlock()
	for i := range c.sources {
		c.published(c.sources[i].ID)
	}
}

// published dates what a source says by the clock of here.
func (c *court) published(id string) {
	c.t.Helper()
	if err := os.Chtimes(c.source(id), c.clock(), c.clock()); err != nil {
		c.t.Fatal(err)
	}
}

func (c *court) source(id string) string { return filepath.Join(c.dir, "source-"+id) }

// say is what a source says.
func (c *court) say(id string, names ...string) {
	c.t.Helper()
	if err := os.WriteFile(c.source(id), []byte(strings.Join(names, "\n")+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.published(id)
}

func (c *court) update() {
	c.t.Helper()
	if _, err := c.loop.Update(c.t.Context(), curate.UpdateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

// filtered is which of the names are filtered by the list in force.
func (c *court) filtered(want ...string) {
	c.t.Helper()
	l := c.list()
	var got []string
	for _, name := range []string{"one.example", "www.one.example", "two.example", "www.two.example"} {
		if _, ok := l.MatchName(dns.MustName(name)); ok {
			got = append(got, name)
		}
	}
	if !slices.Equal(got, want) {
		c.t.Errorf("filtered: %v, not %v", got, want)
	}
}

func (c *court) list() *filter.List {
	c.t.Helper()
	f, err := curate.Follow(c.dir)
	if err != nil {
		c.t.Fatal(err)
	}
	l, _, err := f.Poll(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return l
}

// submit hands an appeal in and has it heard.
func (c *court) submit(subject string) string {
	c.t.Helper()
	receipt, err := c.docket.Submit(c.t.Context(), docket.Appeal{Subject: subject, Cause: "cleaned", Words: "It was <b>cleaned</b>.", Contact: "owner@one.example"})
	if err != nil {
		c.t.Fatal(err)
	}
	c.run(receipt)
	return receipt
}

// run has the docket work until an appeal was heard.
func (c *court) run(receipt string) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	var wait sync.WaitGroup
	wait.Go(func() { c.docket.Run(ctx) })
	_, err := c.docket.Await(ctx, receipt, time.Minute)
	cancel()
	wait.Wait()
	if err != nil {
		c.t.Fatal(err)
	}
}

// statement is what an appeal came to: its state and its case's.
func (c *court) statement(receipt string) (string, *docket.Case) {
	c.t.Helper()
	s, err := c.docket.Statement(c.t.Context(), receipt)
	if err != nil {
		c.t.Fatal(err)
	}
	if s.Words != "" || s.Contact != "" {
		c.t.Error("a receipt shows words or contact")
	}
	if s.Case == "" {
		return s.State, nil
	}
	one, err := c.docket.Case(c.t.Context(), s.Case)
	if err != nil {
		c.t.Fatal(err)
	}
	return s.State, one
}

func (c *court) vote(id, member, verdict string) *docket.Case {
	c.t.Helper()
	one, err := c.docket.Vote(c.t.Context(), id, member, verdict, "Because of "+member+".")
	if err != nil {
		c.t.Fatal(err)
	}
	return one
}

var errBroken = errors.New("the log is out of reach")
