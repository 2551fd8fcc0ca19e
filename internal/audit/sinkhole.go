package audit

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/filter"
)

// A reply that cites the right entry proves nothing about where it leads. An address is the
// sinkhole's because all that is filtered leads there: one in each family, of all servers of
// the filtered view. The log does not tell it, so one listing alone shows nothing.

const (
	// enoughListings is how many listings have to lead to an address for it to count.
	enoughListings = 2
	// maxMore is how many listed names are asked for beside the plan to have that many.
	maxMore = 8
)

// led is what a reply that is filtered in due form holds, as far as it has to be the same
// whoever asks.
type led struct {
	records string
	why     string // its error; "" where the question had no EDNS to say it in
	addr    netip.Addr
}

// readLed reads a filtered reply.
func readLed(o *observation) *led {
	records := fmt.Append(nil, o.reply.RCode)
	for i := range o.reply.Answer {
		rr := &o.reply.Answer[i]
		records = binary.BigEndian.AppendUint16(records, uint16(rr.Type))
		records = append(records, rr.Data...)
	}
	out := &led{records: string(records)}
	if o.edns() {
		out.why = fmt.Sprintf("errors: %s", errorsOf(o.reply))
	}
	if got := readSaid(o.name, o.typ, o.reply.RCode, o.reply.Answer); len(got.addrs) == 1 {
		out.addr = got.addrs[0]
	}
	return out
}

// note notes where a filtered answer leads, if it cites the entry that lists its name, and
// reports whether it did.
func (l *live) note(o *question, m *dns.Message, v filter.Verdict) bool {
	s := readSignal(m, l.log.Key)
	got := readSaid(o.name, o.typ, m.RCode, m.Answer)
	if !s.given || !s.names(v.Entry) || len(got.addrs) != 1 {
		return false
	}
	l.lead(got.addrs[0], listing{l.name, v.Entry})
	return true
}

// listing is an entry of a log, by the log's name as a book has it.
type listing struct {
	log   string
	entry uint64
}

// lead notes that what an entry lists leads to an address.
func (l *live) lead(a netip.Addr, by listing) {
	if l.leads[a] == nil {
		l.leads[a] = map[listing]bool{}
	}
	l.leads[a][by] = true
}

// ledTo are the addresses of a family that filtered answers lead to, those of most listings first.
func (l *live) ledTo(ipv4 bool) []netip.Addr {
	var out []netip.Addr
	for a := range l.leads {
		if a.Is4() == ipv4 {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b netip.Addr) int {
		return cmp.Or(cmp.Compare(len(l.leads[b]), len(l.leads[a])), a.Compare(b))
	})
	return out
}

// isSinkhole reports whether an address is the sinkhole's beyond dispute: enough listings lead
// to it, and none elsewhere.
func (l *live) isSinkhole(a netip.Addr) bool {
	return len(l.leads[a]) >= enoughListings && len(l.ledTo(a.Is4())) == 1
}

// original says who finds an address for a name itself, so that it is not the sinkhole's; ""
// where nobody is known to.
func (l *live) original(q *question, a netip.Addr) string {
	if t := l.truths[keyOf(q)]; t != nil {
		for _, found := range t.found {
			want := readSaid(found.Name(), q.typ, found.RCode(), found.Answer())
			if slices.Contains(want.addrs, a) {
				return "this machine's recursion"
			}
		}
	}
	if l.originals[keyOf(q)][a] {
		return "the unfiltered twin"
	}
	return ""
}

// hold holds where filtered answers lead against one another, when all has been asked.
func (l *live) hold(ctx context.Context) {
	l.askMore(ctx)
	for _, ipv4 := range []bool{true, false} {
		all := l.ledTo(ipv4)
		var right netip.Addr // where there are several, that of most listings
		switch {
		case len(all) == 0: // nothing that this log lists
			continue
		case len(all) > 1 && len(l.leads[all[0]]) == len(l.leads[all[1]]): // none can tell
		case len(l.leads[all[0]]) >= enoughListings:
			right = all[0]
		case len(all) == 1:
			right = all[0]
			l.filtered.open(Finding{Code: LoneSinkhole, Subject: all[0].String(), Detail: "compare it with the address that the operator says"})
		}
		for _, o := range l.all {
			if o.led != nil && o.led.addr.IsValid() && o.led.addr.Is4() == ipv4 && o.led.addr != right && (o.outcome.fine() || o.outcome.code == OtherLog) {
				detail := fmt.Sprintf("it leads to %s", o.led.addr)
				if others := slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool { return a == o.led.addr }); len(others) > 0 {
					detail += ", others to " + addressWords(others[:min(len(others), MaxShown)])
				}
				o.outcome = outcome{code: OtherSinkhole, detail: detail, entry: o.outcome.entry, log: o.outcome.log}
			}
		}
		for _, a := range all[:min(len(all), MaxShown)] {
			l.asked.Sinkholes = append(l.asked.Sinkholes, a.String())
		}
	}
}

// askMore asks for further listed names where chance had an address of a family asked of too
// few listings.
func (l *live) askMore(ctx context.Context) {
	if len(l.plan.filtered) == 0 {
		return
	}
	server := l.plan.filtered[0]
	route := Route{Server: server, Transport: cmp.Or(server.Encrypted, l.cfg.Transports[0].Name)}
	for _, family := range []struct {
		ipv4 bool
		typ  dns.Type
	}{{true, dns.TypeA}, {false, dns.TypeAAAA}} {
		known := map[listing]bool{}
		for _, a := range l.ledTo(family.ipv4) {
			maps.Copy(known, l.leads[a])
		}
		more := 0
		for _, t := range slices.Concat(l.chosen, l.listed) {
			if len(known) == 0 || len(known) >= enoughListings || more == maxMore || ctx.Err() != nil {
				break
			}
			if v, listed := l.newest().MatchName(t.name); listed && !known[listing{l.name, v.Entry}] {
				more++
				if l.learn(ctx, &question{topic: &t, typ: family.typ, route: route}, v) {
					known[listing{l.name, v.Entry}] = true
				}
			}
		}
	}
}

// unlike parts filtered replies to one question that do not say the same from the most that do.
func unlike(all []*observation) (odd, even []*observation) {
	for _, of := range []func(*led) string{
		func(d *led) string { return d.records },
		func(d *led) string { return d.why },
	} {
		type group struct {
			entry      uint64
			log        string
			structured bool // these are answered in another form
		}
		type kind struct {
			group
			text string
		}
		counts, most := map[kind]int{}, map[group]kind{}
		kindOf := func(o *observation) (kind, bool) {
			if o.led == nil || of(o.led) == "" {
				return kind{}, false
			}
			return kind{group{o.outcome.entry, o.outcome.log, o.form.structured}, of(o.led)}, true
		}
		for _, o := range all {
			if k, ok := kindOf(o); ok {
				if counts[k]++; counts[k] > counts[most[k.group]] {
					most[k.group] = k
				}
			}
		}
		odd, even = nil, nil
		for _, o := range all {
			if k, ok := kindOf(o); ok && k != most[k.group] {
				odd = append(odd, o)
			} else if ok {
				even = append(even, o)
			}
		}
		if len(odd) > 0 {
			return odd, even
		}
	}
	return nil, nil
}
