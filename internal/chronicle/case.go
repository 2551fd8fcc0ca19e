package chronicle

import (
	"time"

	"github.com/shoji-dns/shoji/ledger"
)

// The bounds between which times to an outcome are counted.
const (
	Instantly = 10 * time.Second
	Promptly  = 10 * time.Minute
	InADay    = 24 * time.Hour
	InAWeek   = 7 * 24 * time.Hour
)

// Spans counts cases by how long they took: up to Instantly, Promptly, InADay, InAWeek, and longer.
type Spans [5]uint64

// Outcome is what became of cases.
type Outcome struct {
	Status string
	Count  uint64
	Spans  Spans
	total  time.Duration
	timed  uint64
}

// Mean is the mean time to this outcome; zero where none was timed.
func (o *Outcome) Mean() time.Duration {
	if o.timed == 0 {
		return 0
	}
	return o.total / time.Duration(o.timed)
}

// maxTook is the longest time that is summed up, so that no number of them is too large.
const maxTook = 10 * 365 * 24 * time.Hour

// step is a case's next step.
func (c *Chronicle) step(d *Day, e *ledger.Entry) {
	begun, known := c.open[e.Case]
	if !ledger.CaseEnded(e.Status) {
		if !known && e.Status == ledger.CaseReceived {
			d.Opened++
			if len(c.open) < maxOpen {
				c.open[e.Case] = e.Time
			}
		}
		return
	}
	d.Closed++
	o := c.outcomes[e.Status]
	if o == nil {
		o = &Outcome{Status: e.Status}
		c.outcomes[e.Status] = o
	}
	o.Count++
	if !known {
		return
	}
	delete(c.open, e.Case)
	took := min(max(0, e.Time.Sub(begun)), maxTook)
	o.total += took
	o.timed++
	i := 0
	for _, bound := range []time.Duration{Instantly, Promptly, InADay, InAWeek} {
		if took <= bound {
			break
		}
		i++
	}
	o.Spans[i]++
}
