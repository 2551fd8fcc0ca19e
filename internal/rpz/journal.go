package rpz

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/ledger"
)

// Walk hands out the entries first to next-1 of the log in order, each verified. It ends
// with the first error of each.
type Walk func(ctx context.Context, first, next uint64, each func(n uint64, e *ledger.Entry) error) error

// step is what changes in the zone between two lists.
type step struct {
	from, to uint64 // log entries that the lists were compiled from
	removed  []trigger
	added    []trigger
}

// size is how many changes it holds.
func (s *step) size() int { return len(s.removed) + len(s.added) }

// journal is the steps to the list in force, the oldest first, each from where the one
// before leads to. It is never changed once it is made.
type journal []step

// since is the steps from the list with that serial; false where the journal does not
// reach back to it.
func (j journal) since(serialNumber uint32) (journal, bool) {
	for i := len(j) - 1; i >= 0; i-- {
		if serial(j[i].from) == serialNumber {
			return j[i:], true
		}
	}
	return nil, false
}

// size is how many changes the steps hold.
func (j journal) size() int {
	n := 0
	for i := range j {
		n += j[i].size()
	}
	return n
}

// extend is the journal with more steps, without those that are too old.
func (j journal) extend(more journal) journal {
	all := append(j[:len(j):len(j)], more...)
	n := all.size()
	for len(all) > 0 && (n > MaxJournal || all[len(all)-1].to-all[0].from > MaxJournal) {
		n -= all[0].size()
		all = all[1:]
	}
	return all
}

// subject is what a listing is about, whatever its scope.
type subject struct {
	name   dns.Name // "" where prefix is valid
	prefix netip.Prefix
}

// scopes are the ways in which a subject is listed.
type scopes uint8

const (
	exactly scopes = 1 << iota // a name alone, or a prefix
	subtree
)

// change is what one entry of the log does.
type change struct {
	entry   uint64
	subject subject
	scope   scopes
	listed  bool
}

// changeOf is what an entry changes; false where that is nothing of the zone.
func changeOf(n uint64, e *ledger.Entry) (change, bool) {
	c := change{entry: n, scope: exactly, listed: e.Kind == ledger.KindList}
	if e.Kind != ledger.KindList && e.Kind != ledger.KindDelist {
		return c, false
	}
	if e.Scope == ledger.ScopePrefix {
		c.subject.prefix = unmapped(e.Prefix)
		return c, e.Prefix.IsValid()
	}
	if e.Scope == ledger.ScopeSubtree {
		c.scope = subtree
	}
	name, err := dns.ParseName(e.Name)
	c.subject.name = name
	return c, err == nil && e.Name != "" // else a commitment
}

// unmapped is p as the compiled list has it: an IPv4-mapped one as the IPv4 prefix.
func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// apply makes the change in what is listed.
func (c *change) apply(listed map[subject]scopes) {
	if c.listed {
		listed[c.subject] |= c.scope
	} else {
		listed[c.subject] &^= c.scope
	}
}

// of is how a list has a subject.
func (s subject) of(list List) (found scopes) {
	if s.prefix.IsValid() {
		if list.HasPrefix(s.prefix) {
			found = exactly
		}
		return found
	}
	if list.Has(s.name, ledger.ScopeExact) {
		found |= exactly
	}
	if list.Has(s.name, ledger.ScopeSubtree) {
		found |= subtree
	}
	return found
}

// triggers are what a subject that is listed so has in the zone.
func (s subject) triggers(as scopes) (own, below bool) { return as != 0, as&subtree != 0 }

// difference appends what the zone loses and gains where a subject that was listed as
// before is now listed as after.
func (st *step) difference(s subject, before, after scopes) {
	ownBefore, belowBefore := s.triggers(before)
	ownAfter, belowAfter := s.triggers(after)
	own, below := trigger{name: s.name, prefix: s.prefix}, trigger{name: s.name, below: true}
	for _, d := range []struct {
		t             trigger
		before, after bool
	}{{own, ownBefore, ownAfter}, {below, belowBefore, belowAfter}} {
		switch {
		case d.before && !d.after:
			st.removed = append(st.removed, d.t)
		case d.after && !d.before:
			st.added = append(st.added, d.t)
		}
	}
}

