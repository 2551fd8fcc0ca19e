package filter

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/ledger"
)

// benchNames is the size of the list in benchmarks: 1,000,000 names, or what
// SHOJI_NAMES says.
func benchNames(b *testing.B) int {
	if s := os.Getenv("SHOJI_NAMES"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	return 1_000_000
}

// benchFile compiles a list of n synthetic names, half exact and half subtree, into a file.
func benchFile(b *testing.B, n int) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "list")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := compile(f, uint64(n), [32]byte{7}, n, mixed(n)); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	return path
}

func mixed(n int) func(func(ledger.Listing) bool) {
	return func(yield func(ledger.Listing) bool) {
		for l := range synthetic(n, ledger.ScopeSubtree) {
			if l.Entry%2 == 0 {
				l.Scope = ledger.ScopeExact
			}
			if !yield(l) {
				return
			}
		}
	}
}

const benchQueries = 1 << 16

// listedNames are wire names out of the list, evenly from all of it.
func listedNames(n int, below string) [][]byte {
	var names [][]byte
	step := max(1, n/benchQueries)
	for l := range mixed(n) {
		if l.Scope == ledger.ScopeSubtree && int(l.Entry/2)%step == 0 {
			names = append(names, []byte(dns.MustName(below+l.Name)))
		}
	}
	return packed(shuffled(names))
}

// cleanNames are wire names of the list's shape that are not on it.
func cleanNames() [][]byte {
	s := newShape(987654321)
	names := make([][]byte, benchQueries)
	for i := range names {
		names[i] = []byte(dns.MustName(s.next()))
	}
	return packed(names)
}

// packed puts names one behind the other in memory, so that reading a query's own
// name costs as little as in a server, which has just received it.
func packed(names [][]byte) [][]byte {
	all := bytes.Join(names, nil)
	for i, n := range names {
		names[i], all = all[:len(n):len(n)], all[len(n):]
	}
	return names
}

func shuffled(names [][]byte) [][]byte {
	slices.SortFunc(names, func(a, b []byte) int { // any order but the list's
		return bytes.Compare([]byte{a[2], a[1], a[3]}, []byte{b[2], b[1], b[3]})
	})
	return names
}

func benchMatch(b *testing.B, queries func(n int) [][]byte, listed bool) {
	n := benchNames(b)
	path := benchFile(b, n)
	names := queries(n)
	l, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	hits := 0
	for _, q := range names { // make what this kind of query needs resident
		if _, ok := l.Match(q); ok {
			hits++
		}
	}
	if listed && hits != len(names) || !listed && hits > len(names)/100 {
		b.Fatalf("%d of %d names match", hits, len(names))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		l.Match(names[i])
		if i++; i == len(names) {
			i = 0
		}
	}
	b.ReportMetric(float64(l.Bytes())/float64(n), "file-B/name")
	if rss, ok := resident(path); ok {
		b.ReportMetric(float64(rss)/float64(n), "resident-B/name")
	}
	runtime.KeepAlive(l)
}

// The cost of one Match with names that are not listed. It is not the cost of a
// query: a running server's caches hold more than this list.
func BenchmarkMatchClean(b *testing.B) {
	benchMatch(b, func(int) [][]byte { return cleanNames() }, false)
}

func BenchmarkMatchListed(b *testing.B) {
	benchMatch(b, func(n int) [][]byte { return listedNames(n, "") }, true)
}

func BenchmarkMatchSubtree(b *testing.B) {
	benchMatch(b, func(n int) [][]byte { return listedNames(n, "www.") }, true)
}

func BenchmarkMatchAddr(b *testing.B) {
	var listings []ledger.Listing
	for i := range 300_000 {
		v := uint32(i) * 14321
		a := netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
		listings = append(listings, ledger.Listing{Prefix: netip.PrefixFrom(a, 32-8*(i%50/49)).Masked(), Scope: ledger.ScopePrefix, Entry: uint64(i)})
	}
	l, _ := build(b, listings...)
	b.ReportAllocs()
	i := uint32(0)
	for b.Loop() {
		i += 2654435761
		l.MatchAddr(netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}))
	}
}

