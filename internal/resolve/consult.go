package resolve

import (
	"context"
	"errors"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

var (
	errForm   = errors.New("resolve: server does not understand the query")
	errForged = errors.New("resolve: replies over UDP cannot be told from forged ones")
)

// consult asks one server one question, over UDP and, where that is called for,
// over TCP and without EDNS. patience is the time for a reply over UDP.
//
// What is learned to a server's disadvantage rests on more than one unauthenticated
// packet: "no EDNS" on a reply over TCP or on two rejections over UDP from different
// ports, "does not keep letter case" on a reply over TCP.
func (x *race) consult(slot int, s *server, patience time.Duration) (*dns.Message, error) {
	a := attempts.Get().(*attempt)
	defer attempts.Put(a)
	f := s.form(x.r.now())
	known := f.known
	tcp := false
	rejected := 0 // how often the query's form was rejected
	for range maxSteps {
		if !x.w.spend() {
			return nil, errBudget
		}
		a.prepare(x.q, f, x.cut.forward, tcp)
		err := x.exchange(slot, s, a, patience)
		switch {
		case err != nil && tcp && rejected > 0 && f.edns:
			tcp = false // no TCP there: ask again over UDP, from another port
			continue
		case err != nil:
			return nil, err
		}
		switch a.heard {
		case hearReply:
			x.r.learn(s, a, f)
			return a.msg, nil
		case hearTruncated, hearForger, hearCaseless:
			if tcp {
				return nil, errForged
			}
			tcp = true
		case hearFormError:
			if !f.edns || known {
				return nil, errForm
			}
			rejected++
			if tcp || rejected > 1 {
				f.edns = false
			} else {
				tcp = true
			}
		}
	}
	return nil, errForged
}

// learn keeps what a reply shows of its server.
func (r *Resolver) learn(s *server, a *attempt, f form) {
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
	if x.deadline.Before(ctx.end) {
		ctx.end = x.deadline
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
	whole := !errors.Is(err, context.Canceled)
	if whole {
		r.families.missed(s.addr)
	}
	s.missed(now.Sub(start), whole, now)
	return err
}
