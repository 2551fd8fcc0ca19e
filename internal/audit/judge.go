package audit

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/ledger"
)

// What is found at resolvers. The first group are faults, the second what could not be told.
const (
	NotFiltered      = "not-filtered"      // a listed name is answered otherwise
	FilteredUnlisted = "filtered-unlisted" // what no entry in force lists is filtered
	WrongCitation    = "wrong-citation"    // another entry is named than the one that lists
	NoCitation       = "no-citation"
	Beside           = "beside"          // a filtered answer holds something of the original
	OtherSinkhole    = "other-sinkhole"  // it leads to another address than other filtered answers
	OtherForm        = "other-form"      // it is filtered, and by no answer of the form that is due
	KeptLong         = "kept-long"       // it may be kept for longer than a delisting should take
	Stray            = "stray"           // it holds records beside that a stub may take for the answer
	Altered          = "altered"         // signed, and DNSSEC does not prove what is said
	Denied           = "denied"          // a name is denied that there is
	Invented         = "invented"        // a name is answered that there is not
	SpecialAddress   = "special-address" // a public name leads to an address of no public host
	Rewritten        = "rewritten"       // the unfiltered twin filters
	DiffersBy        = "differs-by"      // the same question is answered otherwise in another way

	Unexplained    = "unexplained"
	LeadsElsewhere = "leads-elsewhere" // filtered for a target or address that the own recursion did not meet
	NoAnswer       = "no-answer"
	Refused        = "refused"
	Failed         = "failed"        // SERVFAIL, where the own recursion finds an answer
	NoTruth        = "no-truth"      // the own recursion finds none
	LoneSinkhole   = "lone-sinkhole" // one listing alone leads to it, so that it may be any address
	OtherLog       = "other-log"     // it is filtered by an entry of a log that is not this one
	NotAsked       = "not-asked"     // nothing that the check is about was asked for
)

// outcome is what a reply comes to. A code says what is wrong with it or could not be told.
type outcome struct {
	code   string // "": nothing
	by     string // how it was accounted for, where it is an ordinary answer
	detail string
	entry  uint64 // that filters it, or should, or is said to; 0 where there is none
	log    string // that the entry is of, where that is another one
}

func (o *outcome) fine() bool { return o.code == "" }

// isFault tells what is wrong from what could not be told.
func isFault(code string) bool {
	switch code {
	case Unexplained, LeadsElsewhere, OtherLog, NoAnswer, Refused, Failed, NoTruth, LoneSinkhole, NotAsked:
		return false
	}
	return true
}

// passes reports whether it is over once it is answered otherwise: an answer that did not come.
// What was said, in whatever way, was said.
func passes(code string) bool {
	switch code {
	case NoAnswer, Refused, Failed, NoTruth:
		return true
	}
	return false
}

// ofList reports whether another list may be why.
func ofList(code string) bool {
	switch code {
	case NotFiltered, FilteredUnlisted, WrongCitation, LeadsElsewhere:
		return true
	}
	return false
}

// judge judges replies and returns those that are not fine.
func (l *live) judge(ctx context.Context, asked []*observation) (suspects []*observation) {
	for _, o := range asked { // first, what filtered answers lead to
		if o.reply == nil || o.settled || o.route.Unfiltered {
			continue
		}
		if v, listed := l.newest().MatchName(o.name); listed {
			l.note(&o.question, o.reply, v)
		}
	}
	asked = slices.Clone(asked) // then what the twin says, which is held against what is filtered
	slices.SortStableFunc(asked, func(a, b *observation) int {
		if a.route.Unfiltered == b.route.Unfiltered {
			return 0
		} else if a.route.Unfiltered {
			return -1
		}
		return 1
	})
	for _, o := range asked {
		if o.settled {
			continue
		}
		if o.outcome = l.outcome(ctx, o); o.outcome.fine() && o.first != nil {
			o.outcome = l.both(ctx, o)
			o.settled = true
		}
		if o.first != nil && !o.outcome.fine() && !isFault(o.outcome.code) { // nor does silence undo what was said
			o.outcome = l.both(ctx, o)
		}
		if o.settled = o.settled || o.outcome.fine() || o.outcome.code == OtherLog; !o.settled {
			suspects = append(suspects, o)
		} else if o.reply != nil {
			l.keep(o)
			o.reply, o.heard = nil, true // a long audit has many
		}
	}
	return suspects
}

