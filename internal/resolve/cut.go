package resolve

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// cut is a zone cut: a zone and the servers that its parent names for it. The
// parent's word decides (NS names, glue and how long they last); what the zone
// says of itself never prolongs it, which is what ghost and phoenix domains need.
type cut struct {
	zone    dns.Name // canonical
	born    time.Time
	expires time.Time // zero: never (configured)

	// forward marks configured servers that are asked to resolve, not to serve a zone.
	forward bool

	// hints marks the configured root servers, from which the root is primed.
	hints bool

	// unprimed marks a root that the hints serve for, since priming drew no answer of use.
	unprimed bool

	up dns.Name // the zone whose servers gave the referral

	// ds is what the parent said of the zone's keys with the referral: DS and its
	// RRSIG, or the NSEC or NSEC3 records with RRSIG that deny it. Not validated.
	ds []dns.RR

	inFlight atomic.Int32

	mu      sync.Mutex
	names   []nameServer
	targets []target
}

// nameServer is one NS record of a delegation.
type nameServer struct {
	name  dns.Name
	known bool      // has addresses in targets, from glue or a look-up
	again time.Time // the look-up of its addresses may be tried again
}

// target is one address of a delegation's servers.
type target struct {
	server  *server
	ns      int       // index in names
	expires time.Time // zero: with the cut
	lame    time.Time // passed over until then
}

func (c *cut) fresh(now time.Time) bool { return c.expires.IsZero() || now.Before(c.expires) }

// limit is how many questions may be under way to the zone.
func (c *cut) limit() int32 {
	if c.forward || c.zone.Labels() <= 1 {
		return maxTopInFlight
	}
	return maxZoneInFlight
}

// enter claims a place for a question; leave gives it back.
func (c *cut) enter() bool {
	if c.inFlight.Add(1) > c.limit() {
		c.inFlight.Add(-1)
		return false
	}
	return true
}

func (c *cut) leave() { c.inFlight.Add(-1) }

// markLame notes that a server does not serve the zone.
func (c *cut) markLame(s *server, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.targets {
		if c.targets[i].server == s {
			c.targets[i].lame = now.Add(lameTime)
		}
	}
}

// add notes an address of name server ns; it reports false where there is no room.
func (c *cut) add(ns int, s *server, expires time.Time) bool {
	n := 0
	for i := range c.targets {
		t := &c.targets[i]
		if t.server == s {
			t.expires = expires
			c.names[ns].known = true
			return true
		}
		if t.ns == ns {
			n++
		}
	}
	if len(c.targets) >= maxTargets || n >= maxTargetsPerNS {
		return false
	}
	c.targets = append(c.targets, target{server: s, ns: ns, expires: expires})
	c.names[ns].known = true
	return true
}

// expire drops addresses whose time is over, so that they are looked up again.
func (c *cut) expire(now time.Time) {
	kept := c.targets[:0]
	for _, t := range c.targets {
		if !t.expires.IsZero() && !now.Before(t.expires) {
			c.names[t.ns].known = false
			continue
		}
		kept = append(kept, t)
	}
	clear(c.targets[len(kept):])
	c.targets = kept
}

// unknown picks a name server whose addresses may be looked up now; -1 for none.
// The pick starts at a random place, so that the load spreads.
func (c *cut) unknown(start int, now time.Time) (int, dns.Name) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire(now)
	for k := range c.names {
		i := (start + k) % len(c.names)
		if ns := &c.names[i]; !ns.known && !now.Before(ns.again) {
			return i, ns.name
		}
	}
	return -1, ""
}

// cuts is the delegation cache.
type cuts struct {
	fixed map[dns.Name]*cut // configured: the root's hints, forward zones; never written after New
	m     *boundedMap[dns.Name, *cut]
}

// find returns the deepest cut at or above name, nil where not even the root's is known.
func (cs *cuts) find(name dns.Name, now time.Time) *cut {
	for {
		if c, ok := cs.m.get(name); ok && c.fresh(now) {
			return c
		}
		if c := cs.fixed[name]; c != nil {
			return c
		}
		if name == dns.Root {
			return nil
		}
		name = name.Parent()
	}
}

func (cs *cuts) put(c *cut) { cs.m.put(c.zone, c) }

func (cs *cuts) drop(c *cut) { cs.m.remove(c.zone, func(have *cut) bool { return have == c }) }

// usableAddr reports whether an address may be a name server's. Delegations that
// point to the resolver's own host or to no host at all are a way to make it talk
// to itself (self-pointed glue).
func usableAddr(a netip.Addr, loopback bool) bool {
	a = a.Unmap()
	switch {
	case !a.IsValid(), a.IsUnspecified(), a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return false
	case a.IsLoopback():
		return loopback
	case a.IsLinkLocalUnicast():
		return false
	}
	return true
}
