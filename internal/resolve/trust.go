package resolve

import (
	"context"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
)

const (
	// maxTrusts sizes the map of zones' keys.
	maxTrusts = 1 << 13

	// maxBogusTTL is how long bogus data and broken chains of trust are remembered
	// (RFC 4035 §4.7 asks for a small TTL).
	maxBogusTTL = 30 * time.Second

	// maxBogusRetries is how many other servers are asked after a bogus reply.
	maxBogusRetries = 2

	// maxDescents bounds the zones below the one asked that one reply may lead through.
	maxDescents = 16
)

// trust is what is known of a zone's keys.
type trust struct {
	keys    *dnssec.Keys // set where the zone is secure
	status  dnssec.Status
	expires time.Time
}

// hasKeys reports that a zone is known to be secure.
func (r *Resolver) hasKeys(zone dns.Name) bool {
	if r.validator == nil {
		return false
	}
	t, ok := r.footing.Load().trusts.get(zone)
	return ok && t.keys != nil
}

// chainOfTrust finds out whether a zone is signed, and its keys: from a trust anchor
// at the zone, or from what the zone above proves (RFC 4035 §5). DS and DNSKEY
// records are fetched as any other, within the request's budget.
func (r *Resolver) chainOfTrust(ctx context.Context, w *work, zone dns.Name) (*trust, error) {
	now, on := r.now(), r.footing.Load()
	if t, ok := on.trusts.get(zone); ok && now.Before(t.expires) {
		return t, nil
	}
	if r.exempt[zone] {
		return &trust{status: dnssec.Exempt(), expires: now.Add(maxTTL)}, nil
	}
	if ds := on.anchors[zone]; len(ds) > 0 {
		return r.fetchKeys(ctx, w, zone, ds, now.Add(maxTTL))
	}
	if zone == dns.Root {
		return &trust{expires: now}, nil // no anchor: nobody can tell
	}
	if c, ok := r.cuts.referred(zone, now); ok && c.proves(now) {
		// What came with the referral spares a question.
		g, err := r.delegated(ctx, w, zone, c.up, c.ds)
		if err != nil || !g.isBogus() {
			return r.redeem(ctx, w, zone, g, err)
		}
	}
	var g grant
	err := r.insist(ctx, w, question{zone, dns.TypeDS}, func(f fetched) (good bool, err error) {
		g, err = r.delegated(ctx, w, zone, f.zone, f.records)
		return !g.isBogus(), err
	})
	t, err := r.redeem(ctx, w, zone, g, err)
	if err == nil {
		r.footing.Load().trusts.put(zone, t)
	}
	return t, err
}

// grant is what the zone above says of a zone's keys: that there are none to go by (trust),
// or what to verify them by.
type grant struct {
	trust   *trust
	ds      []dnssec.DS
	expires time.Time
}

func (g *grant) isBogus() bool { return g.trust != nil && g.trust.status.IsBogus() }

// redeem gets the keys that a grant leads to.
func (r *Resolver) redeem(ctx context.Context, w *work, zone dns.Name, g grant, err error) (*trust, error) {
	if err != nil || g.trust != nil {
		return g.trust, err
	}
	return r.fetchKeys(ctx, w, zone, g.ds, g.expires)
}

// fetched is a reply that only the chain of trust needs.
type fetched struct {
	zone    dns.Name // whose servers answered
	records []dns.RR // the answer and authority sections together
	from    *server
}

// insist fetches records, and again from other servers of the zone where they are no good:
// one server may be behind with its signatures, or its reply forged. What the last reply
// came to stands.
func (r *Resolver) insist(ctx context.Context, w *work, q question, judge func(fetched) (good bool, err error)) error {
	var avoid []*server
	for {
		f, err := r.fetch(ctx, w, q, avoid)
		if err != nil {
			if len(avoid) > 0 && ctx.Err() == nil {
				return nil
			}
			return err
		}
		good, err := judge(f)
		if err != nil || good || len(avoid) == maxBogusRetries || f.from == nil || slices.Contains(avoid, f.from) {
			return err
		}
		avoid = append(avoid, f.from)
	}
}

// fetch asks for records that only the chain of trust needs, of other servers than those to
// avoid.
func (r *Resolver) fetch(ctx context.Context, w *work, q question, avoid []*server) (fetched, error) {
	if !w.isTop(q) { // who asks for a zone's keys needs them for their own validation: no cycle
		if !w.push(q) {
			return fetched{}, errDepth
		}
		defer w.pop()
	}
	ahead := w.ahead
	w.ahead = 0
	links, err := r.iterate(ctx, w, q, avoid)
	w.ahead = ahead
	if err != nil {
		return fetched{}, err
	}
	m := response(q, links)
	return fetched{links[0].zone, append(m.Answer, m.Authority...), links[0].from}, nil
}

