package resolve

import (
	"context"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
)

// response puts the links of one reply together again, as validation wants them.
func response(q question, links []link) *dnssec.Response {
	m := &dnssec.Response{Name: q.name, Type: q.typ, RCode: links[len(links)-1].rcode}
	if len(links) == 1 {
		m.Answer, m.Authority = links[0].records, links[0].proof
		return m
	}
	for i := range links {
		m.Answer = append(m.Answer, links[i].records...)
		m.Authority = appendNew(m.Authority, links[i].proof)
	}
	return m
}

// validate gives the links of one reply their status. Without trust anchors
// nothing is validated, and they stay indeterminate.
func (r *Resolver) validate(ctx context.Context, w *work, q question, links []link) error {
	if r.validator == nil {
		return nil
	}
	v := verdict{r: r, w: w, m: response(q, links), zone: r.begins(q, links[0].zone), ttl: longestTTL}
	if len(links) > 1 {
		v.alias = response(q, links[:1])
	}
	if err := v.reach(ctx); err != nil {
		return err
	}
	if v.status.IsBogus() && w.proofs.Spent() {
		return errProofs
	}
	if v.status.IsBogus() {
		v.ttl = min(v.ttl, maxBogusTTL)
	} else if v.ended {
		links[len(links)-1].rcode = v.rcode
	}
	for i := range links {
		links[i].status = v.status
		links[i].ttl = min(links[i].ttl, v.ttl)
	}
	return nil
}

// begins is the zone by whose keys the validation of a reply begins: the one that was asked.
// A forwarder is asked as its zone is for everything below: there it is that of the trust
// anchor nearest above the question.
func (r *Resolver) begins(q question, asked dns.Name) dns.Name {
	on := r.footing.Load()
	if !on.islands || !r.cuts.configured(q.name).forward {
		return asked
	}
	name := q.name
	if q.typ == dns.TypeDS && name != dns.Root {
		name = name.Parent()
	}
	for ; len(name) > len(asked); name = name.Parent() {
		if len(on.anchors[name]) > 0 {
			return name
		}
	}
	return asked
}

// verdict is the validation of one reply on its way.
type verdict struct {
	r      *Resolver
	w      *work
	m      *dnssec.Response
	alias  *dnssec.Response // its first link alone, where there are more
	zone   dns.Name         // the zone by whose keys the rest of the reply is verified
	status dnssec.Status
	begun  bool // status holds that of a part
	ttl    time.Duration

	// rcode is what is proven of the chain's end, once it has ended: the RCODE of a
	// reply is not signed.
	rcode dns.RCode
	ended bool
}

// add takes in the status of a part.
func (v *verdict) add(s dnssec.Status) {
	if v.begun {
		s = dnssec.Weakest(v.status, s)
	}
	v.status, v.begun = s, true
}

// reach verifies the reply from the zone asked down to the zones that its parts
// come from: a server may hold a zone and zones below it, and then answers without
// a referral.
func (v *verdict) reach(ctx context.Context) error {
	for range maxDescents {
		t, err := v.r.chainOfTrust(ctx, v.w, v.zone)
		if err != nil {
			return err
		}
		if t.keys == nil {
			if below := v.r.anchorBelow(v.zone, v.m); below != "" {
				v.zone = below
				continue
			}
			v.add(t.status)
			return nil
		}
		a := v.r.validator.VerifyAnswer(t.keys, v.m, v.r.now(), &v.w.proofs)
		if a.Status.IsBogus() && unsigned(a.Status) && !v.aliasHolds(t.keys) {
			below, err := v.below(ctx, t.keys)
			if err != nil && v.w.over(ctx, v.r.now()) != nil {
				return err
			}
			if below != "" {
				v.zone = below
				continue
			}
		}
		v.add(a.Status)
		if a.Status.IsSecure() {
			v.ttl = min(v.ttl, time.Duration(a.TTL)*time.Second)
			v.r.keepDenials(&a, v.r.now())
		}
		v.rcode, v.ended = a.RCode, a.Next == ""
		if a.Status.IsBogus() || a.Cut == "" {
			return nil
		}
		v.zone = a.Cut
		v.m.Name = a.Next
	}
	return errTrust
}

// aliasHolds reports that the reply's first link verifies by itself. Then what is amiss
// lies behind it, and is found out best by asking for its target (learnLinks).
func (v *verdict) aliasHolds(keys *dnssec.Keys) bool {
	return v.alias != nil && v.alias.Name == v.m.Name &&
		v.r.validator.VerifyAnswer(keys, v.alias, v.r.now(), &v.w.proofs).Status.IsSecure()
}

// unsigned reports a bogus status for want of signatures: a zone below that need
// not sign may be the reason.
func unsigned(s dnssec.Status) bool {
	return s.EDE() == dns.EDERRSIGsMissing || s.EDE() == dns.EDENSECMissing
}

// below looks for the next zone between the one with keys and the question's name,
// by asking for DS records label by label; "" where there is none. The common case
// costs nothing: a referral has told of the cut already.
func (v *verdict) below(ctx context.Context, keys *dnssec.Keys) (dns.Name, error) {
	last := v.m.Name.Labels()
	if v.m.Type == dns.TypeDS {
		last--
	}
	for labels := keys.Zone().Labels() + 1; labels <= last; labels++ {
		child := v.m.Name.Suffix(labels)
		d, err := v.r.askDelegation(ctx, v.w, keys, child)
		if err != nil {
			return "", err
		}
		if d.Status.IsBogus() {
			return "", nil
		}
		if d.Cut {
			return child, nil
		}
	}
	return "", nil
}
