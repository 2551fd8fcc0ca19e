package sinkhole

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"hash"
	"iter"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// The transports, by their protocol numbers (IANA, Protocol Numbers).
const (
	tcp uint8 = 6
	udp uint8 = 17
)

// counts are what came, by transport and port: a fixed table of 2 MiB, so that a scan of
// all ports costs no more than a call to one.
type counts struct {
	since  time.Time
	ports  [2][1 << 16]portCounter // TCP, UDP
	mu     sync.Mutex
	sketch sketch
	mac    hash.Hash
	sum    []byte
}

type portCounter struct {
	seen, kept atomic.Uint32
	octets     atomic.Uint64
}

func newCounts(now time.Time) *counts {
	c := &counts{since: now}
	c.rekey(now)
	return c
}

// rekey throws the day's key and sketch away.
func (c *counts) rekey(now time.Time) {
	key := make([]byte, sha256.Size)
	rand.Read(key) // never fails: it ends the program instead
	clear(c.sketch.key)
	c.sketch = sketch{key: key, day: day(now)}
	c.mac = hmac.New(sha256.New, key)
}

// day is the day of UTC, counted from 1970.
func day(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }

// counter is the place of a port.
func (c *counts) counter(transport uint8, port uint16) *portCounter {
	if transport == udp {
		return &c.ports[1][port]
	}
	return &c.ports[0][port]
}

// saw counts a connection or datagram, and its source among the day's.
func (c *counts) saw(from netip.Addr, transport uint8, port uint16) {
	c.counter(transport, port).seen.Add(1)
	a := from.As16()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mac.Reset()
	c.mac.Write(a[:])
	c.sum = c.mac.Sum(c.sum[:0])
	register, rank := index(c.sum)
	c.sketch.registers[register] = max(c.sketch.registers[register], rank)
}

// read counts what was received, and whether it was kept.
func (c *counts) read(transport uint8, port uint16, n int, kept bool) {
	p := c.counter(transport, port)
	p.octets.Add(uint64(n))
	if kept {
		p.kept.Add(1)
	}
}

// take yields the counts since the last time, and begins anew.
func (c *counts) take(now time.Time) iter.Seq[portCount] {
	return func(yield func(portCount) bool) {
		for i, transport := range [2]uint8{tcp, udp} {
			for port := range c.ports[i] {
				p := &c.ports[i][port]
				n := portCount{
					from: c.since, to: now, transport: transport, port: uint16(port),
					seen: p.seen.Swap(0), kept: p.kept.Swap(0), octets: p.octets.Swap(0),
				}
				if n.seen == 0 && n.kept == 0 && n.octets == 0 {
					continue
				}
				if !yield(n) {
					return
				}
			}
		}
	}
}

// totals ends the interval that take began: what is counted over all ports.
func (c *counts) totals(now time.Time, evicted, dropped uint64) total {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := total{from: c.since, to: now, sources: c.sketch.estimate(), evicted: evicted, dropped: dropped}
	c.since = now
	if c.sketch.day != day(now) {
		c.rekey(now)
	}
	return t
}

// estimate is about how many distinct digests the sketch has seen; few are counted
// nearly exactly, by how many registers are empty.
func (s *sketch) estimate() uint64 {
	const m = float64(len(s.registers))
	sum, empty := 0.0, 0.0
	for _, r := range s.registers {
		sum += math.Ldexp(1, -int(r))
		if r == 0 {
			empty++
		}
	}
	e := 0.7213 / (1 + 1.079/m) * m * m / sum // the paper's constant for m ≥ 128
	if e <= 2.5*m && empty > 0 {
		e = m * math.Log(m/empty)
	}
	return uint64(math.Round(e))
}
