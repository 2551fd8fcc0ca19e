package resolve

import (
	"context"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// hintsCut makes the cut that priming starts from.
func (r *Resolver) hintsCut(hints []Hint) *cut {
	c := &cut{zone: dns.Root, hints: true}
	for _, h := range hints {
		if len(c.names) == maxNS {
			break
		}
		c.names = append(c.names, nameServer{name: h.Name.Canonical(), known: true})
		for _, addr := range h.Addrs {
			c.add(len(c.names)-1, r.server(addr, r.port), time.Time{})
		}
	}
	return c
}

// Prime asks the root servers of the hints for the root's name servers (RFC 9609),
// unless that is known already. It returns an error where none of them answers that,
// be it that somebody on the way answers in their stead and refuses.
func (r *Resolver) Prime(ctx context.Context) error {
	c, err := r.enclosing(ctx, newWork(r.now()), dns.Root)
	if err == nil && c.unprimed {
		return errUnprimed
	}
	return err
}

// errUnprimed says that priming drew replies of no use.
var errUnprimed = &failure{dns.EDENoReachableAuthority, "replies came from the root servers' addresses, and none with the root's name servers; something on the way may be answering instead"}

// prime replaces the hints by what a root server says. Where root servers answer,
// but not that question, the hints serve as they are for a while.
func (r *Resolver) prime(ctx context.Context, w *work, hints *cut) (*cut, error) {
	f, err := r.ask(ctx, w, hints, question{dns.Root, dns.TypeNS}, nil)
	switch {
	case err == errRefused || err == nil && !f.primes():
		return r.unprimed(hints), nil
	case err != nil:
		return nil, err
	}
	now := r.now()
	c := &cut{zone: dns.Root, born: now, expires: now.Add(f.child.ttl)}
	for _, name := range f.child.ns {
		c.names = append(c.names, nameServer{name: name})
	}
	r.addGlue(c, f.child)
	// A root server whose addresses did not fit into the reply keeps those of the hints.
	for i := range c.names {
		if !c.names[i].known {
			r.addHinted(c, i, hints)
		}
	}
	r.cuts.put(c)
	return c, nil
}

// primes reports a reply that is a root NS set with at least one address.
func (f *finding) primes() bool {
	return f.kind == kindAnswer && f.child != nil && len(f.child.ns) > 0 && len(f.child.glue) > 0 && f.child.ttl > 0
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

// unprimed is a cut of the root made of the hints alone.
func (r *Resolver) unprimed(hints *cut) *cut {
	now := r.now()
	c := &cut{zone: dns.Root, born: now, expires: now.Add(primeRetry), unprimed: true}
	hints.mu.Lock()
	c.names = append(c.names, hints.names...)
	c.targets = append(c.targets, hints.targets...)
	hints.mu.Unlock()
	r.cuts.put(c)
	return c
}
