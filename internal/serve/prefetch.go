package serve

import (
	"time"

	"github.com/shoji-dns/shoji/internal/cache"
	"github.com/shoji-dns/shoji/internal/dns"
)

const (
	// prefetchShare is the part of its TTL before an answer's end in which a query for it
	// has it renewed: the last tenth, as Unbound and Knot Resolver have it. That query is
	// the second at least, since the first brought the answer.
	prefetchShare = 10

	// minPrefetchTTL is the least TTL of what is renewed before its end. A tenth of less is
	// shorter than the second that TTLs are counted in.
	minPrefetchTTL = 10 * time.Second
)

// prefetch has an answer renewed that is asked for shortly before its end, so that nobody
// has to wait for it. It neither blocks nor allocates. While a failure to do so is
// remembered, it is not tried again.
func (s *Server) prefetch(q *dns.Query, e *cache.Entry, now time.Time) {
	left := e.Left(now)
	if !s.cfg.Prefetch || e.TTL() < minPrefetchTTL || left > e.TTL()/prefetchShare ||
		s.cfg.Cache.Failing(q.Name(), q.Type, now) {
		return
	}
	s.cfg.Refresher.offer(q, e.Print(), left)
}
