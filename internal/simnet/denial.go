package simnet

import "sort"

// The proofs that something does not exist: RFC 4035 §3.1.3 for NSEC, RFC 5155
// §7.2 for NSEC3. Each adds to the authority section what its case needs.

// proving reports whether proofs are wanted and to be had.
func (s *search) proving() bool {
	return s.do && len(s.z.denial) > 0 && s.z.signing.Break&BreakDenial == 0
}

func (s *search) hashed() bool { return s.z.signing.NSEC3 != nil }

// deny shows that no closer match for name exists than below encloser.
func (s *search) deny(name string, encloser *node) {
	if !s.proving() {
		return
	}
	if !s.hashed() {
		s.prove(s.z.covering(sortKey(name)))
		return
	}
	up := encloser.name
	if !s.f.wildcard {
		up = s.proveEncloser(up)
	}
	s.cover(nextCloser(name, up))
}

// denyWildcard shows that no wildcard answers below encloser.
func (s *search) denyWildcard(encloser *node) {
	if !s.proving() {
		return
	}
	if !s.hashed() {
		s.prove(s.z.covering(sortKey(child("*", encloser.name))))
		return
	}
	s.cover(child("*", s.proveEncloser(encloser.name)))
}

// denyType shows which types a node has. In an opt-out zone a node may be
// absent from the chain; then the span that leaves it out is shown.
func (s *search) denyType(n *node) {
	if !s.proving() {
		return
	}
	if !s.hashed() {
		s.prove(s.z.covering(sortKey(n.name))) // for an empty non-terminal, its predecessor
		return
	}
	if l, ok := s.z.matching(s.z.hash(n.name)); ok {
		s.prove(l)
		return
	}
	up := s.proveEncloser(parent(n.name))
	s.cover(nextCloser(n.name, up))
}

// denyWildcardType shows which types the wildcard has that stands in for a name;
// that the name itself does not exist has been shown.
func (s *search) denyWildcardType(w, encloser *node) {
	if !s.proving() {
		return
	}
	if s.hashed() {
		s.proveEncloser(encloser.name)
	}
	s.denyType(w)
}

// proveEncloser shows that the name exists, or the nearest name above it that
// the chain has, and returns that name.
func (s *search) proveEncloser(name string) string {
	for {
		if l, ok := s.z.matching(s.z.hash(name)); ok {
			s.prove(l)
			return name
		}
		if name == s.z.origin {
			return name
		}
		name = parent(name)
	}
}

// cover shows that the hash of a name is in a gap of the chain.
func (s *search) cover(name string) {
	l := s.z.covering(s.z.hash(name))
	if s.z.signing.NSEC3.OptOut {
		s.f.opened = true
	}
	s.prove(l)
}

func (s *search) prove(l link) {
	s.show(&s.f.authority, l.set, l.set.rrs[0].Header().Name)
}

// covering is the link whose owner is order itself or the last one before it;
// before the first owner that is the last link, whose record goes round.
func (z *Zone) covering(order string) link {
	i := sort.Search(len(z.denial), func(i int) bool { return z.denial[i].order > order })
	return z.denial[(i+len(z.denial)-1)%len(z.denial)]
}

// matching is the link with that owner.
func (z *Zone) matching(order string) (link, bool) {
	l := z.covering(order)
	return l, l.order == order
}
