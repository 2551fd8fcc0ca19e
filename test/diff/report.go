package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// report is the outcome of a run.
type report struct {
	Names       int            `json:"names"`
	Questions   int            `json:"questions"`
	Agreed      int            `json:"agreed"`    // questions to which all replies are alike
	Unsteady    int            `json:"unsteady"`  // questions whose replies were alike when asked again
	Explained   []explained    `json:"explained"` // by rule
	Unexplained []unexplained  `json:"unexplained"`
	Peers       map[string]int `json:"agreed_with"` // questions to which shoji's reply is alike a peer's
	Seconds     float64        `json:"seconds"`
	zones       int
}

// explained counts the differences that one rule explains.
type explained struct {
	Rule   string         `json:"rule"`
	Count  int            `json:"count"`
	Sides  map[side]int   `json:"sides"`
	With   map[string]int `json:"differs_from"`
	Fields map[field]int  `json:"fields"`
	Reason string         `json:"reason"`
	Sample string         `json:"sample"`
}

// unexplained is a difference that no rule explains, with what was said.
type unexplained struct {
	Question string              `json:"question"`
	Field    field               `json:"field"`
	Side     side                `json:"side"`
	Against  []string            `json:"differs_from"`
	Zones    []string            `json:"zones"`
	Said     map[string][]string `json:"said"`
}

// judge makes the report of what was said.
func (r *run) judge(all []*witness, unsteady []*witness) *report {
	out := &report{Questions: len(all), Unsteady: len(unsteady), Peers: make(map[string]int), zones: len(r.tree.zones)}
	names := make(map[string]bool)
	counts := make(map[string]*explained)
	table := rules()
	for _, w := range all {
		names[w.q.name] = true
		against := make(map[string]bool)
		found := w.differences()
		for i := range found {
			d := &found[i]
			d.zones, d.path = r.tree.through(w.q)
			for _, name := range d.against {
				against[name] = true
			}
			for _, part := range d.parts() {
				if !explain(table, part, counts) {
					out.Unexplained = append(out.Unexplained, describe(part))
				}
			}
		}
		if len(against) == 0 {
			out.Agreed++
		}
		for _, p := range r.peers {
			if !against[p.name] {
				out.Peers[p.name]++
			}
		}
	}
	out.Names = len(names)
	for _, e := range counts {
		out.Explained = append(out.Explained, *e)
	}
	slices.SortFunc(out.Explained, func(a, b explained) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Rule, b.Rule))
	})
	out.Seconds = time.Since(r.began).Seconds()
	return out
}

// explain finds the first rule that applies and counts it. It reports false where none does.
func explain(table []rule, d *difference, counts map[string]*explained) bool {
	for _, rule := range table {
		if !rule.applies(d) {
			continue
		}
		e := counts[rule.name]
		if e == nil {
			e = &explained{Rule: rule.name, Reason: rule.reason, Sample: d.q.String(),
				Sides: make(map[side]int), With: make(map[string]int), Fields: make(map[field]int)}
			counts[rule.name] = e
		}
		e.Count++
		e.Sides[d.side]++
		e.Fields[d.field]++
		for _, name := range d.against {
			e.With[name]++
		}
		return true
	}
	return false
}

// describe shows a difference with all that was said.
func describe(d *difference) unexplained {
	u := unexplained{Question: d.q.String(), Field: d.field, Side: d.side, Against: d.against,
		Said: map[string][]string{"shoji": d.us.lines(d.field)}}
	for _, p := range d.parties {
		u.Said[p.name] = p.lines(d.field)
	}
	for _, z := range d.zones {
		u.Zones = append(u.Zones, z.origin)
	}
	return u
}

// lines are what a reply says of a field.
func (r *reply) lines(f field) []string {
	if r.err != nil {
		return []string{"no reply: " + r.err.Error()}
	}
	head := []string{fmt.Sprintf("%s ad=%t tc=%t ede=%q answer=%d", r.rcode, r.ad, r.tc, r.ede, len(r.answer))}
	switch f {
	case fieldSOA:
		return append(head, r.soa...)
	case fieldDenial:
		return append(head, r.denial...)
	case fieldAuthority:
		return append(head, r.authority...)
	case fieldTTL:
		for _, key := range slices.Sorted(maps.Keys(r.ttl)) {
			head = append(head, fmt.Sprintf("%s %d", key, r.ttl[key]))
		}
		return head
	case fieldTC:
		return append(head, fmt.Sprintf("%d octets", r.raw.Len()))
	}
	return append(head, r.answer...)
}

// mostShown is how many unexplained differences are shown in full.
const mostShown = 40

// write shows the report to a person.
func (o *report) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d questions for %d names in %d zones: all alike in %d", o.Questions, o.Names, o.zones, o.Agreed)
	for _, name := range slices.Sorted(maps.Keys(o.Peers)) {
		fmt.Fprintf(&b, ", shoji like %s in %d", name, o.Peers[name])
	}
	fmt.Fprintf(&b, "; %d were alike when asked again; %.0f s\n", o.Unsteady, o.Seconds)
	if len(o.Explained) > 0 {
		fmt.Fprintf(&b, "\nexplained differences:\n")
	}
	for _, e := range o.Explained {
		fmt.Fprintf(&b, "%7d  %s: %s (against %s)\n         %s\n         such as %s\n", e.Count, e.Rule, tally(e.Fields), tally(e.With), e.Reason, e.Sample)
	}
	kinds := make(map[string]int)
	for _, u := range o.Unexplained {
		kinds[fmt.Sprintf("%s, %s, against %s", u.Field, u.Side, strings.Join(u.Against, " and "))]++
	}
	fmt.Fprintf(&b, "\nunexplained differences: %d\n", len(o.Unexplained))
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		fmt.Fprintf(&b, "%7d  %s\n", kinds[k], k)
	}
	for _, u := range o.Unexplained[:min(mostShown, len(o.Unexplained))] {
		fmt.Fprintf(&b, "\n%s: %s, %s\n", u.Question, u.Field, u.Side)
		for _, who := range slices.Sorted(maps.Keys(u.Said)) {
			fmt.Fprintf(&b, "  %s: %s\n", who, strings.Join(u.Said[who], "\n    "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func tally[K ~string](m map[K]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(parts, ", ")
}

// writeJSON writes the whole report, every unexplained difference in it.
func (o *report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(o)
}

// writeFile writes a file by a function.
func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
