package audit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// compare holds the replies to each question against one another: whoever asks, by whichever
// way and whenever, is answered alike. Which replies are alike is what was judged of them:
// filtered by the same entry, as the Internet says, or wrong in the same manner. What is
// filtered must hold the same as well: records, their TTL aside, and error.
func (l *live) compare() {
	type group struct {
		key
		unfiltered bool
	}
	groups := map[group][]*observation{}
	var order []group
	for _, o := range l.all {
		if o.reply == nil && !o.heard {
			continue
		}
		g := group{keyOf(&o.question), o.route.Unfiltered}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], o)
	}
	for _, g := range order {
		all := groups[g]
		if len(all) < 2 {
			continue
		}
		l.uniform.Checked++
		var odd, even []*observation
		for _, o := range all {
			if !o.outcome.fine() && isFault(o.outcome.code) {
				odd = append(odd, o)
			} else {
				even = append(even, o)
			}
		}
		if len(odd) == 0 || len(even) == 0 {
			odd, even = unlike(all)
		}
		if len(odd) == 0 {
			odd, even = l.byOtherLog(all)
		}
		if len(odd) == 0 {
			continue
		}
		l.uniform.fault(Finding{Code: DiffersBy, Subject: all[0].what(), Detail: fmt.Sprintf("%d of %d answers: %s", len(odd), len(all), axes(odd, even))})
	}
}

// what is the question, for people.
func (q *question) what() string {
	return strings.TrimSuffix(q.name.String(), ".") + " " + q.typ.String()
}

// axes says in which regard the odd replies are all alike and unlike all others.
func axes(odd, even []*observation) string {
	var out []string
	for _, axis := range []struct {
		words string
		of    func(o *observation) string
	}{
		{"those of %s", func(o *observation) string { return o.route.Server.String() }},
		{"those from %s", func(o *observation) string { return o.route.from() }},
		{"those over %s", func(o *observation) string { return o.route.Transport }},
		{"those asked with %s", func(o *observation) string { return o.form.name }},
	} {
		values := map[string]bool{}
		for _, o := range odd {
			values[axis.of(o)] = true
		}
		if !slices.ContainsFunc(even, func(o *observation) bool { return values[axis.of(o)] }) {
			out = append(out, fmt.Sprintf(axis.words, strings.Join(slices.Sorted(maps.Keys(values)), ", ")))
		}
	}
	if apart(odd, even, func(a, b *observation) int { return a.begun().Compare(b.begun()) }) {
		last := slices.MaxFunc(even, func(a, b *observation) int { return a.begun().Compare(b.begun()) })
		words := "those before "
		if odd[0].begun().After(last.begun()) {
			words = "those after "
		} else {
			last = slices.MinFunc(even, func(a, b *observation) int { return a.begun().Compare(b.begun()) })
		}
		out = append(out, words+stamp(last.begun()))
	}
	if apart(odd, even, func(a, b *observation) int { return cmp.Compare(a.route.Port, b.route.Port) }) {
		low := slices.MinFunc(odd, func(a, b *observation) int { return cmp.Compare(a.route.Port, b.route.Port) })
		high := slices.MaxFunc(odd, func(a, b *observation) int { return cmp.Compare(a.route.Port, b.route.Port) })
		out = append(out, fmt.Sprintf("those from ports %d to %d", low.route.Port, high.route.Port))
	}
	if len(out) == 0 {
		return "in no regard that was varied here"
	}
	return strings.Join(out, "; ")
}

// apart reports whether all of odd come before all of even, or after them.
func apart(odd, even []*observation, compare func(a, b *observation) int) bool {
	return compare(slices.MaxFunc(odd, compare), slices.MinFunc(even, compare)) < 0 ||
		compare(slices.MinFunc(odd, compare), slices.MaxFunc(even, compare)) > 0
}

// account counts what was asked and found.
func (l *live) account() {
	type place struct {
		check         *Check
		code, subject string
	}
	counts := map[place]uint64{}
	first := map[place]*observation{}
	var order []place
	for _, o := range l.all {
		l.count(o)
		c := l.answered
		switch {
		case o.route.Unfiltered:
			c = l.rewritten
		case o.listed:
			c = l.filtered
		}
		if c.Checked++; o.outcome.fine() {
			continue
		}
		p := place{c, o.outcome.code, o.what()}
		switch way := o.route; o.outcome.code {
		case NoAnswer:
			if way.Port = 0; l.silent[way].n > 0 { // nothing at all came this way
				p.subject = way.String()
			}
		case OtherLog:
			p.subject = o.outcome.log
		}
		if first[p] == nil {
			order, first[p] = append(order, p), o
		}
		counts[p]++
	}
	for _, p := range order {
		o := first[p]
		f := Finding{Code: p.code, Subject: p.subject, Detail: o.outcome.detail + "; " + o.describe()}
		if n := counts[p]; n > 1 {
			f.Detail += fmt.Sprintf("; and %d more", n-1)
		}
		if isFault(p.code) {
			p.check.fault(f)
		} else {
			p.check.open(f)
		}
	}
	l.asked.Names, l.asked.Lists = uint64(len(l.names)), len(l.lists)
	for _, s := range l.cfg.Servers {
		l.asked.Servers = append(l.asked.Servers, s.String())
	}
	for _, a := range l.cfg.Sources {
		l.asked.Sources = append(l.asked.Sources, a.String())
	}
	ways := map[string]bool{}
	for _, o := range l.all {
		ways[o.route.Transport] = true
	}
	l.asked.Ways = slices.Sorted(maps.Keys(ways))
}

// count counts one question and how its answer was accounted for.
func (l *live) count(o *observation) {
	l.asked.Questions += 1 + uint64(o.again)
	if n := o.name.Canonical(); !l.names[n] {
		l.names[n] = true
		if o.listed {
			l.asked.Listed++
		}
	}
	if o.outcome.code == OtherLog {
		l.asked.OtherLogs[o.outcome.log]++
	}
	switch by := o.outcome.by; by {
	case "", bySame:
	case bySigned:
		l.asked.Signed++
	default:
		l.asked.Delivery[by]++
	}
}
