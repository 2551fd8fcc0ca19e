package chronicle

import (
	"cmp"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/ledger"
)

// Chronicle is what a log adds up to over time. Any number of goroutines may read it while
// one adds.
type Chronicle struct {
	seed maphash.Seed

	mu       sync.RWMutex
	next     uint64 // entry
	days     []Day
	listed   map[uint64]mark
	clauses  table
	families table
	policies []Policy
	current  int // the policy in force, in policies; -1: none
	sources  map[string]Source
	open     map[string]time.Time // cases, by when they were received
	outcomes map[string]*Outcome
	epoch    ledger.Epoch
	hasEpoch bool
	epochAt  time.Time
}

// mark is by what a subject is listed.
type mark struct{ clause, family uint16 }

// Day is what happened on one day, in UTC.
type Day struct {
	Date     time.Time // its midnight
	Listed   uint64    // subjects that came
	Delisted uint64    // subjects that went
	Size     uint64    // listed when it ended
	Opened   uint64    // cases
	Closed   uint64
}

// Tally is what is counted under one name.
type Tally struct {
	Name string
	Now  uint64 // listed
	Ever uint64 // that came, some more than once
}

// Other is the name under which what is over a limit is summed up.
const Other = "(other)"

// Policy is a policy entry.
type Policy struct {
	Entry   uint64
	Time    time.Time
	Version string
	Title   string
	Digest  ledger.Digest
}

// Source is what was declared of a source last.
type Source struct {
	Entry    uint64
	Time     time.Time
	ID       string
	Group    string
	Title    string
	Location string
	License  string
	Status   string
	Note     string
	Claims   []string
	Interval time.Duration
}

// New is the chronicle of an empty log.
func New() *Chronicle {
	return &Chronicle{
		seed: maphash.MakeSeed(), listed: make(map[uint64]mark), current: -1,
		clauses: newTable(maxClauses), families: newTable(maxFamilies),
		sources: make(map[string]Source), open: make(map[string]time.Time), outcomes: make(map[string]*Outcome),
	}
}

// Next is the number of the entry that is to be added next: how many were.
func (c *Chronicle) Next() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.next
}

// Add adds entry n, which must be the next one; it reports whether it is.
func (c *Chronicle) Add(n uint64, e *ledger.Entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n != c.next {
		return false
	}
	c.next++
	d := c.day(e.Time)
	switch e.Kind {
	case ledger.KindList:
		c.list(d, e)
	case ledger.KindDelist:
		c.delist(d, e)
	case ledger.KindPolicy:
		c.policy(n, e)
	case ledger.KindSource:
		c.source(n, e)
	case ledger.KindCase:
		c.step(d, e)
	case ledger.KindEpoch:
		c.epoch, c.hasEpoch, c.epochAt = ledger.Epoch{Entry: n, Size: e.Size, Digest: e.Digest, Bytes: e.Bytes, Count: e.Count}, true, e.Time
	}
	d.Size = uint64(len(c.listed))
	return true
}

// day is the sum of a moment's day, or of the latest one where that is later.
func (c *Chronicle) day(t time.Time) *Day {
	date := t.UTC().Truncate(24 * time.Hour)
	if last := len(c.days) - 1; last >= 0 && !date.After(c.days[last].Date) {
		return &c.days[last]
	}
	if len(c.days) == maxDays {
		old, kept := c.days[0], &c.days[1]
		kept.Listed += old.Listed
		kept.Delisted += old.Delisted
		kept.Opened += old.Opened
		kept.Closed += old.Closed
		c.days = slices.Delete(c.days, 0, 1)
	}
	c.days = append(c.days, Day{Date: date})
	return &c.days[len(c.days)-1]
}

// key is the hash of a subject.
func (c *Chronicle) key(e *ledger.Entry) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	h.WriteString(string(e.Scope))
	switch {
	case e.Name != "":
		h.WriteByte(0)
		h.WriteString(e.Name)
	case e.Prefix.IsValid():
		h.WriteByte(1)
		b, _ := e.Prefix.MarshalBinary()
		h.Write(b)
	default:
		h.WriteByte(2)
		h.Write(e.Commitment[:])
	}
	return h.Sum64()
}

func (c *Chronicle) list(d *Day, e *ledger.Entry) {
	key := c.key(e)
	m := mark{c.clauses.place(e.Clause), c.families.place(family(e))}
	if old, ok := c.listed[key]; ok { // listed anew, by another clause or evidence
		c.clauses.all[old.clause].Now--
		c.families.all[old.family].Now--
	} else {
		d.Listed++
		c.clauses.all[m.clause].Ever++
		c.families.all[m.family].Ever++
	}
	c.clauses.all[m.clause].Now++
	c.families.all[m.family].Now++
	c.listed[key] = m
}

func (c *Chronicle) delist(d *Day, e *ledger.Entry) {
	key := c.key(e)
	m, ok := c.listed[key]
	if !ok {
		return
	}
	delete(c.listed, key)
	d.Delisted++
	c.clauses.all[m.clause].Now--
	c.families.all[m.family].Now--
}

// family is the first family that an entry's evidence names; "" where it names none.
func family(e *ledger.Entry) string {
	for i := range e.Evidence {
		if f := e.Evidence[i].Family; f != "" {
			return clip(f, maxFamily)
		}
	}
	return ""
}

// clip is the first n octets of s at most, without half a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}

func (c *Chronicle) policy(n uint64, e *ledger.Entry) {
	if len(c.policies) == maxPolicies {
		c.policies = slices.Delete(c.policies, 0, 1)
	}
	c.policies = append(c.policies, Policy{n, e.Time, e.Version, e.Title, e.Policy})
	c.current = len(c.policies) - 1
}

func (c *Chronicle) source(n uint64, e *ledger.Entry) {
	if _, known := c.sources[e.Source]; !known && len(c.sources) == maxSources {
		delete(c.sources, slices.MinFunc(slices.Collect(maps.Values(c.sources)), func(a, b Source) int {
			return cmp.Compare(a.Entry, b.Entry)
		}).ID)
	}
	c.sources[e.Source] = Source{
		Entry: n, Time: e.Time, ID: e.Source, Group: e.Group, Title: e.Title, Location: e.Location, License: e.License, Status: e.Status, Note: e.Note,
		Claims: e.Claims, Interval: time.Duration(min(e.Interval, 1<<31)) * time.Second,
	}
}

// table counts under names, of which it keeps as many as it may.
type table struct {
	at  map[string]uint16
	all []Tally
}

func newTable(most int) table {
	return table{make(map[string]uint16), append(make([]Tally, 0, most), Tally{Name: Other})}
}

// place is where what has a name is counted.
func (t *table) place(name string) uint16 {
	if i, ok := t.at[name]; ok {
		return i
	}
	if len(t.all) == cap(t.all) {
		return 0
	}
	i := uint16(len(t.all))
	t.at[name] = i
	t.all = append(t.all, Tally{Name: name})
	return i
}

// ranked are the names with the most that is listed, and what is under all others.
func (t *table) ranked(n int) (top []Tally, rest Tally) {
	all := slices.Clone(t.all[1:])
	slices.SortFunc(all, func(a, b Tally) int {
		return cmp.Or(cmp.Compare(b.Now, a.Now), cmp.Compare(b.Ever, a.Ever), cmp.Compare(a.Name, b.Name))
	})
	rest = t.all[0]
	for _, r := range all[min(n, len(all)):] {
		rest.Now += r.Now
		rest.Ever += r.Ever
	}
	return all[:min(n, len(all))], rest
}
