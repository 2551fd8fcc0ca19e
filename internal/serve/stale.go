package serve

import (
	"context"
	"time"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/cache"
	"github.com/shoji-dns/shoji/internal/dns"
)

// Stale says when an answer whose TTL has passed is given all the same (RFC 8767). The
// zero value is never.
type Stale struct {
	// MaxAge is how long after its TTL has passed an answer is still given (the maximum
	// stale timer). 0 turns stale answers off.
	MaxAge time.Duration

	// AnswerTTL bounds the TTLs of records in a stale answer that have none left. A
	// record whose own TTL was less keeps that one.
	AnswerTTL time.Duration

	// ClientTimeout is how long a client waits for a fresh answer (the client response
	// timer). 0 gives a stale answer at once, while it is renewed.
	ClientTimeout time.Duration
}

// Defaults of Stale: RFC 8767 §5 suggests 1 to 3 days, 30 seconds and 1.8 seconds.
const (
	DefaultMaxAge        = 24 * time.Hour
	DefaultAnswerTTL     = 30 * time.Second
	DefaultClientTimeout = 1800 * time.Millisecond
)

// aged answers from an entry that needs a closer look: one near its end or past it, or a
// failure. It reports false if the query needs Miss.
//
//go:noinline
func (s *Server) aged(q *dns.Query, out []byte, snap *snapshot, e *cache.Entry, passed bool, now time.Time) ([]byte, bool) {
	fresh := e.Fresh(now)
	switch {
	case e.IsFailure():
		return s.failing(q, out, snap, e, passed, now)
	case !fresh && (s.cfg.Stale.ClientTimeout > 0 || !s.usable(e, now)):
		return out, false
	}
	if !passed {
		if reply, ok, done := s.sift(q, out, snap, e); done {
			return reply, ok
		}
	}
	if fresh {
		s.prefetch(q, e, now)
		return s.write(q, out, e, now)
	}
	s.cfg.Refresher.offer(q, e.Print(), 0)
	return s.writeStale(q, out, e, now)
}

// failing answers from a failure: until that is over, nobody is asked again (RFC 9520),
// and a stale answer is given in its place where there is one. So the life of a remembered
// failure is the failure recheck timer of RFC 8767 §5.
func (s *Server) failing(q *dns.Query, out []byte, snap *snapshot, e *cache.Entry, passed bool, now time.Time) ([]byte, bool) {
	if !e.Fresh(now) {
		return out, false
	}
	bogus := e.Status().IsBogus()
	if asIs := bogus && q.Flags.Has(dns.FlagCD); !asIs {
		var old cache.Entry
		if s.cfg.Cache.FindAnswer(&old, q.Name(), q.Type) && s.covers(&old, bogus, now) {
			if snap.list != nil && !old.Passed(snap.mark) {
				if reply, ok, done := s.sift(q, out, snap, &old); done {
					return reply, ok
				}
			}
			return s.writeStale(q, out, &old, now)
		}
		if bogus {
			return s.bogus(q, out, e)
		}
	}
	if !passed {
		if reply, ok, done := s.sift(q, out, snap, e); done {
			return reply, ok
		}
	}
	return s.write(q, out, e, now)
}

// sift judges an entry. It is done where the entry leads to what is listed, with the reply,
// and where Miss has to judge it, with ok false.
func (s *Server) sift(q *dns.Query, out []byte, snap *snapshot, e *cache.Entry) (reply []byte, ok, done bool) {
	v, verdict := s.judge(e, snap, q.Name())
	switch verdict {
	case unknown:
		return out, false, true
	case listed:
		return s.filtered(q, out, v), true, true
	}
	return out, false, false
}

// usable reports whether an answer past its time may be given.
func (s *Server) usable(e *cache.Entry, now time.Time) bool {
	return s.cfg.Stale.MaxAge > 0 && e.Left(now) > -s.cfg.Stale.MaxAge
}

// covers reports whether an answer past its time may be given in place of a failure. In
// place of bogus data, only one that was validated: found secure, or proven to need no
// signature. What is bogus now may be a forgery or a zone's mishap with its keys; neither
// says anything against an answer that passed before, and whoever can forge replies could
// have the same stale answer served by dropping them.
func (s *Server) covers(e *cache.Entry, bogus bool, now time.Time) bool {
	if bogus && !e.Status().IsSecure() && !e.Status().IsInsecure() {
		return false
	}
	return s.usable(e, now)
}

// patient answers a query whose stale answer is known: by a fresh one if it is had in
// time, else by the stale one, while the resolution goes on. It reports false where there
// is no such answer.
func (s *Server) patient(ctx context.Context, q *dns.Query, out []byte, snap *snapshot) ([]byte, bool) {
	var e cache.Entry
	now := s.cfg.Now()
	if s.cfg.Stale.MaxAge == 0 || !s.cfg.Cache.FindAnswer(&e, q.Name(), q.Type) || !s.usable(&e, now) {
		return out, false
	}
	var a *answer.Answer
	if n := s.cfg.Refresher.renew(dns.Name(q.Name()), q.Type, now); n != nil {
		a = n.wait(ctx, now, s.cfg.Stale.ClientTimeout)
	} else { // no place in the background: the resolution ends with the client's patience
		bounded, cancel := context.WithTimeout(ctx, s.cfg.Stale.ClientTimeout)
		defer cancel()
		a = s.cfg.Resolver.Resolve(bounded, dns.Name(q.Name()), q.Type)
	}
	bogus := a != nil && a.Status().IsBogus() && !q.Flags.Has(dns.FlagCD)
	if a != nil && !bogus && (a.RCode() == dns.RCodeSuccess || a.RCode() == dns.RCodeNameError || a.Status().IsBogus()) {
		return s.give(q, out, a, snap), true
	}
	if out, ok := s.old(q, out, snap, bogus); ok || a == nil {
		return out, ok
	}
	return s.give(q, out, a, snap), true
}

// old gives the answer to a question that memory has, stale or not. It reports false where
// there is none to give.
func (s *Server) old(q *dns.Query, out []byte, snap *snapshot, bogus bool) ([]byte, bool) {
	var e cache.Entry
	now := s.cfg.Now()
	if !s.cfg.Cache.FindAnswer(&e, q.Name(), q.Type) || !s.covers(&e, bogus, now) {
		return out, false
	}
	if snap.list != nil && !e.Passed(snap.mark) {
		a, ok := e.Answer()
		if !ok {
			return out, false
		}
		if v, listed := s.judgeAnswer(snap, q.Name(), a); listed {
			return s.filtered(q, out, v), true
		}
	}
	if e.Fresh(now) {
		return s.write(q, out, &e, now)
	}
	return s.writeStale(q, out, &e, now)
}

// writeStale gives out an entry past its time. AD says what was found when the answer was
// learned. It reports false if the entry was evicted meanwhile.
func (s *Server) writeStale(q *dns.Query, out []byte, e *cache.Entry, now time.Time) ([]byte, bool) {
	return s.render(q, out, e, now, true)
}

// staleness is the Extended DNS Error of a stale answer.
func staleness(e *cache.Entry) explanation {
	if e.RCode() == dns.RCodeNameError {
		return explanation{present: true, code: dns.EDEStaleNXDOMAINAnswer}
	}
	return explanation{present: true, code: dns.EDEStaleAnswer}
}
