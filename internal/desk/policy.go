package desk

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/chronicle"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/internal/web"
)

// policyPage is a policy, and which there were.
type policyPage struct {
	*policy.Policy
	N       uint64
	At      chronicle.Policy
	Current bool
	Ages    []age
	History []chronicle.Policy // latest first
}

// HasBefore reports whether there is a policy before the i-th of the history.
func (p *policyPage) HasBefore(i int) bool { return i+1 < len(p.History) }

type age struct {
	Name string
	Days string
}

func (d *Desk) policyNow(r *web.Request) (*web.Reply, error) {
	all := d.life.Policies()
	if len(all) == 0 {
		return nil, notYet
	}
	return d.showPolicy(r, all, len(all)-1)
}

// notYet is for what the log has to be read for first.
var notYet = web.Error{Status: 503, Text: web.Text{
	EN: "The log is being read. Please try again in a moment.", JA: "ログを読み込んでいます。少し待ってからもう一度お試しください。"}}

// policyAt is the one of an entry.
func (d *Desk) policyAt(r *web.Request) (*web.Reply, error) {
	all, i, err := d.policyNumber(r)
	if err != nil {
		return nil, err
	}
	return d.showPolicy(r, all, i)
}

// policyNumber finds the policy whose entry the path names.
func (d *Desk) policyNumber(r *web.Request) ([]chronicle.Policy, int, error) {
	n, err := number(strings.TrimSuffix(r.PathValue("n"), ".json"))
	if err != nil {
		return nil, 0, err
	}
	all := d.life.Policies()
	i, ok := slices.BinarySearchFunc(all, n, func(p chronicle.Policy, n uint64) int { return cmp.Compare(p.Entry, n) })
	if !ok {
		return nil, 0, web.NotFound
	}
	return all, i, nil
}

func (d *Desk) showPolicy(r *web.Request, all []chronicle.Policy, i int) (*web.Reply, error) {
	p, _, err := d.policyOf(r.Context(), all[i].Digest)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(r.URL.Path, ".json") {
		return policyJSON(p, all, i)
	}
	page := &policyPage{Policy: p, N: all[i].Entry, At: all[i], Current: i == len(all)-1, History: slices.Clone(all)}
	slices.Reverse(page.History)
	for _, name := range slices.Sorted(maps.Keys(p.Ages)) {
		page.Ages = append(page.Ages, age{name, span(p.Ages[name])})
	}
	return d.page("policy", web.Text{EN: "What is filtered, and what is not", JA: "何を遮断し、何を遮断しないか"}, page), nil
}

// policyJSON is a policy for machines, with its document, which is what is executed.
func policyJSON(p *policy.Policy, all []chronicle.Policy, i int) (*web.Reply, error) {
	clauses, history := []any{}, []any{}
	for _, c := range p.Clauses {
		clauses = append(clauses, map[string]any{"id": c.ID, "then": c.Then, "title": c.Title, "reason": c.Reason, "when": c.When, "people": max(c.People, 1)})
	}
	for _, h := range all {
		history = append(history, map[string]any{"entry": h.Entry, "version": h.Version, "since": h.Time, "digest": h.Digest.String()})
	}
	return web.JSON(map[string]any{
		"entry": all[i].Entry, "version": p.Version, "digest": p.Digest.String(), "since": all[i].Time, "in_force": i == len(all)-1,
		"title": p.Title, "clauses": clauses, "document": string(p.Document), "history": history,
	})
}

// span is a policy's span of time as it writes it.
func span(t time.Duration) string {
	if t%(24*time.Hour) == 0 {
		return web.Number(int64(t/(24*time.Hour))) + "d"
	}
	return t.String()
}

// clauseChange is what became of a clause.
type clauseChange struct {
	ID       string
	Old, New *policy.Clause // nil: there is none
	Moved    bool           // another one decides before it, or no longer does
	Lines    []line         // its condition
}

// line is a line of a text that was compared: kept, taken out or put in.
type line struct {
	Mark string // " ", "-", "+"
	Text string
}

