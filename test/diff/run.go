package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// run is one comparison.
type run struct {
	tree     *tree
	shoji    string // address of the unfiltered view
	filtered string
	peers    []peer
	workers  int
	began    time.Time
	show     io.Writer // where progress is shown; nil: nowhere
}

// peer is another resolver.
type peer struct{ name, addr string }

// compare asks all questions and returns what the resolvers said, in the order of the
// questions.
func (r *run) compare(questions []question, workers int) []*witness {
	out := make([]*witness, len(questions))
	var next, done atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(questions) {
					return
				}
				out[i] = r.ask(questions[i])
				r.progress(int(done.Add(1)), len(questions))
			}
		})
	}
	wg.Wait()
	return out
}

// ask asks everybody the same question at the same time.
func (r *run) ask(q question) *witness {
	w := &witness{q: q, peers: make([]party, len(r.peers))}
	var wg sync.WaitGroup
	wg.Go(func() { w.us = ask(r.shoji, q) })
	for i, p := range r.peers {
		wg.Go(func() { w.peers[i] = party{p.name, ask(p.addr, q)} })
	}
	wg.Wait()
	if r.filtered != "" {
		w.filtered = ask(r.filtered, q)
	}
	w.elapsed = time.Since(r.began)
	return w
}

// again asks once more, with less load, what had different replies. A difference that
// does not come back was of time: what is returned are the second replies.
func (r *run) again(witnesses []*witness) (steady, unsteady []*witness) {
	var questions []question
	var first []*witness
	for _, w := range witnesses {
		if len(w.differences()) > 0 {
			questions = append(questions, w.q)
			first = append(first, w)
		} else {
			steady = append(steady, w)
		}
	}
	for i, w := range r.compare(questions, min(r.workers, gentle)) {
		if len(w.differences()) == 0 {
			unsteady = append(unsteady, first[i])
		}
		steady = append(steady, w)
	}
	return steady, unsteady
}

// gentle is how many questions are under way when they are asked again.
const gentle = 4

// progress shows how far the run is, on a terminal alone.
func (r *run) progress(done, all int) {
	if r.show != nil && (done%100 == 0 || done == all) {
		end := ""
		if done == all {
			end = "\r\x1b[K"
		}
		fmt.Fprintf(r.show, "\r%d of %d questions, %s%s", done, all, time.Since(r.began).Round(time.Second), end)
	}
}

// terminal is f, if it is one.
func terminal(f *os.File) io.Writer {
	if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		return f
	}
	return nil
}
