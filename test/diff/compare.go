package main

import (
	"slices"
	"time"

	"github.com/miekg/dns"
)

// party is one resolver with its reply to a question.
type party struct {
	name string
	*reply
}

// field is one aspect in which replies may differ.
type field string

const (
	fieldReply     field = "reply"     // whether there is one
	fieldRCode     field = "rcode"     //
	fieldAnswer    field = "answer"    // the RRsets of the answer section, with their signatures
	fieldAD        field = "AD"        //
	fieldSOA       field = "SOA"       // of the authority section
	fieldDenial    field = "denial"    // NSEC and NSEC3 of the authority section
	fieldAuthority field = "authority" // the rest of it
	fieldTC        field = "TC"        // over UDP, before TCP
	fieldTTL       field = "TTL"       // of the answer section, beyond the tolerance
	fieldViews     field = "views"     // the filtered view differs from the unfiltered one
)

// side says who stands where in a difference.
type side string

const (
	sideUs    side = "shoji alone"   // all peers agree with each other, and not with us
	sidePeers side = "peers differ"  // a peer agrees with us, another one does not
	sideAll   side = "no two agree"  // neither with us nor with each other
	sideViews side = "our own views" // the two views of shoji
)

// difference is one field in which the replies to a question are not alike.
type difference struct {
	q       question
	field   field
	side    side
	against []string // the peers that differ from us
	us      *reply
	parties []party  // the peers
	zones   []*zone  // where the question's name and those of its aliases lie, and the zones above
	path    []uint16 // types of the records on the way, by the tree itself
	elapsed time.Duration
}

// witness is a set of replies to one question.
type witness struct {
	q        question
	us       *reply
	filtered *reply
	peers    []party
	elapsed  time.Duration // since the first question: how far TTLs may have run apart
}

// slack is added to the time elapsed before two TTLs count as different: resolvers learn
// some records before the first question, when they start.
const slack = 20 * time.Second

// differ reports whether two replies differ in a field.
func differ(f field, a, b *reply, elapsed time.Duration) bool {
	switch f {
	case fieldReply:
		return (a.err == nil) != (b.err == nil)
	case fieldRCode:
		return a.rcode != b.rcode
	case fieldAnswer:
		return !slices.Equal(a.answer, b.answer)
	case fieldAD:
		return a.ad != b.ad
	case fieldSOA:
		return !slices.Equal(a.soa, b.soa)
	case fieldDenial:
		return !slices.Equal(a.denial, b.denial)
	case fieldAuthority:
		return !slices.Equal(a.authority, b.authority)
	case fieldTC:
		return a.tc != b.tc
	case fieldTTL:
		for key, ttl := range a.ttl {
			other, ok := b.ttl[key]
			if apart := time.Duration(max(ttl, other)-min(ttl, other)) * time.Second; ok && apart > elapsed+slack {
				return true
			}
		}
	}
	return false
}

// meaningful reports whether two replies are alike enough for a field to mean something.
func meaningful(f field, a, b *reply) bool {
	switch f {
	case fieldReply:
		return true
	case fieldRCode:
		return a.err == nil && b.err == nil
	}
	return a.err == nil && b.err == nil && a.rcode == b.rcode
}

// differences compares the replies to one question field by field.
func (w *witness) differences() (out []difference) {
	for _, f := range []field{fieldReply, fieldRCode, fieldAnswer, fieldAD, fieldSOA, fieldDenial, fieldAuthority, fieldTC, fieldTTL} {
		d := difference{q: w.q, field: f, us: w.us, elapsed: w.elapsed}
		var against []*reply
		for _, p := range w.peers {
			if !meaningful(f, w.us, p.reply) {
				continue
			}
			d.parties = append(d.parties, p)
			if differ(f, w.us, p.reply, w.elapsed) {
				d.against = append(d.against, p.name)
				against = append(against, p.reply)
			}
		}
		if len(against) == 0 {
			continue
		}
		d.side = sideUs
		if len(against) < len(d.parties) || len(d.parties) < len(w.peers) {
			d.side = sidePeers
		} else {
			for _, r := range against[1:] {
				if differ(f, against[0], r, w.elapsed) {
					d.side = sideAll
				}
			}
		}
		d.parties = w.peers
		out = append(out, d)
	}
	if w.filtered != nil && w.viewsDiffer() {
		out = append(out, difference{q: w.q, field: fieldViews, side: sideViews, against: []string{"filtered"}, us: w.us,
			parties: []party{{"filtered", w.filtered}}})
	}
	return out
}

// parts takes a difference apart where the peers do not agree with each other: each of
// them needs its own explanation.
func (d *difference) parts() []*difference {
	if d.side != sideAll && d.side != sidePeers {
		return []*difference{d}
	}
	var out []*difference
	for _, name := range d.against {
		part := *d
		part.against = []string{name}
		out = append(out, &part)
	}
	return out
}

// viewsDiffer compares the views, of which one is asked after all peers have answered.
func (w *witness) viewsDiffer() bool {
	for _, f := range []field{fieldReply, fieldRCode, fieldAnswer, fieldAD, fieldSOA, fieldDenial, fieldAuthority, fieldTC, fieldTTL} {
		if meaningful(f, w.us, w.filtered) && differ(f, w.us, w.filtered, 2*patience) {
			return true
		}
	}
	return false
}

// through are the zones that a question leads through: those of its name and of the
// targets of all its aliases, by the tree itself, and the zones above each.
// path are the types of the records of that way.
func (t *tree) through(q question) (out []*zone, path []uint16) {
	add := func(name string) {
		for z := t.zoneOf(name); z != nil; z = z.up {
			if !slices.Contains(out, z) {
				out = append(out, z)
			}
		}
	}
	add(q.name)
	qtype := dns.Type(q.qtype).String()
	if _, ok := dns.StringToType[qtype]; !ok {
		qtype = "A" // any that is not an alias's
	}
	truth, err := t.signed.Truth(q.name, qtype, t.at)
	if err != nil {
		return out, nil
	}
	for _, line := range truth.Answer {
		rr, err := dns.NewRR(line)
		if err != nil {
			continue
		}
		path = append(path, rr.Header().Rrtype)
		switch rr := rr.(type) {
		case *dns.CNAME:
			add(rr.Target)
		case *dns.DNAME:
			add(rr.Target)
		}
	}
	return out, path
}
