package listen

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/odoh"
)

// miss is one query that needs the network, with where its reply goes.
type miss struct {
	q      dns.Query
	h      Handler
	to     replier
	out    []byte // for the reply; kept for the next query that this miss carries
	since  time.Time
	source source
	stream uint32 // of HTTP/2

	sealed *odoh.Opened // what the reply is encrypted by; nil: it is not oblivious
	errand *errand      // what is to be done in place of asking h; nil: h is asked

	// Over UDP alone:
	from    netip.AddrPort
	control control // what makes the reply leave from the address that was asked
}

// source is what shares a part of the pool's places: a prefix, apart for queries that
// prove their source's address and for those that do not, so that nobody fills another's
// part by forging its address. The zero source, loopback's, has no limit: behind it stands a
// front end, and its clients.
type source [8]byte

// provenBit, in a source's first octet, which is 0 or 4, tells proven ones apart.
const provenBit = 8

// missSource is the source of a query. proven: over TCP, or with a valid cookie.
func missSource(a netip.Addr, proven bool) source {
	if a.IsLoopback() {
		return source{}
	}
	key := source(limitPrefix(a))
	if proven {
		key[0] |= provenBit
	}
	return key
}

const (
	// provenShare and forgeableShare are which part of the pool's places, the queue's with
	// them, one source may hold: a quarter (2048 by default) and an eighth (1024). Unbound,
	// against the same attacks, lets 1000 questions of one prefix wait (wait-limit). What
	// one forged source can have released at once is so many replies (DNSBomb, CVE-2024-33655).
	provenShare    = 4
	forgeableShare = 8
)

// maxSpareReply is the longest reply buffer that is kept, in octets.
const maxSpareReply = 4096

// replier is the socket or connection that a query came from. It does not keep
// message, and it does not block on a client.
type replier interface {
	reply(m *miss, message []byte)
}

// maxIdle is how many goroutines wait for the next miss. A new goroutine would have to
// grow its stack first, which costs a resolution a tenth of its time; the stacks of those
// that wait are some 16 KiB each.
const maxIdle = 256

// pool runs Handler.Miss for at most max queries at once, with as many again in
// a queue. Its lock is taken on misses alone.
type pool struct {
	max    int
	proven int             // which part of the places a source has that proves its address
	ctx    context.Context // set before the first submit

	mu      sync.Mutex
	running int
	queue   []*miss // ring of max places
	head    int
	queued  int
	sources map[source]int // places taken; never more entries than there are places
	done    sync.Cond      // running fell to 0
	idle    []chan *miss   // of goroutines that wait, the last one to have worked last

	spare sync.Pool // of *miss
}

func newPool(max int) *pool {
	p := &pool{max: max, proven: provenShare, queue: make([]*miss, max), sources: make(map[source]int)}
	p.done.L = &p.mu
	p.spare.New = func() any { return new(miss) }
	return p
}

// get returns a miss to fill and submit.
func (p *pool) get() *miss { return p.spare.Get().(*miss) }

// submit takes m over, or says why there is no place for it; then m is back in the pool.
func (p *pool) submit(m *miss) (why string) {
	p.mu.Lock()
	switch {
	case p.crowded(m.source):
		why = crowdedText
	case p.running < p.max:
		p.running++
		p.sources[m.source]++
		var to chan *miss
		if n := len(p.idle); n > 0 {
			to, p.idle = p.idle[n-1], p.idle[:n-1]
		}
		p.mu.Unlock()
		if to != nil {
			to <- m
		} else {
			go p.run(m)
		}
		return ""
	case p.queued < p.max:
		m.since = time.Now()
		p.queue[(p.head+p.queued)%p.max] = m
		p.queued++
		p.sources[m.source]++
		p.mu.Unlock()
		return ""
	default:
		why = overloadedText
	}
	p.mu.Unlock()
	p.put(m)
	return why
}

// crowded reports whether a source has its part of the places.
func (p *pool) crowded(from source) bool {
	share := forgeableShare
	if from[0]&provenBit != 0 {
		share = p.proven
	}
	return from != source{} && p.sources[from] >= max(1, 2*p.max/share)
}

func (p *pool) put(m *miss) {
	m.h, m.to, m.sealed, m.errand = nil, nil, nil, nil
	if cap(m.out) > maxSpareReply {
		m.out = nil
	}
	p.spare.Put(m)
}

// run answers m, then what is queued, then what comes.
func (p *pool) run(m *miss) {
	next := make(chan *miss, 1)
	for m != nil {
		p.answer(m)
		from := m.source
		p.put(m)
		wait := false
		if m, wait = p.next(from, next); wait {
			select {
			case m = <-next:
			case <-p.ctx.Done():
				m = p.leave(next)
			}
		}
	}
}

// leave takes a goroutine that waits out of the pool; what it has been given by now is
// still its to do.
func (p *pool) leave(caller chan *miss) *miss {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.idle, caller); i >= 0 {
		p.idle = slices.Delete(p.idle, i, i+1)
		return nil
	}
	return <-caller
}

// next ends a query of a source and takes the oldest of the queue. Without one the caller's
// place is free; it is told to wait, or to end where enough do.
func (p *pool) next(ended source, caller chan *miss) (m *miss, wait bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sources[ended]--; p.sources[ended] == 0 {
		delete(p.sources, ended)
	}
	if p.queued == 0 {
		p.running--
		if p.running == 0 {
			p.done.Broadcast()
		}
		if wait = len(p.idle) < maxIdle && p.ctx.Err() == nil; wait {
			p.idle = append(p.idle, caller)
		}
		return nil, wait
	}
	m = p.queue[p.head]
	p.queue[p.head] = nil
	p.head = (p.head + 1) % p.max
	p.queued--
	return m, false
}

func (p *pool) answer(m *miss) {
	waited := time.Duration(0)
	if !m.since.IsZero() {
		waited = time.Since(m.since)
		m.since = time.Time{}
	}
	if m.errand != nil {
		m.errand.run(p.ctx, waited)
		m.to.reply(m, m.errand.result.Message)
		return
	}
	if waited > missPatience {
		m.out = appendOverloaded(m.out[:0], &m.q, overloadedText)
	} else {
		m.out = m.h.Miss(p.ctx, &m.q, m.out[:0])
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
