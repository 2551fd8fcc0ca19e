package resolve

import (
	"context"
	"sync"
	"time"
)

// wait is the context of one exchange: it ends at a moment, or when cancelled. A
// Network that looks at the deadline itself and uses AfterFunc never makes it start
// a timer or make a channel, which is most of what a context costs.
type wait struct {
	end time.Time

	mu    sync.Mutex
	err   error
	after func() // called when cancelled
	done  chan struct{}
	timer *time.Timer
}

var _ context.Context = (*wait)(nil)

// Deadline is when the wait ends.
func (w *wait) Deadline() (time.Time, bool) { return w.end, true }

// Value is always nil: contexts carry no values here.
func (w *wait) Value(any) any { return nil }

// Err tells why the wait is over; nil while it is not.
func (w *wait) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil && !time.Now().Before(w.end) {
		return context.DeadlineExceeded
	}
	return w.err
}

// Done is closed when the wait is over.
func (w *wait) Done() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done == nil {
		w.done = make(chan struct{})
		if w.err != nil {
			close(w.done)
		} else {
			w.timer = time.AfterFunc(time.Until(w.end), func() { w.finish(context.DeadlineExceeded) })
		}
	}
	return w.done
}

// AfterFunc has f called in a goroutine of its own when the wait is cancelled or,
// once somebody uses Done, its time is over; see context.AfterFunc. Of several
// functions those before the last are reached through Done.
func (w *wait) AfterFunc(f func()) (stop func() bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		go f()
		return func() bool { return false }
	}
	if w.after != nil {
		return w.afterDone(f)
	}
	w.after = f
	return func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		pending := w.after != nil && w.err == nil
		w.after = nil
		return pending
	}
}

// afterDone serves a second function, by a goroutine that waits; the lock is held.
func (w *wait) afterDone(f func()) (stop func() bool) {
	stopped := make(chan struct{})
	var once sync.Once
	go func() {
		select {
		case <-w.Done():
			once.Do(f)
		case <-stopped:
		}
	}()
	return func() (pending bool) {
		once.Do(func() { pending = true; close(stopped) })
		return pending
	}
}

// cancel ends the wait.
func (w *wait) cancel() { w.finish(context.Canceled) }

func (w *wait) finish(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	w.err = err
	if w.timer != nil {
		w.timer.Stop()
	}
	if w.done != nil {
		close(w.done)
	}
	if w.after != nil {
		go w.after()
		w.after = nil
	}
}

// release stops the timer of a wait that nobody uses any more.
func (w *wait) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
}
