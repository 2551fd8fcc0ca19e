package listen

import (
	"slices"
	"sync/atomic"
)

// Stats counts since the start what became of queries. Over UDP and TCP alike
// unless it says otherwise. None of it is kept for each client.
type Stats struct {
	Hits      uint64 // answered from memory
	Misses    uint64 // given to the pool
	Shed      uint64 // answered SERVFAIL because the pool was full
	Malformed uint64 // answered with an error, without asking the handler
	Ignored   uint64 // UDP: replies, fragments of nothing, and datagrams from reflector ports
	Refused   uint64 // from outside Config.Allow
	Limited   uint64 // UDP: over Config.RateLimit, dropped or truncated
	Unsent    uint64 // UDP: replies that the kernel did not take
	Conns     uint64 // TCP connections accepted
	NoPlace   uint64 // TCP connections closed because there was no place for them
}

// tally is what one goroutine counted since it last published.
type tally struct {
	hits, misses, shed, malformed, ignored, refused, limited, conns, noPlace uint64
}

// counters is where one reader publishes its tally, once a batch. Only that
// reader writes it; the padding keeps it off the cache lines of others.
type counters struct {
	_                                                                                [64]byte
	hits, misses, shed, malformed, ignored, refused, limited, unsent, conns, noPlace atomic.Uint64
	_                                                                                [64]byte
}

// publish adds t to c and empties it.
func (c *counters) publish(t *tally) {
	add := func(to *atomic.Uint64, n uint64) {
		if n != 0 {
			to.Add(n)
		}
	}
	add(&c.hits, t.hits)
	add(&c.misses, t.misses)
	add(&c.shed, t.shed)
	add(&c.malformed, t.malformed)
	add(&c.ignored, t.ignored)
	add(&c.refused, t.refused)
	add(&c.limited, t.limited)
	add(&c.conns, t.conns)
	add(&c.noPlace, t.noPlace)
	*t = tally{}
}

// Stats sums up the counts of all readers.
func (s *Server) Stats() Stats { return s.withRefusals(sum(s.stats)) }

// withRefusals adds the connections of balancers that were turned away after they were accepted.
func (s *Server) withRefusals(all Stats) Stats {
	all.Refused += s.refusals.Load()
	return all
}

// StatsByKind is Stats, apart for datagrams and for streams.
func (s *Server) StatsByKind() (datagrams, streams Stats) {
	isStream := func(c *counters) bool { return c == s.tcpCounters }
	return sum(slices.DeleteFunc(slices.Clone(s.stats), isStream)), s.withRefusals(sum([]*counters{s.tcpCounters}))
}

func sum(all []*counters) Stats {
	var sum Stats
	for _, c := range all {
		sum.Hits += c.hits.Load()
		sum.Misses += c.misses.Load()
		sum.Shed += c.shed.Load()
		sum.Malformed += c.malformed.Load()
		sum.Ignored += c.ignored.Load()
		sum.Refused += c.refused.Load()
		sum.Limited += c.limited.Load()
		sum.Unsent += c.unsent.Load()
		sum.Conns += c.conns.Load()
		sum.NoPlace += c.noPlace.Load()
	}
	return sum
}

// newCounters makes the counters of one more reader.
func (s *Server) newCounters() *counters {
	c := new(counters)
	s.stats = append(s.stats, c)
	return c
}
