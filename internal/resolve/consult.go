package resolve

import (
	"context"
	"errors"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

var (
	errForm   = errors.New("resolve: server does not understand the query")
	errBare   = errors.New("resolve: server answers with an error that repeats no question")
	errForged = errors.New("resolve: replies over UDP cannot be told from forged ones")
)

// consult asks one server one question, over UDP and, where that is called for,
// over TCP and without EDNS. patience is the time for a reply over UDP.
//
// A reply that repeats no question proves only that its sender has seen or guessed
// the ID: it ends the wait, and has the question asked over TCP.
//
// What is learned to a server's disadvantage rests on more than one unauthenticated
// packet: "no EDNS" on a reply over TCP or on two rejections over UDP from different
// ports, "does not keep letter case" on a reply over TCP.
func (x *race) consult(slot int, s *server, patience time.Duration) (*dns.Message, error) {
	a := attempts.Get().(*attempt)
	defer attempts.Put(a)
	c := consultation{server: s, form: s.form(x.r.now()), tcp: x.cut.tcp, always: x.cut.tcp}
	if x.r.noCookies {
		c.form.cookie = cookie{}
	}
	if x.cut.encrypted {
		c.form.cookie, c.form.mixed, c.form.padded = cookie{}, false, true
	}
	for range maxSteps {
		if !x.w.spend() {
			return nil, errBudget
		}
		a.prepare(x.q, &c.form, x.cut.forward, c.tcp)
		err := x.exchange(slot, s, a, patience)
		switch {
		case err != nil && c.tcp && !c.always && c.rejected > 0 && c.form.edns:
			c.tcp = false // no TCP there: ask again over UDP, from another port
			continue
		case err != nil && c.bare:
			return nil, errBare
		case err != nil:
			return nil, err
		case a.heard == hearReply:
			x.r.learn(&c, a)
			return a.msg, nil
		}
		if err := c.change(a); err != nil {
			return nil, err
		}
	}
	return nil, errForged
}

// consultation is what one server has been asked so far, and how it is asked next.
type consultation struct {
	server   *server
	form     form
	tcp      bool
	always   bool // TCP is all that is used
	rejected int  // how often the query's form was rejected
	stale    int  // how often the server's part of the cookie was
	bare     bool // an error without a question was heard
	dropped  bool // the cookie was left out
}

// change asks in another way, by what was heard. It returns the error that ends the
// consultation where no other way is left.
func (c *consultation) change(a *attempt) error {
	switch a.heard {
	case hearTruncated, hearForger, hearCaseless, hearNoCookie:
		if c.tcp {
			return errForged
		}
		c.tcp = true
	case hearBare:
		if c.bare = true; c.tcp {
			return errBare
		}
		c.tcp = true
	case hearBadCookie:
		if c.tcp {
			return errForm
		}
		if next, ok := c.form.cookie.renewed(a.msg, false); ok {
			c.form.cookie = next
			c.server.noteCookie(next)
		}
		c.stale++
		c.tcp = c.stale > 1 // once more with the new one (RFC 7873 §5.3)
	case hearFormError:
		return c.simplify()
	}
	return nil
}

// simplify asks in a simpler form: without cookie, then without EDNS. It takes two
// rejections over UDP, or one over TCP, for each.
func (c *consultation) simplify() error {
	c.rejected++
	switch {
	case !c.tcp && c.rejected == 1 && c.form.edns:
		c.tcp = true
	case c.form.cookie.n > 0:
		c.form.cookie, c.dropped = cookie{}, true
	case !c.form.edns || c.form.known:
		return errForm
	default:
		c.form.edns = false
	}
	return nil
}

// learn keeps what a reply shows of its server.
func (r *Resolver) learn(c *consultation, a *attempt) {
	s, f := c.server, &c.form
	switch {
	case f.cookie.n > 0:
		if next, ok := f.cookie.renewed(a.msg, a.tcp); ok {
			s.noteCookie(next)
		}
	case c.dropped && f.edns:
		s.noteCookieless(r.now())
	}
	if a.msg.EDNS != nil && !f.known {
		s.noteEDNS()
	}
	if a.plain {
		if now := r.now(); s.form(now).edns {
			s.notePlain(now)
		}
	}
	if a.tcp && a.swapped && f.mixed {
		s.noteCaseless(r.now())
	}
}

// exchange sends the attempt's query and waits for a reply that is accepted.
func (x *race) exchange(slot int, s *server, a *attempt, patience time.Duration) error {
	if s.inFlight.Add(1) > maxServerInFlight {
		s.inFlight.Add(-1)
		return errBusy
	}
	defer s.inFlight.Add(-1)
	if a.tcp {
		patience = tcpWait
	}
	r := x.r
	start := r.now()
	ctx := &wait{end: start.Add(patience)}
	short := x.deadline.Before(ctx.end)
	if short {
		ctx.end = x.deadline // the request's time is over, not the server's
	}
	if err := x.begin(slot, ctx); err != nil {
		return err
	}
	err := r.network.Exchange(ctx, s.addr, s.port, a.tcp, a.query[:a.n], a.accept)
	ctx.release()
	now := r.now()
	if err == nil {
		r.families.heard(s.addr)
		if !a.tcp {
			s.heard(now.Sub(start))
		}
		return nil
	}
	if own, ok := errors.AsType[interface {
		error
		Local() bool
	}](err); ok && own.Local() {
		return errBusy // and the server is not to blame
	}
	whole := !errors.Is(err, context.Canceled) && !short
	if whole {
		r.families.missed(s.addr)
	}
	s.missed(now.Sub(start), whole, now)
	return err
}
