package resolve

import (
	"context"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
)

// path is what is known of a question so far: the links learned by asking, and the
// rest of the chain where memory had it.
type path struct {
	links []link
	rest  *answer.Answer
}

// follow answers a question, along CNAME and DNAME to the end. Each link is asked
// for at the zone that has the say about it. What is learned is remembered.
func (r *Resolver) follow(ctx context.Context, w *work, q question) (*answer.Answer, error) {
	var p path
	for cur := q; ; {
		now := r.now()
		if a, ok := r.recall(cur, now.Add(w.ahead)); !ok {
			links, ok := r.redirect(cur, now.Add(w.ahead))
			if !ok {
				var err error
				if links, err = r.learnLinks(ctx, w, cur); err != nil {
					return nil, err
				}
			}
			p.links = append(p.links, links...)
			cur.name = links[len(links)-1].target
		} else if cur == q && a.Type() == q.typ {
			return a, nil
		} else if a.RCode() == dns.RCodeServerFailure {
			return nil, cachedFailure(a)
		} else {
			cur.name = p.join(a, cur, now)
		}
		if err := p.check(cur.name); err != nil {
			return nil, err
		}
		if cur.name == "" {
			return r.rememberPath(q, &p, r.now()), nil
		}
	}
}

// learnLinks asks for a question's links and validates them. Where they are bogus,
// other servers of the zone are asked: one of them may have been forged, or be
// behind with its signatures.
func (r *Resolver) learnLinks(ctx context.Context, w *work, q question) ([]link, error) {
	var avoid []*server
	var bogus []link
	for {
		wk := walk{r: r, w: w, q: q, avoid: avoid, deny: r.aggressive && avoid == nil}
		links, err := wk.run(ctx)
		if err != nil && bogus != nil && ctx.Err() == nil {
			return bogus, nil
		}
		if err != nil {
			return nil, err
		}
		if links[0].proven {
			return links, nil
		}
		first := slices.Clone(links[:1])
		links = slices.Clone(links) // others who asked the same share them
		if err := r.validate(ctx, w, q, links); err == errProofs && bogus != nil {
			return bogus, nil
		} else if err != nil {
			return nil, err
		}
		// An anchor below the zone makes a reply bogus without keys of the zone itself.
		if len(links) > 1 && !links[0].status.IsSecure() && (links[0].status.IsBogus() || r.hasKeys(links[0].zone)) {
			if links, err = r.apart(ctx, w, q, links, first); err != nil {
				return nil, err
			}
		}
		r.ttls.bound(links)
		if !links[0].status.IsBogus() {
			return links, nil
		}
		bogus = links
		if len(avoid) == maxBogusRetries || slices.Contains(avoid, links[0].from) {
			return bogus, nil
		}
		avoid = append(avoid, links[0].from)
	}
}

// apart looks at a signed zone's reply that is not secure from end to end. Where it is
// bogus and the alias that it begins with is not, that alone is kept, and its target asked
// for: some versions of NSD leave proofs out behind a DNAME. Where it is insecure, some of
// its links may be secure, as the target of a wildcard whose proof lies in an opt-out span:
// none is remembered by itself. first is a copy of the first link as it came.
func (r *Resolver) apart(ctx context.Context, w *work, q question, links, first []link) ([]link, error) {
	if !links[0].status.IsBogus() {
		for i := range links {
			links[i].mingled = true
		}
		return links, nil
	}
	if err := r.validate(ctx, w, q, first); err != nil {
		return nil, err
	}
	if first[0].status.IsBogus() {
		return links, nil
	}
	return first, nil
}

// recall asks memory for an answer, or for the CNAME that leads on.
func (r *Resolver) recall(q question, now time.Time) (*answer.Answer, bool) {
	if a, ok := r.memory.Get(q.name, q.typ, now); ok {
		return a, true
	}
	switch q.typ {
	case dns.TypeCNAME, dns.TypeNSEC, dns.TypeRRSIG, dns.TypeANY: // what a name has beside its CNAME (RFC 4035 §2.5)
		return nil, false
	case dns.TypeDS: // the parent's to answer: a CNAME may be the child's word
		return nil, false
	}
	a, ok := r.memory.Get(q.name, dns.TypeCNAME, now)
	if !ok || a.RCode() != dns.RCodeSuccess || len(a.Answer()) == 0 {
		return nil, false
	}
	return a, true
}

