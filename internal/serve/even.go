package serve

import (
	"bytes"
	"context"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// Even is one view of two where nobody on the way shall see which one is asked: over encrypted
// transports. Padding hides the lengths of replies, and this hides the time that they take.
//
// What is in memory: whichever view is shown, both are asked, in the same order, and one reply is
// dropped. Without it, looking a name up in the list took a microsecond or so of a processor that
// just woke up, which a classifier sees after enough questions.
//
// What is not: the filtered view asks nobody about a listed name. The first time in a while
// that it is asked for, the client waits as long as it took lately to ask others about some name, to
// a millisecond or so, which is how late timers are. Whoever may ask can make that time a long one, up to mostLag, by
// questions for names of slow zones; an observer who does so sees listed names wait as he likes.
type Even struct {
	filtered, unfiltered *Server
	shown, dropped       *Server // these two
	uncounted            *Server // the filtered one, for what is dropped
	lag                  *lag
}

// NewEven makes both faces of two views over one cache. What the filtered one drops is not
// counted as filtered.
func NewEven(filtered, unfiltered *Server) (f, u *Even) {
	quiet, silent := filtered.uncounted(), unfiltered.silent()
	l := &lag{covered: covered{seed: maphash.MakeSeed()}}
	return &Even{filtered, silent, filtered, silent, quiet, l}, &Even{quiet, unfiltered, unfiltered, quiet, quiet, l}
}

// silent is a Server that answers as s does from the same memory, and has nothing renewed: what
// the list keeps from a client, nobody is to be asked about on his account.
func (s *Server) silent() *Server {
	t := s.uncounted()
	t.cfg.Refresher, t.cfg.Stale, t.cfg.Prefetch = nil, Stale{}, false
	return t
}

// uncounted is a Server that answers as s does, from the same memory, and counts for itself.
func (s *Server) uncounted() *Server {
	return &Server{
		cfg: s.cfg, blockTTL: s.blockTTL, local: s.local, rebinding: s.rebinding, staleTTL: s.staleTTL,
		withheldText: s.withheldText, judging: s.judging, encoders: s.encoders,
	}
}

// Hit answers from memory, as Server.Hit does, but for a listed name that is new. What it declines is not counted
// as filtered: Miss does that.
func (e *Even) Hit(q *dns.Query, out []byte) ([]byte, bool) {
	start := len(out)
	isNew, filtered := e.isNew(q), e.filtered
	if isNew {
		filtered = e.uncounted
	}
	out, first := filtered.Hit(q, out)
	middle := len(out)
	out, second := e.unfiltered.Hit(q, out)
	differ := first && !(second && bytes.Equal(out[start:middle], out[middle:]))
	from, to, ok := start, middle, first && !(isNew && differ) // where both are the same, the list decided nothing
	if e.shown == e.unfiltered {
		from, to, ok = middle, len(out), second
	}
	if !ok {
		return out[:start], false
	}
	return out[:start+copy(out[start:], out[from:to])], true
}

// isNew reports that a listed name was not asked for in a while.
func (e *Even) isNew(q *dns.Query) bool {
	return !isOdd(q) && e.filtered.lists(q) && e.lag.covered.lacks(q, e.filtered.now(q))
}

// Miss answers a query that needs the network, as Server.Miss does, or that is to look like it. What
// the other view makes of it is dropped.
func (e *Even) Miss(ctx context.Context, q *dns.Query, out []byte) []byte {
	asked := e.filtered.cfg.Now()
	isNew := e.isNew(q)
	atOnce := e.shown == e.filtered && !isOdd(q) && e.filtered.lists(q) && !e.filtered.uncovered(q) // nobody is asked
	if atOnce && isNew {
		e.lag.wait(ctx)
	}
	out = e.shown.Miss(ctx, q, out)
	if !atOnce {
		e.lag.note(e.filtered.cfg.Now().Sub(asked))
	}
	if isNew { // from now on, so that whoever asks the same meanwhile waits as well
		e.lag.covered.note(q, e.filtered.cfg.Now())
	}
	reply := len(out)
	out, _ = e.dropped.Hit(q, out)
	return out[:reply]
}

const (
	// lags is how many times are remembered that it took to ask others.
	lags = 64

	// leastLag took those that asked others; what was shorter was found without.
	leastLag = time.Millisecond

	// mostLag is how long a client waits at most for what is known already.
	mostLag = 2 * time.Second
)

// lag is how long it takes to ask others, as far as it was seen.
type lag struct {
	covered covered

	mu     sync.Mutex
	recent [lags]time.Duration
	n      int // of those, ever
}

func (l *lag) note(d time.Duration) {
	if d < leastLag {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recent[l.n%lags] = min(d, mostLag)
	l.n++
}

// wait takes as long as one of the times that were seen.
func (l *lag) wait(ctx context.Context) {
	l.mu.Lock()
	var d time.Duration
	if n := min(l.n, lags); n > 0 {
		d = l.recent[rand.IntN(n)]
	}
	l.mu.Unlock()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
