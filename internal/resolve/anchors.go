package resolve

import (
	"maps"
	"slices"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
)

// anchorBelow is the deepest zone below zone, at or above the name asked for, that has a
// trust anchor of its own; "" where there is none. A server that holds several zones answers
// without a referral, and what it says of such a name must be signed whatever is known of
// the zones above. A denial needs not, unless it claims to be signed by that zone: that the
// delegation has ended is for those above to say.
func (r *Resolver) anchorBelow(zone dns.Name, m *dnssec.Response) dns.Name {
	anchors, name := r.footing.Load().anchors, m.Name
	if len(anchors) == 0 || !name.IsSubdomainOf(zone) {
		return ""
	}
	if m.Type == dns.TypeDS && name != dns.Root {
		name = name.Parent()
	}
	for labels := name.Labels(); labels > zone.Labels(); labels-- {
		at := name.Suffix(labels)
		if r.exempt[at] {
			return ""
		}
		if len(anchors[at]) > 0 && (len(m.Answer) > 0 || signedBelow(at, m.Authority)) {
			return at
		}
	}
	return ""
}

// signedBelow reports signatures that claim to be by a zone or one below it.
func signedBelow(zone dns.Name, records []dns.RR) bool {
	for i := range records {
		rr := &records[i]
		if rr.Type != dns.TypeRRSIG {
			continue
		}
		if s, ok := dnssec.Signer(rr.Name, rr.Covered(), records[i:i+1]); ok && s.IsSubdomainOf(zone) {
			return true
		}
	}
	return false
}

// footing is what validation stands on: the trust anchors, and all that was derived from
// them and is kept. It is replaced as a whole when anchors change, so nothing outlives the
// anchor that it came from.
type footing struct {
	anchors map[dns.Name][]dnssec.DS // never written to
	trusts  *boundedMap[dns.Name, *trust]

	denials *denials // nil: none are kept

	rootTags []uint16 // of the root's anchors
	islands  bool     // there are anchors below the root
}

func (r *Resolver) newFooting(anchors map[dns.Name][]dnssec.DS) *footing {
	f := &footing{
		anchors: anchors, trusts: newBoundedMap[dns.Name, *trust](maxTrusts),
		rootTags: tags(anchors[dns.Root]),
	}
	for zone := range anchors {
		f.islands = f.islands || zone != dns.Root
	}
	if r.aggressive {
		f.denials = newDenials()
	}
	return f
}

// anchor puts other trust anchors of a zone in force; none removes the zone's trust point
// (RFC 5011 §5). Requests under way end with the keys that they began with.
func (r *Resolver) anchor(zone dns.Name, ds []dnssec.DS) {
	for {
		old := r.footing.Load()
		if slices.Equal(old.anchors[zone], ds) {
			return
		}
		anchors := maps.Clone(old.anchors)
		delete(anchors, zone)
		if len(ds) > 0 {
			anchors[zone] = ds
		}
		if r.footing.CompareAndSwap(old, r.newFooting(anchors)) {
			return
		}
	}
}

// tags are the key tags of trust anchors, in order.
func tags(anchors []dnssec.DS) []uint16 {
	var tags []uint16
	for _, ds := range anchors {
		tags = append(tags, ds.Tag)
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

// Refuses reports whether a question is a root key sentinel to which SERVFAIL is the answer,
// whatever the Internet said (RFC 8509 §3). The caller has seen to it that the query's CD bit
// is clear. It allocates nothing.
func (r *Resolver) Refuses(name []byte, t dns.Type, status answer.Status) bool {
	s, ok := dnssec.ParseSentinel(name)
	if !ok || r.validator == nil {
		return false
	}
	return s.Refuses(t, status, r.footing.Load().rootTags)
}
