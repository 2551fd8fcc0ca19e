package follow

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/forger"
	"github.com/shoji-dns/shoji/ledger"
)

// A log that fails is asked ever more rarely, and told of once; when it is back, the next list
// comes into force.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := large()
		f := open(t, t.TempDir(), l)
		f.cfg.Every = 10 * time.Second
		ctx, cancel := context.WithCancel(t.Context())
		var swapped []uint64
		var told []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.Run(ctx, func(_ *filter.List, e ledger.Epoch) { swapped = append(swapped, e.Count) }, func(e *Fault) {
				if e == nil {
					told = append(told, "right again")
					return
				}
				told = append(told, string(e.Kind))
			})
		}()
		synctest.Wait()
		if looks := len(l.Asked()); looks == 0 || f.Status().Kind != Current {
			t.Error("the log is not looked at at once")
		}
		time.Sleep(10 * time.Minute)
		if n := strings.Count(asked(l), "checkpoint"); n < 54 || n > 67 {
			t.Errorf("%d looks in ten minutes of one each 9 to 11 s", n)
		}
		l.SetDown(true)
		time.Sleep(time.Hour)
		if n := strings.Count(asked(l), "checkpoint"); n < 15 || n > 40 {
			t.Errorf("%d looks in an hour at a log that fails", n)
		}
		l.SetDown(false)
		l.Add(forger.Listing("new.example"))
		l.Epoch()
		time.Sleep(maxPause + time.Second)
		cancel()
		<-done
		if got := strings.Join(told, ", "); got != "unreachable, right again" {
			t.Errorf("told: %s", got)
		}
		if len(swapped) != 2 || swapped[0] != 600 || swapped[1] != 601 {
			t.Errorf("in force: %v", swapped)
		}
	})
}

// Pauses grow to a limit, and no two nodes keep step.
func TestPauses(t *testing.T) {
	for fails, most := range map[int]time.Duration{0: 11 * time.Second, 1: 10 * time.Second, 3: 40 * time.Second, 1000: maxPause} {
		seen := map[time.Duration]bool{}
		for range 100 {
			d := next(10*time.Second, fails)
			if d > most || d < most/2 && fails > 0 || d < 9*time.Second && fails == 0 {
				t.Errorf("after %d failures: %s", fails, d)
			}
			seen[d] = true
		}
		if len(seen) < 50 {
			t.Errorf("after %d failures always the same pause", fails)
		}
	}
	if d := next(time.Hour, 5); d > time.Hour {
		t.Errorf("an hour becomes %s", d)
	}
}
