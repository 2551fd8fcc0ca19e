package doq

import (
	"context"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// idle ends a connection on which no query is under way, nor was for a time. What QUIC itself counts as idle ends with
// every packet, and what HTTP/3 does with every stream, whatever is on it.
type idle struct {
	after time.Duration
	timer *time.Timer

	mu    sync.Mutex
	under int // queries under way
}

// newIdle has end called once the time is over.
func newIdle(after time.Duration, end func()) *idle {
	i := &idle{after: after}
	i.timer = time.AfterFunc(after, func() {
		if !i.busy() {
			end()
		}
	})
	return i
}

// watch has a connection end that is idle.
func (s *Server) watch(c *quic.Conn, code quic.ApplicationErrorCode) *idle {
	i := newIdle(s.cfg.IdleTimeout, func() { c.CloseWithError(code, "") })
	context.AfterFunc(c.Context(), func() { i.timer.Stop() })
	return i
}

func (i *idle) busy() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.under > 0
}

// query is called when a query has come, and what it returns when that is answered.
func (i *idle) query() (answered func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.under++
	i.timer.Stop()
	return i.answered
}

func (i *idle) answered() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.under--; i.under == 0 {
		i.timer.Reset(i.after)
	}
}
