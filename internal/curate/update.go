package curate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/evidence"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/ledger"
)

// update is one round of decisions: what the policy wants, compared with what is listed.
type update struct {
	w     *Writer
	store *evidence.Store
	judge judge
	rep   *UpdateReport
	now   time.Time
	spool *spool

	end  []ending        // to be delisted, unless the log carries evidence for them
	done map[string]bool // subjects that were decided, where several ways lead to them
}

// ending is a listing that the store's evidence does not carry.
type ending struct {
	key    Subject
	entry  uint64 // that lists it
	clause string
	rank   bool // it is a popular name
}

// all decides about all that comes.
func (u *update) all(ctx context.Context, subjects iter.Seq2[*evidence.About, error]) error {
	for a, err := range subjects {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if u.done != nil {
			if u.done[a.Text] {
				continue
			}
			u.done[a.Text] = true
		}
		if err := u.one(a); err != nil {
			return fmt.Errorf("%s: %w", a.Text, err)
		}
	}
	return nil
}

// whole decides about everything that the store knows. With others, it decides about what
// is listed beside that too, by what the log says of it.
func (u *update) whole(ctx context.Context, others bool) error {
	if !others || u.w.list == nil {
		return u.all(ctx, u.store.Since(ctx, 0))
	}
	known, err := u.w.subjects(ctx)
	if err != nil {
		return err
	}
	if err := u.all(ctx, u.store.Since(ctx, 0)); err != nil {
		return err
	}
	var failed error
	other := func(s Subject) bool {
		if text := subjectText(s); !known(text) {
			if entry, listed := u.w.entryOf(s); listed {
				failed = u.other(s, text, entry)
			}
		}
		return failed == nil && ctx.Err() == nil
	}
	err = u.w.list.Names(func(name dns.Name, scope ledger.Scope) bool {
		return other(Subject{Name: name, Scope: feed.Scope(scope)})
	})
	u.w.list.Prefixes(func(p netip.Prefix) bool { return other(Subject{Prefix: p, Scope: feed.Prefix}) })
	return errors.Join(err, failed, ctx.Err())
}

// other notes a listing of which the store knows nothing: it ends, unless its entry carries it.
func (u *update) other(s Subject, text string, entry uint64) error {
	v, err := u.judge.decide(&evidence.About{Text: text, Prefix: s.Prefix.IsValid()}, s, nil)
	if err != nil {
		return err
	}
	u.end = append(u.end, ending{key: s, entry: entry, clause: v.Clause.ID, rank: isPopular(v.subject)})
	return nil
}

// changed decides about what changed since, and about what passed one of the policy's ages.
func (u *update) changed(ctx context.Context, last decidedTo, next *decidedTo) error {
	u.done = make(map[string]bool)
	if next.Revision != last.Revision {
		if err := u.all(ctx, u.store.Since(ctx, last.Revision)); err != nil {
			return err
		}
	}
	if next.Aged-last.Aged < int64(ageStep/time.Second) {
		next.Aged = last.Aged
		return nil
	}
	ages := make(map[time.Duration]bool)
	for _, age := range u.w.policy.Ages {
		if ages[age] {
			continue
		}
		ages[age] = true
		from, to := time.Unix(last.Aged, 0).Add(-age), time.Unix(next.Aged, 0).Add(-age)
		if err := u.all(ctx, u.store.LastSeenBetween(ctx, from, to)); err != nil {
			return err
		}
	}
	return nil
}

// one decides about one subject and notes how the list has to change.
func (u *update) one(a *evidence.About) error {
	v, ok, err := u.judge.wanted(a)
	if err != nil || !ok {
		return err
	}
	if u.rep.Decided++; u.rep.Decided%progressStep == 0 {
		u.w.progress("deciding", u.rep.Decided, 0)
	}
	u.rep.Clauses[v.Clause.ID]++
	if v.overruled > 0 {
		u.rep.Overruled++
	}
	if v.Outcome == policy.Review && len(u.rep.Review) < MaxShown {
		u.rep.Review = append(u.rep.Review, Change{Subject: v.key.String(), Clause: v.Clause.ID})
	}
	list := v.Outcome == policy.List
	if list && u.w.cfg.Guard.Why(v.key) != "" {
		u.rep.Guarded++
		list = false
	}
	scopes := []feed.Scope{feed.Exact, feed.Subtree}
	if a.Prefix {
		scopes = []feed.Scope{feed.Prefix}
	}
	for _, scope := range scopes {
		s := v.key
		s.Scope = scope
		entry, listed := u.w.entryOf(s)
		wanted := list && scope == v.key.Scope
		switch {
		case wanted && !listed:
			u.begin(&v)
		case listed && !wanted:
			u.end = append(u.end, ending{key: s, entry: entry, clause: v.Clause.ID, rank: isPopular(v.subject)})
		}
	}
	return nil
}

