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

// The benchmarks measure a reply from memory: from a parsed query (BenchmarkAnswer: from a
// packet) to bytes in a buffer. They are not a server: the system calls around it, which cost
// many times as much, are left out, and one core asks one question at a time.
//
// BenchmarkHit asks for hotNames in turn: parsed queries are large, and with more of them
// the time would be the processor's to fetch them. BenchmarkAnswer asks for warmNames.

const (
	hotNames    = 200
	warmNames   = 10_000
	listedNames = 1_000_000
)

// bigList is a list of a million names, half of them subtrees, and *.listed.example.
func bigList(b *testing.B) *filter.List {
	subjects := []string{"*.listed.example"}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range listedNames {
		name := fmt.Sprintf("%x.%s", random.Uint64()>>20, [...]string{"com", "net", "top", "xyz", "example"}[i%5])
		if i%2 == 0 {
			name = "*." + name
		}
		subjects = append(subjects, name)
	}
	return listOf(b, subjects...)
}

// warm is a server that has some names in memory, and queries for them.
func warm(b *testing.B, list *filter.List, names int, edns string) (*Server, [][]byte) {
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
	packets := make([][]byte, names)
	born := time.Now()
	for i := range packets {
		name := dns.MustName(fmt.Sprintf("www.name%d.example", i))
		c.Put(answer.New(answer.Parts{Name: name, Type: dns.TypeA, Born: born, TTL: time.Hour, Answer: []dns.RR{
			{Name: name, Type: dns.TypeA, Class: dns.ClassIN, TTL: 3600, Data: []byte{192, 0, 2, byte(i)}},
		}}), born)
		packets[i], _ = packet(b, name.String()+" A "+edns)
	}
	return New(cfg), packets
}

func parseAll(b *testing.B, packets [][]byte) []dns.Query {
	b.Helper()
	queries := make([]dns.Query, len(packets))
	for i := range packets {
		if err := queries[i].Parse(packets[i]); err != nil {
			b.Fatal(err)
		}
		queries[i].Received = time.Now() // as listen stamps them
	}
	return queries
}

func benchmarkHit(b *testing.B, s *Server, queries []dns.Query) {
	b.Helper()
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
			s, packets := warm(b, nil, hotNames, edns)
			benchmarkHit(b, s, parseAll(b, packets))
		})
		b.Run(edns+"/1M listed", func(b *testing.B) {
			s, packets := warm(b, list, hotNames, edns)
			benchmarkHit(b, s, parseAll(b, packets))
		})
	}
}

// A listed name: the list is asked, nothing else.
func BenchmarkHitBlocked(b *testing.B) {
	s, packets := warm(b, bigList(b), hotNames, "edns")
	for i := range packets {
		packets[i], _ = packet(b, fmt.Sprintf("www%d.listed.example A edns", i))
	}
	benchmarkHit(b, s, parseAll(b, packets))
}

// From a packet to a reply.
func BenchmarkAnswer(b *testing.B) {
	list := bigList(b)
	run := func(b *testing.B, list *filter.List) {
		s, packets := warm(b, list, warmNames, "edns")
		var q dns.Query
		out := make([]byte, 0, 1232)
		for i := range packets { // judged once
			if q.Parse(packets[i]) != nil {
				b.Fatal("malformed")
			}
			s.Hit(&q, out)
		}
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if q.Parse(packets[i]) != nil {
				b.Fatal("malformed")
			}
			if _, ok := s.Hit(&q, out); !ok {
				b.Fatal("not in memory")
			}
			if i++; i == len(packets) {
				i = 0
			}
		}
	}
	b.Run("none listed", func(b *testing.B) { run(b, nil) })
	b.Run("1M listed", func(b *testing.B) { run(b, list) })
}

// The first question for a name after the list changed: it is judged anew.
func BenchmarkHitUnjudged(b *testing.B) {
	s, packets := warm(b, bigList(b), hotNames, "edns")
	queries := parseAll(b, packets)
	out := make([]byte, 0, 1232)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i == 0 {
			b.StopTimer()
			s.judging.current.Store(&snapshot{list: s.judging.current.Load().list, mark: s.cfg.Cache.NewMark(s.judging.current.Load().mark)})
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
	s, _ := warm(b, nil, 0, "edns")
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