// difference is what a policy changed of the one before.
type difference struct {
	Old, New chronicle.Policy
	Clauses  []clauseChange
	Document []line // all of it; nil where it is too long to compare
}

// policyChanges compares a policy with the one before.
func (d *Desk) policyChanges(r *web.Request) (*web.Reply, error) {
	all, i, err := d.policyNumber(r)
	if err != nil {
		return nil, err
	}
	if i == 0 {
		return nil, web.NotFound
	}
	if err := r.Spend(5); err != nil {
		return nil, err
	}
	before, _, err := d.policyOf(r.Context(), all[i-1].Digest)
	if err != nil {
		return nil, err
	}
	after, _, err := d.policyOf(r.Context(), all[i].Digest)
	if err != nil {
		return nil, err
	}
	out := &difference{Old: all[i-1], New: all[i], Clauses: compareClauses(before, after)}
	out.Document = compareLines(string(before.Document), string(after.Document))
	return d.page("difference", web.Text{EN: "What policy " + all[i].Version + " changed", JA: "方針 " + all[i].Version + " の変更点"}, out), nil
}

// compareClauses finds the clauses that differ, in the order of the new policy.
func compareClauses(before, after *policy.Policy) (out []clauseChange) {
	var oldOrder, newOrder []string
	for i := range before.Clauses {
		if after.Clause(before.Clauses[i].ID) != nil {
			oldOrder = append(oldOrder, before.Clauses[i].ID)
		}
	}
	for i := range after.Clauses {
		if before.Clause(after.Clauses[i].ID) != nil {
			newOrder = append(newOrder, after.Clauses[i].ID)
		}
	}
	for i := range after.Clauses {
		c := &after.Clauses[i]
		old := before.Clause(c.ID)
		moved := old != nil && slices.Index(oldOrder, c.ID) != slices.Index(newOrder, c.ID)
		if old != nil && !moved && old.When == c.When && old.Then == c.Then && old.Scope == c.Scope && old.Title == c.Title && old.Reason == c.Reason {
			continue
		}
		change := clauseChange{ID: c.ID, Old: old, New: c, Moved: moved}
		if old != nil && old.When != c.When {
			change.Lines = compareLines(old.When, c.When)
		}
		out = append(out, change)
	}
	for i := range before.Clauses {
		if c := &before.Clauses[i]; after.Clause(c.ID) == nil {
			out = append(out, clauseChange{ID: c.ID, Old: c})
		}
	}
	return out
}

// maxCompared lines of each side are compared: the work is their product.
const maxCompared = 2000

// compareLines is the shortest way from one text to the other, line by line, with three kept
// lines around what changed; nil where one of them is too long.
func compareLines(before, after string) []line {
	a, b := strings.Split(strings.TrimSuffix(before, "\n"), "\n"), strings.Split(strings.TrimSuffix(after, "\n"), "\n")
	if len(a) > maxCompared || len(b) > maxCompared {
		return nil
	}
	// longest[i][j] is the longest common subsequence of a[i:] and b[j:].
	longest := make([][]uint16, len(a)+1)
	for i := range longest {
		longest[i] = make([]uint16, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				longest[i][j] = longest[i+1][j+1] + 1
			} else {
				longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			}
		}
	}
	var out []line
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, line{" ", a[i]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && longest[i+1][j] >= longest[i][j+1]:
			out = append(out, line{"-", a[i]})
			i++
		default:
			out = append(out, line{"+", b[j]})
			j++
		}
	}
	return around(out)
}

// around keeps three lines around what changed.
func around(all []line) (out []line) {
	const context = 3
	near := make([]bool, len(all))
	for i := range all {
		if all[i].Mark != " " {
			for j := max(0, i-context); j <= min(len(all)-1, i+context); j++ {
				near[j] = true
			}
		}
	}
	for i := range all {
		switch {
		case near[i]:
			out = append(out, all[i])
		case i > 0 && near[i-1]:
			out = append(out, line{"…", ""})
		}
	}
	return out
}