// delegated judges a zone by what the zone above says of it.
func (r *Resolver) delegated(ctx context.Context, w *work, zone, up dns.Name, records []dns.RR) (grant, error) {
	// One server may hold several zones, one above the other: the signature tells
	// which of them spoke.
	if signer, ok := signerAbove(zone, records); ok && signer.IsSubdomainOf(up) {
		up = signer
	}
	if len(up) >= len(zone) {
		return grant{}, errTrust
	}
	above, err := r.chainOfTrust(ctx, w, up)
	if err != nil || above.keys == nil {
		return grant{trust: above}, err
	}
	now := r.now()
	d := r.validator.ProveDelegation(above.keys, zone, records, now, &w.proofs)
	if d.Status.IsBogus() && len(records) > 0 {
		if t, ok, err := r.insecureBetween(ctx, w, above.keys, zone); ok || err != nil {
			return grant{trust: t}, err
		}
	}
	expires := now.Add(min(time.Duration(d.TTL)*time.Second, maxTTL))
	switch {
	case d.Status.IsBogus() && w.proofs.Spent():
		return grant{}, errProofs
	case d.Status.IsSecure() && !d.Cut && r.cuts.fixed[zone] != nil:
		return grant{trust: above}, nil // the configured name is not a zone's: its names belong to the zone above
	case d.Status.IsBogus():
		return grant{trust: &trust{status: d.Status, expires: now.Add(maxBogusTTL)}}, nil
	case d.Status.IsInsecure():
		t := &trust{status: d.Status, expires: expires}
		r.footing.Load().trusts.put(zone, t)
		return grant{trust: t}, nil
	}
	return grant{ds: d.DS, expires: expires}, nil
}

// signerAbove is the zone that the signatures over a zone's DS records, or over
// their denial, claim to be by.
func signerAbove(zone dns.Name, records []dns.RR) (dns.Name, bool) {
	for i := range records {
		rr := &records[i]
		if rr.Type != dns.TypeRRSIG {
			continue
		}
		s, ok := dnssec.Signer(rr.Name, rr.Covered(), records[i:i+1])
		if ok && len(s) < len(zone) && zone.IsSubdomainOf(s) {
			return s, true
		}
	}
	return "", false
}

// trustIn is a secure zone's keys, for as long as they hold and at most until expires.
func trustIn(keys *dnssec.Keys, status dnssec.Status, expires time.Time) *trust {
	if keys.Expires().Before(expires) {
		expires = keys.Expires()
	}
	return &trust{keys: keys, status: status, expires: expires}
}

// fetchKeys gets a zone's DNSKEY records and verifies them by DS records.
func (r *Resolver) fetchKeys(ctx context.Context, w *work, zone dns.Name, ds []dnssec.DS, expires time.Time) (*trust, error) {
	var t *trust
	err := r.insist(ctx, w, question{zone, dns.TypeDNSKEY}, func(f fetched) (bool, error) {
		now := r.now()
		keys, status := r.validator.VerifyKeys(zone, ds, f.records, now, &w.proofs)
		switch spent := status.IsBogus() && w.proofs.Spent(); {
		case spent && t == nil:
			return false, errProofs
		case spent:
			return true, nil // what the reply before this one came to stands
		}
		t = &trust{keys: keys, status: status, expires: expires}
		switch {
		case keys != nil:
			t = trustIn(keys, status, expires)
		case status.IsBogus():
			t.expires = now.Add(maxBogusTTL)
		}
		return !status.IsBogus(), nil
	})
	if err != nil {
		return nil, err
	}
	r.footing.Load().trusts.put(zone, t)
	return t, nil
}

// insecureBetween looks for a proof, label by label, that a zone between the one
// with keys and name is not signed (RFC 4035 §5.2): then nothing below it need be.
func (r *Resolver) insecureBetween(ctx context.Context, w *work, keys *dnssec.Keys, name dns.Name) (*trust, bool, error) {
	for labels := keys.Zone().Labels() + 1; labels < name.Labels(); labels++ {
		child := name.Suffix(labels)
		d, err := r.askDelegation(ctx, w, keys, child)
		if err != nil {
			return nil, false, err
		}
		switch {
		case d.Status.IsBogus():
			return nil, false, nil
		case d.Status.IsInsecure():
			t := &trust{status: d.Status, expires: r.now().Add(time.Duration(d.TTL) * time.Second)}
			r.footing.Load().trusts.put(child, t)
			return t, true, nil
		case d.Cut:
			return nil, false, nil
		}
	}
	return nil, false, nil
}

// askDelegation asks whether a zone begins at a name, and how it is signed.
func (r *Resolver) askDelegation(ctx context.Context, w *work, keys *dnssec.Keys, child dns.Name) (dnssec.Delegation, error) {
	f, err := r.fetch(ctx, w, question{child, dns.TypeDS}, nil)
	if err != nil {
		return dnssec.Delegation{}, err
	}
	return r.validator.ProveDelegation(keys, child, f.records, r.now(), &w.proofs), nil
}
