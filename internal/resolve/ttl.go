package resolve

import (
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// TTLs bounds how long answers are remembered, and so the TTLs that clients see.
// What is least for an answer gives way to what is most.
//
// Secure and bogus answers are not prolonged: a signature covers the TTL that the
// zone's owner chose (RFC 4035 §5.3.3), and bogus data is to be forgotten soon.
// Nor are delegations, which last as long as the parent says and no longer.
type TTLs struct {
	// Min and Max bound answers that have records; Max bounds all others and
	// delegations too. 0 for Max is DefaultMaxTTL.
	Min, Max time.Duration

	// MinNegative and MaxNegative bound answers that deny a name or a type. 0 for
	// MaxNegative is DefaultMaxNegativeTTL.
	MinNegative, MaxNegative time.Duration
}

func (t TTLs) orDefaults() TTLs {
	if t.Max == 0 {
		t.Max = DefaultMaxTTL
	}
	if t.MaxNegative == 0 {
		t.MaxNegative = DefaultMaxNegativeTTL
	}
	t.Max = min(t.Max, longestTTL)
	t.MaxNegative = min(t.MaxNegative, t.Max)
	return t
}

// bound gives links that were validated their time to live, and brings the TTLs of
// their records into the same bounds. What validation says of a single link's time is
// about its records (RFC 4035 §5.3.3), so their TTLs are no longer than that; what it
// says of several is about the shortest-lived of them.
func (t TTLs) bound(links []link) {
	for i := range links {
		t.boundLink(&links[i], len(links) == 1)
	}
}

func (t TTLs) boundLink(l *link, single bool) {
	least, most := t.Min, t.Max
	if len(l.records) == 0 {
		least, most = t.MinNegative, t.MaxNegative
	}
	failed := l.rcode != dns.RCodeSuccess && l.rcode != dns.RCodeNameError
	if failed || l.status.IsSecure() || l.status.IsBogus() {
		least = 0
	}
	l.ttl = min(max(l.ttl, least), most)
	low, high := uint32(min(least, most)/time.Second), uint32(most/time.Second)
	l.proof = withTTLs(l.proof, low, high)
	if single || l.status.IsBogus() {
		high = uint32(l.ttl / time.Second)
	}
	l.records = withTTLs(l.records, low, high)
}

// withTTLs brings the TTLs of records into bounds. Records that several links share
// are copied before one changes.
func withTTLs(records []dns.RR, low, high uint32) []dns.RR {
	within := func(rr dns.RR) bool { return low <= rr.TTL && rr.TTL <= high }
	if !slices.ContainsFunc(records, func(rr dns.RR) bool { return !within(rr) }) {
		return records
	}
	out := slices.Clone(records)
	for i := range out {
		out[i].TTL = min(max(out[i].TTL, low), high)
	}
	return out
}
