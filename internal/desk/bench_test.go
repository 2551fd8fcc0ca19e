package desk

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/internal/web"
	"github.com/shoji-dns/shoji/ledger"
)

// listings is how many a desk of the benchmark has.
const listings = 1_000_000

func listedName(i int) string { return fmt.Sprintf("c2-%d.botnet-%d.example", i, i%977) }

// million are the policy and as many listings as a large list has.
func million(p *policy.Policy) iter.Seq[*ledger.Entry] {
	return func(yield func(*ledger.Entry) bool) {
		if !yield(p.Entry(noon)) {
			return
		}
		for i := range listings {
			e := &ledger.Entry{Kind: ledger.KindList, Time: noon, Scope: ledger.ScopeExact, Name: listedName(i), Clause: "c2-two-sources", Policy: p.Digest, Evidence: []ledger.Evidence{
				{Source: "feed-a", Kind: "c2", Family: "Emotet", First: noon, Last: noon}, {Source: "feed-b", Kind: "c2", First: noon, Last: noon}}}
			if !yield(e) {
				return
			}
		}
	}
}

// large is a desk over a log of a million listings, read to its end.
func large(b *testing.B) *web.Site {
	b.Helper()
	p, err := policy.Default()
	if err != nil {
		b.Fatal(err)
	}
	log, err := sequence.Open(b.Context(), sequence.Config{Dir: b.TempDir(), Origin: "log.shoji.test"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { log.Close() })
	if _, _, err := log.Append(b.Context(), million(p), nil); err != nil {
		b.Fatal(err)
	}
	state, err := ledger.Replay(b.Context(), log.Source(), log.Verifier(), nil)
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "list")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	digest, err := filter.Compile(f, state)
	if err != nil {
		b.Fatal(err)
	}
	list, err := filter.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	site, err := web.New(web.Config{Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	if err != nil {
		b.Fatal(err)
	}
	d, err := New(Config{Site: site, Log: log.Source(), Key: log.Verifier(), VerifierKey: log.VerifierKey()})
	if err != nil {
		b.Fatal(err)
	}
	d.Swap(list, ledger.Epoch{Time: noon, Size: state.Size(), Digest: ledger.Digest(digest), Count: list.Count()})
	if err := d.advance(b.Context(), func() {}); err != nil {
		b.Fatal(err)
	}
	return site
}

// BenchmarkLookup is the look-up's page with a million listings, three of four times of a listed name: with its
// evidence, its clause, and its entry read from the log and verified. It reports the time of the slowest page in a
// hundred, which is worth something on a machine with nothing else to do alone, and the processor's time of one page.
func BenchmarkLookup(b *testing.B) {
	site := large(b)
	var took []time.Duration
	before := processor(b)
	for b.Loop() {
		i := len(took)
		name, lang := listedName(rand.IntN(listings)), []string{"/en", "/ja"}[i%2]
		if i%4 == 0 {
			name = fmt.Sprintf("www-%d.shop.example", i)
		}
		r := httptest.NewRequest("GET", lang+"/lookup?name="+name, nil)
		r.Host = "localhost"
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.1", rand.IntN(256), rand.IntN(256))) // limits are by network
		w := httptest.NewRecorder()
		start := time.Now()
		site.ServeHTTP(w, r)
		took = append(took, time.Since(start))
		if body := w.Body.String(); w.Code != 200 || strings.Contains(body, "verdict listed") != (i%4 != 0) {
			b.Fatalf("%s: %d %s", name, w.Code, body)
		}
	}
	used := processor(b) - before
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
	b.ReportMetric(float64(used.Microseconds())/1000/float64(len(took)), "ms-processor/page")
}

// processor is the time that this process has used.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