// keep keeps of a reply that is in order what others are held against.
func (l *live) keep(o *observation) {
	switch {
	case o.outcome.code == OtherLog:
		o.led = readLed(o)
	case !o.outcome.fine():
	case !o.route.Unfiltered && o.outcome.entry != 0:
		if o.led = readLed(o); o.led.addr.IsValid() {
			l.lead(o.led.addr, listing{o.outcome.log, o.outcome.entry})
		}
	case o.route.Unfiltered && o.listed:
		k := keyOf(&o.question)
		if l.originals[k] == nil {
			l.originals[k] = map[netip.Addr]bool{}
		}
		for _, a := range readSaid(o.name, o.typ, o.reply.RCode, o.reply.Answer).addrs {
			l.originals[k][a] = true
		}
	}
}

// both judges what was answered at first, by all that is known now, where the answer was fine, or
// there was none, when the question was put again. Whoever answers once gets as far as he needs, for answers
// are kept: what nothing accounts for at first stays so.
func (l *live) both(ctx context.Context, o *observation) outcome {
	was := *o
	was.at, was.reply, was.err = o.first.at, o.first.reply, o.first.err
	first := l.outcome(ctx, &was)
	of := l.bookOf(first.log)
	switch {
	case first.fine() || passes(first.code):
		return o.outcome
	case ofList(first.code) && of != nil && of.excused(ctx, l.cfg.Lag, was.at, first.entry):
		l.asked.Lagged++
		return o.outcome
	}
	if o.outcome.fine() {
		first.detail += "; right when asked again"
	}
	return first
}

// excused reports whether a list came into force so shortly before a moment that a resolver
// need not have followed yet, and the entry that is at issue is of a change that the list can
// have brought: it was written shortly before the list, or ended with it.
func (b *book) excused(ctx context.Context, lag time.Duration, at time.Time, entry uint64) bool {
	e, err := b.entry(ctx, entry)
	if err != nil || e.Kind != ledger.KindList {
		return false
	}
	for i := range b.lists {
		since := b.since(i)
		if at.Before(since) || !at.Before(since.Add(lag)) {
			continue
		}
		if e.Time.After(since.Add(-maxDelay)) || !inForce(b.lists[i].List, entry, e) {
			return true
		}
	}
	return false
}

// outcome judges a reply by every list that may have been in force when it was given: the
// best that one of them makes of it.
func (l *live) outcome(ctx context.Context, o *observation) outcome {
	switch {
	case o.reply == nil:
		return outcome{code: NoAnswer, detail: fmt.Sprint(o.err)}
	case o.reply.RCode != dns.RCodeSuccess && o.reply.RCode != dns.RCodeNameError && o.reply.RCode != dns.RCodeServerFailure:
		return outcome{code: Refused, detail: o.reply.RCode.String()}
	case o.route.Unfiltered:
		return l.ofTwin(ctx, o)
	}
	if s := readSignal(o.reply, l.log.Key); s.cited != nil && !s.own && l.given(s.cited) != nil {
		return l.otherLog(ctx, o, s.cited)
	}
	out := l.byLists(ctx, o)
	if out.fine() {
		return out
	}
	if cited := l.citesOther(ctx, o); cited != nil {
		return l.otherLog(ctx, o, cited)
	}
	return out
}

// byLists judges a reply of the filtered view by the lists that may have been in force.
func (l *live) byLists(ctx context.Context, o *observation) outcome {
	out := l.byList(ctx, o, l.newest())
	for i := len(l.lists) - 2; i >= 0 && !out.fine(); i-- {
		if o.at.After(l.lists[i+1].seen.Add(l.cfg.Lag)) {
			break // it should have been followed by then
		}
		if older := l.byList(ctx, o, l.lists[i].List); older.fine() {
			l.asked.Lagged++
			return older
		}
	}
	return out
}

