package resolve

import (
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// Authority is a local copy of a zone (RFC 8806).
type Authority interface {
	// Current reports whether the copy answers.
	Current(now time.Time) bool
	// Reply answers as an authoritative server of the zone would, or is nil. What it
	// returns is not written to.
	Reply(name dns.Name, t dns.Type, now time.Time) *dns.Message
}

// Copy is a zone with a local copy, which answers in place of the zone's servers: those
// that are configured or delegated to are asked where it is not current, or its answers
// do not pass validation.
type Copy struct {
	Zone dns.Name
	From Authority
}

// enterCopies puts each copy before what its zone's names are asked of otherwise.
func (r *Resolver) enterCopies(copies []Copy) {
	for _, k := range copies {
		c := &cut{zone: k.Zone.Canonical(), copy: k.From, loopback: r.loopback}
		c.top, c.next = c, r.cuts.configured(c.zone)
		c.loopback = c.loopback || c.next.loopback
		r.cuts.fixed[c.zone] = c
	}
}

// replica answers a question from a zone's copy. avoid is not empty where what it says
// of the question was bogus.
func (r *Resolver) replica(c *cut, q question, avoid []*server) (finding, error) {
	if len(avoid) > 0 {
		return finding{}, errRefused
	}
	m := c.copy.Reply(q.name, q.typ, r.now())
	if m == nil {
		return finding{}, errNoAddress
	}
	f := r.scrub(c, q, m)
	if f.kind < kindAnswer {
		return finding{}, errRefused
	}
	return f, nil
}
