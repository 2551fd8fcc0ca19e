package curate

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/evidence"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/ledger"
)

// Hearing is what becomes of an appeal against what filters a name or an address: the policy,
// executed on evidence that was read anew.
type Hearing struct {
	Asked    Subject
	Listed   bool           // something filters it
	Listing  *ledger.Entry  // that does; nil where nothing does
	Entry    uint64         // its number
	Outcome  policy.Outcome // what the policy makes of the listing's subject now
	Clause   string         // that decided so
	Policy   ledger.Digest
	Evidence []ledger.Evidence // that it was decided by
	People   int               // of staff, who have to agree on what becomes of the listing
	Now      time.Time

	ends []*ledger.Entry // that end the listings, if the policy alone does
	key  Subject         // of the listing
}

// Commitment is that of a listing whose name is not told; zero where it is.
func (h *Hearing) Commitment() ledger.Digest {
	if h.Listing == nil {
		return ledger.Digest{}
	}
	return h.Listing.Commitment
}

// Subject is the listing's subject, for people. Where there is a Commitment, it is not for all of them.
func (h *Hearing) Subject() string { return h.key.String() }

// Stays reports whether the policy lists as before.
func (h *Hearing) Stays() bool { return h.Listed && len(h.ends) == 0 }

// Ruling is what follows on a Hearing. The zero Ruling changes nothing.
type Ruling struct {
	Case    string          // its identity in the log; "" for none
	Before  []*ledger.Entry // entries of the log before the end of the listing
	After   []*ledger.Entry // and after it
	End     bool            // the listing ends as the policy has it, which a Hearing that Stays does not allow
	Granted bool            // the listing ends because a person says so
	Upheld  bool            // a person confirms the listing
	Note    string          // the person's reason
}

// causeAppeal is the cause of a delisting that an appeal brought about.
const causeAppeal = "appeal"

const (
	// hearingPatience is how long sources are waited for that are read again for a hearing. Those
	// that take longer are judged by what they said last.
	hearingPatience = 1500 * time.Millisecond
	// hearingPause is how long a source on another machine is left alone after it was read, whoever
	// appeals: abuse.ch asks for five minutes between two readings.
	hearingPause = 5 * time.Minute
)

// Hear looks at a subject again: the sources that accuse it are read anew, the policy decides, and
// what rule makes of that is written to the log and comes into force at once. It waits for other
// writers. rule may be called with nothing listed.
func (l *Loop) Hear(ctx context.Context, s Subject, rule func(*Hearing) (*Ruling, error)) error {
	now := l.cfg.Now().UTC().Truncate(time.Second)
	if err := l.reread(ctx, s, now); err != nil {
		return err
	}
	w, err := Open(ctx, Config{
		Dir: l.cfg.Dir, Log: l.cfg.Log, Guard: l.cfg.Guard, Policy: l.cfg.Policy, Evidence: l.cfg.Store, Sources: l.cfg.Sources,
		Now: l.cfg.Now, Logger: l.cfg.Logger,
	})
	if err != nil {
		return err
	}
	if w.behind() { // of a ruling that was cut off, or waited for witnesses
		_, err = w.Publish(ctx)
	}
	var h *Hearing
	if err == nil {
		h, err = w.hear(ctx, s)
	}
	if err == nil {
		var r *Ruling
		if r, err = rule(h); err == nil && r != nil {
			err = w.settle(ctx, h, r)
		}
	}
	return errors.Join(err, w.Close())
}

// reread reads the sources again that accuse what filters s, as far as they may be and answer
// in time. One that fails leaves what it said before; the Loop that reads it by its interval tells of it.
func (l *Loop) reread(ctx context.Context, s Subject, now time.Time) error {
	accusers, err := l.accusers(ctx, s)
	if err != nil {
		return err
	}
	patience, cancel := context.WithTimeout(ctx, hearingPatience)
	defer cancel()
	for i := range l.cfg.Sources {
		source := &l.cfg.Sources[i]
		if !accusers[source.ID] {
			continue
		}
		before, err := l.cfg.Store.Source(ctx, source.ID)
		if err != nil {
			return err
		}
		if strings.Contains(source.Location, "://") && now.Sub(before.Refreshed) < hearingPause {
			continue
		}
		if err := l.rereadOne(ctx, patience, &gathered{source: source, due: true, before: before}, now); err != nil {
			return err
		}
	}
	return nil
}

