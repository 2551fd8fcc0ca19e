package resolve

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// race puts one question to the servers of a zone until one of them gives a reply
// that can be used. The caller's own goroutine asks one server after the other;
// where a reply takes longer than that server's usual time, a timer lets another
// goroutine ask the next one beside it. A server that is slow, dead, or reached
// over an address family that does not work, costs that delay and no more.
type race struct {
	r        *Resolver
	w        *work
	ctx      context.Context
	deadline time.Time // of the request, or of the part of it that this is
	cut      *cut
	q        question
	list     choice

	mu      sync.Mutex
	idle    sync.Cond // signalled when the race is decided or a runner leaves
	running int
	tries   int // begun so far
	limit   int // of tries
	useless [maxChoice]bool
	taken   [maxParallel]bool  // slots of runners
	waits   [maxParallel]*wait // what each waits for at the moment
	decided bool
	found   finding
	weak    finding // used where nothing better comes
	err     error
	hedge   *time.Timer
}

// run holds the race in the caller's goroutine.
func (x *race) run() (finding, error) {
	x.idle.L = &x.mu
	x.limit = min(max(2*x.list.n, minTries), maxTries)
	if x.list.probe != nil {
		defer x.list.probe.probed()
		if x.list.n == 1 {
			x.limit = 1
		}
	}
	x.running, x.taken[0] = 1, true
	if x.limit > 1 {
		// Under the lock: the timer's goroutine reads x.hedge.
		x.mu.Lock()
		x.hedge = time.AfterFunc(x.list.patience(), x.join)
		x.mu.Unlock()
		defer x.hedge.Stop()
	}
	if x.ctx.Done() != nil {
		defer context.AfterFunc(x.ctx, x.cancel)()
	}
	x.runner(0)
	x.mu.Lock()
	defer x.mu.Unlock()
	for !x.decided && x.running > 0 {
		x.idle.Wait()
	}
	x.decided = true // nothing that is still under way may begin again
	switch {
	case x.found.kind != kindUseless:
		return x.found, nil
	case x.weak.kind != kindUseless:
		return x.weak, nil
	case x.err == nil:
		return finding{}, errUnreachable
	}
	return finding{}, x.err
}

// join is the hedge: one more runner, and the timer again for the one after it.
func (x *race) join() {
	x.mu.Lock()
	if x.decided || x.running >= maxParallel || x.tries >= x.limit {
		x.mu.Unlock()
		return
	}
	slot := 0
	for x.taken[slot] {
		slot++
	}
	x.taken[slot] = true
	x.running++
	if x.running < maxParallel {
		x.hedge.Reset(x.list.servers[x.tries%x.list.n].rto())
	}
	x.mu.Unlock()
	x.runner(slot)
}

// runner asks one server after another until the race is decided.
func (x *race) runner(slot int) {
	for {
		i, patience := x.next(slot)
		if i < 0 {
			return
		}
		msg, err := x.consult(slot, x.list.servers[i], patience)
		if x.settle(slot, i, msg, err) {
			return
		}
	}
}

// next picks the runner's next server: -1 where there is none. Servers are asked
// in turn, each again with twice the patience.
func (x *race) next(slot int) (i int, patience time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for !x.decided && x.tries < x.limit && x.ctx.Err() == nil {
		i, round := x.tries%x.list.n, x.tries/x.list.n
		x.tries++
		if x.useless[i] {
			continue
		}
		return i, min(max(2*x.list.servers[i].rto(), minWait)<<round, maxWait)
	}
	x.running--
	x.taken[slot] = false
	x.idle.Broadcast()
	return -1, 0
}

// settle notes what came of one consultation; it reports that the runner is done.
func (x *race) settle(slot, i int, msg *dns.Message, err error) bool {
	var f finding
	if err == nil {
		f = x.r.scrub(x.cut, x.q, msg)
	}
	s := x.list.servers[i]
	for i := range f.links {
		f.links[i].from = s
	}
	if f.lame && !x.cut.forward {
		x.cut.markLame(s, x.r.now())
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.decided {
		x.running--
		return true
	}
	switch {
	case f.kind >= kindAnswer, err == errBudget:
		x.found, x.decided = f, true
		if err != nil {
			x.err = err
		}
		x.running--
		for i, w := range x.waits {
			if w != nil && i != slot {
				w.cancel()
			}
		}
		x.idle.Broadcast()
		return true
	case f.kind == kindWeak:
		x.weak = f
		x.useless[i] = true
	case err == nil || !errors.Is(err, context.DeadlineExceeded):
		// An error or a rejection: asking this server again would bring the same.
		x.useless[i] = true
		if err == nil || err == errBare {
			x.err = errRefused
		}
	}
	return false
}

// begin registers what a runner waits for, unless the race is over already.
func (x *race) begin(slot int, w *wait) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.decided {
		return context.Canceled
	}
	x.waits[slot] = w
	return x.ctx.Err()
}

// cancel ends all waits: the request's context has ended.
func (x *race) cancel() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, w := range x.waits {
		if w != nil {
			w.cancel()
		}
	}
}