// isPopular reports whether a source has a name among the popular ones, of which the policy limits
// how many change at a time. Everyone's wait for a person each.
func isPopular(s *policy.Subject) bool {
	return slices.ContainsFunc(s.Evidence, func(e policy.Evidence) bool { return e.Kind == policy.Popular && e.Source != sourceShoji })
}

// begin spools a listing.
func (u *update) begin(v *verdict) {
	e, err := u.w.listEntry(v.Decision, v.subject, u.now)
	if err == nil {
		err = u.spool.add(e)
	}
	if err != nil {
		u.rep.Guarded++ // a hostile source cannot stop the others
		return
	}
	u.rep.Listed++
	u.note(Change{Listed: true, Subject: v.key.String(), Clause: v.Clause.ID}, isPopular(v.subject))
}

// ends spools what ends.
func (u *update) ends(ctx context.Context) error {
	slices.SortFunc(u.end, func(a, b ending) int { return int(int64(a.entry) - int64(b.entry)) })
	for from := 0; from < len(u.end); {
		to := from + 1
		for to < len(u.end) && u.end[to].entry/readTogether == u.end[from].entry/readTogether {
			to++
		}
		if err := u.endings(ctx, u.end[from:to]); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// readTogether is how many entries of the log are read at a time: a bundle has as many
// (https://c2sp.org/tlog-tiles).
const readTogether = 256

// endings spools the end of listings whose entries stand close together.
func (u *update) endings(ctx context.Context, ends []ending) error {
	entries := make(map[uint64]*ledger.Entry, len(ends))
	for i := range ends {
		entries[ends[i].entry] = nil
	}
	err := ledger.Walk(ctx, u.w.log.Source(), u.w.tail.Checkpoint(), ends[0].entry, ends[len(ends)-1].entry+1, func(n uint64, e *ledger.Entry, _ []byte) error {
		if _, ok := entries[n]; ok {
			entries[n] = e
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range ends {
		if err := u.ending(ctx, &ends[i], entries[ends[i].entry]); err != nil {
			return err
		}
	}
	return nil
}

// ending spools the end of one listing, unless a person listed it and the policy still
// does for what the listing's entry says.
func (u *update) ending(ctx context.Context, end *ending, listing *ledger.Entry) error {
	if carried := carry(u.judge.groups, listing); carried != nil {
		a, err := u.store.One(ctx, subjectText(end.key))
		if err != nil {
			return err
		}
		if a == nil {
			a = &evidence.About{Text: subjectText(end.key), Prefix: end.key.Prefix.IsValid()}
		}
		v, err := u.judge.decide(a, end.key, carried)
		if err != nil {
			return err
		}
		if v.Outcome == policy.List && v.key == end.key && u.w.cfg.Guard.Why(v.key) == "" {
			return nil
		}
		end.clause = v.Clause.ID
	}
	u.rep.Delisted++
	u.note(Change{Subject: end.key.String(), Clause: end.clause}, end.rank)
	return u.spool.add(u.w.endEntry(end.key, listing, ledger.Entry{Time: u.now, Cause: causePolicy, Clause: end.clause, Policy: u.w.policy.Digest}))
}

// causePolicy is the cause of a delisting that follows from evidence and policy.
const causePolicy = "policy"

func (u *update) note(c Change, popular bool) {
	if popular {
		u.rep.Popular++
	}
	if len(u.rep.First) < MaxShown {
		u.rep.First = append(u.rep.First, c)
	}
}

// minChanged is how many listings may change whatever their share: of a list of twenty names,
// one is a share beyond every limit.
const minChanged = 16

// beyond says which of the policy's limits the update goes beyond; "" for none.
func (u *update) beyond(limits policy.Limits) string {
	const advice = "look at it with list update --dry-run, and if it is right, confirm it with list update --confirm"
	var listings uint64
	if epoch, ok := u.w.epoch(); ok {
		listings = epoch.Count
	}
	changed := u.rep.Listed + u.rep.Delisted
	switch {
	case changed > minChanged && float64(changed) > limits.Changed*float64(listings):
		return fmt.Sprintf("%d of %d listings would change, more than the policy's share of %v: %s", changed, listings, limits.Changed, advice)
	case float64(u.rep.Popular) > limits.Popular*float64(u.judge.reach.popular):
		return fmt.Sprintf("%d of %d popular names would change, more than the policy's share of %v: %s", u.rep.Popular, u.judge.reach.popular, limits.Popular, advice)
	}
	return ""
}

func digestText(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
