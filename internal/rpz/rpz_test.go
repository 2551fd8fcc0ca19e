package rpz

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/feed"
)

// A secondary takes the whole zone, then each difference, and so does one that missed some.
func TestSecondaryFollowsTheList(t *testing.T) {
	w := newWorld()
	z, s := serveWorld(t, w, NXDomain)
	w.change("+a.test", "+*.b.test", "+192.0.2.0/24", "+2001:db8::/32")
	z.take(t.Context(), w.publish())
	var early, late secondary
	for _, sec := range []*secondary{&early, &late} {
		if how := sec.refresh(t, s); how != "whole" {
			t.Fatalf("the first transfer is %s", how)
		}
	}
	if got, want := early.owners(), "[*.b.test 24.0.2.0.192.rpz-ip 32.zz.db8.2001.rpz-ip a.test b.test]"; got != want {
		t.Fatalf("the zone has %s", got)
	}
	if how := early.refresh(t, s); how != "same" {
		t.Errorf("nothing has changed, and the transfer is %s", how)
	}
	w.change("-a.test", "+c.test")
	z.take(t.Context(), w.publish())
	if how := early.refresh(t, s); how != "difference" {
		t.Errorf("one name more is %s", how)
	}
	w.change("-192.0.2.0/24", "+b.test", "-*.b.test") // b.test itself stays
	z.take(t.Context(), w.publish())
	for _, sec := range []*secondary{&early, &late} {
		if how := sec.refresh(t, s); how != "difference" {
			t.Errorf("the last change is %s", how)
		}
		if got, want := sec.owners(), "[32.zz.db8.2001.rpz-ip b.test c.test]"; got != want {
			t.Errorf("the zone has %s", got)
		}
	}
}

// A name is listed again by another clause while it is listed: nothing of the zone changes,
// but its serial does.
func TestListedAgain(t *testing.T) {
	w := newWorld()
	z, s := serveWorld(t, w, Sinkhole)
	w.change("+a.test")
	z.take(t.Context(), w.publish())
	var sec secondary
	sec.refresh(t, s)
	w.change("+a.test", "-never.test")
	z.take(t.Context(), w.publish())
	before := sec.serial
	if how := sec.refresh(t, s); how != "difference" || sec.serial == before || sec.owners() != "[a.test]" {
		t.Errorf("%s, serial %d after %d: %s", how, sec.serial, before, sec.owners())
	}
}

// The server is started anew: its journal comes from the log, and secondaries go on.
func TestRestart(t *testing.T) {
	w := newWorld()
	w.change("+old.test", "+*.old.test", "+a.test")
	first := w.publish()
	before, s := serveWorld(t, w, NXDomain)
	before.take(t.Context(), first)
	var sec secondary
	sec.refresh(t, s)
	w.change("+b.test", "+old.test") // listed again: no change
	w.publish()
	w.change("-*.old.test", "-old.test", "-a.test", "+a.test")
	last := w.publish()
	after, s := serveWorld(t, w, NXDomain)
	after.take(t.Context(), last)
	if how := sec.refresh(t, s); how != "difference" || sec.owners() != "[a.test b.test]" {
		t.Errorf("%s: %s", how, sec.owners())
	}
}

// Whatever is listed and delisted, at whichever serial a secondary comes back: it ends with
// the records of the whole zone, and no difference removes or adds what it must not.
func TestDifferencesAddUp(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newWorld()
		flavour := []Flavour{NXDomain, Sinkhole}[seed%2]
		z, s := serveWorld(t, w, flavour)
		secs := make([]secondary, 4)
		differences := 0
		for range 30 {
			for range r.IntN(6) {
				w.change([]string{"+", "-"}[r.IntN(2)] + []string{"a.test", "*.a.test", "b.a.test", "192.0.2.0/24", "c.test", "*.c.test"}[r.IntN(6)])
			}
			list := w.publish()
			if r.IntN(8) == 0 { // the server is started anew
				z, s = serveWorld(t, w, flavour)
			}
			z.take(t.Context(), list)
			var whole secondary
			whole.refresh(t, s)
			sec := &secs[r.IntN(len(secs))]
			if sec.refresh(t, s) == "difference" {
				differences++
			}
			if sec.serial != whole.serial || !maps.Equal(sec.zone, whole.zone) {
				t.Fatalf("seed %d: %v, and the whole zone is %v", seed, slices.Sorted(maps.Keys(sec.zone)), slices.Sorted(maps.Keys(whole.zone)))
			}
		}
		if differences < 5 {
			t.Errorf("seed %d: only %d differences", seed, differences)
		}
	}
}

// Who is too far behind for the journal gets the whole zone, and the journal stays small.
func TestJournalIsBounded(t *testing.T) {
	w := newWorld()
	z, s := serveWorld(t, w, NXDomain)
	w.change("+a.test")
	z.take(t.Context(), w.publish())
	var sec secondary
	sec.refresh(t, s)
	for range 2 {
		for i := range MaxJournal * 2 / 3 {
			w.change(fmt.Sprintf("+%d-%d.test", len(w.entries), i))
		}
		z.take(t.Context(), w.publish())
		if n := z.now.Load().journal.size(); n > MaxJournal {
			t.Errorf("a journal of %d changes", n)
		}
	}
	if how := sec.refresh(t, s); how != "whole" {
		t.Errorf("beyond the journal: %s", how)
	}
	w.change("-a.test")
	z.take(t.Context(), w.publish())
	if how := sec.refresh(t, s); how != "difference" {
		t.Errorf("within the journal: %s", how)
	}
}

