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
	v := verdict{r: r, w: w, m: response(q, links), zone: links[0].zone, ttl: maxTTL}
	if err := v.reach(ctx); err != nil {
		return err
	}
	if v.status.IsBogus() {
		v.ttl = min(v.ttl, maxBogusTTL)
	}
	for i := range links {
		links[i].status = v.status
		links[i].ttl = min(links[i].ttl, v.ttl)
	}
	return nil
}

// verdict is the validation of one reply on its way.
type verdict struct {
	r      *Resolver
	w      *work
	m      *dnssec.Response
	zone   dns.Name // the zone by whose keys the rest of the reply is verified
	status dnssec.Status
	begun  bool // status holds that of a part
	ttl    time.Duration
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
			v.add(t.status)
			return nil
		}
		a := v.r.validator.VerifyAnswer(t.keys, v.m, v.r.now(), &v.w.proofs)
		if a.Status.IsBogus() && unsigned(a.Status) {
			below, err := v.below(ctx, t.keys)
			if err != nil {
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
		}
		if a.Status.IsBogus() || a.Cut == "" {
			return nil
		}
		v.zone = a.Cut
		v.m.Name = a.Next
	}
	return errTrust
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
