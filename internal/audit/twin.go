package audit

import (
	"context"
	"fmt"

	"github.com/shoji-dns/shoji/internal/citation"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/ledger"
)

// unlisted judges a reply that says it is filtered, of what neither by its name nor by the own
// recursion's answer is listed. The twin tells what the resolver found: it filters nothing.
func (l *live) unlisted(ctx context.Context, o *observation, s signal, list *filter.List) outcome {
	detail := "it names no log entry"
	if s.cited == nil || !s.names(s.cited.Entry) {
		return outcome{code: FilteredUnlisted, detail: detail}
	}
	n := s.cited.Entry
	e, err := l.entry(ctx, n)
	switch {
	case err != nil:
		return outcome{code: FilteredUnlisted, detail: fmt.Sprintf("it names log entry %d, which cannot be read: %v", n, err)}
	case e.Kind != ledger.KindList:
		return outcome{code: FilteredUnlisted, detail: fmt.Sprintf("it names log entry %d, which lists nothing", n)}
	}
	what := fmt.Sprintf("it names log entry %d, which lists %s", n, subject(e))
	if !inForce(list, n, e) {
		return outcome{code: FilteredUnlisted, entry: n, detail: what + " and is not in force"}
	}
	if e.Name != "" && o.name.IsSubdomainOf(nameOf(e)) {
		return outcome{code: FilteredUnlisted, detail: what + " and not this"}
	}
	twin := l.twinSays(ctx, &o.question)
	if twin == nil {
		return outcome{code: LeadsElsewhere, detail: what}
	}
	if v, listed := list.Judge(asAnswer(&o.question, twin)); !listed || v.Entry != n {
		return outcome{code: FilteredUnlisted, detail: what + "; neither this machine's recursion nor the unfiltered twin is led there"}
	}
	return l.byTwin(ctx, o, twin, outcome{entry: n, detail: what})
}

// byTwin judges a reply that is filtered for where the unfiltered twin alone is led. The twin is
// the same operator's: an alias that he adds vouches for nothing, and an address as far as it
// is accounted for.
func (l *live) byTwin(ctx context.Context, o *observation, twin *dns.Message, out outcome) outcome {
	said := observation{question: o.question, at: o.at, reply: twin}
	said.form = forms()[1]
	got := readSaid(o.name, o.typ, twin.RCode, twin.Answer)
	judged := l.ordinary(ctx, &said, &got, l.truths[keyOf(&o.question)])
	switch e := l.entries[out.entry]; {
	case !judged.fine() && isFault(judged.code):
		return outcome{code: FilteredUnlisted, entry: out.entry, detail: out.detail + "; the unfiltered twin is led there by what is not so: " + judged.detail}
	case !judged.fine():
		return outcome{code: LeadsElsewhere, entry: out.entry, detail: out.detail + "; the unfiltered twin alone is led there: " + judged.detail}
	case !e.Prefix.IsValid() && judged.by != byOwner:
		return outcome{code: LeadsElsewhere, entry: out.entry, detail: out.detail + "; the unfiltered twin alone is led there, by an alias"}
	}
	return outcome{entry: out.entry}
}

// twinSays is what the unfiltered twin says to a question; nil where there is none.
func (l *live) twinSays(ctx context.Context, q *question) *dns.Message {
	k := keyOf(q)
	if m, known := l.twin[k]; known || len(l.plan.twins) == 0 {
		return m
	}
	again := *q
	again.form = forms()[1]
	again.route = Route{Server: l.plan.twins[0], Transport: l.cfg.Transports[0].Name}
	m, err := l.put(ctx, &again)
	if err != nil {
		m = nil
	}
	l.twin[k] = m
	return m
}

// ofTwin judges a reply of the unfiltered view: it says what the Internet says, of listed
// names too.
func (l *live) ofTwin(ctx context.Context, o *observation) outcome {
	got := readSaid(o.name, o.typ, o.reply.RCode, o.reply.Answer)
	if given, _ := citation.Read(o.reply); given {
		return outcome{code: Rewritten, detail: "it says that it is filtered"}
	}
	for _, a := range got.addrs {
		if l.isSinkhole(a) && l.original(&o.question, a) == "" {
			return outcome{code: Rewritten, detail: fmt.Sprintf("it leads to %s, as filtered names do", a)}
		}
	}
	if o.typ == dns.TypeANY {
		return outcome{by: bySame}
	}
	return l.ordinary(ctx, o, &got, l.truths[keyOf(&o.question)])
}
