package sinkhole

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// sources shares what there is among the networks that speak to the sinkhole. It knows
// a network only as a place in a table, chosen by a hash whose key lives as long as the process.
type sources struct {
	seed  maphash.Seed
	limit int // of all that are open

	mu      sync.Mutex
	total   int
	entered uint64
	evicted uint64
	open    [sourceSlots]uint16
	slots   [sourceSlots]struct {
		oldest, newest *connection
		minute         int64  // of Unix time, in which
		captures       uint16 // were kept
	}
}

func newSources(limit int) *sources { return &sources{seed: maphash.MakeSeed(), limit: limit} }

// slot is the place of an address's network: /24 of IPv4 and /48 of IPv6, what one
// customer's site has at most (RFC 6177).
func (s *sources) slot(a netip.Addr) int {
	b := a.As16()
	n := 6
	if a.Is4() {
		n = 15 // ::ffff:a.b.c
	}
	return int(maphash.Bytes(s.seed, b[:n]) % sourceSlots)
}

// enter counts a connection, ends another one for it where there are too many, and says
// in it whether what it says may be kept.
func (s *sources) enter(c *connection, from netip.Addr, now time.Time) {
	slot := s.slot(from)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.open[slot] >= sourceConnections:
		s.evict(slot)
	case s.total >= s.limit:
		s.evict(s.fullest())
	}
	c.slot, c.number = slot, s.entered
	s.entered++
	c.capture = s.allow(slot, now)
	p := &s.slots[slot]
	if c.older = p.newest; c.older != nil {
		c.older.newer = c
	} else {
		p.oldest = c
	}
	p.newest = c
	s.open[slot]++
	s.total++
}

// leave forgets a connection; once is enough and twice no harm.
func (s *sources) leave(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(c)
}

func (s *sources) forget(c *connection) {
	p := &s.slots[c.slot]
	if c.older == nil && p.oldest != c {
		return
	}
	if c.older != nil {
		c.older.newer = c.newer
	} else {
		p.oldest = c.newer
	}
	if c.newer != nil {
		c.newer.older = c.older
	} else {
		p.newest = c.older
	}
	c.older, c.newer = nil, nil
	s.open[c.slot]--
	s.total--
}

// evict ends the oldest connection of a place.
func (s *sources) evict(slot int) {
	c := s.slots[slot].oldest
	if c == nil {
		return
	}
	s.forget(c)
	s.evicted++
	c.peer.Close()
}

// fullest is the place with the most connections.
func (s *sources) fullest() (slot int) {
	for i, n := range s.open {
		if n > s.open[slot] {
			slot = i
		}
	}
	return slot
}

// evictOne ends a connection to make room.
func (s *sources) evictOne() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evict(s.fullest())
}

// mayCapture counts one capture of a network and reports whether it may be kept.
func (s *sources) mayCapture(from netip.Addr, now time.Time) bool {
	slot := s.slot(from)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.allow(slot, now)
}

func (s *sources) allow(slot int, now time.Time) bool {
	p := &s.slots[slot]
	if minute := now.Unix() / 60; p.minute != minute {
		p.minute, p.captures = minute, 0
	}
	if p.captures >= sourceCaptures {
		return false
	}
	p.captures++
	return true
}

// closeAll ends every connection.
func (s *sources) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for slot := range s.slots {
		for c := s.slots[slot].oldest; c != nil; c = c.newer {
			c.peer.Close()
		}
	}
}

// takeEvicted is how many connections were ended for others since it was last asked.
func (s *sources) takeEvicted() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.evicted
	s.evicted = 0
	return n
}

// sketch estimates how many distinct sources a day had: HyperLogLog (Flajolet, Fusy,
// Gandouet, Meunier, 2007) with 4096 registers, whose standard error is 1.6 %, over a keyed digest.
type sketch struct {
	key       []byte
	day       int64 // of Unix time, in UTC
	registers [1 << sketchBits]uint8
}

const sketchBits = 12

// index is the register of a digest, and its rank: the place of the first one bit in the rest.
func index(digest []byte) (register int, rank uint8) {
	v := binary.BigEndian.Uint64(digest)
	rank = 1
	for rest := v << sketchBits; rest>>63 == 0 && rank <= 64-sketchBits; rest <<= 1 {
		rank++
	}
	return int(v >> (64 - sketchBits)), rank
}
