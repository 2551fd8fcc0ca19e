package audit

import (
	"context"
	"fmt"
	"slices"

	"github.com/shoji-dns/shoji/internal/citation"
	"github.com/shoji-dns/shoji/internal/dns"
)

// A resolver may follow several logs, and names the one that its answer goes by. What is filtered
// by another log than the one at hand is held against that one where it was given (LiveConfig.Others).
// Where it was not, it is no fault, and it is never in order: whoever cites a log that nobody knows
// hides behind it, and is not verified.

// books are all logs that were given.
func (l *live) books() []*book { return append([]*book{l.book}, l.others...) }

// given is the other log that a citation is of; nil where that was not given.
func (l *live) given(c *citation.Citation) *book {
	for _, b := range l.others {
		if c.Of(b.log.Key) {
			return b
		}
	}
	return nil
}

// bookOf is the log of a book's name; nil where it is of none that was given.
func (l *live) bookOf(name string) *book {
	for _, b := range l.books() {
		if b.name == name {
			return b
		}
	}
	return nil
}

// reason is a question without its form: what was answered to it with EDNS says why.
type reason struct {
	key
	Server
}

// edns reports whether an answer has a place to say why it is filtered.
func (o *observation) edns() bool { return o.form.edns || o.route.Encrypted != "" }

// otherLog judges a reply that is filtered by another log: by its lists where it was given, else as
// far as this can be done, by its form.
func (l *live) otherLog(ctx context.Context, o *observation, c *citation.Citation) outcome {
	if b := l.given(c); b != nil {
		of := *l // the same audit, with that log at hand
		of.book = b
		out := of.byLists(ctx, o)
		if out.log = b.name; !out.fine() && out.entry == 0 { // of a reply without EDNS
			out.entry = c.Entry
		}
		return out
	}
	got := readSaid(o.name, o.typ, o.reply.RCode, o.reply.Answer)
	says := fmt.Sprintf("log entry %d of %s is said to list it", c.Entry, c.Log)
	out := l.inForm(o, &got, c.Entry, says)
	if out.log = c.Log; out.fine() {
		out.code, out.entry, out.detail = OtherLog, c.Entry, o.what()+": "+says
	}
	return out
}

// citesOther is the citation of another log by which a reply may be filtered that this log does not account
// for; nil where there is none. A structured error names a database, which may be another log's. A
// reply without EDNS names nothing: it is asked for again, and must be the same.
func (l *live) citesOther(ctx context.Context, o *observation) *citation.Citation {
	m := o.reply
	if !o.edns() {
		if m = l.withReason(ctx, &o.question); m == nil {
			return nil
		}
		got, with := readSaid(o.name, o.typ, o.reply.RCode, o.reply.Answer), readSaid(o.name, o.typ, m.RCode, m.Answer)
		if !got.equal(&with) {
			return nil
		}
	}
	if s := readSignal(m, l.log.Key); s.cited != nil && !s.own {
		return s.cited
	}
	return nil
}

// withReason is what is answered to a question with EDNS; nil where nothing is.
func (l *live) withReason(ctx context.Context, q *question) *dns.Message {
	k := reason{keyOf(q), q.route.Server}
	if m, known := l.reasons[k]; known {
		return m
	}
	again := *q
	again.form = forms()[1]
	again.route.Port = anyPort()
	m, err := l.put(ctx, &again)
	if err != nil {
		m = nil
	}
	l.reasons[k] = m
	return m
}

// byOtherLog parts replies to one question that another log filters from those that nothing does,
// unless all of one kind came before the other: then that log's list may have changed.
func (l *live) byOtherLog(all []*observation) (odd, even []*observation) {
	for _, o := range all {
		switch {
		case o.outcome.code == OtherLog:
			odd = append(odd, o)
		case o.edns() && o.outcome.by != "":
			even = append(even, o)
		}
	}
	if len(odd) == 0 || len(even) == 0 || l.followed(odd, even) || l.followed(even, odd) {
		return nil, nil
	}
	return odd, even
}

// followed reports whether b came after a, as far as a resolver follows a list at once.
func (l *live) followed(a, b []*observation) bool {
	begun := func(a, b *observation) int { return a.begun().Compare(b.begun()) }
	return !slices.MaxFunc(a, begun).begun().After(slices.MinFunc(b, begun).begun().Add(l.cfg.Lag))
}
