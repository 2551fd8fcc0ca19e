package resolve

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// What strangers can fill holds no more than was promised, whatever they send.
func TestMapsAreBounded(t *testing.T) {
	l := newLab(t, standard(), func(c *Config) { c.Anchors = labAnchors(t, 1) })
	const flood = 1<<15 + 1<<14
	now := time.Now()
	for i := range flood {
		var addr [4]byte
		binary.BigEndian.PutUint32(addr[:], uint32(i))
		name := dns.Name("\x04" + string(addr[:]) + "\x00")
		l.r.server(netip.AddrFrom4(addr), 53)
		l.r.cuts.put(&cut{zone: name})
		l.r.footing.Load().trusts.put(name, &trust{})
		l.r.open.put(name, now)
		l.r.failures.note(question{name, dns.TypeA}, now)
	}
	s := l.r.Stats()
	for what, c := range map[string]struct{ have, most int }{
		"zone cuts": {s.Zones, 1 << 15}, "servers": {s.Servers, 1 << 15}, "keys": {s.Trusts, 1 << 13},
		"names without zone": {s.Open, 1 << 14}, "failures": {s.Failed, 1 << 13},
	} {
		if c.have > c.most || c.have < c.most*9/10 {
			t.Errorf("%d %s after a flood of %d, want %d", c.have, what, flood, c.most)
		}
	}
}
