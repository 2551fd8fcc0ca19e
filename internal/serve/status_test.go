package serve

import (
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/filter"
)

// How the resolver stands is told to who asks, and what is wrong beside it.
func TestStatus(t *testing.T) {
	v := newViews(t)
	cfg := v.filtered.cfg
	is := Status{Lines: []string{"list=7", "log=" + strings.Repeat("x", 300)}}
	cfg.Status = func() Status { return is }
	s := New(cfg)
	expect(t, s, "status.shoji TXT ch edns", `
		NOERROR
		status.shoji. 0 CH TXT "list=7" "log=`+strings.Repeat("x", 251)+`"
		EDNS 1232`)
	is = Status{Lines: []string{"fork=1"}, Alarm: "the log forked"}
	expect(t, s, "status.shoji TXT ch edns", `
		NOERROR
		status.shoji. 0 CH TXT "fork=1"
		EDNS 1232, Other: the log forked`)
	expect(t, s, "Status.Shoji TXT ch", "NOERROR\nStatus.Shoji. 0 CH TXT \"fork=1\"")
	expect(t, s, "status.shoji A ch edns", "NOERROR\nEDNS 1232, Other: the log forked")
	is.Lines = nil
	for range 30 {
		is.Lines = append(is.Lines, strings.Repeat("y", 255))
	}
	expect(t, s, "status.shoji TXT ch edns", "NOERROR tc\nEDNS 1232")
	expect(t, v.twin, "status.shoji TXT ch", "REFUSED")
}

// A view that must have a list and has none yet resolves nothing: not by its cache, not by an
// alias, not by DNS64. What is known here is answered.
func TestListIsRequired(t *testing.T) {
	v := newLocalViews(t, household, "evil.example")
	v.zone(world)
	ask(t, v.twin, "www.shop.example A")
	cfg := v.filtered.cfg
	cfg.Required, cfg.Live, cfg.Nonrecursive = true, new(filter.Live), true
	s := New(cfg)
	before := v.asked.Load()
	for _, question := range []string{"www.shop.example A edns", "www.shop.example A edns norecurse", "evil.example A edns", "shop.home.example A edns", "never-seen.example AAAA edns"} {
		expect(t, s, question, "SERVFAIL\nEDNS 1232, Not Ready: the list is not here yet")
	}
	if v.asked.Load() != before {
		t.Error("the Internet was asked")
	}
	expect(t, s, "a.deep.home.example TXT", "NOERROR aa\na.deep.home.example. 60 IN TXT \"x\"")
	cfg.Live.Swap(listOf(t, "evil.example"))
	expect(t, s, "www.shop.example A", "NOERROR\nwww.shop.example. 60 IN A 192.0.2.7")
	expect(t, s, "evil.example A edns", "NOERROR\nevil.example. 10 IN A 198.51.100.1\nEDNS 1232, Forged Answer: log entry 0")
	cfg.Live.Swap(listOf(t)) // an empty list is one
	expect(t, s, "www.shop.example A", "NOERROR\nwww.shop.example. 60 IN A 192.0.2.7")
}
