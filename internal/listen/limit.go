package listen

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

const (
	// limiterPlaces is the number of source prefixes whose rate is known at once, a
	// power of two: 64 Ki places are 512 KiB.
	limiterPlaces = 1 << 16
	// limiterProbes is how many neighbouring places a prefix may take: one cache line.
	limiterProbes = 8
	// limiterBurst is how much of its rate a prefix may use at once.
	limiterBurst = time.Second
	// maxRate is the highest rate that the clock of the buckets can tell apart, a second.
	maxRate = 1_000_000

	// The prefixes that share one rate: BIND's and Knot's defaults for response
	// rate limiting.
	limitBits4 = 24
	limitBits6 = 56
)

// limitVerdict is what a limiter says about one query.
type limitVerdict uint8

const (
	limitPass limitVerdict = iota
	limitDrop
	limitTruncate
)

// limiter holds one token bucket for each source prefix, in a table of fixed
// size without locks. A place is one word: a tag of the prefix and the moment at
// which its bucket will be full again (the generic cell rate algorithm), in
// microseconds since the limiter was made. A bucket that is full is the same as
// none, so a place frees itself.
type limiter struct {
	seed   maphash.Seed
	start  time.Time
	cost   uint64 // microseconds that one query takes from a bucket
	burst  uint64 // microseconds that a bucket holds
	places [limiterPlaces]atomic.Uint64
	slips  atomic.Uint64
}

const (
	limitTimeBits = 44 // 200 days of microseconds; for the second before it wraps nothing is limited
	limitTimeMask = 1<<limitTimeBits - 1
)

func newLimiter(perSecond int) *limiter {
	perSecond = min(perSecond, maxRate)
	return &limiter{
		seed:  maphash.MakeSeed(),
		start: time.Now(),
		cost:  uint64(time.Second/time.Microsecond) / uint64(perSecond),
		burst: uint64(limiterBurst / time.Microsecond),
	}
}

// take counts one query from the prefix of a that came at a time.
func (l *limiter) take(a netip.Addr, now time.Time) limitVerdict {
	return l.takeAt(a, uint64(max(now.Sub(l.start), 0)/time.Microsecond)&limitTimeMask)
}

func (l *limiter) takeAt(a netip.Addr, now uint64) limitVerdict {
	prefix := limitPrefix(a)
	h := maphash.Bytes(l.seed, prefix[:])
	tag := h &^ limitTimeMask
	for {
		place, old := l.find(h, tag, now)
		full := now
		if old&^limitTimeMask == tag {
			full = l.fullAt(old, now)
		}
		if full+l.cost > now+l.burst {
			if l.slips.Add(1)%2 == 0 {
				return limitTruncate
			}
			return limitDrop
		}
		if place.CompareAndSwap(old, tag|(full+l.cost)&limitTimeMask) {
			return limitPass
		}
	}
}

// find returns the place of tag and what it holds. A prefix that has no place
// takes the one whose bucket is full, or nearest to it.
func (l *limiter) find(h, tag, now uint64) (*atomic.Uint64, uint64) {
	base := h & (limiterPlaces - limiterProbes)
	var best *atomic.Uint64
	var bestWord, bestFull uint64
	for i := range uint64(limiterProbes) {
		place := &l.places[base+i]
		word := place.Load()
		if word&^limitTimeMask == tag && word != 0 {
			return place, word
		}
		if full := l.fullAt(word, now); best == nil || full < bestFull {
			best, bestWord, bestFull = place, word, full
		}
	}
	return best, bestWord
}

// fullAt is when the bucket in word is full: now for one that is full already,
// and for one from before the clock last wrapped.
func (l *limiter) fullAt(word, now uint64) uint64 {
	full := word & limitTimeMask
	if full < now || full > now+l.burst {
		return now
	}
	return full
}

// limitPrefix is the part of a that shares one rate.
func limitPrefix(a netip.Addr) [8]byte {
	var key [8]byte
	b := a.As16()
	if a = a.Unmap(); a.Is4() {
		copy(key[1:], b[12:12+limitBits4/8])
		key[0] = 4
		return key
	}
	copy(key[1:], b[:limitBits6/8])
	return key
}
