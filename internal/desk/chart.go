package desk

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/chronicle"
	"github.com/shoji-dns/shoji/internal/web"
)

// A chart's plane, in units of its own.
const (
	chartWidth, chartHeight = 720.0, 220.0
	chartLeft, chartBottom  = 64.0, 36.0
	chartTop                = 12.0
)

// plot writes an SVG of numbers alone: what is drawn is styled by the page, and what it shows
// is said beside it in a table.
type plot struct {
	b    strings.Builder
	most float64
	n    int
}

// newPlot begins a chart of n places, whose largest value is most.
func newPlot(n int, most uint64) *plot {
	p := &plot{most: nice(float64(max(most, 1))), n: n}
	fmt.Fprintf(&p.b, `<svg class="chart" viewBox="0 0 %g %g" aria-hidden="true" focusable="false">`, chartWidth, chartHeight)
	for i := range 3 { // lines at nothing, half and all
		v := p.most * float64(i) / 2
		y := p.y(v)
		fmt.Fprintf(&p.b, `<path class="rule" d="M%g %.1fH%g"/><text class="mark-y" x="%g" y="%.1f">%s</text>`,
			chartLeft, y, chartWidth, chartLeft-8, y+4, short(v))
	}
	return p
}

// nice is the next of 1, 2, 4, 5, 6, 8 and 10 times a power of ten that is not less than v, and even: its half is whole.
func nice(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 4, 5, 6, 8, 10} {
		if n := f * power; n >= v && (n < 2 || math.Mod(n, 2) == 0) {
			return n
		}
	}
	return max(2, 10*power)
}

// short is a number with few digits.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", v/1e6), ".0") + "M"
	case v >= 1e4:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", v/1e3), ".0") + "k"
	}
	return fmt.Sprintf("%g", v)
}

func (p *plot) x(i float64) float64 {
	return chartLeft + i*(chartWidth-chartLeft)/float64(max(p.n, 1))
}

func (p *plot) y(v float64) float64 {
	return chartHeight - chartBottom - v/p.most*(chartHeight-chartBottom-chartTop)
}

// area draws values as a line over a wash.
func (p *plot) area(values []uint64) {
	if len(values) == 0 {
		return
	}
	var line strings.Builder
	for i, v := range values { // each day is a step: it holds until the next
		fmt.Fprintf(&line, "%s%.1f %.1fH%.1f", map[bool]string{true: "M", false: "L"}[i == 0], p.x(float64(i)), p.y(float64(v)), p.x(float64(i+1)))
	}
	fmt.Fprintf(&p.b, `<path class="wash" d="%sV%.1fH%.1fZ"/><path class="line" d="%s"/>`, line.String(), p.y(0), p.x(0), line.String())
}

// bars draws two values a place, side by side.
func (p *plot) bars(first, second []uint64) {
	var a, b strings.Builder
	wide := (chartWidth - chartLeft) / float64(max(p.n, 1))
	for i := range first {
		p.bar(&a, p.x(float64(i))+wide*.08, wide*.4, first[i])
		p.bar(&b, p.x(float64(i))+wide*.52, wide*.4, second[i])
	}
	fmt.Fprintf(&p.b, `<path class="came" d="%s"/><path class="went" d="%s"/>`, a.String(), b.String())
}

func (p *plot) bar(b *strings.Builder, x, wide float64, v uint64) {
	if v > 0 {
		y := min(p.y(float64(v)), p.y(0)-1) // one among a million is seen too
		fmt.Fprintf(b, "M%.1f %.1fv%.1fh%.1fv%.1fz", x, y, p.y(0)-y, wide, y-p.y(0))
	}
}

// days marks the first and the last day, and ends the chart.
func (p *plot) days(days []chronicle.Day) template.HTML {
	if len(days) > 0 {
		for i, at := range map[string]int{"start": 0, "end": len(days) - 1} {
			x := chartLeft
			if i == "end" {
				x = chartWidth
			}
			if i == "start" && len(days) == 1 {
				continue
			}
			fmt.Fprintf(&p.b, `<text class="mark-%s" x="%g" y="%g">%s</text>`, i, x, chartHeight-8, days[at].Date.Format("2006-01-02"))
		}
	}
	p.b.WriteString("</svg>")
	return template.HTML(p.b.String()) // nothing in it but numbers
}

// fill is a day for each day of the last n, those on which nothing happened included.
func fill(days []chronicle.Day, n int, now time.Time) []chronicle.Day {
	if len(days) == 0 {
		return nil
	}
	last := now.UTC().Truncate(24 * time.Hour)
	if end := days[len(days)-1].Date; end.After(last) {
		last = end
	}
	first := last.AddDate(0, 0, 1-n)
	if begin := days[0].Date; begin.After(first) { // a young list has days before it began, so that a day looks like one
		first = begin
		if month := last.AddDate(0, 0, 1-atLeast); month.Before(first) {
			first = month
		}
	}
	var out []chronicle.Day
	size, i := uint64(0), 0
	for ; i < len(days) && days[i].Date.Before(first); i++ {
		size = days[i].Size
	}
	for date := first; !date.After(last) && len(out) < n; date = date.AddDate(0, 0, 1) {
		d := chronicle.Day{Date: date, Size: size}
		if i < len(days) && days[i].Date.Equal(date) {
			d, size = days[i], days[i].Size
			i++
		}
		out = append(out, d)
	}
	return out
}

// shown is how many days charts have, and atLeast how many those of a young list.
const (
	shown   = 90
	atLeast = 30
)

// charts are the list's life in pictures.
type charts struct {
	Size, Changes template.HTML
	Days          []chronicle.Day // with something in them, latest first
	From, To      time.Time
}

func drawCharts(all []chronicle.Day, now time.Time) charts {
	days := fill(all, shown, now)
	var c charts
	if len(days) == 0 {
		return c
	}
	size, came, went := make([]uint64, len(days)), make([]uint64, len(days)), make([]uint64, len(days))
	var most, change uint64
	for i, d := range days {
		size[i], came[i], went[i] = d.Size, d.Listed, d.Delisted
		most, change = max(most, d.Size), max(change, d.Listed, d.Delisted)
	}
	p := newPlot(len(days), most)
	p.area(size)
	c.Size = p.days(days)
	p = newPlot(len(days), change)
	p.bars(came, went)
	c.Changes = p.days(days)
	c.From, c.To = days[0].Date, days[len(days)-1].Date
	for i := len(all) - 1; i >= 0 && len(c.Days) < tableDays; i-- {
		if d := all[i]; d.Listed+d.Delisted > 0 {
			c.Days = append(c.Days, d)
		}
	}
	return c
}

// tableDays are in the table beside the charts.
const tableDays = 30

// share is a bar that is as long as a share of the most.
type share struct {
	Name  string
	Title web.Translated
	Now   uint64
	Ever  uint64
	Bar   template.HTML
}

func newShare(t chronicle.Tally, most uint64) share {
	wide := 100 * float64(t.Now) / float64(max(most, 1))
	return share{Name: t.Name, Now: t.Now, Ever: t.Ever, Bar: template.HTML(fmt.Sprintf(
		`<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" focusable="false"><path d="M0 0h%.2fv8H0z"/></svg>`, wide))}
}
