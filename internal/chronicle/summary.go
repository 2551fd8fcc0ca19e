package chronicle

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/ledger"
)

// Summary is what a chronicle says at one moment.
type Summary struct {
	Entries  uint64 // that were read
	Size     uint64 // subjects that are listed
	Listed   uint64 // that ever came
	Delisted uint64 // that ever went
	Days     []Day
	Clauses  []Tally // by what is listed now, the most first
	Families []Tally
	Unnamed  Tally // without a family
	More     Tally // families after those
	Open     uint64
	Outcomes []Outcome
	Epoch    ledger.Epoch
	EpochAt  time.Time
	HasEpoch bool
}

// Summary sums up, with as many families as asked for.
func (c *Chronicle) Summary(families int) Summary {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s := Summary{
		Entries: c.next, Size: uint64(len(c.listed)), Days: slices.Clone(c.days), Open: uint64(len(c.open)),
		Epoch: c.epoch, EpochAt: c.epochAt, HasEpoch: c.hasEpoch,
	}
	for i := range c.days {
		s.Listed += c.days[i].Listed
		s.Delisted += c.days[i].Delisted
	}
	clauses, rest := c.clauses.ranked(maxClauses)
	if s.Clauses = clauses; rest.Ever > 0 {
		s.Clauses = append(s.Clauses, rest)
	}
	named, more := c.families.ranked(families + 1)
	for _, f := range named {
		switch {
		case f.Name == "":
			s.Unnamed = f
		case len(s.Families) == families:
			more.Now += f.Now
			more.Ever += f.Ever
		default:
			s.Families = append(s.Families, f)
		}
	}
	if i, ok := c.families.at[""]; ok && s.Unnamed == (Tally{}) { // it is among more
		s.Unnamed = c.families.all[i]
		more.Now -= s.Unnamed.Now
		more.Ever -= s.Unnamed.Ever
	}
	s.More = more
	for _, status := range slices.Sorted(maps.Keys(c.outcomes)) {
		s.Outcomes = append(s.Outcomes, *c.outcomes[status])
	}
	return s
}

// Policies are the policies that were in force, oldest first.
func (c *Chronicle) Policies() []Policy {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Clone(c.policies)
}

// PolicyOf is the policy entry with a digest, the first one of it.
func (c *Chronicle) PolicyOf(d ledger.Digest) (Policy, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, p := range c.policies {
		if p.Digest == d {
			return p, true
		}
	}
	return Policy{}, false
}

// Source is what was declared last of the source with an id.
func (c *Chronicle) Source(id string) (Source, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s, ok := c.sources[id]
	return s, ok
}

// Sources are the declared sources, by their names.
func (c *Chronicle) Sources() []Source {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.SortedFunc(maps.Values(c.sources), func(a, b Source) int { return cmp.Compare(a.ID, b.ID) })
}