// Compiling and writing the list, without replaying the log. The listings come
// out of one string, as a state yields them.
func BenchmarkCompile(b *testing.B) {
	n := benchNames(b)
	var all strings.Builder
	ends := make([]uint32, 0, n)
	for l := range mixed(n) {
		all.WriteString(l.Name)
		ends = append(ends, uint32(all.Len()))
	}
	text := all.String()
	listings := func(yield func(ledger.Listing) bool) {
		start := uint32(0)
		for i, end := range ends {
			l := ledger.Listing{Name: text[start:end], Scope: ledger.ScopeExact, Entry: uint64(i)}
			if i%2 == 0 {
				l.Scope = ledger.ScopeSubtree
			}
			if start = end; !yield(l) {
				return
			}
		}
	}
	runtime.GC()
	before := status("VmRSS:")
	for b.Loop() {
		if _, err := compile(io.Discard, uint64(n), [32]byte{7}, n, listings); err != nil {
			b.Fatal(err)
		}
	}
	if most := status("VmHWM:"); most > before {
		b.ReportMetric(float64(most-before)/float64(n), "peak-B/name")
	}
}

// Opening a list that the operating system has in memory, and one answer.
func BenchmarkOpen(b *testing.B) {
	n := benchNames(b)
	path := benchFile(b, n)
	name := listedNames(n, "")[0]
	for b.Loop() {
		l, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		if _, ok := l.Match(name); !ok {
			b.Fatal("no match")
		}
	}
}

// resident is how many octets of the mapping of a file are in this process's
// resident set; false where the system does not tell.
func resident(path string) (octets int, ok bool) {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	inside := false
	for sc := bufio.NewScanner(f); sc.Scan(); {
		line := sc.Text()
		if strings.Contains(line, "-") && strings.Contains(strings.SplitN(line, " ", 2)[0], "-") {
			inside = strings.HasSuffix(line, path)
		}
		var kib int
		if inside {
			if _, err := fmt.Sscanf(line, "Rss: %d kB", &kib); err == nil {
				octets += kib << 10
				ok = true
			}
		}
	}
	return octets, ok
}

// status is an amount of memory from the process's status; 0 where the system does not tell.
func status(field string) int {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), field)
	var kib int
	_, _ = fmt.Sscanf(rest, "%d", &kib)
	return kib << 10
}

// BenchmarkMap builds the verifiable map over a list; a log's replay and the list itself are
// not in it. B/op counts what is allocated on the way.
func BenchmarkMap(b *testing.B) {
	l, err := Open(benchFile(b, benchNames(b)))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Map(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMergeMap brings one name into the map over a list, up to a file on disk, which is
// not synced.
func BenchmarkMergeMap(b *testing.B) {
	n := benchNames(b)
	l, err := Open(benchFile(b, n))
	if err != nil {
		b.Fatal(err)
	}
	old := benchMap(b, l)
	for b.Loop() {
		var change ledger.MapBuilder
		change.Add(ledger.Listing{Name: "one.more.example", Scope: ledger.ScopeExact, Entry: uint64(n)})
		out, err := os.Create(filepath.Join(b.TempDir(), "merged"))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := change.Merge(out, old, uint64(n)+1, nil); err != nil {
			b.Fatal(err)
		}
		out.Close()
	}
}

func benchMap(b *testing.B, l *List) *ledger.Map {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "map"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	if _, err := l.Map(f); err != nil {
		b.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	m, err := ledger.OpenMap(f, info.Size())
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// BenchmarkMapProof checks proofs of names that are listed and of names that are not, and
// says how long the longest of them is. Fetching it and the log's own proofs are not in it.
func BenchmarkMapProof(b *testing.B) {
	n := benchNames(b)
	l, err := Open(benchFile(b, n))
	if err != nil {
		b.Fatal(err)
	}
	m := benchMap(b, l)
	h := m.Head()
	var keys []ledger.MapKey
	var proofs [][]byte
	longest, listed := 0, 0
	for i, name := range append(listedNames(n, "")[:2000], cleanNames()[:2000]...) {
		probes, err := h.NameProbes(strings.TrimSuffix(dns.Name(name).String(), "."))
		if err != nil {
			b.Fatal(err)
		}
		for _, p := range probes {
			page, err := ledger.ReadMapPage(b.Context(), m, h, h.Page(p.Key))
			if err != nil {
				b.Fatal(err)
			}
			if _, ok := page.Find(p.Key); ok {
				listed++
			}
			keys, proofs = append(keys, p.Key), append(proofs, page.Prove(p.Key))
			longest = max(longest, len(proofs[len(proofs)-1]))
		}
		if i == 1999 && listed < 2000 {
			b.Fatalf("%d of 2000 are listed", listed)
		}
	}
	i := 0
	for b.Loop() {
		if _, _, err := h.CheckMapProof(keys[i%len(keys)], proofs[i%len(keys)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
	b.ReportMetric(float64(longest+len(h.Text())), "octets/longest")
}
