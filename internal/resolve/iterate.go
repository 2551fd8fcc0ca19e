package resolve

import (
	"context"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// walk is one walk down the tree of zones, from the deepest cut known to the zone
// that answers the question.
type walk struct {
	r   *Resolver
	w   *work
	q   question
	cut *cut
	min minimiser
	// retried is the zone above which the walk has begun anew, because its
	// remembered delegation turned out useless: once in a walk.
	retried bool
	// avoid names servers that are not to be asked the whole question.
	avoid []*server
}

// iterate asks down the tree until the question is answered: with the links that
// the last reply held. The last of them may lead on. avoid names servers whose
// reply to the question was bogus.
func (r *Resolver) iterate(ctx context.Context, w *work, q question, avoid []*server) ([]link, error) {
	wk := &walk{r: r, w: w, q: q, avoid: avoid}
	from := q.name
	if q.typ == dns.TypeDS && from != dns.Root {
		from = from.Parent() // the parent's servers have it (RFC 4035 §3.1.4.1)
	}
	c, err := r.enclosing(ctx, w, from)
	if err != nil {
		return nil, err
	}
	wk.enter(c)
	for range maxHops {
		if err := w.over(ctx, r.now()); err != nil {
			return nil, err
		}
		links, err := wk.hop(ctx)
		if links != nil || err != nil {
			return links, err
		}
	}
	return nil, errHops
}

// enclosing is the deepest cut at or above name. Where only the hints are known,
// it primes.
func (r *Resolver) enclosing(ctx context.Context, w *work, name dns.Name) (*cut, error) {
	now := r.now()
	c := r.cuts.find(name, now)
	if c != nil && !c.hints {
		return c, nil
	}
	root, err := r.prime(ctx, w, c)
	if err != nil {
		return nil, err
	}
	return root, nil
}

func (wk *walk) enter(c *cut) {
	wk.cut = c
	wk.min.enter(wk.r.minimise, c, wk.q)
}

// hop asks the current zone one question and moves on by what comes back. It
// returns links where the walk is at its end.
func (wk *walk) hop(ctx context.Context) ([]link, error) {
	ask := wk.min.next(wk.q)
	whole := ask == wk.q
	if !whole && wk.known(ask) {
		return nil, nil
	}
	var avoid []*server
	if whole {
		avoid = wk.avoid
	}
	f, err := wk.r.ask(ctx, wk.w, wk.cut, ask, avoid)
	switch {
	case err != nil && wk.w.over(ctx, wk.r.now()) != nil:
		return nil, err
	case err != nil && !whole && wk.r.minimise != MinimiseStrict:
		wk.min.stop()
		return nil, nil
	case err != nil:
		return nil, wk.retry(ctx, err)
	case f.kind == kindReferral:
		wk.enter(wk.r.learnCut(wk.cut, f.child))
		return nil, nil
	case whole:
		return f.links, nil
	}
	return wk.passed(ask, f.links), nil
}

// known reports that no zone begins at a minimised question's name, so that there
// is no need to ask it.
func (wk *walk) known(ask question) bool {
	until, ok := wk.r.open.get(ask.name)
	if !ok || !wk.r.now().Before(until) {
		return false
	}
	wk.min.passed()
	return true
}

// passed takes in what a minimised question brought other than a referral.
func (wk *walk) passed(ask question, links []link) []link {
	first := &links[0]
	switch {
	case first.rcode == dns.RCodeNameError && wk.r.minimise == MinimiseStrict:
		// RFC 8020: nothing is below a name that does not exist.
		l := *first
		l.name = wk.q.name
		return []link{l}
	case first.rcode != dns.RCodeSuccess, isDNAME(first):
		// Many servers deny names that have only names below them (empty
		// non-terminals): the whole name decides.
		wk.min.stop()
	default:
		if first.ttl > 0 {
			wk.r.open.put(ask.name, wk.r.now().Add(min(first.ttl, maxNegativeTTL)))
		}
		wk.min.passed()
	}
	return nil
}

func isDNAME(l *link) bool { return len(l.records) > 0 && l.records[0].Type == dns.TypeDNAME }

// retry begins anew above a delegation that was remembered and is useless now: the
// zone may have moved. It returns the error where that is not called for.
func (wk *walk) retry(ctx context.Context, cause error) error {
	c, now := wk.cut, wk.r.now()
	if wk.retried || c.expires.IsZero() || c.zone == dns.Root || now.Sub(c.born) < refetchAge {
		return cause
	}
	wk.retried = true
	wk.r.cuts.drop(c)
	above, err := wk.r.enclosing(ctx, wk.w, c.zone.Parent())
	if err != nil {
		return cause
	}
	wk.enter(above)
	return nil
}

// learnCut makes a cut of a referral and remembers it. It lasts no longer than the
// parent says, and no longer than the parent's own delegation does.
func (r *Resolver) learnCut(parent *cut, ref *referral) *cut {
	now := r.now()
	c := &cut{zone: ref.zone, up: parent.zone, born: now, expires: now.Add(ref.ttl), ds: ref.ds}
	for _, name := range ref.ns {
		c.names = append(c.names, nameServer{name: name})
	}
	r.addGlue(c, ref)
	if !parent.expires.IsZero() && parent.expires.Before(c.expires) && parent.zone != dns.Root {
		c.expires = parent.expires
	}
	if ref.ttl > 0 {
		r.cuts.put(c)
	}
	return c
}

// addGlue enters the addresses that came with a referral.
func (r *Resolver) addGlue(c *cut, ref *referral) {
	for i := range ref.glue {
		g := &ref.glue[i]
		if addr, ok := g.addr.Addr(); ok && usableAddr(addr, r.loopback) {
			c.add(g.ns, r.server(addr, r.port), time.Time{})
		}
	}
}
