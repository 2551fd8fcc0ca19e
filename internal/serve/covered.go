package serve

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// covered are the listed names that were asked for lately, which the unfiltered view would have in
// memory.
type covered struct {
	seed maphash.Seed

	mu    sync.Mutex
	table [coverTable]coverage
}

type coverage struct {
	print uint64
	until time.Time
}

// print stands for a question.
func (c *covered) print(q *dns.Query) uint64 {
	return maphash.Bytes(c.seed, q.Name()) + uint64(q.Type)
}

// lacks reports that a listed name was not asked for in a while.
func (c *covered) lacks(q *dns.Query, now time.Time) bool {
	p := c.print(q)
	c.mu.Lock()
	defer c.mu.Unlock()
	at := &c.table[p%coverTable]
	return at.print != p || !now.Before(at.until)
}

// note remembers that a listed name was asked for.
func (c *covered) note(q *dns.Query, now time.Time) {
	p := c.print(q)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.table[p%coverTable] = coverage{p, now.Add(coverTime)}
}
