package cache

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
)

// Clients ask for names as people do, a few of them very often (Zipf), and the cache has room
// for a part of them. Then half of all questions become ones for random names that nobody asks
// for twice. What people ask for is found as often as before.
func TestFloodLeavesPopularNames(t *testing.T) {
	const (
		size      = 2 << 20 // room for some 15,000 of these answers
		names     = 100_000
		questions = 200_000
	)
	random := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(random, 1.1, 1, names-1)
	hitRate := func(c *Cache, floodEach int) float64 {
		var e Entry
		buf := make([]byte, 0, dns.MaxName)
		hits := 0
		for range questions {
			for range floodEach {
				c.Put(address(fmt.Sprintf("%016x.flood.example", random.Uint64()), 3600, "192.0.2.1"), start)
			}
			a := address(fmt.Sprintf("name%d.example", zipf.Uint64()), 3600, "192.0.2.1")
			if c.Find(&e, append(buf, a.Name()...), a.Type(), start) {
				hits++
			} else {
				c.Put(a, start)
			}
		}
		return float64(hits) / questions
	}
	c := newCache(t, size)
	hitRate(c, 0) // fills the cache
	calm := hitRate(c, 0)
	flooded := hitRate(c, 1)
	s := c.Stats()
	t.Logf("found: %.1f%%, beside a flood %.1f%%; %+v", 100*calm, 100*flooded, s)
	if s.Bytes > size {
		t.Errorf("%d octets in use, %d allowed", s.Bytes, size)
	}
	if flooded < calm-0.02 {
		t.Errorf("found: %.1f%%, beside a flood %.1f%%", 100*calm, 100*flooded)
	}
}
