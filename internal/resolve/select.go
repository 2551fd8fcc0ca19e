package resolve

import (
	"slices"
	"time"
)

const (
	// unknownCost is what a server never heard counts as, beside known ones.
	unknownCost = 200 * time.Millisecond

	// exploreOneIn is how often a server other than the best comes first, so that
	// the times of all are learned and kept: 1 in 20.
	exploreOneIn = 20

	// mixedRTO is the longest wait before a server of the other address family is
	// asked as well.
	mixedRTO = unknownRTO / 2

	// maxChoice is how many servers one question is put to at most.
	maxChoice = 6
)

// choice is the servers that a question is put to, in order.
type choice struct {
	servers [maxChoice]*server
	costs   [maxChoice]time.Duration
	n       int
	probe   *server // claimed for a probe; to be given back
	explore bool    // the first server is not first for being the best
}

// patience is how long to wait for the first server before the second is asked too.
func (ch *choice) patience() time.Duration {
	first := ch.servers[0].rto()
	if ch.n == 1 {
		return first
	}
	if ch.explore {
		return min(first, ch.servers[1].rto())
	}
	if family(ch.servers[0].addr) != family(ch.servers[1].addr) {
		// Which family works may not be known yet (compare RFC 8305 §5).
		return min(first, mixedRTO)
	}
	return first
}

// insert keeps the best maxChoice servers by cost.
func (ch *choice) insert(s *server, cost time.Duration) {
	i := ch.n
	if i == maxChoice {
		if cost >= ch.costs[i-1] {
			return
		}
		i--
	} else {
		ch.n++
	}
	for ; i > 0 && ch.costs[i-1] > cost; i-- {
		ch.servers[i], ch.costs[i] = ch.servers[i-1], ch.costs[i-1]
	}
	ch.servers[i], ch.costs[i] = s, cost
}

// choose orders the servers of a cut for one question. Fast ones come first, with
// enough chance in it that equally fast ones share the load. One that was put aside
// is probed by one question at a time when its time has come. Those that are lame
// for the zone are used where there is no other: what makes a server refuse may
// be the question. Where all of a zone's servers are put aside, one is probed without
// waiting for its time: a zone must not stay away for long because they were, for a
// moment. skip names servers that have failed already.
func (r *Resolver) choose(c *cut, skip []*server, now time.Time) choice {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire(now)
	var s selection
	for lame := range 2 {
		for i := range c.targets {
			t := &c.targets[i]
			if now.Before(t.lame) == (lame == 1) && r.family(t.server.addr) && !slices.Contains(skip, t.server) {
				s.consider(r, t.server, now)
			}
		}
		if s.n > 0 || s.rest != nil {
			break
		}
	}
	if s.n == 0 && s.rest == nil {
		s.rest = s.last
	}
	if s.rest != nil && (s.n == 0 || r.chance.intN(exploreOneIn) == 0) && s.rest.probe() {
		s.insert(s.rest, 0)
		s.choice.probe, s.choice.explore = s.rest, true
		return s.choice
	}
	if s.n > 1 && r.chance.intN(exploreOneIn) == 0 {
		s.first(s.any)
		s.choice.explore = true
	}
	s.mixFamilies()
	return s.choice
}

// selection is a choice in the making.
type selection struct {
	choice
	seen int
	any  *server // one of those seen, each as likely
	rest *server // one that may be probed
	last *server // one that may be probed where there is no other
}

func (s *selection) consider(r *Resolver, srv *server, now time.Time) {
	st := srv.standing(now)
	switch {
	case st.spare:
		if s.last == nil || r.chance.intN(2) == 0 {
			s.last = srv
		}
	case st.aside:
	case st.probe:
		if s.rest == nil || r.chance.intN(2) == 0 {
			s.rest = srv
		}
	default:
		s.insert(srv, r.cost(srv, st))
		if s.seen++; r.chance.intN(s.seen) == 0 {
			s.any = srv
		}
	}
}

// cost is a server's place in the order: its smoothed round-trip time, blurred by
// a quarter either way.
func (r *Resolver) cost(s *server, st standing) time.Duration {
	cost := st.srtt
	if cost == 0 {
		cost = unknownCost
	}
	cost = cost*3/4 + time.Duration(r.chance.intN(int(cost/2)+1))
	if r.families.bad(s.addr) {
		cost += familyPenalty
	}
	return cost + time.Duration(st.silent)*minRTO
}

// first moves a server to the front.
func (ch *choice) first(s *server) {
	at := ch.n - 1 // a server that was not among the best takes the last one's place
	for i, have := range ch.servers[:ch.n] {
		if have == s {
			at = i
		}
	}
	copy(ch.servers[1:at+1], ch.servers[:at])
	ch.servers[0] = s
}

// mixFamilies makes the second server one of the other address family, where there
// is one: a family that does not work then costs one wait and not all of them.
func (ch *choice) mixFamilies() {
	if ch.n < 3 || family(ch.servers[0].addr) != family(ch.servers[1].addr) {
		return
	}
	for i := 2; i < ch.n; i++ {
		if s := ch.servers[i]; family(s.addr) != family(ch.servers[0].addr) {
			copy(ch.servers[2:i+1], ch.servers[1:i])
			ch.servers[1] = s
			return
		}
	}
}
