package resolve

import (
	"context"
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

// chainOfTrust finds out whether a zone is signed, and its keys: from a trust anchor
// at the zone, or from what the zone above proves (RFC 4035 §5). DS and DNSKEY
// records are fetched as any other, within the request's budget.
func (r *Resolver) chainOfTrust(ctx context.Context, w *work, zone dns.Name) (*trust, error) {
	now := r.now()
	if t, ok := r.trusts.get(zone); ok && now.Before(t.expires) {
		return t, nil
	}
	if r.exempt[zone] {
		return &trust{status: dnssec.Exempt(), expires: now.Add(maxTTL)}, nil
	}
	if ds := r.anchors[zone]; len(ds) > 0 {
		return r.fetchKeys(ctx, w, zone, ds, now.Add(maxTTL))
	}
	if zone == dns.Root {
		return &trust{expires: now}, nil // no anchor: nobody can tell
	}
	if c, ok := r.cuts.m.get(zone); ok && c.fresh(now) {
		// What came with the referral spares a question.
		t, err := r.delegated(ctx, w, zone, c.up, c.ds)
		if err != nil || !t.status.IsBogus() {
			return t, err
		}
	}
	up, records, err := r.fetch(ctx, w, question{zone, dns.TypeDS})
	if err != nil {
		return nil, err
	}
	t, err := r.delegated(ctx, w, zone, up, records)
	if err == nil {
		r.trusts.put(zone, t)
	}
	return t, err
}

// fetch asks for records that only the chain of trust needs. It returns the zone
// whose servers answered, and the answer and authority sections together.
func (r *Resolver) fetch(ctx context.Context, w *work, q question) (zone dns.Name, records []dns.RR, err error) {
	if !w.push(q) {
		return "", nil, errDepth
	}
	defer w.pop()
	links, err := r.iterate(ctx, w, q, nil)
	if err != nil {
		return "", nil, err
	}
	m := response(q, links)
	return links[0].zone, append(m.Answer, m.Authority...), nil
}

// delegated judges a zone by what the zone above says of it.
func (r *Resolver) delegated(ctx context.Context, w *work, zone, up dns.Name, records []dns.RR) (*trust, error) {
	// One server may hold several zones, one above the other: the signature tells
	// which of them spoke.
	if signer, ok := signerAbove(zone, records); ok && signer.IsSubdomainOf(up) {
		up = signer
	}
	if len(up) >= len(zone) {
		return nil, errTrust
	}
	above, err := r.chainOfTrust(ctx, w, up)
	if err != nil {
		return nil, err
	}
	if above.keys == nil {
		return above, nil
	}
	now := r.now()
	d := r.validator.ProveDelegation(above.keys, zone, records, now, &w.proofs)
	if d.Status.IsBogus() && len(records) > 0 {
		if t, ok, err := r.insecureBetween(ctx, w, above.keys, zone); ok || err != nil {
			return t, err
		}
	}
	expires := now.Add(min(time.Duration(d.TTL)*time.Second, maxTTL))
	switch {
	case d.Status.IsBogus():
		return &trust{status: d.Status, expires: now.Add(maxBogusTTL)}, nil
	case d.Status.IsInsecure():
		t := &trust{status: d.Status, expires: expires}
		r.trusts.put(zone, t)
		return t, nil
	}
	return r.fetchKeys(ctx, w, zone, d.DS, expires)
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

// fetchKeys gets a zone's DNSKEY records and verifies them by DS records.
func (r *Resolver) fetchKeys(ctx context.Context, w *work, zone dns.Name, ds []dnssec.DS, expires time.Time) (*trust, error) {
	_, records, err := r.fetch(ctx, w, question{zone, dns.TypeDNSKEY})
	if err != nil {
		return nil, err
	}
	now := r.now()
	keys, status := r.validator.VerifyKeys(zone, ds, records, now, &w.proofs)
	t := &trust{keys: keys, status: status, expires: expires}
	switch {
	case keys != nil && keys.Expires().Before(expires):
		t.expires = keys.Expires()
	case status.IsBogus():
		t.expires = now.Add(maxBogusTTL)
	}
	r.trusts.put(zone, t)
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
			r.trusts.put(child, t)
			return t, true, nil
		case d.Cut:
			return nil, false, nil
		}
	}
	return nil, false, nil
}

// askDelegation asks whether a zone begins at a name, and how it is signed.
func (r *Resolver) askDelegation(ctx context.Context, w *work, keys *dnssec.Keys, child dns.Name) (dnssec.Delegation, error) {
	_, records, err := r.fetch(ctx, w, question{child, dns.TypeDS})
	if err != nil {
		return dnssec.Delegation{}, err
	}
	return r.validator.ProveDelegation(keys, child, records, r.now(), &w.proofs), nil
}