// join takes in what memory knew: a whole answer ends the path; a CNAME is a link
// of it, and leads on to the name returned.
func (p *path) join(a *answer.Answer, q question, now time.Time) (next dns.Name) {
	if a.Type() == q.typ {
		p.rest = a
		return ""
	}
	l := link{
		name: q.name, records: aged(a.Answer(), a, now), proof: aged(a.Authority(), a, now),
		ttl: a.Expires().Sub(now), status: a.Status(), recalled: true,
	}
	for i := range l.records {
		if l.records[i].Type == dns.TypeCNAME {
			l.target, _ = l.records[i].Target()
			l.target = l.target.Canonical()
		}
	}
	p.links = append(p.links, l)
	return l.target
}

// check bounds the path and finds loops.
func (p *path) check(next dns.Name) error {
	n := 0
	for i := range p.links {
		if p.links[i].name == next {
			return errLoop
		}
		if p.links[i].target != "" {
			n++
		}
	}
	if p.rest != nil {
		for i := range p.rest.Answer() {
			if p.rest.Answer()[i].Type == dns.TypeCNAME {
				n++
			}
		}
	}
	if n > maxLinks {
		return errChain
	}
	return nil
}

// aged copies records of an answer with what is left of their TTLs.
func aged(records []dns.RR, a *answer.Answer, now time.Time) []dns.RR {
	age := uint32(max(now.Sub(a.Born()), 0) / time.Second)
	out := make([]dns.RR, len(records))
	for i := range records {
		out[i] = records[i]
		out[i].TTL -= min(age, out[i].TTL)
	}
	return out
}

// rememberPath makes the answer to a question of its path and remembers it, with
// each part of it that answers a question of its own.
func (r *Resolver) rememberPath(q question, p *path, now time.Time) *answer.Answer {
	for i := range p.links {
		l := &p.links[i]
		mingled := func(l link) bool { return l.mingled }
		if i > 0 && !l.recalled && !l.proven && !slices.ContainsFunc(p.links[i:], mingled) {
			r.put(p.answer(question{l.name, q.typ}, i, now), now)
		}
		if !l.recalled {
			r.putDNAME(l, now)
		}
		if l.target != "" && !l.recalled && !l.mingled && (q.typ != dns.TypeCNAME || i > 0) {
			r.put(l.cname(now), now)
		}
	}
	a := p.answer(q, 0, now)
	if !p.links[0].proven {
		r.put(a, now)
	}
	return a
}

func (r *Resolver) put(a *answer.Answer, now time.Time) {
	if a.TTL() > 0 {
		r.memory.Put(a, now)
	}
}

// cname is the link as the answer to a question for the CNAME itself.
func (l *link) cname(now time.Time) *answer.Answer {
	return answer.New(answer.Parts{
		Name: l.name, Type: dns.TypeCNAME, RCode: dns.RCodeSuccess, Status: l.status,
		Answer: l.records, Authority: l.proof, Born: now, TTL: l.ttl,
	})
}

// answer is the path from link number from on as one answer.
func (p *path) answer(q question, from int, now time.Time) *answer.Answer {
	parts := answer.Parts{Name: q.name, Type: q.typ, Born: now, TTL: longestTTL}
	links := p.links[from:]
	if len(links) == 1 && p.rest == nil {
		l := &links[0]
		parts.Answer, parts.Authority, parts.RCode, parts.Status, parts.TTL = l.records, l.proof, l.rcode, l.status, l.ttl
		return answer.New(parts)
	}
	for i := range links {
		l := &links[i]
		parts.Answer = append(parts.Answer, l.records...)
		parts.Authority = appendNew(parts.Authority, l.proof)
		parts.RCode = l.rcode
		parts.TTL = min(parts.TTL, l.ttl)
		parts.Status = weakest(parts.Status, l.status, i == 0)
	}
	if a := p.rest; a != nil {
		parts.Answer = append(parts.Answer, aged(a.Answer(), a, now)...)
		parts.Authority = appendNew(parts.Authority, aged(a.Authority(), a, now))
		parts.RCode = a.RCode()
		parts.TTL = min(parts.TTL, a.Expires().Sub(now))
		parts.Status = weakest(parts.Status, a.Status(), len(links) == 0)
	}
	return answer.New(parts)
}

// appendNew appends the records that are not there yet: links of one reply share
// their proofs.
func appendNew(to, from []dns.RR) []dns.RR {
	had := len(to)
next:
	for i := range from {
		for j := range to[:had] {
			if same(&to[j], &from[i]) {
				continue next
			}
		}
		to = append(to, from[i])
	}
	return to
}

func same(a, b *dns.RR) bool {
	return a.Type == b.Type && a.Name == b.Name && string(a.Data) == string(b.Data)
}

// weakest is the status of the parts so far with one more; first marks that there
// are none yet.
func weakest(have, next dnssec.Status, first bool) dnssec.Status {
	if first {
		return next
	}
	return dnssec.Weakest(have, next)
}
