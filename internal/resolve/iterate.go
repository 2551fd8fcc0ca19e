package resolve

import (
	"context"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// walk is one walk down the tree of zones, from the deepest cut known to the zone
// that answers the question.
type walk struct {
	r    *Resolver
	w    *work
	q    question
	from dns.Name // where it began: the question's name, or the one above it
	cut  *cut
	min  minimiser
	// retried is the zone above which the walk has begun anew, because its
	// remembered delegation turned out useless: once in a walk.
	retried bool
	// avoid names servers that are not to be asked the whole question.
	avoid []*server
	// deny has the question answered from denials where they suffice; looked is the
	// cut at which that was tried last.
	deny   bool
	looked *cut
}

// iterate asks down the tree until the question is answered: with the links that
// the last reply held. The last of them may lead on. avoid names servers whose
// reply to the question was bogus.
func (r *Resolver) iterate(ctx context.Context, w *work, q question, avoid []*server) ([]link, error) {
	wk := &walk{r: r, w: w, q: q, avoid: avoid}
	return wk.run(ctx)
}

// run walks to the end.
func (wk *walk) run(ctx context.Context) ([]link, error) {
	r, w, q := wk.r, wk.w, wk.q
	from := q.name
	if q.typ == dns.TypeDS && from != dns.Root {
		from = from.Parent() // the parent's servers have it (RFC 4035 §3.1.4.1)
	}
	if err := wk.begin(ctx, from, r.cuts.configured(from)); err != nil {
		return nil, err
	}
	for range maxHops {
		if err := w.over(ctx, r.now()); err != nil {
			return nil, err
		}
		if wk.deny && wk.looked != wk.cut {
			wk.looked = wk.cut
			if l := wk.denied(); l != nil {
				return []link{*l}, nil
			}
		}
		links, err := wk.hop(ctx)
		if links != nil || err != nil {
			return links, err
		}
	}
	return nil, errHops
}

// begin enters the deepest cut known at or above from, on the path of a configured
// zone or, where its servers fail and it is said so, of the one after it.
func (wk *walk) begin(ctx context.Context, from dns.Name, top *cut) error {
	for {
		err := error(errNoAddress) // of a copy that is not current
		if top.copy == nil || top.copy.Current(wk.r.now()) {
			var c *cut
			if c, err = wk.r.enclosing(ctx, wk.w, from, top); err == nil {
				wk.from, wk.min = from, minimiser{}
				wk.enter(c)
				return nil
			}
		}
		if top = top.next; top == nil || wk.w.over(ctx, wk.r.now()) != nil {
			return err
		}
	}
}

// enclosing is the deepest cut at or above name on the path from top. Where only
// the hints are known, it primes.
func (r *Resolver) enclosing(ctx context.Context, w *work, name dns.Name, top *cut) (*cut, error) {
	c := r.cuts.find(name, top, r.now().Add(w.ahead))
	if !c.hints {
		return c, nil
	}
	return r.prime(ctx, w, c)
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
	case err != nil && !whole && wk.min.asNS():
		return nil, nil
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
			wk.r.open.put(ask.name, wk.r.now().Add(min(first.ttl, maxOpenTTL)))
		}
		wk.min.passed()
	}
	return nil
}

func isDNAME(l *link) bool { return len(l.records) > 0 && l.records[0].Type == dns.TypeDNAME }

// retry begins anew above a delegation that was remembered and is useless now: the
// zone may have moved. Then it goes the way that is configured for when a zone's
// servers fail. It returns the error where neither is called for.
func (wk *walk) retry(ctx context.Context, cause error) error {
	c, now := wk.cut, wk.r.now()
	if !wk.retried && c.zone != c.top.zone && now.Sub(c.born) >= refetchAge {
		wk.retried = true
		wk.r.cuts.drop(c)
		if above, err := wk.r.enclosing(ctx, wk.w, c.zone.Parent(), c.top); err == nil {
			wk.enter(above)
			return nil
		}
	}
	if c.top.copy != nil && c.zone != c.top.zone {
		return cause // the copy's part in it was right
	}
	if c.top.next == nil || wk.begin(ctx, wk.from, c.top.next) != nil {
		return cause
	}
	return nil
}

// learnCut makes a cut of a referral and remembers it. It lasts no longer than the
// parent says, and no longer than the parent's own delegation does. Where another question
// learned the same a moment ago, there is one cut for both: its places are counted for all.
func (r *Resolver) learnCut(parent *cut, ref *referral) *cut {
	now := r.now()
	c := &cut{
		zone: ref.zone, top: parent.top, loopback: parent.loopback,
		up: parent.zone, born: now, expires: now.Add(min(ref.ttl, r.ttls.Max)), ds: ref.ds,
	}
	for _, name := range ref.ns {
		c.names = append(c.names, nameServer{name: name})
	}
	r.addGlue(c, ref)
	if !parent.expires.IsZero() && parent.expires.Before(c.expires) && parent.zone != parent.top.zone {
		c.expires = parent.expires
	}
	if ref.ttl > 0 {
		return r.cuts.merge(c)
	}
	return c
}

// addGlue enters the addresses that came with a referral.
func (r *Resolver) addGlue(c *cut, ref *referral) {
	for i := range ref.glue {
		g := &ref.glue[i]
		if addr, ok := g.addr.Addr(); ok && usableAddr(addr, c.loopback) && c.add(g.ns, r.server(addr, r.port), time.Time{}) {
			c.names[g.ns].glued = true
		}
	}
}