// byList judges a reply of the filtered view by one list.
func (l *live) byList(ctx context.Context, o *observation, list *filter.List) outcome {
	if v, listed := list.MatchName(o.name); listed {
		return l.asFiltered(ctx, o, v)
	}
	found := l.truths[keyOf(&o.question)]
	if found != nil {
		for _, a := range slices.Backward(found.found) {
			if a.Status().IsBogus() && !o.form.cd {
				continue
			}
			if v, listed := list.Judge(a); listed {
				return l.asFiltered(ctx, o, v)
			}
		}
	}
	got := readSaid(o.name, o.typ, o.reply.RCode, o.reply.Answer)
	s := readSignal(o.reply, l.log.Key)
	for _, a := range got.addrs {
		if !s.given && l.isSinkhole(a) {
			return outcome{code: FilteredUnlisted, detail: fmt.Sprintf("it leads to %s, as filtered names do, and says no reason", a)}
		}
	}
	if s.given {
		return l.unlisted(ctx, o, s, list)
	}
	if o.typ == dns.TypeANY {
		return outcome{by: bySame} // nothing was filtered, and there is no more to compare
	}
	return l.ordinary(ctx, o, &got, found)
}

// asFiltered judges a reply that should be filtered by a listing.
func (l *live) asFiltered(ctx context.Context, o *observation, v filter.Verdict) outcome {
	got := readSaid(o.name, o.typ, o.reply.RCode, o.reply.Answer)
	s := readSignal(o.reply, l.log.Key)
	if len(got.addrs) == 1 && !s.given && l.leads[got.addrs[0]] == nil {
		l.learn(ctx, &o.question, v)
	}
	should := fmt.Sprintf("log entry %d lists it", v.Entry)
	switch {
	case !s.given && o.reply.RCode == dns.RCodeServerFailure:
		return outcome{code: Failed, entry: v.Entry, detail: should}
	case !s.given && !l.looksFiltered(o, &got):
		return outcome{code: NotFiltered, entry: v.Entry, detail: fmt.Sprintf("%s; the answer is %s", should, got.words(o.typ))}
	case s.cited == nil && (s.given || o.edns()):
		return outcome{code: NoCitation, detail: should}
	case s.given && !s.names(v.Entry):
		return outcome{code: WrongCitation, entry: v.Entry, detail: fmt.Sprintf("%s; the answer names %d", should, s.cited.Entry)}
	}
	if out := l.inForm(o, &got, v.Entry, should); !out.fine() {
		return out
	}
	return outcome{entry: v.Entry}
}

// inForm judges the form of a reply that is filtered: none where it is as it should be.
func (l *live) inForm(o *observation, got *said, entry uint64, should string) outcome {
	if o.reply.RCode != dns.RCodeSuccess {
		return outcome{code: OtherForm, entry: entry, detail: fmt.Sprintf("%s, and the answer is %s", should, o.reply.RCode)}
	}
	if rr := besides(o.reply, o.name, o.typ); rr != "" {
		return outcome{code: Beside, detail: rr}
	}
	if rr := keptLong(o.reply); rr != "" {
		return outcome{code: KeptLong, entry: entry, detail: rr}
	}
	if len(got.addrs) > 0 {
		if by := l.original(&o.question, got.addrs[0]); by != "" {
			return outcome{code: NotFiltered, entry: entry, detail: fmt.Sprintf("%s; the answer leads to %s all the same, where %s finds the name", should, got.addrs[0], by)}
		}
	}
	return outcome{}
}

// learn asks a question with EDNS, so that the answer can say that it is filtered, and notes
// what it leads to then. It reports whether that is an address.
func (l *live) learn(ctx context.Context, q *question, v filter.Verdict) bool {
	again := *q
	again.form = forms()[1]
	again.route.Port = anyPort()
	m, err := l.put(ctx, &again)
	if err != nil {
		return false
	}
	return l.note(&again, m, v)
}

// looksFiltered reports whether a reply without EDNS, which has no place for a reason, is of
// the form that filtered ones have: the sinkhole's address, or no data with an SOA record of
// the name's own that names itself as its server.
func (l *live) looksFiltered(o *observation, got *said) bool {
	if o.typ == dns.TypeANY && len(o.reply.Answer) == 1 {
		return o.reply.Answer[0].Type == dns.TypeHINFO
	}
	if len(got.addrs) == 1 {
		return l.leads[got.addrs[0]] != nil // whether it is the right one, hold tells
	}
	if len(o.reply.Answer) > 0 || len(o.reply.Authority) != 1 {
		return false
	}
	soa := &o.reply.Authority[0]
	server, _, ok := dns.ReadName(soa.Data)
	return ok && soa.Type == dns.TypeSOA && soa.Name.Equal(o.name) && server.Equal(o.name)
}

