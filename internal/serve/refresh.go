package serve

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
)

// Limits of what goes on in the background. Clients drive it: each name that is asked for
// while its answer ends or has ended may cause one resolution.
const (
	// maxRenewals bounds the resolutions that clients wait for only so long. One holds
	// about 30 KiB, so all of them 30 MiB.
	maxRenewals = 1024

	// maxErrands bounds the questions that wait for a worker, and errandWorkers how many
	// are resolved at once. A question holds 280 octets of the queue. What finds no place
	// is dropped: the next query for it tries again.
	maxErrands    = 512
	errandWorkers = 64

	// maxClaims sizes the table that keeps an answer from being handed over twice: several
	// times what can be waiting or under way, so that two seldom want one place.
	maxClaims = 4096
)

// Refreshing resolves questions anew although memory may hold answers to them.
// *resolve.Resolver is one.
type Refreshing interface {
	// Refresh answers a question as if it were asked a while later.
	Refresh(ctx context.Context, name dns.Name, t dns.Type, ahead time.Duration) *answer.Answer
}

// Refresher resolves in the background, for all views: what clients need not wait for. Its
// methods may be called from any goroutine. Close ends it.
type Refresher struct {
	resolver Refreshing
	ctx      context.Context
	cancel   context.CancelFunc
	workers  sync.WaitGroup

	queue  chan errand
	claims [maxClaims]atomic.Uint64 // prints of answers that are handed over

	mu      sync.Mutex
	running map[inquiry]*renewal // nil once closed

	done, dropped atomic.Uint64
}

// inquiry is a question in class IN.
type inquiry struct {
	name dns.Name
	typ  dns.Type
}

// errand is a question that nobody waits for. It is a value, so that it can be handed over
// without allocating.
type errand struct {
	name   [dns.MaxName]byte
	length uint8
	typ    dns.Type
	ahead  time.Duration
	print  uint64 // of the answer that is to be renewed
}

// renewal is a resolution that clients wait for only so long.
type renewal struct {
	begun  time.Time
	ended  chan struct{}
	answer *answer.Answer // once ended
}

// NewRefresher starts one.
func NewRefresher(resolver Refreshing) *Refresher {
	r := &Refresher{resolver: resolver, queue: make(chan errand, maxErrands), running: make(map[inquiry]*renewal)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	for range errandWorkers {
		r.workers.Go(r.work)
	}
	return r
}

// Close ends what is under way, and returns when it has ended.
func (r *Refresher) Close() {
	r.mu.Lock()
	r.running = nil
	r.mu.Unlock()
	r.cancel()
	r.workers.Wait()
}

// RefreshStats counts since the start.
type RefreshStats struct {
	Done    uint64 // questions resolved that nobody waited for
	Dropped uint64 // those that found no place
}

// Stats is what the Refresher has done.
func (r *Refresher) Stats() RefreshStats {
	return RefreshStats{Done: r.done.Load(), Dropped: r.dropped.Load()}
}

// offer hands a question over, to be resolved as if it were asked a while later; print is
// that of the answer that memory has. It neither blocks nor allocates. Where the same was
// handed over before and is not done, or there is no place, it does nothing.
func (r *Refresher) offer(q *dns.Query, print uint64, ahead time.Duration) {
	claim := &r.claims[print%maxClaims]
	if !claim.CompareAndSwap(0, print) {
		return
	}
	e := errand{length: uint8(len(q.Name())), typ: q.Type, ahead: ahead, print: print}
	copy(e.name[:], q.Name())
	select {
	case r.queue <- e:
	default:
		claim.Store(0)
		r.dropped.Add(1)
	}
}

// work resolves what is handed over until the Refresher is closed.
func (r *Refresher) work() {
	for {
		select {
		case <-r.ctx.Done():
			return
		case e := <-r.queue:
			r.resolver.Refresh(r.ctx, dns.Name(e.name[:e.length]), e.typ, e.ahead)
			r.claims[e.print%maxClaims].Store(0)
			r.done.Add(1)
		}
	}
}

// renew resolves a question in a goroutine of its own, which whoever asks the same shares.
// It returns nil where there is no place for one more.
func (r *Refresher) renew(name dns.Name, t dns.Type, now time.Time) *renewal {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := inquiry{name, t}
	if n := r.running[s]; n != nil {
		return n
	}
	if r.running == nil || len(r.running) >= maxRenewals {
		return nil
	}
	n := &renewal{begun: now, ended: make(chan struct{})}
	r.running[s] = n
	r.workers.Go(func() {
		n.answer = r.resolver.Refresh(r.ctx, name, t, 0)
		r.mu.Lock()
		delete(r.running, s)
		r.mu.Unlock()
		close(n.ended)
	})
	return n
}

// wait waits for a renewal until it is patience old, and returns nil where it takes longer
// or ctx ends.
func (n *renewal) wait(ctx context.Context, now time.Time, patience time.Duration) *answer.Answer {
	t := time.NewTimer(patience - now.Sub(n.begun))
	defer t.Stop()
	select {
	case <-n.ended:
		return n.answer
	case <-t.C:
	case <-ctx.Done():
	}
	return nil
}
