package rpz

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	mdns "github.com/miekg/dns"
)

// Config is what a Zone needs.
type Config struct {
	Content
	Walk   Walk // reads the log that the lists were compiled from
	Notify []Secondary
	Log    *slog.Logger // nil: nobody is told
}

// Zone is the list in force as a response-policy zone.
type Zone struct {
	cfg      Config
	origin   string // with its dot, in lower case
	incoming chan List
	now      atomic.Pointer[edition] // nil before the first list
}

// edition is the zone at one serial.
type edition struct {
	list    List
	journal journal
}

func (e *edition) serial() uint32 { return serial(e.list.Epoch()) }

// New makes a zone without a list; it is served when Run has taken the first.
func New(cfg Config) (*Zone, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if cfg.Walk == nil {
		return nil, errors.New("no log to read")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Zone{cfg: cfg, origin: mdns.CanonicalName(cfg.Origin.String()), incoming: make(chan List, 1)}, nil
}

// Publish has Run take a list. Of several that it has not yet taken the last counts. Only
// one goroutine may call it.
func (z *Zone) Publish(l List) {
	select {
	case <-z.incoming:
	default:
	}
	z.incoming <- l
}

// Serial is the zone's serial number; false before the first list.
func (z *Zone) Serial() (uint32, bool) {
	e := z.now.Load()
	if e == nil {
		return 0, false
	}
	return e.serial(), true
}

// Run takes each list that is published, and tells the secondaries, until ctx ends.
func (z *Zone) Run(ctx context.Context) {
	stop := func() {}
	for {
		select {
		case <-ctx.Done():
			stop()
			return
		case l := <-z.incoming:
			if !z.take(ctx, l) {
				continue
			}
			stop()
			var telling context.Context
			telling, stop = context.WithCancel(ctx)
			for i := range z.cfg.Notify {
				go z.tell(telling, &z.cfg.Notify[i], z.now.Load())
			}
		}
	}
}

// take makes l the list that is served, and reports whether the serial is a new one.
func (z *Zone) take(ctx context.Context, l List) bool {
	before := z.now.Load()
	if before != nil && l.Epoch() <= before.list.Epoch() {
		if l.Epoch() < before.list.Epoch() { // its serial would go back too
			z.cfg.Log.Error("policy zone: an older list is not taken", "zone", z.origin, "serial", before.serial(), "older", serial(l.Epoch()))
		}
		return false
	}
	next := &edition{list: l}
	var err error
	if before == nil {
		z.now.Store(next) // without a journal until that is read
		z.report(l)
		next = &edition{list: l}
		next.journal, err = recall(ctx, z.cfg.Walk, l)
	} else if next.journal, err = before.journal.follow(ctx, z.cfg.Walk, before.list, l); err == nil {
		z.reportNew(next, before.list.Epoch())
	}
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		next.journal = nil
		z.cfg.Log.Error("policy zone: no journal, secondaries get the whole zone", "zone", z.origin, "cause", err)
	}
	z.now.Store(next)
	z.cfg.Log.Info("policy zone", "zone", z.origin, "serial", next.serial(), "steps", len(next.journal), "changes", next.journal.size())
	return true
}

// left is the owners that the zone cannot have.
type left struct {
	count int
	shown []string
}

func (f *left) note(c *Content, t trigger) {
	why := c.unfit(t)
	if why == "" {
		return
	}
	if f.count++; len(f.shown) < maxShown {
		f.shown = append(f.shown, t.owner()+" ("+why+")")
	}
}

func (f *left) report(z *Zone) {
	if f.count > 0 {
		z.cfg.Log.Warn("policy zone: listed, but not in the zone", "zone", z.origin, "owners", f.count, "first", strings.Join(f.shown, ", "))
	}
}

// report names what of a list the zone cannot have.
func (z *Zone) report(l List) {
	var f left
	n := uint64(0)
	err := triggers(l, func(t trigger) bool {
		f.note(&z.cfg.Content, t)
		breathe(n)
		n++
		return true
	})
	if err != nil {
		z.cfg.Log.Error("policy zone: the list cannot be read", "zone", z.origin, "cause", err)
	}
	f.report(z)
}

// reportNew is report for what came since a list of that many log entries.
func (z *Zone) reportNew(e *edition, since uint64) {
	var f left
	if len(e.journal) == 0 {
		z.report(e.list)
		return
	}
	for _, st := range e.journal {
		if st.from < since {
			continue
		}
		for _, t := range st.added {
			f.note(&z.cfg.Content, t)
		}
	}
	f.report(z)
}

// seconds is now in the form of TSIG.
func seconds() int64 { return time.Now().Unix() }