// The serial never goes back, whatever list is published.
func TestOlderListIsNotTaken(t *testing.T) {
	w := newWorld()
	z, _ := serveWorld(t, w, NXDomain)
	w.change("+a.test")
	older := w.publish()
	w.change("+b.test")
	newer := w.publish()
	if !z.take(t.Context(), newer) || z.take(t.Context(), newer) || z.take(t.Context(), older) {
		t.Error("a list was taken that is not newer")
	}
	if n, ok := z.Serial(); !ok || n != serial(newer.Epoch()) {
		t.Errorf("serial %d", n)
	}
}

// A log that does not lead to the list in force gives no journal, and the zone is still right.
func TestLogAndListDisagree(t *testing.T) {
	w := newWorld()
	w.change("+a.test")
	w.publish()
	w.change("+b.test")
	list := w.publish()
	delete(list.listed, subject{name: dns.MustName("b.test")})
	var lines bytes.Buffer
	z, s := serveWorld(t, w, NXDomain)
	z.cfg.Log = slog.New(slog.NewTextHandler(&lines, nil))
	z.take(t.Context(), list)
	sec := secondary{serial: 1, zone: map[string]bool{}}
	if how := sec.refresh(t, s); how != "whole" || sec.owners() != "[a.test]" {
		t.Errorf("%s: %s", how, sec.owners())
	}
	if !strings.Contains(lines.String(), errDisagree.Error()) {
		t.Errorf("the log says %s", lines.String())
	}
}

// Serial numbers are compared as RFC 1982 says.
func TestSerialArithmetic(t *testing.T) {
	if newer(1, 1) || !newer(2, 1) || newer(1, 2) || !newer(0, 1<<32-1) || newer(1<<32-1, 0) {
		t.Error("wrong order")
	}
	if serial(1<<32+7) != 7 {
		t.Error("not modulo 2³²")
	}
}

// What cannot be in the zone is left out, counted and named.
func TestWhatCannotBeInTheZone(t *testing.T) {
	label := strings.Repeat("x", 63)
	long := strings.Join([]string{label, label, label, strings.Repeat("y", 53)}, ".") // 247 octets in wire form
	fits := strings.Join([]string{label, label, label, strings.Repeat("y", 47)}, ".") // 241; with *. and the origin 252
	odd := []string{"+" + long, `+\*.star.test`, "+1.rpz-ip", "+*." + fits + "zzzz"}
	w := newWorld()
	z, _ := serveWorld(t, w, NXDomain)
	var lines bytes.Buffer
	z.cfg.Log = slog.New(slog.NewTextHandler(&lines, nil))
	w.change("+a.test", "+*."+fits)
	w.change(`+*.b.test`)
	e := w.entries[len(w.entries)-1]
	e.Scope = "" // a commitment
	z.take(t.Context(), w.publish())
	if strings.Contains(lines.String(), "not in the zone") {
		t.Errorf("before: %s", lines.String())
	}
	for _, text := range odd {
		s, scope := subjectOf(strings.Replace(text[1:], `\*`, "star", 1))
		if strings.Contains(text, `\*`) {
			s.name = "\x01*" + dns.MustName("star.test")
		}
		c := change{subject: s, scope: scope, listed: true}
		c.apply(w.listed)
	}
	z, s := serveWorld(t, w, NXDomain)
	z.cfg.Log = slog.New(slog.NewTextHandler(&lines, nil))
	z.take(t.Context(), w.publish())
	var sec secondary
	sec.refresh(t, s)
	if want := fmt.Sprint([]string{"*.b.test", "*." + fits, "a.test", "b.test", fits, fits + "zzzz"}); sec.owners() != want {
		t.Errorf("the zone has %s, want %s", sec.owners(), want)
	}
	for _, want := range []string{"owners=4", "too long", "label * in front", "rpz-…", "zzzz"} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("%q is not in the log: %s", want, lines.String())
		}
	}
}

// Feed's reader of policy zones, and with it BIND's grammar, reads back what is written.
func TestPrefixOwners(t *testing.T) {
	for _, text := range []string{
		"192.0.2.0/24", "198.51.100.66/32", "0.0.0.0/8", "2001:db8::/32", "2001:db8::1/128", "::/16", "::1/128",
		"2001:db8:0:1::/64", "2001:0:0:1::/64", "2001:db8:1:2:3:4:5:6/128", "2001:db8:0:0:1:0:0:1/128", "2001:db8:0:1:1:1:1:1/128", "fe80::/10",
	} {
		want := netip.MustParsePrefix(text)
		owner := trigger{prefix: want}.owner()
		var got netip.Prefix
		_, err := feed.Read(strings.NewReader(owner+" CNAME .\n"), feed.Options{Format: feed.RPZ}, func(c feed.Claim) error {
			got = c.Prefix
			return nil
		})
		if err != nil || got != want {
			t.Errorf("%s is written %s, which reads as %s (%v)", want, owner, got, err)
		}
	}
}

