package resolve

import (
	"time"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
)

// putDNAME remembers a DNAME that was verified under its own name: it answers for all names
// below it (RFC 6672 §3.4). One that nobody has signed is asked for at each name anew, so
// that no forged one covers more than the name it was forged for.
func (r *Resolver) putDNAME(l *link, now time.Time) {
	if !isDNAME(l) || !l.status.IsSecure() || len(l.proof) > 0 {
		return
	}
	var records []dns.RR
	for i := range l.records {
		if l.records[i].Type != dns.TypeCNAME { // that is of the name asked for
			records = append(records, l.records[i])
		}
	}
	r.dnames.Store(true)
	r.put(answer.New(answer.Parts{
		Name: l.records[0].Name, Type: dns.TypeDNAME, RCode: dns.RCodeSuccess, Status: l.status,
		Answer: records, Born: now, TTL: l.ttl,
	}), now)
}

// redirect makes the link of a name below a DNAME that is remembered.
func (r *Resolver) redirect(q question, now time.Time) ([]link, bool) {
	if !r.dnames.Load() || q.name == dns.Root || q.typ == dns.TypeANY {
		return nil, false
	}
	for owner := q.name.Parent(); owner != dns.Root; owner = owner.Parent() {
		a, ok := r.memory.Get(owner, dns.TypeDNAME, now)
		if !ok || !a.Status().IsSecure() || len(a.Answer()) == 0 || a.Answer()[0].Type != dns.TypeDNAME {
			continue
		}
		records := aged(a.Answer(), a, now)
		target, ok := records[0].Target()
		prefix := q.name[:len(q.name)-len(owner)]
		if !ok || len(prefix)+len(target) > dns.MaxName {
			return nil, false
		}
		to := prefix + target.Canonical()
		cname := dns.RR{Name: q.name, Type: dns.TypeCNAME, Class: dns.ClassIN, TTL: records[0].TTL, Data: []byte(to)}
		if q.typ == dns.TypeCNAME {
			to = "" // what was asked for
		}
		return []link{{
			name: q.name, target: to, records: append(records, cname), ttl: a.Expires().Sub(now),
			status: a.Status(), recalled: true,
		}}, true
	}
	return nil, false
}
