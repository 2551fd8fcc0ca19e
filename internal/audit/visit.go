package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/appeal"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/ledger"
)

// How far clocks may be apart, and how long an entry may take from its time to a checkpoint:
// the decisions about a large set of sources bear the time of their beginning.
const (
	maxStep  = 10 * time.Minute // back, from one entry to the next
	maxDelay = time.Hour        // from an entry's time until it can be seen, and ahead of this machine's clock
)

// rebuildBudget is how many listings are compiled, and entries read again, for lists that are
// no longer in force: about four seconds of one processor.
const rebuildBudget = 4_000_000

// kept is what the judgement of an entry needs of those before it, beside the ledger's state.
type kept struct {
	PolicyEntry uint64                 `json:"policy_entry"` // in force
	Groups      map[string]string      `json:"groups"`       // of sources that count as one
	Cases       map[string]appeal.Case `json:"cases"`        // by identity
	Latest      time.Time              `json:"latest"`       // time of an entry
	Released    released               `json:"released"`
}

// released is a sample of the names that persons took off the list: each as likely as any other.
type released struct {
	Seen  uint64   `json:"seen"`
	Names []string `json:"names"`
}

// maxReleased is how many names a sample has.
const maxReleased = 64

// add takes a name into the sample (Vitter's algorithm R).
func (r *released) add(name string) {
	if r.Seen++; len(r.Names) < maxReleased {
		r.Names = append(r.Names, name)
	} else if at := rand.Uint64N(r.Seen); at < maxReleased {
		r.Names[at] = name
	}
}

func (k *kept) clone() kept {
	c := *k
	c.Groups, c.Cases = maps.Clone(k.Groups), maps.Clone(k.Cases)
	if c.Groups == nil {
		c.Groups = make(map[string]string)
	}
	c.Released.Names = slices.Clone(k.Released.Names)
	if c.Cases == nil {
		c.Cases = make(map[string]appeal.Case)
	}
	return c
}

// visitor judges the entries of a log in their order.
type visitor struct {
	*auditor
	now    time.Time
	base   *base
	kept   kept
	policy *policy.Policy // in force; nil: none that can be executed
	read   ledger.Digest  // the policy that was read last
	last   *ledger.Epoch  // of the log; nil: none was found
	seenAt int            // auditor.seen[:seenAt] are of no more entries than were read
	wasAt  time.Time      // the latest time at which one of these was seen
	spent  uint64         // of rebuildBudget

	again  func(ledger.Base, ledger.Visit) error // reads entries once more
	within func(ledger.Checkpoint) error         // whether the log continues a beginning

	listPath string  // the list of the last epoch, rebuilt
	rebuilt  rebuilt // of it
	snapshot *saved  // what is to be remembered, as it was where that list was compiled
}

// entry judges entry n.
func (v *visitor) entry(n uint64, e *ledger.Entry, before *ledger.Tail) error {
	if p := v.base.policy; p != nil && before.Policy() == p.Policy && v.read != p.Policy {
		v.readPolicy(p) // the one in force where the run begins
	}
	if v.last != nil && n == v.last.Size {
		if err := v.rebuildLast(before); err != nil {
			return err
		}
	}
	v.time(n, e)
	switch e.Kind {
	case ledger.KindList:
		v.listing(n, e, before)
	case ledger.KindDelist:
		v.delisting(n, e, before)
	case ledger.KindPolicy:
		v.kept.PolicyEntry = n
		v.policies.Checked++
		if v.readPolicy(e); v.policy == nil {
			v.policies.open(Finding{Code: OldPolicy, Entry: &n, Subject: e.Version})
		}
	case ledger.KindSource:
		v.kept.Groups[e.Source] = e.Group
	case ledger.KindCase:
		v.step(n, e, before)
	case ledger.KindEpoch:
		return v.epoch(n, e, before)
	}
	return nil
}

// readPolicy makes the policy of an entry the one in force.
func (v *visitor) readPolicy(e *ledger.Entry) {
	v.read = e.Policy
	p, err := policy.Parse([]byte(e.Document))
	if v.policy = p; err != nil {
		v.policy = nil
	}
}