func (l *Loop) rereadOne(ctx, patience context.Context, g *gathered, now time.Time) error {
	defer g.close()
	if !g.source.isFolder() {
		g.fetch(patience, l.cfg.Fetch)
	}
	if g.err != nil {
		return ctx.Err()
	}
	var rep SourceReport
	if g.unchanged {
		return l.cfg.Store.Unchanged(ctx, g.source.ID, now)
	}
	if err := g.refresh(ctx, l.cfg.Store, false, &rep, now); err != nil {
		l.cfg.Logger.Warn("a source was not read again for an appeal; what it said before stands", "source", g.source.ID, "cause", err)
	}
	return ctx.Err()
}

// accusers are the sources that accuse s, or a name above it or a prefix around it.
func (l *Loop) accusers(ctx context.Context, s Subject) (map[string]bool, error) {
	texts := []string{subjectText(s)}
	if !s.Prefix.IsValid() {
		texts = slices.AppendSeq(texts, parents(texts[0]))
	}
	out := make(map[string]bool)
	for a, err := range l.cfg.Store.Near(ctx, texts, "", s.Prefix.IsValid(), accusing...) {
		if err != nil {
			return nil, err
		}
		if p, err := netip.ParsePrefix(a.Text); s.Prefix.IsValid() && (err != nil || !p.Contains(s.Prefix.Addr())) {
			continue
		}
		for i := range a.Evidence {
			out[a.Evidence[i].Source] = true
		}
	}
	return out, nil
}

// covering is the subject whose listing filters s, and the entry that lists it.
func (w *Writer) covering(s Subject) (Subject, uint64, bool) {
	if s.Prefix.IsValid() {
		for bits := s.Prefix.Bits(); bits >= 0; bits-- {
			wide := Subject{Prefix: netip.PrefixFrom(s.Prefix.Addr(), bits).Masked(), Scope: feed.Prefix}
			if n, ok := w.entryOf(wide); ok {
				return wide, n, true
			}
		}
		return s, 0, false
	}
	if n, ok := w.entryOf(s); ok { // a case about a subtree is not one about the name alone
		return s, n, true
	}
	exact := Subject{Name: s.Name, Scope: feed.Exact}
	if n, ok := w.entryOf(exact); ok {
		return exact, n, true
	}
	for labels := s.Name.Labels(); labels > 0; labels-- {
		above := Subject{Name: s.Name.Suffix(labels), Scope: feed.Subtree}
		if n, ok := w.entryOf(above); ok {
			return above, n, true
		}
	}
	return s, 0, false
}

// hear has the policy decide about what filters s.
func (w *Writer) hear(ctx context.Context, s Subject) (*Hearing, error) {
	h := &Hearing{Asked: s, Policy: w.policy.Digest, Now: w.now()}
	h.key, h.Entry, h.Listed = w.covering(s)
	if !h.Listed {
		return h, nil
	}
	var err error
	if h.Listing, err = w.entry(ctx, h.Entry); err != nil {
		return nil, err
	}
	a, err := w.cfg.Evidence.One(ctx, subjectText(h.key))
	if err != nil {
		return nil, err
	}
	if a == nil {
		a = &evidence.About{Text: subjectText(h.key), Prefix: h.key.Prefix.IsValid()}
	}
	if w.policy.Appeals.Standing {
		a.Evidence = slices.DeleteFunc(a.Evidence, func(e evidence.Evidence) bool {
			return e.Withdrawn && slices.Contains(accusing, e.Kind)
		})
	}
	j := judge{policy: w.policy, guard: w.cfg.Guard, groups: w.groups, zones: zonesOf(w.cfg.Sources), sealed: w.sealed, now: h.Now}
	if j.reach, err = nearReach(ctx, w.cfg.Evidence, w.groups, h.key); err != nil {
		return nil, err
	}
	v, err := w.stands(ctx, &j, a, h)
	if err != nil {
		return nil, err
	}
	h.Outcome, h.Clause, h.Evidence = v.Outcome, v.Clause.ID, citedEvidence(v.subject)
	if !h.Listing.Commitment.IsZero() {
		h.Evidence = w.untold(h.Evidence, subjectText(h.key))
	}
	h.People = w.policy.People(h.Listing.Clause, h.Clause)
	return h, nil
}

