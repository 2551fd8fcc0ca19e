package resolve

import (
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
)

// keepDenials enters a secure negative answer into the index of denials.
func (r *Resolver) keepDenials(a *dnssec.Answer, now time.Time) {
	on := r.footing.Load()
	if on.denials == nil || a.SOA == nil || len(a.Denials) == 0 || a.SOA[0].Name.Canonical() != a.Denials[0].Zone() {
		return
	}
	ttl := min(time.Duration(a.TTL)*time.Second, r.ttls.MaxNegative)
	on.denials.put(a.Denials, a.SOA, now.Add(ttl))
}

// denied answers the walk's question from denials (RFC 8198): no such name, or no such data.
// The zone that it has come to is not asked then. A zone below that one may be known by its
// denials alone, where the same servers have both or a forwarder is asked. Other zones have
// no say, and what the operator takes for unsigned is left alone.
func (wk *walk) denied() *link {
	r := wk.r
	on := r.footing.Load()
	if on == nil || on.denials == nil || r.isExempt(wk.q.name) {
		return nil
	}
	var l *link
	var again func()
	now := r.now()
	if wk.q.typ == dns.TypeDS {
		wk.keepReferral(on, now)
	}
	on.denials.look(wk.from, wk.cut.zone, func(zone dns.Name, p *proofs) {
		n, ok := dnssec.Synthesize(p, zone, wk.q.name, wk.q.typ, now, &wk.w.proofs)
		if !ok {
			return
		}
		soa, until := p.soa()
		ttl := min(time.Duration(n.TTL)*time.Second, until.Sub(now).Truncate(time.Second))
		if ttl <= 0 {
			return
		}
		l = &link{name: wk.q.name, zone: zone, rcode: n.RCode, status: n.Status, ttl: ttl, proven: true}
		l.prove(soa, n.Denials)
		r.totals.synthesised.Add(1)
		if p.aged {
			again = func() { on.denials.put(n.Denials, soa, until) }
		}
	})
	if again != nil {
		again()
	}
	return l
}

// keepReferral enters what a referral denies of the DS records that the walk asks for, if the
// zone's SOA, which goes with a denial and not with a referral, is at hand.
func (wk *walk) keepReferral(on *footing, now time.Time) {
	child, ok := wk.r.cuts.referred(wk.q.name, now)
	if !ok || child.up != wk.cut.zone || len(child.ds) == 0 || !child.proves(now) {
		return
	}
	t, ok := on.trusts.get(child.up)
	if !ok || t.keys == nil || !now.Before(t.expires) {
		return
	}
	var soa []dns.RR
	var until time.Time
	on.denials.look(child.up, child.up, func(_ dns.Name, p *proofs) { soa, until = p.soa() })
	if len(soa) == 0 || !now.Before(until) {
		return
	}
	d := wk.r.validator.ProveDelegation(t.keys, child.zone, child.ds, now, &wk.w.proofs)
	if d.Status.IsInsecure() && len(d.DS) == 0 {
		on.denials.put(d.Denials, soa, until)
	}
}

// prove gives the link the records that stand in the authority section of a negative answer.
func (l *link) prove(soa []dns.RR, denials []dnssec.Denial) {
	l.proof = append(make([]dns.RR, 0, len(soa)+2*len(denials)), soa...)
	for i := range denials {
		l.proof = append(l.proof, denials[i].RR(), denials[i].Sig())
	}
	for i := range l.proof {
		l.proof[i].TTL = uint32(l.ttl / time.Second)
	}
}

// isExempt reports a name at or below a negative trust anchor.
func (r *Resolver) isExempt(name dns.Name) bool {
	if len(r.exempt) == 0 {
		return false
	}
	for ; ; name = name.Parent() {
		if r.exempt[name] {
			return true
		}
		if name == dns.Root {
			return false
		}
	}
}
