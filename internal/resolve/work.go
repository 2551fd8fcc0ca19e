package resolve

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
)

// work is the budget of one client's request: of the whole tree of questions that
// it causes. It is made once, handed down by parameter and never refilled.
//
// Only left is touched by several goroutines (those of a race); the rest belongs
// to the goroutine that walks the tree.
type work struct {
	left      atomic.Int32 // messages that may still be sent
	deadline  time.Time
	ahead     time.Duration // what memory holds for less than this is not used
	nsLookups int           // look-ups of name-server addresses still allowed
	proofs    dnssec.Work

	// refused counts what this request's own limits of depth and of look-ups did not let it do:
	// a failure that goes back to that says nothing about the names it has come to.
	refused int

	// stack holds the questions being resolved, each because of the one before
	// it: a question that needs itself is a cycle. Its length is the depth.
	stack []question
}

type question struct {
	name dns.Name // canonical
	typ  dns.Type
}

func newWork(now time.Time) *work {
	w := &work{deadline: now.Add(maxWall), nsLookups: maxNSLookups}
	w.left.Store(maxQueries)
	return w
}

// spend takes one message off the budget.
func (w *work) spend() bool { return w.left.Add(-1) >= 0 }

// spent reports that no message is left.
func (w *work) spent() bool { return w.left.Load() <= 0 }

// push enters a question; it reports false for a cycle or too great a depth.
func (w *work) push(q question) bool {
	if len(w.stack) > maxDepth {
		w.refused++
		return false
	}
	for _, p := range w.stack {
		if p == q {
			return false
		}
	}
	w.stack = append(w.stack, q)
	return true
}

// isTop reports whether q is the question that was entered last.
func (w *work) isTop(q question) bool { return len(w.stack) > 0 && w.stack[len(w.stack)-1] == q }

func (w *work) pop() { w.stack = w.stack[:len(w.stack)-1] }

// over returns the error that ends the request, if it has to end.
func (w *work) over(ctx context.Context, now time.Time) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !now.Before(w.deadline):
		return errWall
	case w.spent():
		return errBudget
	}
	return nil
}
