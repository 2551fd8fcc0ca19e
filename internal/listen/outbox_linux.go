package listen

import (
	"runtime"
	"sync"
)

// outbox collects the replies to misses, which become ready one at a time in
// goroutines of their own, and sends them a batch at a time. A reply waits until the
// goroutines that are ready to run have run, and no longer: on a busy machine several
// come together in that time, on an idle one each leaves at once.
type outbox struct {
	mu sync.Mutex
	sender
	collected int
	leaving   bool // a goroutine is about to flush
	sendAll   func(fd uintptr)
}

func (o *outbox) init(to way, segments bool) {
	o.sender.init(to, segments)
	o.sendAll = o.send
}

// add takes a reply, of which it keeps a copy.
func (o *outbox) add(m *miss, message []byte) {
	if len(message) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	i := o.collected
	o.collected++
	o.setName(i, m.from)
	o.controls[i] = m.control
	o.lay(i, append(o.out[i][:0], message...))
	switch {
	case o.collected == batch:
		o.sendLocked()
	case !o.leaving:
		o.leaving = true
		go o.leave()
	}
}

// leave flushes after the others that are ready have run.
func (o *outbox) leave() {
	runtime.Gosched()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.leaving = false
	o.sendLocked()
}

// flush sends what waits.
func (o *outbox) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sendLocked()
}

// sendLocked sends what was collected; the lock is held.
func (o *outbox) sendLocked() {
	if o.collected == 0 {
		return
	}
	o.seal()
	if err := o.raw.Control(o.sendAll); err != nil { // the socket is closed
		o.counters.unsent.Add(uint64(o.collected))
	}
	o.laid, o.collected = 0, 0
}
