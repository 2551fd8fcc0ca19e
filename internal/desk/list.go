package desk

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/chronicle"
	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/internal/web"
	"github.com/shoji-dns/shoji/ledger"
)

// perPage is how many names a page of a search has.
const perPage = 50

// search is what was searched, and what was found.
type search struct {
	Text  string
	Wrong web.Translated

	Exact *finding // what is known of the text as a name or an address

	Below      []chronicle.Found // at and below it
	Total      uint64
	NextBelow  string            // query of the next page; "": there is none
	Begins     []chronicle.Found // names that begin with it
	NextBegins string
	Ready      bool // names can be found by how they begin
}

// searched reads the query and searches.
func (d *Desk) searched(r *web.Request) (*search, error) {
	s := &search{Ready: d.names.Ready()}
	var err error
	if s.Text, err = r.Value("q", maxAsked); err != nil || s.Text == "" {
		return s, err
	}
	after, err := r.Value("after", maxAsked)
	if err != nil {
		return s, err
	}
	skipText, err := r.Value("skip", 20)
	if err != nil {
		return s, err
	}
	skip, _ := strconv.ParseUint(skipText, 10, 32)
	text := curate.HostOf(s.Text)
	subject, err := parseSubject(text)
	known := err == nil
	if known {
		if s.Exact, err = d.find(r.Context(), subject); err != nil {
			return s, err
		}
		text = s.Exact.Asked // with Unicode in its encoding
	}
	if _, err := netip.ParsePrefix(text); err == nil || known && s.Exact.Address {
		return s, nil
	}
	if known && after == "" {
		s.Below, s.Total = d.names.Below(subject.Name, skip, perPage)
		if next := skip + uint64(len(s.Below)); next < s.Total && len(s.Below) > 0 {
			s.NextBelow = strconv.FormatUint(next, 10)
		}
	}
	if skip > 0 || len(text) > 253 {
		return s, nil
	}
	var more bool
	s.Begins, more = d.names.Prefix(strings.ToLower(text), after, perPage)
	if more && len(s.Begins) > 0 {
		s.NextBegins = s.Begins[len(s.Begins)-1].Text
	}
	return s, nil
}

// listing is the list's page.
type listing struct {
	*search
	chronicle.Summary
	Charts   charts
	Clauses  []share
	Families []share
	Outcomes []outcome
	Sources  []chronicle.Source
	Epoch    *ledger.Epoch
	Reading  int // percent of the log that was read, after a start; 100: all
}

// outcome is what became of cases.
type outcome struct {
	chronicle.Outcome
	Text  web.Text
	Mean  time.Duration
	Spans []uint64
}

// topFamilies are shown.
const topFamilies = 20

func (d *Desk) listing(r *web.Request) (*listing, error) {
	found, err := d.searched(r)
	if err != nil {
		return nil, err
	}
	now := d.state.Load()
	l := &listing{search: found, Summary: d.life.Summary(topFamilies), Sources: d.life.Sources(), Epoch: now.epoch, Reading: d.reading()}
	l.Charts = drawCharts(l.Days, time.Now())
	p := d.policyInForce(r)
	most := uint64(0)
	for _, t := range l.Summary.Clauses {
		most = max(most, t.Now)
	}
	for _, t := range l.Summary.Clauses {
		s := newShare(t, most)
		if p != nil {
			if c := p.Clause(t.Name); c != nil {
				s.Title = c.Title
			}
		}
		l.Clauses = append(l.Clauses, s)
	}
	most = 0
	for _, t := range l.Summary.Families {
		most = max(most, t.Now)
	}
	for _, t := range l.Summary.Families {
		l.Families = append(l.Families, newShare(t, most))
	}
	for _, o := range l.Summary.Outcomes {
		l.Outcomes = append(l.Outcomes, outcome{o, outcomeText(o.Status), o.Mean().Round(time.Second), o.Spans[:]})
	}
	return l, nil
}

// outcomeText is a case's status for people.
func outcomeText(status string) web.Text {
	switch status {
	case ledger.CaseDelisted:
		return web.Text{EN: "Taken off the list", JA: "リストから削除"}
	case ledger.CaseUpheld:
		return web.Text{EN: "The listing stays", JA: "掲載を維持"}
	case ledger.CaseWithdrawn:
		return web.Text{EN: "Withdrawn", JA: "取り下げ"}
	}
	return web.Text{EN: status, JA: status}
}

// reading is how much of the log was read, in percent.
func (d *Desk) reading() int {
	if !d.behind.Load() {
		return 100
	}
	size := d.state.Load().tip.Size
	if size == 0 {
		return 0
	}
	return int(min(99, 100*d.life.Next()/size))
}

// policyInForce is the latest policy; nil where it is not known.
func (d *Desk) policyInForce(r *web.Request) *policy.Policy {
	all := d.life.Policies()
	if len(all) == 0 {
		return nil
	}
	p, _, err := d.policyOf(r.Context(), all[len(all)-1].Digest)
	if err != nil {
		d.log.Error("the policy in force cannot be shown", "cause", err)
		return nil
	}
	return p
}

func (d *Desk) list(r *web.Request) (*web.Reply, error) {
	l, err := d.listing(r)
	if err != nil {
		return nil, err
	}
	title := web.Text{EN: "The list and its life", JA: "リストとその歩み"}
	if l.Text != "" {
		title = web.Text{EN: "Search: " + l.Text, JA: "検索：" + l.Text}
	}
	return d.page("list", title, l), nil
}

func (d *Desk) listJSON(r *web.Request) (*web.Reply, error) {
	l, err := d.listing(r)
	if err != nil {
		return nil, err
	}
	days := []any{}
	for _, day := range l.Days {
		days = append(days, map[string]any{
			"day": day.Date.Format(time.DateOnly), "size": day.Size, "listed": day.Listed, "delisted": day.Delisted,
			"cases_opened": day.Opened, "cases_closed": day.Closed,
		})
	}
	out := map[string]any{"entries_read": l.Entries, "size": l.Size, "days": days, "clauses": tallies(l.Summary.Clauses), "families": tallies(l.Summary.Families)}
	cases := []any{}
	for _, o := range l.Outcomes {
		cases = append(cases, map[string]any{"status": o.Status, "count": o.Count, "mean_seconds": o.Mean.Seconds(), "up_to_10s_10min_1d_7d_longer": o.Spans})
	}
	out["cases"] = map[string]any{"open": l.Open, "outcomes": cases}
	if l.Text != "" {
		out["search"] = map[string]any{
			"text": l.Text, "below": founds(l.Below), "below_total": l.Total, "next_skip": l.NextBelow,
			"begins": founds(l.Begins), "next_after": l.NextBegins, "complete": l.Ready,
		}
	}
	return web.JSON(out)
}

func tallies(all []chronicle.Tally) []any {
	out := []any{}
	for _, t := range all {
		out = append(out, map[string]any{"name": t.Name, "listed": t.Now, "ever": t.Ever})
	}
	return out
}

func founds(all []chronicle.Found) []any {
	out := []any{}
	for _, f := range all {
		out = append(out, map[string]any{"name": f.Text, "scope": f.Scope, "entry": f.Entry})
	}
	return out
}
