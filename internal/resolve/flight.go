package resolve

import (
	"context"
	"hash/maphash"
	"sync"

	"github.com/shoji-dns/shoji/internal/dns"
)

// flights joins identical work under way (RFC 5452 §5: a resolver that has the
// same question out many times invites birthday attacks). The first caller of a
// key works, in its own goroutine; the others wait for what it finds. Where the
// worker gives up for a reason of its own (its client is gone, its budget is
// spent), one of the waiters takes the work over.
type flights[V any] struct {
	seed   maphash.Seed
	shards [32]flightShard[V]
}

type flightShard[V any] struct {
	mu      sync.Mutex
	flights map[flightKey]*flight[V]
}

type flightKey struct {
	top        *cut     // nil for a whole request
	zone, name dns.Name // zone is "" for a whole request
	typ        dns.Type
}

type flight[V any] struct {
	done      chan struct{} // made by the first waiter, under the shard's lock
	value     V
	err       error
	abandoned bool
}

func newFlights[V any]() *flights[V] {
	f := &flights[V]{seed: maphash.MakeSeed()}
	for i := range f.shards {
		f.shards[i].flights = make(map[flightKey]*flight[V])
	}
	return f
}

// do returns what fn returns, for the caller that runs it and for those that wait.
// own reports whether an error is the worker's own affair.
func (f *flights[V]) do(ctx context.Context, k flightKey, fn func() (V, error), own func(error) bool) (V, error) {
	s := &f.shards[maphash.Comparable(f.seed, k)%uint64(len(f.shards))]
	for {
		s.mu.Lock()
		fl := s.flights[k]
		if fl == nil {
			fl = new(flight[V])
			s.flights[k] = fl
			s.mu.Unlock()
			return lead(s, k, fl, fn, own)
		}
		if fl.done == nil {
			fl.done = make(chan struct{})
		}
		s.mu.Unlock()
		select {
		case <-fl.done:
		case <-ctx.Done():
			var zero V
			return zero, ctx.Err()
		}
		if !fl.abandoned {
			return fl.value, fl.err
		}
	}
}

func lead[V any](s *flightShard[V], k flightKey, fl *flight[V], fn func() (V, error), own func(error) bool) (V, error) {
	fl.abandoned = true // stays so if fn panics
	defer func() {
		s.mu.Lock()
		delete(s.flights, k)
		done := fl.done
		s.mu.Unlock()
		if done != nil {
			close(done)
		}
	}()
	fl.value, fl.err = fn()
	fl.abandoned = fl.err != nil && own(fl.err)
	return fl.value, fl.err
}
