package main

import (
	"fmt"
	"time"

	"github.com/shoji-dns/shoji/internal/follow"
	"github.com/shoji-dns/shoji/internal/serve"
)

// status is what the node tells about itself in class CH.
func (n *node) status() serve.Status {
	list := n.live.Load()
	lines := []string{fmt.Sprintf("epoch=%d", list.Epoch()), fmt.Sprintf("listings=%d", list.Count())}
	if len(n.followed) == 0 {
		return serve.Status{Lines: append([]string{"log=own"}, lines...)}
	}
	if len(n.followed) > 1 {
		return n.statusOfSeveral(lines[1])
	}
	s := n.followed[0].Status()
	out := serve.Status{Lines: append([]string{"log=" + string(s.Kind)}, lines...)}
	out.Lines = append(out.Lines, fmt.Sprintf("entry=%d", s.Epoch.Entry), fmt.Sprintf("time=%s", stamp(s.Epoch.Time)),
		fmt.Sprintf("size=%d", s.Size), fmt.Sprintf("seen=%s", stamp(s.Seen)), fmt.Sprintf("forks=%d", s.Forks),
		fmt.Sprintf("damaged=%d", s.Damaged))
	out.Alarm = alarm(s)
	return out
}

// statusOfSeveral has a line for each log, and names those with which something is wrong.
func (n *node) statusOfSeveral(listings string) serve.Status {
	out := serve.Status{Lines: []string{fmt.Sprintf("logs=%d", len(n.followed)), listings}}
	for i, f := range n.followed {
		s := f.Status()
		out.Lines = append(out.Lines, fmt.Sprintf("log%d=%s", i+1, s.Kind))
		if why := alarm(s); why != "" && out.Alarm == "" {
			out.Alarm = fmt.Sprintf("log%d, %s: %s", i+1, f.name, why)
		}
	}
	return out
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

// alarm says what is wrong with the log that is followed; "" where nothing is.
func alarm(s follow.Status) string {
	switch {
	case !s.Alarmed():
		return ""
	case s.Kind.Loud() && s.Epoch.Entry == 0:
		return fmt.Sprintf("the log that is followed is %s; no list of it was ever in force here", s.Kind)
	case s.Kind.Loud():
		return fmt.Sprintf("the log that is followed is %s; the list in force is the last good one", s.Kind)
	}
	if s.Forks == 0 {
		return "what was seen of the log that is followed was damaged on this machine; it goes on from the list in force"
	}
	return "the log that is followed once forked; the proof is kept"
}
