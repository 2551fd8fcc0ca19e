package follow

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/ledger"
)

const (
	// MinEvery is the shortest time between two looks at a log: its checkpoints come no oftener.
	MinEvery = time.Second

	// maxPause is the longest time between two looks at a log that fails.
	maxPause = 5 * time.Minute

	// stepTime is how long one look may take: to build a list from a log of ten million entries,
	// some 4 GiB, at 2 Mbit/s. To fetch one takes less, and what came of it is not lost.
	stepTime = 6 * time.Hour
)

// Run looks at the log at once and then again and again until ctx ends. It calls swap for each
// new list, and alarm once for each new fault, and once with nil when a log that had a fault is
// right again.
func (f *Follower) Run(ctx context.Context, swap func(*filter.List, ledger.Epoch), alarm func(*Fault)) {
	every := max(f.cfg.Every, MinEvery)
	wait := time.NewTimer(0)
	defer wait.Stop()
	last, fails := "", 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		patience, cancel := context.WithTimeout(ctx, stepTime)
		list, err := f.Step(patience)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			fails++
			e := fault(err)
			if text := string(e.Kind) + e.Error(); text != last {
				last = text
				alarm(e)
			}
		default:
			if last != "" {
				alarm(nil)
			}
			last, fails = "", 0
			if list != nil {
				swap(list, f.epoch)
			}
		}
		wait.Reset(next(every, fails))
	}
}

// next is how long to wait after a number of failures in a row: every, or twice as long for
// each, and then a random part of the upper half of that, so that nodes that failed together
// do not come back together.
func next(every time.Duration, fails int) time.Duration {
	if fails == 0 {
		return every - every/10 + rand.N(every/5)
	}
	pause := min(every<<min(fails-1, 16), max(every, maxPause))
	return pause/2 + rand.N(pause/2+1)
}
