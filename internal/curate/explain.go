package curate

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/evidence"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/ledger"
)

// Known is what an explanation is drawn from: a state folder, or a log alone.
type Known struct {
	find    func(ctx context.Context, s Subject) (entry uint64, about Subject, ok bool)
	log     ledger.Source
	tip     ledger.Checkpoint
	policy  *policy.Policy
	entry   uint64 // of the policy
	epoch   uint64 // its entry
	store   *evidence.Store
	guard   Guard
	sources []Source
	close   func() error
}

// Close closes what was opened.
func (k *Known) Close() error { return k.close() }

// OpenLog reads a log that stands alone, in whole, and verifies it by its verifier key.
func OpenLog(ctx context.Context, folder, vkey string, guard Guard) (*Known, error) {
	key, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("the log's key %q: %w", vkey, err)
	}
	log, err := ledger.OpenFolder(folder)
	if err != nil {
		return nil, err
	}
	k := &Known{log: log, guard: guard, close: log.Close}
	tail, err := ledger.ReplayTail(ctx, log, key, ledger.Base{}, nil)
	if err == nil {
		k.tip = tail.Checkpoint()
		k.find = func(_ context.Context, s Subject) (uint64, Subject, bool) { return findInTail(tail, s) }
		epoch, ok := tail.Epoch()
		policyEntry, has := tail.PolicyEntry()
		if !ok || !has {
			err = ErrNoList
		} else {
			k.epoch = epoch.Entry
			err = k.readPolicy(ctx, policyEntry)
		}
	}
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return k, nil
}

// OpenState reads the list in force of a state folder, with what the store knows.
func OpenState(ctx context.Context, dir string, store *evidence.Store, guard Guard, sources []Source) (*Known, error) {
	f, err := Follow(dir)
	if err != nil {
		return nil, err
	}
	list, _, err := f.Poll(ctx)
	if err != nil {
		return nil, err
	}
	at, err := readPointer(dir)
	if err != nil {
		return nil, err
	}
	if !at.hasPolicy {
		return nil, fmt.Errorf("%s does not say which policy is in force; shoji list import mends it", pointerPath(dir))
	}
	log, err := ledger.OpenFolder(sequence.Folder(dir))
	if err != nil {
		return nil, err
	}
	k := &Known{log: log, tip: f.tip, epoch: f.entry, store: store, guard: guard, sources: sources, close: log.Close}
	k.find = func(_ context.Context, s Subject) (uint64, Subject, bool) {
		if s.Prefix.IsValid() {
			v, ok := list.MatchAddr(s.Prefix.Addr())
			return v.Entry, Subject{Prefix: v.ListedPrefix(s.Prefix.Addr()), Scope: feed.Prefix}, ok
		}
		v, ok := list.MatchName(s.Name)
		return v.Entry, Subject{Name: v.Listed(s.Name), Scope: feed.Scope(v.Rule.String())}, ok
	}
	if err := k.readPolicy(ctx, at.policy); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return k, nil
}

// readPolicy makes the policy of the log, which whoever reads it can execute.
func (k *Known) readPolicy(ctx context.Context, n uint64) error {
	e, err := ledger.ReadEntry(ctx, k.log, k.tip, n)
	if err != nil {
		return err
	}
	k.entry = n
	k.policy, err = policy.Parse([]byte(e.Document))
	if err != nil {
		return fmt.Errorf("policy entry %d: %w", n, err)
	}
	return nil
}

// findInTail finds what lists a subject: itself, or the nearest above it.
func findInTail(tail *ledger.Tail, s Subject) (uint64, Subject, bool) {
	if s.Prefix.IsValid() {
		for bits := s.Prefix.Bits(); bits >= 0; bits-- {
			wide := netip.PrefixFrom(s.Prefix.Addr(), bits).Masked()
			if n, ok, _ := tail.PrefixEntry(wide); ok {
				return n, Subject{Prefix: wide, Scope: feed.Prefix}, true
			}
		}
		return 0, s, false
	}
	salts := make(map[ledger.Salt]bool)
	for c := range tail.CommitmentChanges() {
		salts[c.Salt] = true
	}
	entry := func(name string, scope ledger.Scope) (uint64, bool) {
		n, ok, _ := tail.Entry(name, scope)
		for salt := range salts {
			if ok || !ledger.CanCommit(name) {
				break
			}
			n, ok, _ = tail.CommitmentEntry(ledger.Commitment{Commitment: ledger.Commit(salt, scope, name), Salt: salt, Scope: scope})
		}
		return n, ok
	}
	if n, ok := entry(subjectName(s.Name), ledger.ScopeExact); ok {
		return n, Subject{Name: s.Name, Scope: feed.Exact}, true
	}
	for labels := s.Name.Labels(); labels > 0; labels-- {
		name := s.Name.Suffix(labels)
		if n, ok := entry(subjectName(name), ledger.ScopeSubtree); ok {
			return n, Subject{Name: name, Scope: feed.Subtree}, true
		}
	}
	return 0, s, false
}

