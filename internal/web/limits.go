package web

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// What strangers can take. The numbers are this package's own unless a source is named.
const (
	// MaxConnections are open at a time. Each holds a goroutine and some buffers of 4 KiB:
	// 20 MiB in all. One more ends the oldest that waits, of the network that has the most.
	MaxConnections = 1024
	// networkConnections are open at a time of one network: a browser opens six.
	networkConnections = 128

	maxHeader = 16 << 10 // octets of a request's line and headers
	maxTarget = 4 << 10  // octets of its path and query: a name has 253 (RFC 1035 section 2.3.4), percent-encoded thrice as many
	// MaxBody is how long a body may be where a route does not say, in octets.
	MaxBody = 16 << 10

	headerTime = 5 * time.Second  // for a request's headers
	readTime   = 15 * time.Second // for a whole request
	writeTime  = 30 * time.Second // for a reply: 50 kB at 14 kbit/s
	idleTime   = time.Minute      // between two requests of a connection
	closeTime  = 5 * time.Second  // for replies under way when the site ends
	// answerTime is how long an Answer may take where its route does not say.
	answerTime = 10 * time.Second

	// maxAnswers are made at a time; further requests wait for one to be done, as long as their routes may
	// take. More would not be done sooner, and a resolver beside it has work too.
	maxAnswers = 16

	// A network may ask burst times at once, and perSecond times a second from then on. A
	// page with its script takes two; an office behind one address shares them.
	perSecond = 20
	burst     = 200
	// What people do rarely and floods do not, such as appealing, a network may do rareBurst times at once, and
	// rarePerDay times a day from then on: more than an office or a provider's gateway with many behind it does, and a
	// small part of what the desk takes in a day of all the world.
	rareBurst  = 50
	rarePerDay = 50
	// limitSlots is in how many places networks are counted.
	limitSlots = 8192
)

// network is a place in the table of limits: /24 of IPv4 and /48 of IPv6, what one
// customer's site has at most (RFC 6177).
type network uint16

// turns share what there is among networks, by token buckets in fixed tables.
type turns struct {
	seed maphash.Seed

	mu      sync.Mutex
	buckets [limitSlots]bucket
	rare    [limitSlots]bucket
}

// bucket is what a network took of its turns.
type bucket struct {
	spent float64 // and not yet come back
	at    time.Time
}

// take takes n turns, of which burst may be taken at once and perSecond come back, or says how long to wait.
func (b *bucket) take(n, burst, perSecond float64, now time.Time) (wait time.Duration, ok bool) {
	b.spent = max(0, b.spent-now.Sub(b.at).Seconds()*perSecond)
	b.at = now
	if over := b.spent + n - burst; over > 0 {
		return time.Duration(over / perSecond * float64(time.Second)), false
	}
	b.spent += n
	return 0, true
}

func newTurns() *turns { return &turns{seed: maphash.MakeSeed()} }

// network is the place of an address.
func (t *turns) network(a netip.Addr) network {
	b := a.As16()
	n := 6
	if a.Unmap().Is4() {
		n = 15 // ::ffff:a.b.c
	}
	return network(maphash.Bytes(t.seed, b[:n]) % limitSlots)
}

// take takes n turns of a network's, or says how long to wait before asking again.
func (t *turns) take(of network, n int, now time.Time) (wait time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buckets[of].take(float64(n), burst, perSecond, now)
}

// takeRare takes one of the turns of what is done rarely.
func (t *turns) takeRare(of network, now time.Time) (wait time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rare[of].take(1, rareBurst, rarePerDay/(24*time.Hour).Seconds(), now)
}