// inForce reports whether entry n is what lists its subject.
func inForce(list *filter.List, n uint64, e *ledger.Entry) bool {
	if e.Prefix.IsValid() {
		got, ok := list.PrefixEntry(e.Prefix)
		return ok && got == n
	}
	if !e.Commitment.IsZero() {
		got, ok := list.CommittedEntry(e.Commitment)
		return ok && got == n
	}
	got, ok := list.Entry(nameOf(e), e.Scope)
	return ok && got == n
}

// nameOf is an entry's name; "" where it has none.
func nameOf(e *ledger.Entry) dns.Name {
	n, err := dns.ParseName(e.Name)
	if err != nil || e.Name == "" {
		return ""
	}
	return n
}

// ordinary holds a reply against what the own recursion found.
func (l *live) ordinary(ctx context.Context, o *observation, got *said, t *truth) outcome {
	if len(got.stray) > 0 {
		return outcome{code: Stray, detail: got.stray[0]}
	}
	if t == nil {
		return outcome{code: NoTruth, detail: "a listed name, which this machine does not contact"}
	}
	for i, a := range t.found {
		want := readSaid(a.Name(), o.typ, a.RCode(), a.Answer())
		bogus := a.Status().IsBogus() && !o.form.cd
		switch {
		case bogus && got.rcode == dns.RCodeServerFailure, !bogus && got.equal(&want) && (!a.Status().IsSecure() || got.whole(&want)):
			if i > 0 {
				return outcome{by: byChange}
			}
			if a.Status().IsSecure() {
				return outcome{by: bySigned}
			}
			return outcome{by: bySame}
		}
	}
	a := t.latest()
	want := readSaid(a.Name(), o.typ, a.RCode(), a.Answer())
	detail := fmt.Sprintf("the answer is %s; this machine's recursion finds %s", got.words(o.typ), want.words(o.typ))
	switch {
	case got.rcode == dns.RCodeServerFailure && want.rcode == dns.RCodeServerFailure:
		return outcome{by: bySame}
	case want.rcode == dns.RCodeServerFailure && !a.Status().IsBogus():
		return outcome{code: NoTruth, detail: detail}
	case a.Status().IsBogus():
		return outcome{code: Unexplained, detail: detail + ", which fails DNSSEC validation"}
	case got.rcode == dns.RCodeServerFailure:
		return outcome{code: Failed, detail: detail}
	case a.Status().IsSecure():
		return l.signed(ctx, o, detail)
	case differInAddresses(o.typ, got, &want):
		if by := l.accounted(ctx, got, o.typ, t.found); by != "" {
			return outcome{by: by}
		}
		if slices.ContainsFunc(got.addrs, isSpecial) && !slices.ContainsFunc(want.addrs, isSpecial) {
			return outcome{code: SpecialAddress, detail: detail}
		}
	case got.rcode == dns.RCodeNameError && len(want.data) > 0:
		return outcome{code: Denied, detail: detail}
	case want.rcode == dns.RCodeNameError && len(got.data) > 0:
		return outcome{code: Invented, detail: detail}
	}
	return outcome{code: Unexplained, detail: detail}
}

// signed judges a reply that differs from what DNSSEC proves: it is right too where the
// zone's owner has signed it.
func (l *live) signed(ctx context.Context, o *observation, detail string) outcome {
	if l.cfg.Through == nil {
		return outcome{code: Altered, detail: detail}
	}
	code := Altered
	r := l.cfg.Through(o.route.Server)
	for range 1 + maxAgain {
		a := r.Refresh(ctx, o.name.Canonical(), o.typ, anew)
		want := readSaid(a.Name(), o.typ, a.RCode(), a.Answer())
		got := readSaid(o.name, o.typ, o.reply.RCode, o.reply.Answer)
		if a.Status().IsSecure() && got.equal(&want) && got.whole(&want) {
			return outcome{by: byOwner}
		}
		if a.Status().IsSecure() && got.equal(&want) { // keys that may have been changed meanwhile
			code = Unexplained
		}
	}
	return outcome{code: code, detail: detail + ", and DNSSEC proves that alone"}
}

// describe is how and when a question was put, for a finding.
func (o *observation) describe() string {
	parts := []string{o.route.String(), o.form.name}
	if o.again > 0 {
		parts = append(parts, fmt.Sprintf("asked %d times", 1+o.again))
	}
	return strings.Join(append(parts, stamp(o.at)), ", ")
}
