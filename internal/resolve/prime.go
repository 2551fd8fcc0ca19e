package resolve

import (
	"context"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// hintsCut makes the cut that priming starts from.
func (r *Resolver) hintsCut(hints []Hint) *cut {
	c := &cut{zone: dns.Root, hints: true, loopback: r.loopback}
	c.top = c
	for _, h := range hints {
		if len(c.names) == maxNS {
			break
		}
		c.names = append(c.names, nameServer{name: h.Name.Canonical(), known: true})
		for _, addr := range h.Addrs {
			c.loopback = c.loopback || addr.IsLoopback()
			c.add(len(c.names)-1, r.server(addr, r.port), time.Time{})
		}
	}
	return c
}

// Prime asks the root servers of the hints for the root's name servers (RFC 9609),
// unless that is known already. It returns an error where none of them answers that,
// be it that somebody on the way answers in their stead and refuses.
func (r *Resolver) Prime(ctx context.Context) error {
	c, err := r.enclosing(ctx, newWork(r.now()), dns.Root, r.cuts.configured(dns.Root))
	if err == nil && c.unprimed {
		return errUnprimed
	}
	return err
}

// errUnprimed says that priming drew replies of no use.
var errUnprimed = &failure{dns.EDENoReachableAuthority, "replies came from the root servers' addresses, and none with the root's name servers; something on the way may be answering instead"}

// prime replaces the servers that are configured for a zone by what one of them
// says. Where they answer, but not that question, they serve as they are for a while.
func (r *Resolver) prime(ctx context.Context, w *work, hints *cut) (*cut, error) {
	f, err := r.ask(ctx, w, hints, question{hints.zone, dns.TypeNS}, nil)
	switch {
	case err == errRefused || err == nil && !f.primes():
		return r.unprimed(hints), nil
	case err != nil:
		return nil, err
	}
	c := hints.successor(r.now(), f.child.ttl)
	for _, name := range f.child.ns {
		c.names = append(c.names, nameServer{name: name})
	}
	r.addGlue(c, f.child)
	// A server whose addresses did not fit into the reply keeps those of the hints.
	for i := range c.names {
		if !c.names[i].known {
			r.addHinted(c, i, hints)
		}
	}
	if len(c.targets) == 0 && !r.primeAddrs(ctx, w, c, hints) {
		return r.unprimed(hints), nil
	}
	r.cuts.put(c)
	if r.validator == nil || len(r.footing.Load().anchors[c.zone]) == 0 {
		return c, nil
	}
	// With an anchor the NS set can be told from a forged one, by keys asked of the
	// servers that it names. Their addresses are signed by nobody (RFC 9609 §4.2).
	links := slices.Clone(f.links) // others who asked the same share them
	if err := r.validate(ctx, w, question{c.zone, dns.TypeNS}, links); err != nil || links[0].status.IsBogus() {
		r.cuts.drop(c)
		return r.unprimed(hints), nil
	}
	return c, nil
}

// successor is a cut of the hints' zone that takes their place for a while.
func (c *cut) successor(now time.Time, ttl time.Duration) *cut {
	return &cut{zone: c.zone, top: c.top, tcp: c.tcp, loopback: c.loopback, born: now, expires: now.Add(ttl)}
}

// primes reports a reply that is a zone's NS set.
func (f *finding) primes() bool {
	return f.kind == kindAnswer && f.child != nil && len(f.child.ns) > 0 && f.child.ttl > 0
}

// primeAddrs asks the servers of the hints for addresses of the zone's servers, where
// the reply had none with it (RFC 9471 asks for them in referrals alone). It reports
// whether the zone can be asked without the hints: a name outside of it is looked up
// like any other when it is needed.
func (r *Resolver) primeAddrs(ctx context.Context, w *work, c, hints *cut) bool {
	found := false
	for i := range c.names {
		if !c.names[i].name.IsSubdomainOf(c.zone) {
			found = true
			continue
		}
		if w.nsLookups--; w.nsLookups < 0 {
			break
		}
		for _, t := range r.addrTypes() {
			f, err := r.ask(ctx, w, hints, question{c.names[i].name, t}, nil)
			if err == nil && f.kind == kindAnswer {
				found = r.addAddrs(c, i, f.links[0].records, time.Time{}) || found
			}
		}
	}
	return found
}

// addAddrs enters the addresses among records for name server i.
func (r *Resolver) addAddrs(c *cut, i int, records []dns.RR, expires time.Time) (found bool) {
	for k := range records {
		if addr, ok := records[k].Addr(); ok && usableAddr(addr, c.loopback) && c.room(i) && c.add(i, r.server(addr, r.port), expires) {
			found = true
		}
	}
	return found
}

func (r *Resolver) addHinted(c *cut, i int, hints *cut) {
	hints.mu.Lock()
	defer hints.mu.Unlock()
	for _, t := range hints.targets {
		if hints.names[t.ns].name == c.names[i].name {
			c.add(i, t.server, time.Time{})
		}
	}
}

// unprimed is a cut of the hints' zone made of the hints alone.
func (r *Resolver) unprimed(hints *cut) *cut {
	c := hints.successor(r.now(), primeRetry)
	c.unprimed = true
	hints.mu.Lock()
	c.names = append(c.names, hints.names...)
	c.targets = append(c.targets, hints.targets...)
	hints.mu.Unlock()
	r.cuts.put(c)
	return c
}
