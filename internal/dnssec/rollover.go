package dnssec

import (
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// The times of RFC 5011 §2.3 and §2.4.
const (
	addHoldDown    = 30 * 24 * time.Hour
	removeHoldDown = 30 * 24 * time.Hour
	minRefresh     = time.Hour
	maxRefresh     = 15 * 24 * time.Hour
	maxRetry       = 24 * time.Hour
)

// maxManagedKeys bounds the keys of one Rollover. A zone rolls one or two at a time.
const maxManagedKeys = 32

// KeyState is where a key stands in its life as a trust anchor (RFC 5011 §4.2).
type KeyState uint8

const (
	KeyPending KeyState = iota + 1 // seen, not yet trusted
	KeyValid                       // trusted
	KeyMissing                     // trusted, no longer seen
	KeyRevoked                     // never to be trusted again
	KeyRemoved                     // revoked long ago; remembered, so that no configuration brings it back
)

// String is the state as it is written to text.
func (s KeyState) String() string {
	switch s {
	case KeyPending:
		return "pending"
	case KeyValid:
		return "valid"
	case KeyMissing:
		return "missing"
	case KeyRevoked:
		return "revoked"
	case KeyRemoved:
		return "removed"
	}
	return "unknown"
}

// ManagedKey is a key that RFC 5011 watches over.
type ManagedKey struct {
	Key   DNSKEY // the revoke bit clear
	State KeyState
	Since time.Time // when the state began
	Until time.Time // when a pending key's or a revoked key's hold-down ends
}

// Rollover is the automated update of a zone's trust anchors (RFC 5011) as a value:
// Observe makes the next one of it, and changes nothing in place. The caller stores its
// text, and fetches the zone's DNSKEY RRset at Next.
type Rollover struct {
	Zone      dns.Name
	Anchors   []DS // configured, and not matched by a key so far: trusted
	Keys      []ManagedKey
	Refreshed time.Time // when the key set last verified
	Next      time.Time // when to fetch it again

	// Interval is the time between queries that the last verified set asks for.
	Interval time.Duration
}

// NewRollover starts from the configured anchors of a zone.
func NewRollover(zone dns.Name, anchors []Anchor) Rollover {
	return Rollover{Zone: zone.Canonical()}.Trust(anchors)
}

// Trust adds configured anchors of the zone to a stored state. Those that stand for a
// key that is watched already change nothing: a revoked key stays revoked.
func (r Rollover) Trust(anchors []Anchor) Rollover {
	r.Anchors = slices.Clone(r.Anchors)
	for _, ds := range AnchorsOf(r.Zone, anchors) {
		known := slices.ContainsFunc(r.Keys, func(m ManagedKey) bool {
			return m.State != KeyPending && ds.commits(r.Zone, m.Key)
		})
		if !known && !slices.Contains(r.Anchors, ds) && len(r.Anchors) < maxManagedKeys {
			r.Anchors = append(r.Anchors, ds)
		}
	}
	return r
}

// commits reports whether a DS record is that of a key.
func (d DS) commits(zone dns.Name, k DNSKEY) bool {
	return d.Type.size() != 0 && k.Algorithm == d.Algorithm && k.DS(zone, d.Type) == d
}

// DS is what the zone's key set has to be verified by now. It is empty once every
// anchor has been revoked: the zone then has no trust anchor (RFC 5011 §5).
func (r Rollover) DS() []DS {
	set := slices.Clone(r.Anchors)
	for _, m := range r.Keys {
		if m.trusted() {
			set = append(set, m.Key.DS(r.Zone, SHA256))
		}
	}
	return set
}

// Tags are the key tags of the trust anchors in use, as RFC 8145 and RFC 8509 tell
// them.
func (r Rollover) Tags() []uint16 {
	var tags []uint16
	for _, ds := range r.DS() {
		tags = append(tags, ds.Tag)
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

func (m *ManagedKey) trusted() bool { return m.State == KeyValid || m.State == KeyMissing }

// Observe takes a response to the zone's DNSKEY question into account (RFC 5011 §2.4,
// §4). Revocations count if the revoked key has signed the set; all else only if a
// trusted key has. It returns the keys that the response yields, as VerifyKeys does; a
// status that is not secure changes no more than revocations and the time of the next
// try.
func (v *Validator) Observe(r Rollover, records []dns.RR, now time.Time, w *Work) (Rollover, *Keys, Status) {
	r.Anchors, r.Keys = slices.Clone(r.Anchors), slices.Clone(r.Keys)
	set := pick(r.Zone, dns.TypeDNSKEY, records)
	for i := range set {
		if k, ok := ParseDNSKEY(set[i].Data); ok && k.Flags&FlagRevoke != 0 && v.selfSigned(&r, k, set, records, now, w) {
			r.revoke(k, now)
		}
	}
	keys, status := v.VerifyKeys(r.Zone, r.DS(), records, now, w)
	if !status.IsSecure() {
		return r.Retry(now), keys, status
	}
	r.meet(v, set, time.Duration(keys.original)*time.Second, now)
	r.Refreshed, r.Interval = now, refresh(keys)
	r.Next = now.Add(r.Interval)
	return r, keys, status
}

// refresh is how long to wait before the next query (RFC 5011 §2.3).
func refresh(k *Keys) time.Duration {
	return max(minRefresh, min(maxRefresh, time.Duration(k.original)*time.Second/2, k.left/2))
}

// Retry is the state after a query that got no response, or one that does not verify:
// the next comes after a fifth of the usual interval (RFC 5011 §2.3).
func (r Rollover) Retry(now time.Time) Rollover {
	r.Next = now.Add(max(minRefresh, min(maxRetry, r.Interval/5)))
	return r
}

// selfSigned reports whether a revoked key that is trusted or watched has signed the
// set.
func (v *Validator) selfSigned(r *Rollover, k DNSKEY, set, records []dns.RR, now time.Time, w *Work) bool {
	if k.Flags&FlagZone == 0 || k.Protocol != dnskeyProtocol || !v.supports(k.Algorithm) {
		return false
	}
	plain := k
	plain.Flags &^= FlagRevoke
	i := r.find(plain)
	known := i >= 0 && r.Keys[i].State < KeyRevoked
	if !known && !slices.ContainsFunc(r.Anchors, func(ds DS) bool { return ds.commits(r.Zone, plain) }) {
		return false
	}
	public := parsePublic(k.Algorithm, []byte(k.PublicKey))
	if public == nil {
		return false
	}
	self := &Keys{zone: r.Zone, keys: []key{{k.Tag(), k.Algorithm, public, keyID(k.Algorithm, []byte(k.PublicKey))}}}
	return v.verifySet(self, set, records, v.moment(now), w).Status.IsSecure()
}

// find returns the position of a key among those watched, or -1.
func (r *Rollover) find(k DNSKEY) int {
	return slices.IndexFunc(r.Keys, func(m ManagedKey) bool {
		return m.Key.Algorithm == k.Algorithm && m.Key.PublicKey == k.PublicKey
	})
}

// revoke ends a key's trust for good.
func (r *Rollover) revoke(k DNSKEY, now time.Time) {
	k.Flags &^= FlagRevoke
	r.unanchor(k)
	m := ManagedKey{Key: k, State: KeyRevoked, Since: now, Until: now.Add(removeHoldDown)}
	if i := r.find(k); i >= 0 {
		r.Keys[i] = m
	} else {
		r.Keys = append(r.Keys, m)
	}
}

// unanchor drops the configured anchors that stand for a key.
func (r *Rollover) unanchor(k DNSKEY) (had bool) {
	n := len(r.Anchors)
	r.Anchors = slices.DeleteFunc(r.Anchors, func(ds DS) bool { return ds.commits(r.Zone, k) })
	return len(r.Anchors) < n
}

// meet moves each key on by a set that a trusted key has signed.
func (r *Rollover) meet(v *Validator, set []dns.RR, ttl time.Duration, now time.Time) {
	seen := make([]bool, len(r.Keys), len(r.Keys)+len(set))
	for i := range set {
		k, ok := ParseDNSKEY(set[i].Data)
		if !ok || k.Flags&FlagZone == 0 || k.Flags&FlagRevoke != 0 || k.Protocol != dnskeyProtocol || !v.supports(k.Algorithm) {
			continue
		}
		at := r.find(k)
		if at < 0 && len(r.Keys) >= maxManagedKeys {
			continue
		}
		configured := r.unanchor(k)
		switch {
		case at >= 0:
			r.Keys[at].present(now, configured)
			seen[at] = true
			continue
		case !configured && k.Flags&FlagSEP == 0:
			continue
		}
		m := ManagedKey{Key: k, State: KeyPending, Since: now, Until: now.Add(max(addHoldDown, ttl))}
		if configured {
			m = ManagedKey{Key: k, State: KeyValid, Since: now}
		}
		r.Keys = append(r.Keys, m)
		seen = append(seen, true)
	}
	kept := r.Keys[:0]
	for i, m := range r.Keys {
		if seen[i] || m.absent(now) {
			kept = append(kept, m)
		}
	}
	r.Keys = kept
}

// present moves a key on that is in the set. A key that was configured since it was
// first seen need not wait.
func (m *ManagedKey) present(now time.Time, configured bool) {
	switch {
	case m.State == KeyPending && (configured || !now.Before(m.Until)), m.State == KeyMissing:
		*m = ManagedKey{Key: m.Key, State: KeyValid, Since: now}
	case m.State == KeyRevoked && !now.Before(m.Until):
		*m = ManagedKey{Key: m.Key, State: KeyRemoved, Since: now}
	}
}

// absent moves a key on that is not in the set, and reports whether it is still
// watched.
func (m *ManagedKey) absent(now time.Time) bool {
	switch {
	case m.State == KeyPending:
		return false
	case m.State == KeyValid:
		*m = ManagedKey{Key: m.Key, State: KeyMissing, Since: now}
	case m.State == KeyRevoked && !now.Before(m.Until):
		*m = ManagedKey{Key: m.Key, State: KeyRemoved, Since: now}
	}
	return true
}
