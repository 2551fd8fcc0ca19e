package resolve

import (
	"net/netip"
	"slices"
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

	// top is the configured zone that the walk to this cut began at: itself, where
	// the cut is configured.
	top *cut

	// forward marks configured servers that are asked to resolve, not to serve a zone.
	forward bool

	// hints marks configured servers from which the zone is primed.
	hints bool

	// tcp marks servers that are asked over TCP only.
	tcp bool

	// encrypted marks servers that the Network encrypts queries to.
	encrypted bool

	// loopback lets the zone, and those below, have servers on loopback addresses.
	loopback bool

	// copy is the zone's local copy, which is asked in place of servers; nil for none.
	copy Authority

	// next is the configured cut to begin at where this one's servers fail; nil
	// for none.
	next *cut

	// unprimed marks a zone that the hints serve for, since priming drew no answer of use.
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
	glued bool      // has them from glue
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

// proves reports whether what the referral said of the zone's keys still holds: its records
// may have shorter TTLs than the delegation.
func (c *cut) proves(now time.Time) bool {
	return now.Before(c.born.Add(leastTTL(c.ds, longestTTL)))
}

// limit is how many questions may be under way to the zone.
func (c *cut) limit() int32 {
	if c.zone == c.top.zone || c.zone.Labels() <= 1 {
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
	for i := range c.targets {
		t := &c.targets[i]
		if t.server == s {
			t.expires = expires
			c.names[ns].known = true
			return true
		}
	}
	if !c.room(ns) {
		return false
	}
	c.targets = append(c.targets, target{server: s, ns: ns, expires: expires})
	c.names[ns].known = true
	return true
}

// room reports whether one more address of name server ns is remembered.
func (c *cut) room(ns int) bool {
	n := 0
	for i := range c.targets {
		if c.targets[i].ns == ns {
			n++
		}
	}
	return len(c.targets) < maxTargets && n < maxTargetsPerNS
}

// addresses counts what is known of the servers' addresses.
func (c *cut) addresses() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.targets)
}

// addLate notes an address of name server ns unless it is known; it reports whether it is new.
func (c *cut) addLate(ns int, s *server, expires time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := func(t target) bool { return t.server == s }
	return !slices.ContainsFunc(c.targets, known) && c.add(ns, s, expires)
}

// glueOf are the addresses that came with the referral for one of its name servers.
func (c *cut) glueOf(name dns.Name) (servers []*server) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.targets {
		if c.names[t.ns].name == name && t.expires.IsZero() {
			servers = append(servers, t.server)
		}
	}
	return servers
}

// distrustGlue has the addresses of name servers looked up whose glue turned out
// useless: all of it is among the servers that failed. It may be older than what the
// zone of such a name says today. A name within the zone can be asked of no other.
func (c *cut) distrustGlue(failed []*server) (found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.names {
		ns := &c.names[i]
		if !ns.glued || ns.name.IsSubdomainOf(c.zone) {
			continue
		}
		useful := func(t target) bool { return t.ns == i && !slices.Contains(failed, t.server) }
		if !slices.ContainsFunc(c.targets, useful) {
			ns.known, ns.glued, found = false, false, true
		}
	}
	return found
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

// cuts is the delegation cache. What was learned on the way down from one
// configured zone is kept apart from what was learned from another: a name is only
// ever asked for on the path of the deepest configured zone that it lies in.
type cuts struct {
	fixed map[dns.Name]*cut // configured, the root's among them; never written after New
	m     *boundedMap[cutKey, *cut]
}

type cutKey struct {
	top  *cut
	zone dns.Name
}

// configured is the deepest configured cut at or above name.
func (cs *cuts) configured(name dns.Name) *cut {
	for len(cs.fixed) > 1 && name != dns.Root {
		if c := cs.fixed[name]; c != nil {
			return c
		}
		name = name.Parent()
	}
	return cs.fixed[dns.Root]
}

// find returns the deepest cut known at or above name, on the path from top, which
// is at or above name too.
func (cs *cuts) find(name dns.Name, top *cut, now time.Time) *cut {
	if top.forward {
		return top
	}
	for {
		if c, ok := cs.m.get(cutKey{top, name}); ok && c.fresh(now) {
			return c
		}
		if name == top.zone {
			return top
		}
		name = name.Parent()
	}
}

// referred returns the cut that a referral to zone made, where one is remembered.
func (cs *cuts) referred(zone dns.Name, now time.Time) (*cut, bool) {
	c, ok := cs.m.get(cutKey{cs.configured(zone), zone})
	return c, ok && c.fresh(now) && c.zone != c.top.zone
}

func (cs *cuts) put(c *cut) { cs.m.put(cutKey{c.top, c.zone}, c) }

// merge remembers a cut, unless one is remembered that says the same and is nearly as new.
func (cs *cuts) merge(c *cut) *cut {
	return cs.m.update(cutKey{c.top, c.zone}, func(have *cut, ok bool) *cut {
		if ok && have.fresh(c.born) && c.born.Sub(have.born) < refetchAge && have.says(c) {
			return have
		}
		return c
	})
}

// says reports whether two cuts have the same name servers from the same parent.
func (c *cut) says(d *cut) bool {
	if c.up != d.up || c.top != d.top || len(c.names) != len(d.names) || len(c.ds) != len(d.ds) {
		return false
	}
	for i := range c.names {
		if !d.delegates(c.names[i].name) {
			return false
		}
	}
	return true
}

// delegates reports whether the zone has a name server of that name.
func (c *cut) delegates(name dns.Name) bool {
	for i := range c.names {
		if c.names[i].name == name {
			return true
		}
	}
	return false
}

func (cs *cuts) drop(c *cut) {
	cs.m.remove(cutKey{c.top, c.zone}, func(have *cut) bool { return have == c })
}

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
