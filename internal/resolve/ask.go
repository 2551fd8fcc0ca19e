package resolve

import (
	"context"
	"math/rand/v2"
	"net/netip"

	"github.com/shoji-dns/shoji/internal/dns"
)

// ask puts a question to the servers of a zone. Addresses that are known come
// first; where they bring nothing, the addresses of further name servers are looked
// up, under the same budget.
//
// avoid names servers whose reply to the question was of no use.
func (r *Resolver) ask(ctx context.Context, w *work, c *cut, q question, avoid []*server) (finding, error) {
	if !c.enter() {
		return finding{}, errBusy
	}
	defer c.leave()
	var tried [maxTargets]*server
	failed := append(tried[:0], avoid...)
	var last error = errNoAddress
	misses := 0
	for {
		now := r.now()
		if err := w.over(ctx, now); err != nil {
			return finding{}, err
		}
		list := r.choose(c, failed, now)
		if list.n == 0 {
			if misses >= maxFailedNS || !r.findAddress(ctx, w, c, &misses) {
				return finding{}, last
			}
			continue
		}
		f, err := r.race(ctx, w, c, q, list)
		if err == nil || ownAffair(err) {
			return f, err
		}
		last = err
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
	f, err := r.asking.do(ctx, flightKey{c.zone, q.name, q.typ}, func() (finding, error) {
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
	s.priming = c.hints && q == question{dns.Root, dns.TypeNS}
	s.deeper = func(name dns.Name) bool {
		below := r.cuts.find(name, r.now())
		return below != nil && len(below.zone) > len(c.zone)
	}
	return s.scrub()
}

// findAddress looks up addresses of one more name server of a zone. It reports
// false where there is none left to try.
func (r *Resolver) findAddress(ctx context.Context, w *work, c *cut, misses *int) bool {
	if len(c.names) == 0 {
		return false
	}
	start := rand.IntN(len(c.names))
	for {
		i, name := c.unknown(start, r.now())
		if i < 0 || w.nsLookups <= 0 || w.over(ctx, r.now()) != nil {
			return false
		}
		w.nsLookups--
		if r.lookUpServer(ctx, w, c, i, name) {
			return true
		}
		if *misses++; *misses >= maxFailedNS {
			return false
		}
	}
}

// lookUpServer resolves the addresses of name server i, IPv4 first unless it does
// not work here; the other family is asked for where the first has none.
func (r *Resolver) lookUpServer(ctx context.Context, w *work, c *cut, i int, name dns.Name) bool {
	types := [2]dns.Type{dns.TypeA, dns.TypeAAAA}
	if r.noIPv4 || r.families.silent[0].Load() >= familyBad && r.families.silent[1].Load() < familyBad {
		types = [2]dns.Type{dns.TypeAAAA, dns.TypeA}
	}
	retry := noSOATTL
	for _, t := range types {
		if t == dns.TypeA && r.noIPv4 || t == dns.TypeAAAA && r.noIPv6 {
			continue
		}
		a := r.sub(ctx, w, question{name, t})
		now := r.now()
		if a == nil || a.TTL() <= 0 && len(a.Answer()) == 0 {
			continue
		}
		expires := now.Add(max(a.TTL(), noSOATTL))
		found := false
		c.mu.Lock()
		for addr := range a.Addrs() {
			if usableAddr(addr, r.loopback) && c.add(i, r.server(addr, r.port), expires) {
				found = true
			}
		}
		c.mu.Unlock()
		if found {
			return true
		}
		retry = max(retry, a.TTL())
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
