package evidence

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/database"
	"github.com/shoji-dns/shoji/ledger"
)

// postgresEnv names the address of a PostgreSQL server on which tests may make databases.
const postgresEnv = "SHOJI_TEST_POSTGRES"

// both runs a test on an SQLite file and, where there is a server, on PostgreSQL.
func both(t *testing.T, test func(t *testing.T, address string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, filepath.Join(t.TempDir(), "evidence?#%.db")) })
	t.Run("postgres", func(t *testing.T) {
		server := os.Getenv(postgresEnv)
		if server == "" {
			t.Skipf("no PostgreSQL: set %s to postgres://USER@HOST/DATABASE", postgresEnv)
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
		test(t, address)
	})
}

func mustOpen(t testing.TB, address string) *Store {
	t.Helper()
	s, err := Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

var day0 = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func day(n int) time.Time { return day0.AddDate(0, 0, n) }

// says is a source's claims: "name" is c2 of that name, "name/kind" another kind.
func says(texts ...string) iter.Seq2[Claim, error] {
	return func(yield func(Claim, error) bool) {
		for _, text := range texts {
			name, kind, ok := strings.Cut(text, "/")
			if !ok {
				kind = "c2"
			}
			if !yield(Claim{Subject: Subject{name, ledger.ScopeExact}, Kind: kind, Family: "bot"}, nil) {
				return
			}
		}
	}
}

func refreshed(t *testing.T, s *Store, source string, at time.Time, texts ...string) Refreshed {
	t.Helper()
	r, err := s.Refresh(t.Context(), Reading{Source: source, At: at}, says(texts...))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// dump writes what subjects are yielded, one line a piece of evidence.
func dump(t *testing.T, subjects iter.Seq2[*About, error]) string {
	t.Helper()
	var b strings.Builder
	for a, err := range subjects {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range a.Evidence {
			fmt.Fprintf(&b, "%s %s %s %s..%s", a.Text, e.Source, e.Kind, e.First.Format("01-02"), e.Last.Format("01-02"))
			if e.Withdrawn {
				b.WriteString(" withdrawn")
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if want = strings.TrimLeft(want, "\n"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestASourceOverSomeDays: claims come, stay, go and come back; only what changed is new.
func TestASourceOverSomeDays(t *testing.T) {
	both(t, func(t *testing.T, address string) {
		s := mustOpen(t, address)
		r1 := refreshed(t, s, "one", day(0), "a.example", "b.example")
		if r1.Added != 2 || r1.Claims != 2 || r1.Revision == 0 {
			t.Errorf("first: %+v", r1)
		}
		r2 := refreshed(t, s, "one", day(1), "a.example", "b.example")
		if r2 != (Refreshed{Claims: 2}) {
			t.Errorf("nothing changed: %+v", r2)
		}
		r3 := refreshed(t, s, "one", day(2), "b.example", "c.example")
		if r3.Added != 1 || r3.Withdrawn != 1 {
			t.Errorf("one came, one went: %+v", r3)
		}
		want(t, dump(t, s.Since(t.Context(), r1.Revision)), `
a.example one c2 03-01..03-01 withdrawn
c.example one c2 03-03..03-03
`)
		r4 := refreshed(t, s, "one", day(3), "a.example", "b.example", "c.example")
		if r4.Added != 1 || r4.Changed != 0 {
			t.Errorf("one came back: %+v", r4)
		}
		want(t, dump(t, s.Since(t.Context(), 0)), `
a.example one c2 03-01..03-04
b.example one c2 03-01..03-04
c.example one c2 03-03..03-04
`)
	})
}

// TestAnUndatedClaim: what stays in a list is seen again when the list is published, and not
// when it is read; what an archive has was seen when it was new to it.
func TestAnUndatedClaim(t *testing.T) {
	both(t, func(t *testing.T, address string) {
		s := mustOpen(t, address)
		read := func(at, published time.Time, archived bool, names ...string) {
			t.Helper()
			source := map[bool]string{true: "archive", false: "list"}[archived]
			_, err := s.Refresh(t.Context(), Reading{Source: source, At: at, Published: published}, func(yield func(Claim, error) bool) {
				for _, name := range names {
					c := Claim{Subject: Subject{name, ledger.ScopeExact}, Kind: "c2", Archived: archived}
					if name == "dated.example" {
						c.First = day(-9)
					}
					if !yield(c, nil) {
						return
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		read(day(9), day(2), false, "a.example")
		read(day(9), day(2), true, "a.example", "dated.example", "gone.example")
		want(t, dump(t, s.Since(t.Context(), 0)), `
a.example list c2 03-03..03-03
a.example archive c2 01-01..01-01
dated.example archive c2 02-20..02-20
gone.example archive c2 01-01..01-01
`)
		read(day(12), time.Time{}, false, "a.example")
		read(day(12), day(12), true, "a.example", "dated.example", "new.example")
		read(day(14), day(99), false, "a.example")
		read(day(14), day(14), true, "a.example", "dated.example", "new.example", "gone.example")
		want(t, dump(t, s.Since(t.Context(), 0)), `
a.example list c2 03-03..03-15
a.example archive c2 01-01..01-01
dated.example archive c2 02-20..02-20
gone.example archive c2 01-01..03-15
new.example archive c2 03-13..03-13
`)
		read(day(15), day(15), false, "new.example")
		want(t, dump(t, s.LastSeenBetween(t.Context(), day(12), day(15))), `
a.example list c2 03-03..03-15 withdrawn
a.example archive c2 01-01..01-01
gone.example archive c2 01-01..03-15
new.example list c2 03-16..03-16
new.example archive c2 03-13..03-13
`)
	})
}

// TestSubjectsHaveTheEvidenceOfAllSources
func TestSubjectsHaveTheEvidenceOfAllSources(t *testing.T) {
	both(t, func(t *testing.T, address string) {
		s := mustOpen(t, address)
		refreshed(t, s, "one", day(0), "a.example", "b.example")
		r := refreshed(t, s, "two", day(1), "b.example/phishing", "b.example")
		want(t, dump(t, s.Since(t.Context(), r.Revision-1)), `
b.example one c2 03-01..03-01
b.example two c2 03-02..03-02
b.example two phishing 03-02..03-02
`)
		a, err := s.One(t.Context(), "a.example")
		if err != nil || a == nil || len(a.Evidence) != 1 || a.Evidence[0].Family != "bot" {
			t.Errorf("%+v, error %v", a, err)
		}
		if a, err := s.One(t.Context(), "z.example"); a != nil || err != nil {
			t.Errorf("an unknown name: %+v, error %v", a, err)
		}
	})
}

// TestEvidenceThatPassesAnAge: what was last seen in a span of time can be asked for.
func TestEvidenceThatPassesAnAge(t *testing.T) {
	both(t, func(t *testing.T, address string) {
		s := mustOpen(t, address)
		dated := Claim{Subject: Subject{"dated.example", ledger.ScopeExact}, Kind: "c2", First: day(-9), Last: day(-5)}
		_, err := s.Refresh(t.Context(), Reading{Source: "one", At: day(0)}, func(yield func(Claim, error) bool) { yield(dated, nil) })
		if err != nil {
			t.Fatal(err)
		}
		refreshed(t, s, "two", day(1), "gone.example", "here.example")
		refreshed(t, s, "two", day(3), "here.example")
		want(t, dump(t, s.LastSeenBetween(t.Context(), day(-6), day(2))), `
dated.example one c2 02-20..02-24
gone.example two c2 03-02..03-02 withdrawn
`)
	})
}

func TestARefreshThatFailsChangesNothing(t *testing.T) {
	both(t, func(t *testing.T, address string) {
		s := mustOpen(t, address)
		r := refreshed(t, s, "one", day(0), "a.example")
		broken := errors.New("connection reset")
		_, err := s.Refresh(t.Context(), Reading{Source: "one", At: day(1)}, func(yield func(Claim, error) bool) {
			_ = yield(Claim{Subject: Subject{"b.example", ledger.ScopeExact}, Kind: "c2"}, nil) && yield(Claim{}, broken)
		})
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "source one") {
			t.Errorf("error %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err = s.Refresh(ctx, Reading{Source: "one", At: day(1)}, func(yield func(Claim, error) bool) {
			cancel()
			yield(Claim{Subject: Subject{"b.example", ledger.ScopeExact}, Kind: "c2"}, nil)
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		want(t, dump(t, s.Since(t.Context(), 0)), "a.example one c2 03-01..03-01\n")
		want(t, dump(t, s.Since(t.Context(), r.Revision)), "")
	})
}

// TestAShrunkenSourceIsRefused: half a feed is no reason to lift half of the list.
func TestAShrunkenSourceIsRefused(t *testing.T) {
	both(t, func(t *testing.T, address string) {
		s := mustOpen(t, address)
		var all []string
		for i := range 100 {
			all = append(all, fmt.Sprintf("n%02d.example", i))
		}
		refreshed(t, s, "one", day(0), all...)
		_, err := s.Refresh(t.Context(), Reading{Source: "one", At: day(1)}, says(all[:49]...))
		var shrunk *ShrunkError
		if !errors.As(err, &shrunk) || shrunk.Before != 100 || shrunk.Now != 49 {
			t.Fatalf("error %v", err)
		}
		if r := refreshed(t, s, "one", day(1), all[:50]...); r.Withdrawn != 50 {
			t.Errorf("half of it: %+v", r)
		}
		r, err := s.Refresh(t.Context(), Reading{Source: "one", At: day(2), Force: true}, says(all[:1]...))
		if err != nil || r.Withdrawn != 49 {
			t.Errorf("by force: %+v, error %v", r, err)
		}
	})
}

func TestWithdrawnClaimsAreDroppedInTheEnd(t *testing.T) {
	both(t, func(t *testing.T, address string) {
		s := mustOpen(t, address)
		refreshed(t, s, "one", day(0), "a.example", "b.example")
		refreshed(t, s, "one", day(1), "b.example")
		refreshed(t, s, "one", day(0).Add(Retention+time.Hour), "b.example")
		if got := dump(t, s.Since(t.Context(), 0)); strings.Contains(got, "a.example") {
			t.Errorf("kept:\n%s", got)
		}
	})
}

func TestTheStateOfASource(t *testing.T) {
	both(t, func(t *testing.T, address string) {
		s := mustOpen(t, address)
		ctx := t.Context()
		if st, err := s.Source(ctx, "one"); err != nil || !st.Refreshed.IsZero() {
			t.Errorf("%+v, error %v", st, err)
		}
		for range 2 {
			if err := s.Failed(ctx, "one", "HTTP status 503"); err != nil {
				t.Fatal(err)
			}
		}
		if st, err := s.Source(ctx, "one"); err != nil || st.Failures != 2 || st.Alert != "HTTP status 503" {
			t.Errorf("%+v, error %v", st, err)
		}
		if _, err := s.Refresh(ctx, Reading{Source: "one", At: day(0), Validators: Validators{`"x"`, "Sun, 01 Mar 2026 12:00:00 GMT"}}, says("a.example")); err != nil {
			t.Fatal(err)
		}
		if err := s.Unchanged(ctx, "one", day(4)); err != nil {
			t.Fatal(err)
		}
		st, err := s.Source(ctx, "one")
		if err != nil || st.Failures != 0 || st.Alert != "" || st.ETag != `"x"` || st.Claims != 1 || !st.Refreshed.Equal(day(4)) {
			t.Errorf("%+v, error %v", st, err)
		}
		want(t, dump(t, s.Since(ctx, 0)), "a.example one c2 03-01..03-01\n")
	})
}

// TestTheStoreOutlivesTheProcess and is not opened by an older program.
func TestTheStoreOutlivesTheProcess(t *testing.T) {
	both(t, func(t *testing.T, address string) {
		s := mustOpen(t, address)
		refreshed(t, s, "one", day(0), "a.example")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, address)
		want(t, dump(t, s.Since(t.Context(), 0)), "a.example one c2 03-01..03-01\n")
		if _, err := s.db.Exec(t.Context(), `INSERT INTO schema_version (version) VALUES (99)`); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), address); err == nil || !strings.Contains(err.Error(), "newer program") {
			t.Errorf("error %v", err)
		}
	})
}

func TestAnAddressThatCannotBeOpened(t *testing.T) {
	for _, address := range []string{"", filepath.Join(t.TempDir(), "absent", "evidence.db"), "postgres://%zz"} {
		if s, err := Open(t.Context(), address); err == nil {
			s.Close()
			t.Errorf("opened %q", address)
		} else if !strings.HasPrefix(err.Error(), "evidence: ") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// BenchmarkRefresh takes a source of 100,000 names in, then a version of it in which 1%
// differs. It is not the reading of a feed.
func BenchmarkRefresh(b *testing.B) {
	names := make([]string, 100_000)
	for i := range names {
		names[i] = fmt.Sprintf("host-%d.some-domain-%d.example", i, i%1000)
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			s := mustOpen(b, filepath.Join(b.TempDir(), "e.db"))
			if _, err := s.Refresh(b.Context(), Reading{Source: "one", At: day(0)}, says(names...)); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(names)), "ns/claim")
	})
	b.Run("again", func(b *testing.B) {
		s := mustOpen(b, filepath.Join(b.TempDir(), "e.db"))
		i := 0
		for b.Loop() {
			i++
			for k := 0; k < len(names); k += 100 {
				names[k] = fmt.Sprintf("new-%d-%d.example", i, k)
			}
			if _, err := s.Refresh(b.Context(), Reading{Source: "one", At: day(i)}, says(names...)); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(names)), "ns/claim")
	})
	b.Run("read", func(b *testing.B) {
		s := mustOpen(b, filepath.Join(b.TempDir(), "e.db"))
		if _, err := s.Refresh(b.Context(), Reading{Source: "one", At: day(0)}, says(names...)); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			for _, err := range s.Since(b.Context(), 0) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(names)), "ns/claim")
	})
}