// Explanation is all that can be said about why a name or an address is filtered, or is not.
type Explanation struct {
	Asked   string // as it was asked for, in canonical form
	Unicode string // the name in Unicode; "" where it is the same
	Mixed   bool   // a label mixes scripts, as an imitation would

	Filtered bool
	Listing  *ledger.Entry // that filters it; nil where nothing does
	Entry    uint64        // its number
	Listed   string        // what it lists: the name or one above, or a prefix
	Ended    *Ended        // the last listing of what nothing filters now; nil: there was none from entry Looked on
	Looked   uint64
	Epoch    uint64 // number of the epoch entry in force

	PolicyEntry uint64
	Policy      *policy.Policy
	Decision    policy.Decision   // of the policy in force, on what is known now
	Evidence    []policy.Evidence // that it was decided by, facts included
	Withdrawn   int               // pieces of evidence that sources said and say no longer
	Overruled   int               // pieces of evidence that do not count, for an earlier policy zone lets it pass
	What        []Turn            // what would change it
}

// Turn is what would change a decision, found by executing the policy on it.
type Turn struct {
	If       policy.Evidence // that would be added; the zero value where time alone does it
	Count    int             // how many independent sources would have to give it
	At       time.Time       // when nothing new is said until then; zero: at once
	Decision policy.Decision
}

// Explain says all that is known about a name or an address, at a moment.
func (k *Known) Explain(ctx context.Context, s Subject, now time.Time) (*Explanation, error) {
	x := &Explanation{Asked: subjectText(s), Epoch: k.epoch, PolicyEntry: k.entry, Policy: k.policy}
	if !s.Prefix.IsValid() {
		x.Unicode, x.Mixed = Spell(subjectText(s))
	}
	about := s
	if n, listed, ok := k.find(ctx, s); ok {
		e, err := ledger.ReadEntry(ctx, k.log, k.tip, n)
		if err != nil {
			return nil, err
		}
		x.Filtered, x.Listing, x.Entry, x.Listed = true, e, n, listed.String()
		about = listed
	} else {
		var err error
		if x.Ended, x.Looked, err = k.ended(ctx, s); err != nil {
			return nil, err
		}
	}
	j := judge{policy: k.policy, guard: k.guard, groups: groupsOf(k.sources), zones: zonesOf(k.sources), sealed: sealedOf(k.sources), now: now}
	a, carried, err := k.known(ctx, &j, about, x)
	if err != nil {
		return nil, err
	}
	v, err := j.explained(a, about, carried)
	if err != nil {
		return nil, err
	}
	x.Decision, x.Evidence, x.Overruled = v.Decision, v.subject.Evidence, v.overruled
	for i := range a.Evidence {
		if a.Evidence[i].Withdrawn {
			x.Withdrawn++
		}
	}
	x.What = turns(k.policy, v, now)
	return x, nil
}

// known is what there is about a subject, in the store and in the listing's entry.
func (k *Known) known(ctx context.Context, j *judge, s Subject, x *Explanation) (*evidence.About, []policy.Evidence, error) {
	a := &evidence.About{Text: subjectText(s), Prefix: s.Prefix.IsValid()}
	if k.store != nil {
		have, err := k.store.One(ctx, a.Text)
		if err != nil {
			return nil, nil, err
		}
		if have != nil {
			a = have
		}
		if j.reach, err = nearReach(ctx, k.store, j.groups, s); err != nil {
			return nil, nil, err
		}
	}
	if x.Listing == nil {
		return a, nil, nil
	}
	if k.store != nil && len(a.Evidence) > 0 {
		return a, carry(j.groups, x.Listing), nil
	}
	var carried []policy.Evidence // all that is known is what the log says
	for _, e := range x.Listing.Evidence {
		carried = append(carried, policy.Evidence{Evidence: e})
	}
	return a, carried, nil
}

// explained is wanted, for one scope where a person's listing carries evidence.
func (j *judge) explained(a *evidence.About, s Subject, carried []policy.Evidence) (verdict, error) {
	if carried != nil {
		return j.decide(a, s, carried)
	}
	v, ok, err := j.wanted(a)
	if err == nil && !ok {
		return j.decide(a, s, nil)
	}
	return v, err
}

