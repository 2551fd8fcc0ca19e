package listen

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// miss is one query that needs the network, with where its reply goes.
type miss struct {
	q     dns.Query
	to    replier
	out   []byte // for the reply; kept for the next query that this miss carries
	since time.Time

	// Over UDP alone:
	from    netip.AddrPort
	control control // what makes the reply leave from the address that was asked
}

// maxSpareReply is the longest reply buffer that is kept, in octets.
const maxSpareReply = 4096

// replier is the socket or connection that a query came from. It does not keep
// message, and it does not block on a client.
type replier interface {
	reply(m *miss, message []byte)
}

// pool runs Handler.Miss for at most max queries at once, with as many again in
// a queue. Its lock is taken on misses alone.
type pool struct {
	h   Handler
	max int
	ctx context.Context // set before the first submit

	mu      sync.Mutex
	running int
	queue   []*miss // ring of max places
	head    int
	queued  int
	done    sync.Cond // running fell to 0

	spare sync.Pool // of *miss
}

func newPool(h Handler, max int) *pool {
	p := &pool{h: h, max: max, queue: make([]*miss, max)}
	p.done.L = &p.mu
	p.spare.New = func() any { return new(miss) }
	return p
}

// get returns a miss to fill and submit.
func (p *pool) get() *miss { return p.spare.Get().(*miss) }

// submit takes m over, or reports false if there is no place for it; then m is
// back in the pool.
func (p *pool) submit(m *miss) bool {
	p.mu.Lock()
	switch {
	case p.running < p.max:
		p.running++
		p.mu.Unlock()
		go p.run(m)
		return true
	case p.queued < p.max:
		m.since = time.Now()
		p.queue[(p.head+p.queued)%p.max] = m
		p.queued++
		p.mu.Unlock()
		return true
	}
	p.mu.Unlock()
	p.put(m)
	return false
}

func (p *pool) put(m *miss) {
	m.to = nil
	if cap(m.out) > maxSpareReply {
		m.out = nil
	}
	p.spare.Put(m)
}

// run answers m and then what is queued, until nothing is.
func (p *pool) run(m *miss) {
	for m != nil {
		p.answer(m)
		p.put(m)
		m = p.next()
	}
}

// next takes the oldest query of the queue. Without one the caller's place is free.
func (p *pool) next() *miss {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queued == 0 {
		p.running--
		if p.running == 0 {
			p.done.Broadcast()
		}
		return nil
	}
	m := p.queue[p.head]
	p.queue[p.head] = nil
	p.head = (p.head + 1) % p.max
	p.queued--
	return m
}

func (p *pool) answer(m *miss) {
	waited := time.Duration(0)
	if !m.since.IsZero() {
		waited = time.Since(m.since)
		m.since = time.Time{}
	}
	if waited > missPatience {
		m.out = appendOverloaded(m.out[:0], &m.q)
	} else {
		m.out = p.h.Miss(p.ctx, &m.q, m.out[:0])
	}
	m.to.reply(m, m.out)
}

// wait returns when no miss runs or queues.
func (p *pool) wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.running > 0 {
		p.done.Wait()
	}
}
