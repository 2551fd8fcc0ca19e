// Package cache remembers answers by question, in the wire format in which they are
// given out. It holds what the Internet said; what a filter makes of it is no part of
// an entry but for a memo that says under which list the entry was found to pass.
//
// # Layout
//
// The memory is one anonymous mapping, outside the garbage collector's sight, divided
// into shards by the question's hash. A shard has an index and an arena. The index is
// made of buckets of two cache lines, each of four slots and their memos. A slot is one word
// that says where an entry lies, with a tag of the hash; no entry has a pointer, neither
// to it nor in it. The arena is cut into segments of one size, filled from start to end
// and emptied as a whole. An entry (entry.go) is a header, a message from the question on,
// the offsets of its TTLs, and what a filter wants to know of it.
//
// The hash is keyed by a secret of the process (hash/maphash), so that nobody can choose
// names that meet in one bucket. An entry is found by its whole question, never by its
// hash alone.
//
// # Reading without a lock
//
// A reader takes no lock and writes nothing that another reader needs. It loads a slot,
// copies what it wants from the arena, and then looks at the segment's generation again.
// A writer counts the generation up before it writes into an emptied segment, so an
// unchanged generation says that what was copied belongs together. Every access to shared
// words is a sync/atomic one, which Go's memory model puts into one total order, so the
// reasoning does not rest on a processor's.
//
// On a hit a reader may count the entry's popularity up, by compare-and-swap on its slot,
// until that is at its maximum; the slot of a popular entry is only read.
//
// Writers hold their shard's mutex.
//
// # Who leaves
//
// Eviction is S3-FIFO (Yang et al., SOSP 2023) by segments. New entries go to a small
// queue of a tenth of the arena. When its oldest segment is emptied, entries that were
// asked for again move to the main queue; the rest leave, and a fingerprint of each stays
// for a while: who comes back while it is known goes to the main queue at once. The main
// queue's oldest segment keeps its most popular entries, up to three quarters of a segment,
// each a little less popular. So a flood of random names washes through the small queue and
// leaves the main one alone. Expired entries stay until they are evicted.
//
// # Limits
//
// An answer whose message, in its longest rendering, exceeds 65,535 octets or a segment is
// not kept. Several refreshes of an entry leave dead copies until their segment is emptied.
// A popularity that was reached long ago counts until the entry has been round the main queue.
package cache

import (
	"hash/maphash"
	"math/bits"
	"runtime"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
)

const (
	// MinBytes is the least size of a cache.
	MinBytes = 1 << 20
	// DefaultBytes is the size of a cache that is not told one.
	DefaultBytes = 64 << 20

	wordBytes = 8

	// bytesPerShard is how much memory justifies one more shard, and maxShards how
	// many are enough that writers seldom meet.
	bytesPerShard = 4 << 20
	maxShards     = 64

	// A segment holds at least one entry of the longest message. A small cache has
	// small segments, and does not keep the very longest messages.
	segmentBytes      = 128 << 10
	smallSegmentBytes = 32 << 10
	smallCache        = 16 << 20
)

// Config is what a cache needs to know.
type Config struct {
	// Bytes bounds the memory: arena, index and tables together. 0 is DefaultBytes,
	// and less than MinBytes is MinBytes.
	Bytes int64
}

// Cache is a bounded memory of answers in class IN. Its methods may be called from any
// goroutine.
type Cache struct {
	seed      maphash.Seed
	shardBits int
	shards    []shard
	encoders  sync.Pool // of *encoder

	marks marks
}

// New makes an empty cache.
func New(cfg Config) (*Cache, error) {
	size := uint64(cfg.Bytes)
	if cfg.Bytes <= 0 {
		size = DefaultBytes
	}
	size = max(size, MinBytes)
	n := min(size/bytesPerShard, maxShards)
	c := &Cache{seed: maphash.MakeSeed(), shardBits: bits.Len64(max(n, 1)) - 1}
	c.encoders.New = func() any { return new(encoder) }
	c.shards = make([]shard, 1<<c.shardBits)
	p := planShard(size/uint64(len(c.shards)), size)
	mem, err := newMemory(p.words() * uint64(len(c.shards)))
	if err != nil {
		return nil, err
	}
	words := mem.words
	for i := range c.shards {
		c.shards[i].init(mem, p, words[:p.words()])
		words = words[p.words():]
	}
	return c, nil
}

