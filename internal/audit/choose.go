package audit

import (
	"context"
	"slices"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/ledger"
)

const (
	// recentEntries is how many of a list's last entries are looked through for what was
	// listed and delisted lately: there an old list shows.
	recentEntries = 2048
	// firstEntries is where canaries are looked for: a log begins with them.
	firstEntries = 256
	// sampleShare is how many questions there are for each listed name that is picked.
	sampleShare = perName * typesAVisit * (1 + coverShare)
)

// choose picks what can be asked about by the list that is in force.
func (l *live) choose(ctx context.Context) error {
	l.chosen, l.listed, l.common = nil, nil, nil
	have := map[dns.Name]bool{}
	l.asked.Addresses = 0
	for range l.newest().Prefixes {
		l.asked.Addresses++
	}
	for _, n := range l.cfg.Names {
		if !have[n.Canonical()] {
			have[n.Canonical()] = true
			l.chosen = append(l.chosen, l.topic(n, l.cfg.Contact, true))
		}
	}
	add := func(n dns.Name, contact bool) {
		if n == "" || have[n.Canonical()] {
			return
		}
		have[n.Canonical()] = true
		if t := l.topic(n, contact, false); t.listed {
			l.listed = append(l.listed, t)
		} else {
			l.common = append(l.common, t)
		}
	}
	if err := l.special(ctx, add); err != nil {
		return err
	}
	for _, text := range l.report.released {
		if n, err := dns.ParseName(text); err == nil {
			add(n, l.cfg.Contact)
		}
	}
	room := max(l.cfg.Questions/sampleShare, 1)
	canaries, rest := l.canaries()
	if len(rest) > room { // half of what is recent, and half of anything
		rest = rest[:(room+1)/2]
	}
	l.listed = rest
	sample, err := l.sample(room)
	if err != nil {
		return err
	}
	for _, n := range sample {
		add(n, l.cfg.Contact)
	}
	l.plan.Shuffle(len(l.listed), func(i, j int) { l.listed[i], l.listed[j] = l.listed[j], l.listed[i] })
	l.listed = append(canaries, l.listed...)
	for _, n := range l.cfg.Popular {
		add(n, l.cfg.Contact)
	}
	return nil
}

// maxCanaries is how many canaries are asked for: they are listed to be seen, and an operator
// who filtered nothing else would filter them.
const maxCanaries = 3

// canaries are some of what may be contacted, and the rest, both in no order.
func (l *live) canaries() (some, rest []topic) {
	l.plan.Shuffle(len(l.listed), func(i, j int) { l.listed[i], l.listed[j] = l.listed[j], l.listed[i] })
	for _, t := range l.listed {
		if t.contact && len(some) < maxCanaries {
			some = append(some, t)
		} else {
			rest = append(rest, t)
		}
	}
	return some, rest
}

// topic is what a name is to the list in force.
func (l *live) topic(n dns.Name, contact, chosen bool) topic {
	listed := slices.ContainsFunc(l.books(), func(b *book) bool { _, listed := b.newest().MatchName(n); return listed })
	return topic{name: n, chosen: chosen, listed: listed, twin: !listed || contact, contact: contact}
}

// special adds the canaries, and what was listed and delisted lately.
func (l *live) special(ctx context.Context, add func(n dns.Name, contact bool)) error {
	size := l.newest().Epoch()
	recent := size - min(size, recentEntries)
	spans := [][2]uint64{{0, min(size, firstEntries)}, {recent, size}}
	for _, span := range spans {
		err := ledger.Walk(ctx, l.log.Source, l.report.tip, span[0], span[1], func(n uint64, e *ledger.Entry, _ []byte) error {
			name := nameOf(e)
			canary := e.Clause == policy.Canary
			switch {
			case name == "" || n < recent && !canary:
			case e.Kind == ledger.KindList && !inForce(l.newest(), n, e):
			case e.Kind == ledger.KindList:
				add(name, canary || l.cfg.Contact)
				if below, err := name.Child("www"); e.Scope == ledger.ScopeSubtree && err == nil {
					add(below, canary || l.cfg.Contact)
				}
			case e.Kind == ledger.KindDelist && (l.cfg.Contact || e.Cause != causePolicy):
				// What a person has taken off the list is no malware; what evidence grew stale
				// of may still be.
				add(name, l.cfg.Contact)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sample picks n names at random of all that the list has: each as likely as any other.
func (l *live) sample(n int) ([]dns.Name, error) {
	var out []dns.Name
	seen := 0
	err := l.newest().Names(func(name dns.Name, _ ledger.Scope) bool {
		if seen++; len(out) < n {
			out = append(out, name)
		} else if at := l.plan.IntN(seen); at < n { // Vitter's algorithm R
			out[at] = name
		}
		return true
	})
	return out, err
}