// segment is a part of the log: its changes, and the lists that were published in it.
type segment struct {
	changes []change
	epochs  []uint64 // log entries that they were compiled from, ascending
}

// readSegment reads the entries first to next-1.
func readSegment(ctx context.Context, walk Walk, first, next uint64) (segment, error) {
	var s segment
	err := walk(ctx, first, next, func(n uint64, e *ledger.Entry) error {
		breathe(n)
		if e.Kind == ledger.KindEpoch && e.Size >= first {
			s.epochs = append(s.epochs, e.Size)
		}
		if c, ok := changeOf(n, e); ok {
			s.changes = append(s.changes, c)
		}
		return nil
	})
	return s, err
}

// breathe leaves the processor to others now and then.
func breathe(n uint64) {
	if n%scanStep == scanStep-1 {
		time.Sleep(scanPause)
	}
}

// steps are the steps over a segment, from the first list that was published in it (or
// before it) up to the one of end entries. What was listed at that first list is in listed,
// which is brought to what is listed at the end.
func (s *segment) steps(begin, end uint64, listed map[subject]scopes) journal {
	var out journal
	bounds := append(append([]uint64{begin}, s.epochs...), end)
	changes := s.changes
	for i := 1; i < len(bounds); i++ {
		from, to := bounds[i-1], bounds[i]
		if to <= from || from < begin {
			bounds[i] = max(from, to)
			continue
		}
		st := step{from: from, to: to}
		before := map[subject]scopes{}
		var order []subject
		for len(changes) > 0 && changes[0].entry < to {
			c := &changes[0]
			if _, ok := before[c.subject]; !ok {
				before[c.subject] = listed[c.subject]
				order = append(order, c.subject)
			}
			c.apply(listed)
			changes = changes[1:]
		}
		for _, subject := range order {
			st.difference(subject, before[subject], listed[subject])
		}
		out = append(out, st)
	}
	return out
}

// errDisagree says that the log's entries do not add up to the list in force.
var errDisagree = errors.New("the log's last entries do not lead to the list in force; secondaries get the whole zone")

// recall is the journal that leads to a list, from the log's last entries.
func recall(ctx context.Context, walk Walk, list List) (journal, error) {
	end := list.Epoch()
	begin := end - min(end, MaxJournal)
	s, err := readSegment(ctx, walk, begin, end)
	if err != nil || len(s.epochs) == 0 {
		return nil, err
	}
	begin = s.epochs[0]
	for len(s.changes) > 0 && s.changes[0].entry < begin {
		s.changes = s.changes[1:]
	}
	listed := make(map[subject]scopes, len(s.changes))
	for i := range s.changes {
		listed[s.changes[i].subject] = 0
	}
	if len(listed) > 0 {
		err = walk(ctx, 0, begin, func(n uint64, e *ledger.Entry) error {
			breathe(n)
			if c, ok := changeOf(n, e); ok {
				if _, ok := listed[c.subject]; ok {
					c.apply(listed)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	j := s.steps(begin, end, listed)
	for subject, as := range listed {
		if subject.of(list) != as {
			return nil, errDisagree
		}
	}
	return journal(nil).extend(j), nil
}

// follow is the journal that leads on from one list to a later one.
func (j journal) follow(ctx context.Context, walk Walk, from, to List) (journal, error) {
	begin, end := from.Epoch(), to.Epoch()
	if end-begin > MaxJournal {
		return nil, nil
	}
	s, err := readSegment(ctx, walk, begin, end)
	if err != nil {
		return nil, err
	}
	listed := make(map[subject]scopes, len(s.changes))
	for i := range s.changes {
		subject := s.changes[i].subject
		listed[subject] = subject.of(from)
	}
	more := s.steps(begin, end, listed)
	for subject, as := range listed {
		if subject.of(to) != as {
			return nil, errDisagree
		}
	}
	return j.extend(more), nil
}