// hash is the keyed hash of a question. Its top bits choose the shard, those below the
// bucket, and the lowest are the slot's tag. The very lowest tells a failure from an answer:
// so both are in one bucket.
func (c *Cache) hash(name []byte, t dns.Type) uint64 {
	h := maphash.Bytes(c.seed, name) + uint64(t)*0x9E3779B97F4A7C15 // 2^64 / golden ratio
	hi, lo := bits.Mul64(h, 0xD6E8FEB86659FD93)                     // an odd constant that mixes well
	return (hi ^ lo) &^ failureBit
}

const failureBit = 1

func (c *Cache) shard(h uint64) *shard { return &c.shards[h>>1>>(63-c.shardBits)] }

// Find looks for the answer to a question; name is in lower case and uncompressed. It
// prefers a fresh answer, then a fresh failure, then a stale answer, and reports whether
// there is any of them. What e holds is good until the next Find. Find does not allocate.
func (c *Cache) Find(e *Entry, name []byte, t dns.Type, now time.Time) bool {
	h := c.hash(name, t)
	s := c.shard(h)
	found := s.find(e, h, name, t)
	if found && e.Fresh(now) {
		return true
	}
	return s.findFailure(e, found, h, name, t, now) || found
}

// FindAnswer looks for what is known besides a failure, fresh or stale: where Find gives a
// failure, the answer that may be served in its place (RFC 8767).
func (c *Cache) FindAnswer(e *Entry, name []byte, t dns.Type) bool {
	h := c.hash(name, t)
	return c.shard(h).find(e, h, name, t)
}

// Failing reports whether there is a fresh failure: it is too early to ask again (RFC 9520).
func (c *Cache) Failing(name []byte, t dns.Type, now time.Time) bool {
	var e Entry
	h := c.hash(name, t)
	return c.shard(h).find(&e, h|failureBit, name, t) && e.Fresh(now)
}

// findFailure looks for a failure in place of what e has: nothing, or a stale answer that was
// found.
//
//go:noinline
func (s *shard) findFailure(e *Entry, found bool, h uint64, name []byte, t dns.Type, now time.Time) bool {
	var failed Entry
	if !s.find(&failed, h|failureBit, name, t) || found && !failed.Fresh(now) {
		return false
	}
	*e = failed
	return true
}

// Get is the remembered answer to a question, nil where there is none. fresh is false for
// an answer that is past its time; it may be used as RFC 8767 allows.
func (c *Cache) Get(name dns.Name, t dns.Type, now time.Time) (a *answer.Answer, fresh bool) {
	var e Entry
	var buf [dns.MaxName]byte
	key := append(buf[:0], name.Canonical()...)
	for range getAttempts {
		if !c.Find(&e, key, t, now) {
			return nil, false
		}
		if a, ok := e.Answer(); ok {
			return a, e.Fresh(now)
		}
	}
	return nil, false
}

// getAttempts is how often Get looks again when the entry was evicted under its eyes.
const getAttempts = 4

// Put remembers an answer until it is evicted. An answer without a time to live is not
// remembered. A failure (a response code other than NOERROR and NXDOMAIN, or bogus data)
// is kept beside an answer that is known, so that this one may still be served stale.
func (c *Cache) Put(a *answer.Answer, now time.Time) {
	if a.TTL() <= 0 {
		return
	}
	enc := c.encoders.Get().(*encoder)
	defer c.encoders.Put(enc)
	if !enc.encode(a) {
		return
	}
	h := c.hash([]byte(a.Name()), a.Type())
	if enc.header.flags&hasFailure != 0 {
		h |= failureBit
	}
	enc.header.hash = h
	c.shard(h).put(h, enc.image(), now)
	runtime.KeepAlive(c)
}

// Stats is what a cache holds and has done.
type Stats struct {
	Bytes    uint64 // memory in use at most: arena, index and tables
	Entries  uint64 // answers that can be found
	Puts     uint64 // answers remembered
	Evicted  uint64 // answers that had to leave, those that had expired among them
	Promoted uint64 // answers moved to the main queue
}

// Stats counts over all shards.
func (c *Cache) Stats() Stats {
	var sum Stats
	for i := range c.shards {
		c.shards[i].addStats(&sum)
	}
	return sum
}
