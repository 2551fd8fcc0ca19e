package audit

import (
	"context"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/ledger"
)

// Followed is a log that resolvers follow beside the one that they are held against, and the report of it.
type Followed struct {
	Log    Config
	Report *Report
}

// book is a log while resolvers are asked.
type book struct {
	name    string  // "" for the one that they are held against
	given   *Report // that of a log beside it, which its own run goes on with
	log     *Config
	report  *Report
	lists   []dated // in force one after the other
	entries map[uint64]*ledger.Entry
}

func newBook(name string, log *Config, r *Report) *book {
	return &book{name: name, log: log, report: r, entries: map[uint64]*ledger.Entry{}}
}

// dated is a list and when it can have been in force.
type dated struct {
	*filter.List
	at   time.Time // when it came into force, as its epoch entry says
	from time.Time // when it was not yet seen
	seen time.Time
}

// begin takes the list in force, and reports whether there is one.
func (b *book) begin() bool {
	if b.report.list == nil || b.report.Epoch == nil {
		return false
	}
	b.lists = []dated{{b.report.list, b.report.Epoch.Time, time.Time{}, time.Now()}}
	return true
}

func (b *book) newest() *filter.List { return b.lists[len(b.lists)-1].List }

// since is when a list came into force at the latest. The time in its epoch entry counts
// where it is not contradicted by what was seen.
func (b *book) since(i int) time.Time {
	d := &b.lists[i]
	if d.at.After(d.seen) || d.at.Before(d.from) {
		return d.seen
	}
	return d.at
}

// entry reads an entry of the log, once.
func (b *book) entry(ctx context.Context, n uint64) (*ledger.Entry, error) {
	if e := b.entries[n]; e != nil {
		return e, nil
	}
	e, err := ledger.ReadEntry(ctx, b.log.Source, b.report.tip, n)
	if err == nil {
		b.entries[n] = e
	}
	return e, err
}

// follow reads the log again where it has grown. A list that came into force meanwhile
// explains answers by it, and the report becomes that of the log as it is now.
func (b *book) follow(ctx context.Context, unread *Check) error {
	before := time.Now()
	tip, err := ledger.ReadCheckpoint(ctx, b.log.Source, b.log.Key)
	if err != nil || tip.Size == b.report.tip.Size && tip.Root == b.report.tip.Root {
		newest := &b.lists[len(b.lists)-1]
		if newest.seen = before; err != nil && ctx.Err() == nil {
			unread.open(Finding{Code: Unreadable, Subject: b.name, Detail: err.Error()})
		}
		return ctx.Err()
	}
	log := *b.log
	log.Now = before
	r, err := Run(ctx, log)
	r.faultsOf(b.report)
	old := b.report.Epoch
	*b.report = *r
	if b.given != nil { // whose own run may be over
		b.given.takeOver(r)
	}
	if err != nil {
		return err
	}
	if r.list != nil && (old == nil || r.Epoch.Entry != old.Entry) {
		b.lists = append(b.lists, dated{r.list, r.Epoch.Time, b.lists[len(b.lists)-1].seen, before})
	}
	return nil
}

// takeOver takes over what a later report of the same log found wrong, or could not tell.
func (r *Report) takeOver(later *Report) {
	for _, is := range later.Checks {
		at := slices.IndexFunc(r.Checks, func(c *Check) bool { return c.Name == is.Name })
		if at < 0 || r.Checks[at].Unchecked > 0 {
			continue
		}
		c := r.Checks[at]
		if c.Unchecked = is.Unchecked; is.Faults == 0 { // else faultsOf takes the findings
			c.show(is.Findings...)
		}
	}
	r.faultsOf(later)
}