// stands decides whether the listings of a hearing's subject still follow, and notes the ends of
// those that do not, unless one of them does: what is appealed against is the filtering.
func (w *Writer) stands(ctx context.Context, j *judge, a *evidence.About, h *Hearing) (verdict, error) {
	v, ok, err := j.wanted(a)
	if err != nil {
		return v, err
	}
	if !ok {
		return v, fmt.Errorf("%s is nothing that can be listed", a.Text)
	}
	follows := func(v verdict, s Subject) bool {
		return v.Outcome == policy.List && v.key == s && w.cfg.Guard.Why(s) == ""
	}
	var ends []*ledger.Entry
	for _, scope := range h.key.allScopes() {
		s := h.key
		s.Scope = scope
		n, listed := w.entryOf(s)
		if !listed {
			continue
		}
		if follows(v, s) {
			return v, nil
		}
		listing, err := w.entry(ctx, n)
		if err != nil {
			return v, err
		}
		decided := v
		if carried := carry(w.groups, listing); carried != nil {
			if decided, err = j.decide(a, s, carried); err != nil || follows(decided, s) {
				return decided, err
			}
		}
		e := ledger.Entry{Time: h.Now, Cause: causeAppeal, Clause: decided.Clause.ID, Policy: w.policy.Digest}
		if decided.Outcome != policy.List {
			e.Evidence = citedEvidence(decided.subject)
		}
		ends = append(ends, w.endEntry(s, listing, e))
		v = decided
	}
	h.ends = ends
	return v, nil
}

// allScopes are the scopes in which a subject can be listed.
func (s Subject) allScopes() []feed.Scope {
	if s.Prefix.IsValid() {
		return []feed.Scope{feed.Prefix}
	}
	return []feed.Scope{feed.Exact, feed.Subtree}
}

func (w *Writer) entry(ctx context.Context, n uint64) (*ledger.Entry, error) {
	return ledger.ReadEntry(ctx, w.log.Source(), w.tail.Checkpoint(), n)
}

// settle writes what was ruled.
func (w *Writer) settle(ctx context.Context, h *Hearing, r *Ruling) error {
	if r.End && h.Stays() {
		return fmt.Errorf("%s: the policy lists it by clause %s even so", h.key, h.Clause)
	}
	sp, err := w.spool()
	if err != nil {
		return err
	}
	defer sp.close()
	for _, e := range r.After { // a person's reason must not tell what the listing does not
		if h.Listed && !h.Listing.Commitment.IsZero() && telling(e.Note, subjectText(h.key)) {
			e.Note = ""
		}
	}
	if err := sp.addCited(r.Before...); err != nil {
		return err
	}
	switch {
	case r.Granted && h.Listed:
		err = w.grant(ctx, sp, h, r)
	case r.End:
		err = w.end(ctx, sp, h, r)
	case r.Upheld && h.Listed:
		err = w.cfg.Evidence.Say(ctx, SourceOperator, h.Now, []evidence.Claim{ruling(h.key, policy.Confirmed, h.Clause)}, policy.AppealGranted, policy.Rejected)
	}
	if err == nil {
		err = sp.addCited(r.After...)
	}
	if err != nil {
		return err
	}
	if r.Granted && h.Listed || r.End && len(h.ends) > 0 {
		_, err = w.publish(ctx, sp)
		return err
	}
	if sp.count == 0 {
		return nil
	}
	// The list is what it was: no epoch is needed for what a case says.
	return errors.Join(w.appendAll(ctx, sp.count, sp.entries()), sp.failed)
}

// end spools the ends that the policy has decided, and has the evidence forget what they do not heed.
func (w *Writer) end(ctx context.Context, sp *spool, h *Hearing, r *Ruling) error {
	for _, e := range h.ends {
		e.Case = r.Case
	}
	if err := sp.addCited(h.ends...); err != nil || !w.policy.Appeals.Standing || !h.Listed {
		return err
	}
	_, err := w.cfg.Evidence.Forget(ctx, subjectText(h.key), accusing...)
	return err
}

// grant spools the end of all listings of the subject, because a person says so.
func (w *Writer) grant(ctx context.Context, sp *spool, h *Hearing, r *Ruling) error {
	s := h.key
	if !s.Prefix.IsValid() {
		s.Scope = feed.Exact // of which remove ends both listings, the name's and its subtree's
	}
	if _, err := w.remove(ctx, sp, s, causeAppeal, r.Case, r.Note); err != nil {
		return err
	}
	return w.cfg.Evidence.Say(ctx, SourceOperator, h.Now, []evidence.Claim{ruling(h.key, policy.AppealGranted, r.Note)}, policy.Confirmed)
}
