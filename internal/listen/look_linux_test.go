package listen

import (
	"net/netip"
	"testing"
	"time"
)

// Thousands of replies from servers came at once, and the worker's own goroutine waits behind
// the goroutines that they woke. A query that can be answered from memory comes in: the next
// miss to end has it answered, unless the worker has just been there.
func TestHitsAreServedBetweenMisses(t *testing.T) {
	s, err := Listen(Config{Handler: new(labHandler), Workers: 1, Addrs: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := s.udp[0].(*worker) // whose goroutine never comes
	c := dial(t, "udp", "", s.Addrs()[0])
	from := netip.MustParseAddrPort(c.LocalAddr().String())
	for id := range uint16(3 * batch) {
		c.Write(packet(t, id, "hit.example", true))
	}
	ended := packet(t, 999, "miss.example", false)

	w.seen.Store(int64(time.Since(w.born) + time.Hour))
	w.reply(&miss{from: from}, ended)
	w.flush()
	if m := unpack(t, next(t, c)); m.ID != 999 {
		t.Errorf("soon after the worker looked: %d was answered", m.ID)
	}

	w.seen.Store(int64(time.Since(w.born) - maxUnseen))
	w.reply(&miss{from: from}, ended)
	w.flush()
	heard := make(map[uint16]bool)
	for range 3*batch + 1 {
		heard[unpack(t, next(t, c)).ID] = true
	}
	if len(heard) != 3*batch+1 || !heard[999] {
		t.Errorf("%d of %d replies", len(heard), 3*batch+1)
	}
	if seen := time.Duration(w.seen.Load()); time.Since(w.born)-seen > time.Minute {
		t.Errorf("seen %v", seen)
	}
}
