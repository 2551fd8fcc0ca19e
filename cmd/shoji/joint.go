package main

import (
	"context"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/follow"
	"github.com/shoji-dns/shoji/ledger"
)

// firstPatience is how long the filtered view waits for all of several logs before it answers by
// the lists that there are. A log that cannot be read is not waited for.
const firstPatience = time.Minute

// joint is what several logs that are followed add up to. A log that fails stops itself alone: its
// last good list stays, or it has none, and the lists of the others go on.
type joint struct {
	mu     sync.Mutex
	lists  []*filter.List // by the logs' places in the configuration; nil: there is none yet
	epochs []ledger.Epoch
	looked []bool // it has a list, or was looked at in vain
	begun  bool   // what there is is in force
}

// openFollowed puts the lists in force that the node had when it ended.
func (n *node) openFollowed() error {
	for i := range n.conf.Follow {
		f, err := openFollowed(n.conf, i, n.dial, n.log, follow.Open)
		if err != nil {
			return err
		}
		n.followed = append(n.followed, f)
	}
	size := len(n.followed)
	n.joint.lists, n.joint.epochs, n.joint.looked = make([]*filter.List, size), make([]ledger.Epoch, size), make([]bool, size)
	for i, f := range n.followed {
		if list, epoch := f.List(); list != nil {
			n.put(i, list, epoch)
		}
	}
	return nil
}

// put puts a list of log i in force.
func (n *node) put(i int, list *filter.List, epoch ledger.Epoch) {
	if len(n.followed) == 1 {
		n.swap(list, epoch)
		return
	}
	j := &n.joint
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lists[i], j.epochs[i], j.looked[i] = list, epoch, true
	n.join(false)
}

// inVain notes that log i was looked at in vain.
func (n *node) inVain(i int) {
	j := &n.joint
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.looked[i] = true; !j.begun {
		n.join(false)
	}
}

// join puts in force what the lists add up to, once there is one and no other is waited for. The
// caller holds the lock.
func (n *node) join(anyway bool) {
	j := &n.joint
	some, all, oldest := false, true, time.Time{}
	for i, list := range j.lists {
		all = all && j.looked[i]
		if list == nil {
			continue
		}
		if at := j.epochs[i].Time; !some || at.Before(oldest) {
			oldest = at
		}
		some = true
	}
	if !some || !j.begun && !all && !anyway || len(n.followed) < 2 {
		return
	}
	j.begun = true
	n.live.Swap(filter.Join(j.lists...))
	n.gauges.listTime.Store(oldest.Unix())
}

// followAll follows all logs until ctx ends.
func (n *node) followAll(ctx context.Context) {
	patience := time.AfterFunc(firstPatience, func() {
		n.joint.mu.Lock()
		defer n.joint.mu.Unlock()
		if !n.joint.begun {
			n.join(true)
		}
	})
	defer patience.Stop()
	var all sync.WaitGroup
	for i, f := range n.followed {
		all.Go(func() { f.run(ctx, n, i) })
	}
	all.Wait()
}

// run follows log i until ctx ends.
func (f *followed) run(ctx context.Context, n *node, i int) {
	f.Run(ctx, func(list *filter.List, epoch ledger.Epoch) {
		n.put(i, list, epoch)
		n.log.Info("list in force", "log", f.name, "entry", epoch.Entry, "listings", list.Count(), "digest", epoch.Digest)
	}, func(e *follow.Fault) {
		switch {
		case e == nil:
			n.log.Info("the log is followed again", "log", f.conf.Log)
			return
		case e.Kind.Loud():
			n.log.Error("the log that is followed is not right; "+f.stays(), "log", f.conf.Log, "fault", e.Kind, "cause", e)
		default:
			n.log.Warn("the log cannot be followed; "+f.stays(), "log", f.conf.Log, "fault", e.Kind, "cause", e)
		}
		n.inVain(i)
	})
}

// stays says what a fault leaves in force. It is for the goroutine of Run.
func (f *followed) stays() string {
	if list, _ := f.List(); list != nil {
		return "its list in force stays as it is"
	}
	return "no list of it is in force"
}
