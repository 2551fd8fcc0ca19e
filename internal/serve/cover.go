package serve

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

const (
	// coverNames is how many names that were asked for lately are kept to be asked again, each
	// of up to 256 octets.
	coverNames = 64

	// coverTime is how long a listed name is answered at once before it counts as new again: about
	// as long as the unfiltered view would have had an answer in memory.
	coverTime = 5 * time.Minute

	// coverTable bounds the listed names that are known to have been asked for. Where two of them
	// meet, one counts as new more often.
	coverTable = 4096

	// coverAhead has an answer asked for anew, whatever its TTL: cached ones live for a day.
	coverAhead = 8 * 24 * time.Hour
)

// Cover hides from whoever watches the way to an encrypted upstream resolver that this view
// filters. A listed name is answered without asking anybody, and where nothing but lengths and
// times can be seen, that silence would tell a node that filters from one that does not. So the
// client waits while another name, one that was asked for lately, is asked for again in the
// listed one's place. Its methods may be called from any goroutine.
type Cover struct {
	resolver Refreshing
	covered  covered

	mu     sync.Mutex
	recent [coverNames]inquiry
	n      int // of those, ever
}

// NewCover makes one for the views of one resolver.
func NewCover(resolver Refreshing) *Cover {
	return &Cover{resolver: resolver, covered: covered{seed: maphash.MakeSeed()}}
}

// note remembers a question that the upstream has an answer to.
func (c *Cover) note(name dns.Name, t dns.Type) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recent[c.n%coverNames] = inquiry{name, t}
	c.n++
}

// give asks for another name in the place of a listed one, and waits for the answer as the
// client would have.
func (c *Cover) give(ctx context.Context, q *dns.Query, now time.Time) {
	other := inquiry{dns.Root, dns.TypeNS}
	c.mu.Lock()
	if n := min(c.n, coverNames); n > 0 {
		other = c.recent[rand.IntN(n)]
	}
	c.mu.Unlock()
	c.covered.note(q, now)
	c.resolver.Refresh(ctx, other.name, other.typ, coverAhead)
}

// uncovered reports that a query is for a listed name that lacks cover.
func (s *Server) uncovered(q *dns.Query) bool {
	if s.cfg.Cover == nil {
		return false
	}
	return s.lists(q) && s.cfg.Cover.covered.lacks(q, s.now(q))
}

// lists reports that the name that is asked for is listed.
func (s *Server) lists(q *dns.Query) bool {
	snap := s.snapshot()
	if snap.list == nil {
		return false
	}
	_, listed := snap.list.Match(q.Name())
	return listed
}