// Each flavour's file is read back with the claims that the list has.
func TestFileReadsBack(t *testing.T) {
	w := newWorld()
	w.change("+a.test", "+*.b.test", "+192.0.2.0/24", `+we\$ird\.name.test`)
	for _, f := range []Flavour{Sinkhole, NXDomain} {
		var out bytes.Buffer
		left, err := content(f).WriteFile(&out, w.publish())
		if err != nil || left.Owners != 0 {
			t.Fatal(left, err)
		}
		var got []string
		_, err = feed.Read(bytes.NewReader(out.Bytes()), feed.Options{Format: feed.RPZ}, func(c feed.Claim) error {
			got = append(got, fmt.Sprintf("%s%s %s", strings.TrimSuffix(c.Name.String(), "."), c.Prefix, c.Scope))
			return nil
		})
		if want := `[a.testinvalid Prefix exact b.testinvalid Prefix exact we\$ird\.name.testinvalid Prefix exact b.testinvalid Prefix subtree 192.0.2.0/24 prefix]`; fmt.Sprint(got) != want || err != nil {
			t.Errorf("%s: %v, %v of:\n%s", f, got, err, out.String())
		}
		zp := mdns.NewZoneParser(&out, "", "")
		n := 0
		for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
			if n++; !strings.HasSuffix(rr.Header().Name, testOrigin) {
				t.Errorf("%v is outside of the zone", rr)
			}
		}
		if want := map[Flavour]int{Sinkhole: 2 + 2*4 + 1, NXDomain: 2 + 5}[f]; zp.Err() != nil || n != want {
			t.Errorf("%s: %d records, %v", f, n, zp.Err())
		}
	}
}

// Besides transfers only what a secondary looks at is answered.
func TestOtherQuestions(t *testing.T) {
	w := newWorld()
	w.change("+a.test")
	z, s := serveWorld(t, w, NXDomain)
	question := func(name string, typ uint16) *mdns.Msg {
		m := new(mdns.Msg)
		m.SetQuestion(name, typ)
		return m
	}
	if r := ask(t, s, false, question(testOrigin, mdns.TypeSOA))[0]; r.Rcode != mdns.RcodeServerFailure {
		t.Errorf("without a list: %v", r)
	}
	z.take(t.Context(), w.publish())
	notify := new(mdns.Msg)
	notify.SetNotify(testOrigin)
	two := question(testOrigin, mdns.TypeSOA)
	two.Question = append(two.Question, two.Question...)
	ixfr := new(mdns.Msg)
	ixfr.SetIxfr(testOrigin, 0, ".", ".")
	for _, c := range []struct {
		what   string
		m      *mdns.Msg
		stream bool
		rcode  int
		answer string
	}{
		{"SOA", question("RPZ.test.", mdns.TypeSOA), false, mdns.RcodeSuccess, "SOA"},
		{"NS", question(testOrigin, mdns.TypeNS), false, mdns.RcodeSuccess, "NS"},
		{"no data", question(testOrigin, mdns.TypeTXT), false, mdns.RcodeSuccess, ""},
		{"a name in it", question("a.test."+testOrigin, mdns.TypeA), true, mdns.RcodeRefused, ""},
		{"another zone", question("other.test.", mdns.TypeAXFR), true, mdns.RcodeNotAuth, ""},
		{"AXFR over UDP", question(testOrigin, mdns.TypeAXFR), false, mdns.RcodeFormatError, ""},
		{"IXFR over UDP", ixfr, false, mdns.RcodeSuccess, "SOA"},
		{"IXFR without a serial", question(testOrigin, mdns.TypeIXFR), true, mdns.RcodeFormatError, ""},
		{"NOTIFY", notify, true, mdns.RcodeNotImplemented, ""},
		{"two questions", two, true, mdns.RcodeFormatError, ""},
	} {
		r := ask(t, s, c.stream, c.m)
		types := ""
		for _, rr := range r[0].Answer {
			types += mdns.TypeToString[rr.Header().Rrtype]
		}
		if len(r) != 1 || r[0].Rcode != c.rcode || types != c.answer {
			t.Errorf("%s: %v", c.what, r)
		}
	}
}

// A zone that is published while another is being taken in is not lost.
func TestPublish(t *testing.T) {
	w := newWorld()
	z, _ := serveWorld(t, w, NXDomain)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	done := make(chan struct{})
	go func() {
		defer close(done)
		z.Run(ctx)
	}()
	for i := range 50 {
		w.change(fmt.Sprintf("+n%d.test", i))
	}
	last := w.publish()
	z.Publish(last)
	for n, ok := z.Serial(); !ok || n != serial(last.Epoch()); n, ok = z.Serial() {
		if ctx.Err() != nil {
			t.Fatal("never served")
		}
	}
	cancel()
	<-done
}
