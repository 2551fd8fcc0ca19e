package serve

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/cache"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/filter"
)

// The benchmarks measure a reply from memory: from a parsed query to bytes in a buffer.
// They are not a server: parsing the query and the system calls around it, which cost many
// times as much, are left out, and one core asks one question at a time. 10,000 names
// are asked for in turn, so that the processor's caches hold them about as well as they do
// in a server.

const (
	warmNames   = 10_000
	listedNames = 1_000_000
)

// bigList is a list of a million names, half of them subtrees, and *.listed.example.
func bigList(b *testing.B) *filter.List {
	log := newLog(b)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range listedNames {
		name := fmt.Sprintf("%x.%s", random.Uint64()>>20, [...]string{"com", "net", "top", "xyz", "example"}[i%5])
		if i%2 == 0 {
			name = "*." + name
		}
		log.add(b, subject(name))
	}
	log.add(b, subject("*.listed.example"))
	return log.compile(b)
}

// warm is a server that has all names in memory, and queries for them.
func warm(b *testing.B, list *filter.List, edns string) (*Server, []dns.Query) {
	b.Helper()
	c, err := cache.New(cache.Config{})
	if err != nil {
		b.Fatal(err)
	}
	cfg := Config{Cache: c, Resolver: &internet{t: b, cache: c}, Sinkhole4: netip.MustParseAddr("198.51.100.1")}
	if list != nil {
		cfg.Live = new(filter.Live)
		cfg.Live.Swap(list)
	}
	queries := make([]dns.Query, warmNames)
	born := time.Now()
	for i := range queries {
		name := dns.MustName(fmt.Sprintf("www.name%d.example", i))
		c.Put(answer.New(answer.Parts{Name: name, Type: dns.TypeA, Born: born, TTL: time.Hour, Answer: []dns.RR{
			{Name: name, Type: dns.TypeA, Class: dns.ClassIN, TTL: 3600, Data: []byte{192, 0, 2, byte(i)}},
		}}), born)
		queries[i] = *parse(b, name.String()+" A "+edns)
	}
	return New(cfg), queries
}

func benchmarkHit(b *testing.B, s *Server, queries []dns.Query) {
	out := make([]byte, 0, 1232)
	for i := range queries {
		if _, ok := s.Hit(&queries[i], out); !ok {
			b.Fatal("not in memory")
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, ok := s.Hit(&queries[i], out); !ok {
			b.Fatal("not in memory")
		}
		if i++; i == len(queries) {
			i = 0
		}
	}
}

func BenchmarkHit(b *testing.B) {
	list := bigList(b)
	for _, edns := range []string{"plain", "edns"} {
		b.Run(edns+"/none listed", func(b *testing.B) {
			s, queries := warm(b, nil, edns)
			benchmarkHit(b, s, queries)
		})
		b.Run(edns+"/1M listed", func(b *testing.B) {
			s, queries := warm(b, list, edns)
			benchmarkHit(b, s, queries)
		})
	}
}

// A listed name: the list is asked, nothing else.
func BenchmarkHitBlocked(b *testing.B) {
	s, queries := warm(b, bigList(b), "edns")
	for i := range queries {
		queries[i] = *parse(b, fmt.Sprintf("www%d.listed.example A edns", i))
	}
	benchmarkHit(b, s, queries)
}

// The first question for a name after the list changed: it is judged anew.
func BenchmarkHitUnjudged(b *testing.B) {
	s, queries := warm(b, bigList(b), "edns")
	out := make([]byte, 0, 1232)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i == 0 {
			b.StopTimer()
			s.current.Store(&snapshot{list: s.current.Load().list, mark: s.cfg.Cache.NewMark(s.current.Load().mark)})
			s.snapshot()
			b.StartTimer()
		}
		if _, ok := s.Hit(&queries[i], out); !ok {
			b.Fatal("not in memory")
		}
		if i++; i == len(queries) {
			i = 0
		}
	}
}

// What a question costs that a resolver answers at once.
func BenchmarkMiss(b *testing.B) {
	s, _ := warm(b, nil, "edns")
	a := answer.New(answer.Parts{Name: "\x03www\x07example\x00", Type: dns.TypeA, Born: start, Answer: []dns.RR{
		{Name: "\x03www\x07example\x00", Type: dns.TypeA, Class: dns.ClassIN, TTL: 3600, Data: []byte{192, 0, 2, 1}},
	}})
	s.cfg.Resolver = instant{a}
	q := parse(b, "www.example A edns")
	out := make([]byte, 0, 1232)
	b.ReportAllocs()
	for b.Loop() {
		s.Miss(context.Background(), q, out)
	}
}

type instant struct{ a *answer.Answer }

func (r instant) Resolve(context.Context, dns.Name, dns.Type) *answer.Answer { return r.a }
