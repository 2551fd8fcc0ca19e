package sinkhole

import (
	"net/netip"
	"testing"
	"time"
)

// held is a connection that says when it is ended.
type held struct {
	script
	ended bool
}

func (h *held) Close() error { h.ended = true; return nil }

// A network that opens connections without end loses its own oldest ones, and nobody
// else's; when all places are taken, it is the one that makes room for others.
func TestFloodMakesRoomForOthers(t *testing.T) {
	const limit = 1500
	s := newSources(limit)
	flooder, victim := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8::1")
	if s.slot(flooder) == s.slot(victim) {
		t.Skip("both share a place this time") // 1 in sourceSlots, by the key
	}
	other := &held{}
	s.enter(&connection{peer: other}, victim, someTime)
	flood := make([]*held, 2*sourceConnections)
	for i := range flood {
		flood[i] = &held{}
		s.enter(&connection{peer: flood[i]}, flooder, someTime)
	}
	if other.ended {
		t.Error("a flood ended another network's connection")
	}
	if n := s.takeEvicted(); n != sourceConnections || !flood[0].ended || flood[len(flood)-1].ended {
		t.Errorf("%d ended, the oldest %v, the newest %v", n, flood[0].ended, flood[len(flood)-1].ended)
	}
	var many []*held
	for i := range limit { // one each of as many networks
		h := &held{}
		many = append(many, h)
		s.enter(&connection{peer: h}, netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), someTime)
		if s.total > limit {
			t.Fatalf("%d are open of at most %d", s.total, limit)
		}
	}
	if many[0].ended || many[len(many)-1].ended {
		t.Error("those who came with one connection were ended before the flood was")
	}
}

// Leaving in any order, and twice, keeps the lists and the counts right.
func TestLeaving(t *testing.T) {
	s := newSources(10)
	a := netip.MustParseAddr("192.0.2.1")
	c := make([]*connection, 4)
	for i := range c {
		c[i] = &connection{peer: &held{}}
		s.enter(c[i], a, someTime)
	}
	for _, i := range []int{1, 1, 0, 3, 2, 2} {
		s.leave(c[i])
	}
	p := s.slots[c[0].slot]
	if s.total != 0 || s.open[c[0].slot] != 0 || p.oldest != nil || p.newest != nil {
		t.Errorf("%d are open; oldest %p, newest %p", s.total, p.oldest, p.newest)
	}
}

// One network's captures are bounded by the minute; a neighbour in it shares the bound.
func TestCapturesOfOneNetwork(t *testing.T) {
	s := newSources(10)
	kept := 0
	for i := range 3 * sourceCaptures {
		if s.mayCapture(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), someTime) {
			kept++
		}
	}
	if kept != sourceCaptures {
		t.Errorf("%d kept", kept)
	}
	if !s.mayCapture(netip.MustParseAddr("192.0.2.1"), someTime.Add(time.Minute)) {
		t.Error("none in the next minute")
	}
}

// Distinct sources are counted well enough, and those of a day are forgotten with its key.
func TestDistinctSources(t *testing.T) {
	c := newCounts(someTime)
	for _, n := range []int{1, 10, 1000, 50000} {
		for i := range n {
			for range 2 {
				c.saw(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), tcp, 80)
			}
		}
		got := float64(c.totals(someTime, 0, 0).sources)
		if got < 0.9*float64(n) || got > 1.1*float64(n) {
			t.Errorf("%d sources were taken for %.0f", n, got)
		}
	}
	key := string(c.sketch.key)
	tomorrow := someTime.Add(24 * time.Hour)
	if last := c.totals(tomorrow, 0, 0); last.sources == 0 {
		t.Error("the day's last count is lost")
	}
	if c.sketch.estimate() != 0 || string(c.sketch.key) == key {
		t.Error("the key or the sketch outlived its day")
	}
}

// A scan of all ports is counted whole, and is no more to hold than one call.
func TestScanOfAllPorts(t *testing.T) {
	c := newCounts(someTime)
	a := netip.MustParseAddr("192.0.2.1")
	for port := range 1 << 16 {
		c.saw(a, tcp, uint16(port))
		c.read(udp, uint16(port), 3, true)
	}
	ports := 0
	for n := range c.take(someTime) {
		ports++
		if n.transport == tcp && n.seen != 1 || n.transport == udp && (n.octets != 3 || n.kept != 1) {
			t.Fatalf("%+v", n)
		}
	}
	if ports != 2<<16 {
		t.Errorf("%d ports", ports)
	}
	for n := range c.take(someTime) {
		t.Fatalf("counted twice: %+v", n)
	}
}
