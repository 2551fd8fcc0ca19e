package ledger

import (
	"fmt"
	"runtime"
	"testing"
)

// BenchmarkParse is one listing with one piece of evidence into an Entry.
func BenchmarkParse(b *testing.B) {
	raw, err := listEntry("c2.evil.test", ScopeSubtree).Marshal()
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead is the same without making an Entry, as a replay does it.
func BenchmarkRead(b *testing.B) {
	raw, err := listEntry("c2.evil.test", ScopeSubtree).Marshal()
	if err != nil {
		b.Fatal(err)
	}
	var r record
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if err := r.read(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMarshal(b *testing.B) {
	e := listEntry("c2.evil.test", ScopeSubtree)
	out := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.AppendTo(out); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReplay100k verifies and adds up a log of 100,000 listings that lies
// in memory. It is not the reading of files.
func BenchmarkReplay100k(b *testing.B) {
	const n = 100_000
	l := newMemoryLog(b, 1)
	l.add(manyEntries(n)...)
	b.ReportAllocs()
	for b.Loop() {
		mustReplay(b, l)
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkLookup finds one of 1,000,000 names.
func BenchmarkLookup(b *testing.B) {
	s := &State{list: manyListings(1_000_000)}
	names := make([]string, 4096)
	for i := range names {
		names[i] = string(listingKey(uint64(i * 244))[1:])
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, ok := s.Lookup(names[i%len(names)], ScopeSubtree); !ok {
			b.Fatal(names[i%len(names)])
		}
		i++
	}
}

func listingKey(n uint64) []byte {
	return fmt.Appendf([]byte{keySubtree}, "some-name-%d.example", n)
}

func manyListings(n uint64) *listings {
	l := newListings()
	for i := range n {
		l.set(listingKey(i), i)
	}
	return l
}

// BenchmarkStateMemory is what 1,200,000 listings of some 25 octets hold.
func BenchmarkStateMemory(b *testing.B) {
	const n = 1_200_000
	var l *listings
	var before, after runtime.MemStats
	for b.Loop() {
		l = nil
		runtime.GC()
		runtime.ReadMemStats(&before)
		l = manyListings(n)
		runtime.GC()
		runtime.ReadMemStats(&after)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/listing")
	runtime.KeepAlive(l)
}
