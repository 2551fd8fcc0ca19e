package resolve

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// ask puts a question to the servers of a zone. Addresses that are known come
// first; where they bring nothing, the addresses of further name servers are looked
// up, under the same budget.
//
// avoid names servers whose reply to the question was of no use.
func (r *Resolver) ask(ctx context.Context, w *work, c *cut, q question, avoid []*server) (finding, error) {
	if c.copy != nil {
		return r.replica(c, q, avoid)
	}
	if !c.enter() {
		return finding{}, errBusy
	}
	defer c.leave()
	var tried [maxTargets]*server
	failed := append(tried[:0], avoid...)
	var weak finding // what there is where nothing better is had
	var last error = errNoAddress
	misses := 0
	for {
		now := r.now()
		if err := w.over(ctx, now); err != nil {
			return finding{}, err
		}
		list := r.choose(c, failed, now)
		if list.n == 0 {
			if misses < maxFailedNS && (r.findAddress(ctx, w, c, &misses) || len(failed) > 0 && c.distrustGlue(failed)) {
				continue
			}
			if r.parentSide(c, now) {
				continue
			}
			if weak.kind == kindWeak {
				return weak, nil
			}
			return finding{}, last
		}
		f, err := r.race(ctx, w, c, q, list)
		switch {
		case ownAffair(err), err == nil && f.kind != kindWeak:
			return f, err
		case err == nil:
			weak = f // servers at further addresses may know more
		default:
			last = err
		}
		for _, s := range list.servers[:list.n] {
			if len(failed) < cap(failed) {
				failed = append(failed, s)
			}
		}
	}
}

// race joins the question with the same one under way to the same zone, or runs it.
func (r *Resolver) race(ctx context.Context, w *work, c *cut, q question, list choice) (finding, error) {
	led := false
	f, err := r.asking.do(ctx, flightKey{c.top, c.zone, q.name, q.typ}, func() (finding, error) {
		led = true
		x := race{r: r, w: w, ctx: ctx, deadline: w.deadline, cut: c, q: q, list: list}
		return x.run()
	}, ownAffair)
	if !led && list.probe != nil {
		list.probe.probed()
	}
	return f, err
}

// scrub reduces a reply of a zone's server to what may be believed of it.
func (r *Resolver) scrub(c *cut, q question, m *dns.Message) finding {
	s := scrubber{zone: c.zone, q: q, forward: c.forward, m: m}
	s.priming = c.hints && q == question{c.zone, dns.TypeNS}
	s.deeper = func(name dns.Name) bool {
		top := r.cuts.configured(name)
		if len(top.zone) <= len(c.top.zone) {
			top = c.top
		}
		return len(r.cuts.find(name, top, r.now()).zone) > len(c.zone)
	}
	return s.scrub()
}

// findAddress looks up addresses of one more name server of a zone. It reports
// false where there is none left to try.
func (r *Resolver) findAddress(ctx context.Context, w *work, c *cut, misses *int) bool {
	if len(c.names) == 0 {
		return false
	}
	start := r.chance.intN(len(c.names))
	had := c.addresses()
	for {
		i, name := c.unknown(start, r.now())
		if i >= 0 && w.nsLookups <= 0 {
			w.refused++
		}
		if i < 0 || w.nsLookups <= 0 || w.over(ctx, r.now()) != nil {
			return c.addresses() > had // a look-up that failed may have needed one that did not
		}
		w.nsLookups--
		if r.lookUpServer(ctx, w, c, i, name) {
			return true
		}
		if *misses++; *misses >= maxFailedNS {
			return c.addresses() > had
		}
	}
}

// parentSide adds the addresses that the parents of the name servers' own zones give them as
// glue. It is for when what these zones say themselves is of no use: they may be wrong about
// their own addresses, or not say any, and yet be reached by the glue. It reports false where
// there is nothing new.
func (r *Resolver) parentSide(c *cut, now time.Time) (found bool) {
	c.mu.Lock()
	names := slices.Clone(c.names)
	c.mu.Unlock()
	for i := range names {
		for _, s := range r.glueOf(names[i].name, now) {
			found = c.addLate(i, s, now.Add(maxFailure)) || found
		}
	}
	return found
}

// glueOf are the servers that referrals remembered name by glue for a name; none for a server
// that was configured by its address and has no name.
func (r *Resolver) glueOf(name dns.Name, now time.Time) (servers []*server) {
	if name == "" {
		return nil
	}
	top := r.cuts.configured(name)
	for zone := name; zone != top.zone; zone = zone.Parent() {
		if d, ok := r.cuts.m.get(cutKey{top, zone}); ok && d.fresh(now) {
			servers = append(servers, d.glueOf(name)...)
		}
	}
	return servers
}

// addrTypes are the types of addresses that servers are asked at, IPv4 first unless
// it does not work here.
func (r *Resolver) addrTypes() []dns.Type {
	switch {
	case r.noIPv4:
		return []dns.Type{dns.TypeAAAA}
	case r.noIPv6:
		return []dns.Type{dns.TypeA}
	case r.families.silent[0].Load() >= familyBad && r.families.silent[1].Load() < familyBad:
		return []dns.Type{dns.TypeAAAA, dns.TypeA}
	}
	return []dns.Type{dns.TypeA, dns.TypeAAAA}
}

// lookUpServer resolves the addresses of name server i; the second family is asked
// for where the first has none.
func (r *Resolver) lookUpServer(ctx context.Context, w *work, c *cut, i int, name dns.Name) bool {
	retry, refused := noSOATTL, w.refused
	for _, t := range r.addrTypes() {
		a := r.sub(ctx, w, question{name, t})
		now := r.now()
		if a == nil || a.TTL() <= 0 && len(a.Answer()) == 0 {
			continue
		}
		expires := now.Add(max(a.TTL(), noSOATTL))
		c.mu.Lock()
		found := r.addAddrs(c, i, a.Answer(), expires)
		c.mu.Unlock()
		if found {
			return true
		}
		retry = max(retry, a.TTL())
	}
	if w.refused > refused || w.over(ctx, r.now()) != nil {
		return false // others may look it up
	}
	c.mu.Lock()
	c.names[i].again = r.now().Add(min(retry, maxFailure))
	c.mu.Unlock()
	return false
}

// server returns what is known of a server.
func (r *Resolver) server(addr netip.Addr, port uint16) *server {
	k := serverKey{addr.Unmap(), port}
	return r.servers.getOrPut(k, func() *server { return &server{addr: k.addr, port: port} })
}