// time holds an entry's time against what came before it.
func (v *visitor) time(n uint64, e *ledger.Entry) {
	v.times.Checked++
	for v.seenAt < len(v.seen) && v.seen[v.seenAt].Size <= n {
		if at := v.seen[v.seenAt].at; at.After(v.wasAt) {
			v.wasAt = at
		}
		v.seenAt++
	}
	switch {
	case e.Time.Before(v.kept.Latest.Add(-maxStep)):
		v.times.fault(Finding{Code: BackDated, Entry: &n, Subject: subject(e), Detail: fmt.Sprintf("%s, after an entry of %s", stamp(e.Time), stamp(v.kept.Latest))})
	case e.Time.Before(v.wasAt.Add(-maxDelay)):
		v.times.fault(Finding{Code: BackDated, Entry: &n, Subject: subject(e), Detail: fmt.Sprintf("%s; on %s the log did not have it", stamp(e.Time), stamp(v.wasAt))})
	case e.Time.After(v.now.Add(maxDelay)):
		v.times.fault(Finding{Code: AfterNow, Entry: &n, Subject: subject(e), Detail: stamp(e.Time)})
	}
	if e.Time.After(v.kept.Latest) {
		v.kept.Latest = e.Time
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// subject is what an entry is about, for people.
func subject(e *ledger.Entry) string {
	switch {
	case e.Prefix.IsValid():
		return e.Prefix.String()
	case e.Name != "" && e.Scope == ledger.ScopeSubtree:
		return "*." + e.Name
	case !e.Commitment.IsZero():
		return e.Commitment.String()
	}
	return e.Name
}

// listing executes the policy for a listing.
func (v *visitor) listing(n uint64, e *ledger.Entry, before *ledger.Tail) {
	v.listings.Checked++
	e = v.names.open(e)
	if code := v.cites(e, before); code != "" {
		v.note(v.listings, code, n, e, "")
		return
	}
	d, err := v.decide(e)
	switch {
	case err != nil:
		v.note(v.listings, NotExecutable, n, e, err.Error())
	case d.Outcome != policy.List:
		v.note(v.listings, NotListed, n, e, fmt.Sprintf("it cites clause %s; clause %s decides: %s", e.Clause, d.Clause.ID, d.Outcome))
	case d.Clause.ID != e.Clause:
		v.note(v.listings, OtherClause, n, e, fmt.Sprintf("it cites clause %s; clause %s decides", e.Clause, d.Clause.ID))
	case d.Scope != e.Scope:
		v.note(v.listings, OtherScope, n, e, fmt.Sprintf("clause %s lists with scope %s", d.Clause.ID, d.Scope))
	}
}

// cites says what is wrong with the policy and clause that an entry cites; "" where nothing is.
func (v *visitor) cites(e *ledger.Entry, before *ledger.Tail) string {
	switch {
	case before.Policy().IsZero():
		return NoPolicy
	case e.Policy != before.Policy():
		return OtherPolicy
	case v.policy == nil || v.read != e.Policy:
		return OldPolicy
	case v.policy.Clause(e.Clause) == nil:
		return NoClause
	case !e.Commitment.IsZero():
		return Committed
	}
	return ""
}

// decide executes the policy for what an entry says.
func (v *visitor) decide(e *ledger.Entry) (policy.Decision, error) {
	s := policy.Subject{Name: e.Name, Prefix: e.Prefix, Scope: e.Scope, Evidence: make([]policy.Evidence, len(e.Evidence))}
	for i := range e.Evidence {
		s.Evidence[i] = policy.Evidence{Evidence: e.Evidence[i], Group: v.kept.Groups[e.Evidence[i].Source]}
	}
	return v.policy.Decide(&s, e.Time)
}

// note notes a finding about an entry.
func (v *visitor) note(c *Check, code string, n uint64, e *ledger.Entry, detail string) {
	f := Finding{Code: code, Entry: &n, Subject: subject(e), Detail: detail}
	switch code {
	case OldPolicy, Committed, NotExecutable:
		c.open(f)
	default:
		c.fault(f)
	}
}

// epoch holds an epoch entry against the list rebuilt.
func (v *visitor) epoch(n uint64, e *ledger.Entry, before *ledger.Tail) error {
	got := v.rebuilt
	if v.last == nil || n != v.last.Entry {
		cost := uint64(before.Len()) + v.base.count()
		if e.Size != n {
			cost += e.Size + 256 // entries to read again, at most, and a bundle at least
		}
		if v.last == nil || !v.cfg.EveryList && v.spent+cost > rebuildBudget {
			v.lists.Left++
			return nil
		}
		v.spent += cost
		var err error
		if got, err = v.rebuildEarlier(n, e, before); err != nil {
			return err
		}
	}
	v.holdList(n, e, &got)
	return nil
}

// holdList holds the list of an epoch against the one rebuilt. Of one in another format the digest and
// the length say nothing here, and what is listed does: it is not verified, and left out where it is in
// force no longer, lest no log be right after a change of the format.
func (v *visitor) holdList(n uint64, e *ledger.Entry, got *rebuilt) {
	other := e.Layout != filter.Version
	left := other && n != v.last.Entry && !v.cfg.EveryList
	if left && got.err != nil {
		v.lists.Left++
		return
	}
	switch {
	case got.err != nil:
		v.lists.open(Finding{Code: NotExecutable, Entry: &n, Detail: got.err.Error()})
	case other && got.digest == e.Digest:
		v.lists.fault(Finding{Code: WrongFormat, Entry: &n, Format: e.Layout})
	case !other && got.digest != e.Digest:
		v.lists.fault(Finding{Code: WrongList, Entry: &n, Detail: fmt.Sprintf("the log compiles to %s; the epoch says %s", got.digest, e.Digest)})
	case got.count != e.Count || !other && got.bytes != e.Bytes:
		v.lists.fault(Finding{Code: WrongList, Entry: &n, Detail: fmt.Sprintf("the list has %d listings in %d octets; the epoch says %d in %d", got.count, got.bytes, e.Count, e.Bytes)})
	case got.root != e.Map:
		v.lists.fault(Finding{Code: WrongMap, Entry: &n, Detail: fmt.Sprintf("the map over the list has the root %s; the epoch says %s", got.root, e.Map)})
	case left:
		v.lists.Left++
		return
	case other:
		v.lists.open(Finding{Code: OtherFormat, Entry: &n, Format: e.Layout})
	}
	v.lists.Checked++
}

// errThere ends a replay at the size that it was for.
var errThere = errors.New("there")

// rebuildEarlier compiles the list of an epoch that is not the last. Where it is not of all
// entries before its own, which a writer may write after its witnesses failed, these are read
// again up to its size.
func (v *visitor) rebuildEarlier(n uint64, e *ledger.Entry, before *ledger.Tail) (rebuilt, error) {
	var r rebuilt
	from := v.base
	compile := func(before *ledger.Tail) error {
		path, made, err := v.compile(from, before, !e.Map.IsZero())
		if err != nil {
			return err
		}
		if path != "" {
			os.Remove(path)
		}
		made.removeMap()
		r = made
		return nil
	}
	if e.Size == n {
		err := compile(before)
		return r, err
	}
	if e.Size < from.Size {
		from = &base{}
	}
	err := v.again(from.Base, func(at uint64, _ *ledger.Entry, before *ledger.Tail) error {
		if at < e.Size {
			return nil
		}
		// The replay ends before it comes to the root, so these entries are held against it here:
		// they need not be the ones that were judged.
		err := v.within(ledger.Checkpoint{Size: at, Root: before.RootHash()})
		if fork := (*ledger.ForkError)(nil); errors.As(err, &fork) {
			return fmt.Errorf("entries up to %d were others when they were read again: %w", at, ledger.ErrOtherRoot)
		}
		if err != nil {
			return err
		}
		if err := compile(before); err != nil {
			return err
		}
		return errThere
	})
	if errors.Is(err, errThere) {
		err = nil
	}
	return r, err
}

// rebuilt is a list that was compiled here.
type rebuilt struct {
	list   *filter.List
	digest ledger.Digest
	count  uint64
	bytes  uint64
	root   ledger.Digest // of the map over it; zero where its epoch has none
	path   string        // of the map's file; "" where there is none
	err    error         // why the log compiles to none
}

// removeMap removes the map's file, unless it was kept under another name.
func (r *rebuilt) removeMap() {
	if r.path != "" {
		os.Remove(r.path)
	}
}

// rebuildLast compiles the list that is in force, unless the one that is kept is it.
func (v *visitor) rebuildLast(before *ledger.Tail) error {
	v.snapshot = v.remember(before)
	if b := v.base; b.list != nil && before.Size() == b.Size && b.root.IsZero() == v.last.Map.IsZero() {
		v.rebuilt = rebuilt{b.list, b.digest, b.list.Count(), uint64(b.list.Bytes()), b.root, "", nil}
		return nil
	}
	if v.cfg.Progress != nil {
		v.cfg.Progress(Rebuilding, 0, 0)
	}
	var err error
	v.listPath, v.rebuilt, err = v.compile(v.base, before, !v.last.Map.IsZero())
	return err
}

// Rebuilding is the stage of progress in which the list in force is compiled; the other is "".
const Rebuilding = "rebuilding"

// compile compiles the list of what the log adds up to, from one of its beginnings on, into a
// file, and where it is mapped, says which root the map over it has.
func (v *visitor) compile(from *base, before *ledger.Tail, mapped bool) (path string, r rebuilt, err error) {
	f, err := os.CreateTemp(v.cfg.Memory.dir, "rebuilt-*")
	if err != nil {
		return "", r, err
	}
	defer f.Close()
	path = f.Name()
	digest, err := filter.Merge(f, from.list, before)
	if file := (*fs.PathError)(nil); errors.As(err, &file) { // of this machine's disk, and not of the log
		os.Remove(path)
		return "", r, err
	}
	if err != nil {
		os.Remove(path)
		return "", rebuilt{err: err}, nil
	}
	list, err := filter.Open(path)
	if err != nil {
		os.Remove(path)
		return "", r, err
	}
	r = rebuilt{list: list, digest: ledger.Digest(digest), count: list.Count(), bytes: uint64(list.Bytes())}
	if mapped {
		r.root, r.path, r.err = v.mapOver(from, list, before)
	}
	return path, r, nil
}

// close removes what was compiled, unless it was kept under another name.
func (v *visitor) close() {
	if v.listPath != "" {
		os.Remove(v.listPath)
	}
	v.rebuilt.removeMap()
}