// MaxTurns bounds what an explanation tries.
const MaxTurns = 8

// turns executes the policy on what may come: time passing with nothing new said, and
// evidence that may be added. It yields what leads to another outcome.
func turns(p *policy.Policy, v verdict, now time.Time) []Turn {
	var out []Turn
	if t, ok := whenStale(p, v, now); ok {
		out = append(out, t)
	}
	sample := fact("", policy.C2, "sha256:0000000000000000000000000000000000000000000000000000000000000000")
	for _, try := range []struct {
		e     policy.Evidence
		count int
	}{
		{fact("", policy.AppealGranted, ""), 1}, {fact("", policy.Rejected, v.Clause.ID), 1}, {fact("", policy.Confirmed, v.Clause.ID), 1},
		{fact("", policy.C2, ""), 1}, {fact("", policy.C2, ""), 2}, {sample, 1}, {fact("", policy.Benign, ""), 1},
	} {
		s := *v.subject
		s.Evidence = slices.Clone(s.Evidence)
		for i := range try.count {
			e := try.e
			e.Source, e.Group, e.First, e.Last = fmt.Sprintf("another-%d", i), "", now, now
			s.Evidence = append(s.Evidence, e)
		}
		d, err := p.Decide(&s, now)
		known := func(t Turn) bool { return t.If.Kind == try.e.Kind && t.Decision.Outcome == d.Outcome }
		if err == nil && d.Outcome != v.Outcome && len(out) < MaxTurns && !slices.ContainsFunc(out, known) {
			out = append(out, Turn{If: try.e, Count: try.count, Decision: d})
		}
	}
	return out
}

// whenStale is when the outcome changes by time alone.
func whenStale(p *policy.Policy, v verdict, now time.Time) (Turn, bool) {
	var moments []time.Time
	for i := range v.subject.Evidence {
		e := &v.subject.Evidence[i]
		if e.Last.IsZero() {
			continue
		}
		for _, age := range p.Ages {
			if t := e.Last.Add(age + time.Second); t.After(now) {
				moments = append(moments, t)
			}
		}
	}
	slices.SortFunc(moments, time.Time.Compare)
	for _, t := range moments {
		d, err := p.Decide(v.subject, t)
		if err == nil && d.Outcome != v.Outcome {
			return Turn{At: t, Decision: d}, true
		}
	}
	return Turn{}, false
}

// ParseAsked reads what somebody asks about: a name, an address, or what people paste: the
// address of a page, or a name that was made harmless, such as hxxp://c2[.]example/x.
func ParseAsked(text string) (Subject, error) {
	text = HostOf(text)
	if p, err := netip.ParsePrefix(text); err == nil {
		return Subject{Prefix: p.Masked(), Scope: feed.Prefix}, nil
	}
	ascii, err := ASCII(text)
	if err != nil {
		return Subject{}, fmt.Errorf("%q is neither a domain name nor an address: %w", text, err)
	}
	s, err := ParseSubject(ascii)
	if err == nil && s.Scope == feed.Subtree {
		s.Scope = feed.Exact
	}
	if s.Name == dns.Root && !s.Prefix.IsValid() && err == nil {
		return s, nil
	}
	return s, err
}

// HostOf is the name or address in what people paste; what holds none that people have comes
// back as it is.
func HostOf(pasted string) string {
	text := strings.NewReplacer("[.]", ".", "(.)", ".", "。", ".", "．", ".", "[:]", ":").Replace(strings.TrimSpace(pasted))
	if _, err := netip.ParsePrefix(text); err == nil {
		return text
	}
	if _, rest, ok := strings.Cut(text, "://"); ok {
		text = rest
	} else if _, bits, ok := strings.Cut(text, "/"); ok && strings.Trim(bits, "0123456789") == "" {
		return pasted // a prefix that is none, and no path
	}
	if i := strings.IndexAny(text, "/?#"); i >= 0 {
		text = text[:i]
	}
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		text = text[i+1:]
	}
	if a, err := netip.ParseAddrPort(text); err == nil {
		return a.Addr().String()
	}
	if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		text = text[1 : len(text)-1]
	}
	if host, port, ok := strings.Cut(text, ":"); ok && !strings.Contains(port, ":") {
		text = host
	}
	if strings.ContainsAny(text, " \"'<>()[]{}&;,") {
		return pasted
	}
	if text != "." { // the root
		text = strings.TrimSuffix(text, ".")
	}
	return strings.ToLower(text)
}
