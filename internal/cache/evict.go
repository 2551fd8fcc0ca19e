package cache

import (
	"sync/atomic"
	"time"
)

const (
	// smallShare is the part of a shard's segments that the small queue has: one in ten
	// (S3-FIFO, §4.1).
	smallShare = 10

	// promoteAt is how often an entry of the small queue must have been found to move to
	// the main queue (S3-FIFO, algorithm 1).
	promoteAt = 2

	// keepQuarters bounds what a segment of the main queue keeps when it is emptied, so that emptying one always frees memory.
	keepQuarters = 3

	// staleLimit is how long after its time an entry is still worth moving (RFC 8767 §5
	// suggests to serve stale data for one to three days).
	staleLimit = 3 * 24 * time.Hour

	ghostBytes        = 4
	segmentTableBytes = 8 + 4 + 4 + 1 // generation, fill, place in a queue, queue
)

// The queues of segments.
const (
	small = queueID(iota)
	main
	queues
)

type queueID uint8

// segments says which segment is used for what. Writers alone use it.
type segments struct {
	words    uint64    // of one segment
	free     []uint32  // a stack; at least one stays in reserve for what is moved
	fill     []uint32  // words in use of each segment
	queue    []queueID // of each segment
	full     [queues]fifo
	open     [queues]uint32
	smallMax int // full segments that the small queue may have
}

func (g *segments) init(p plan) {
	n := int(p.segments)
	g.words = p.segmentWords
	g.fill = make([]uint32, n)
	g.queue = make([]queueID, n)
	g.free = make([]uint32, 0, n)
	for i := n - 1; i >= 0; i-- {
		g.free = append(g.free, uint32(i)) // the first is taken first
	}
	g.smallMax = max(n/smallShare-1, 1)
	for q := range queues {
		g.open[q] = g.pop(q)
	}
}

func (g *segments) pop(q queueID) uint32 {
	last := len(g.free) - 1
	id := g.free[last]
	g.free = g.free[:last]
	g.queue[id], g.fill[id] = q, 0
	return id
}

// take reserves words in the open segment of q.
func (g *segments) take(q queueID, words uint64) (word uint64, ok bool) {
	id := g.open[q]
	if uint64(g.fill[id])+words > g.words {
		return 0, false
	}
	word = uint64(id)*g.words + uint64(g.fill[id])
	g.fill[id] += uint32(words)
	return word, true
}

// turn closes the open segment of q and opens a free one.
func (g *segments) turn(q queueID) {
	g.full[q].push(g.open[q])
	g.open[q] = g.pop(q)
}

// fifo is a queue of segments, oldest first.
type fifo struct {
	ids  []uint32
	head int
}

func (f *fifo) len() int { return len(f.ids) - f.head }

func (f *fifo) push(id uint32) {
	if f.head > len(f.ids)/2 {
		f.ids = append(f.ids[:0], f.ids[f.head:]...)
		f.head = 0
	}
	f.ids = append(f.ids, id)
}

func (f *fifo) pop() uint32 {
	id := f.ids[f.head]
	f.head++
	return id
}

// allocate reserves words in queue q, evicting what must go. The mutex is held.
func (s *shard) allocate(q queueID, words uint64, now time.Time) (word uint64, ok bool) {
	if words > s.segments.words {
		return 0, false
	}
	if word, ok := s.segments.take(q, words); ok {
		return word, true
	}
	for len(s.segments.free) < 2 {
		s.evict(now)
	}
	// Evicting may have opened a segment of q that has room.
	if word, ok := s.segments.take(q, words); ok {
		return word, true
	}
	s.segments.turn(q)
	return s.segments.take(q, words)
}

// evict empties one segment. What it keeps goes to the main queue and needs at most the
// segment in reserve, which the emptied one replaces. A segment of the small queue may keep
// all that it has; then the main queue grows and is emptied next. One of the main queue
// frees a quarter at least. So allocate's loop ends.
func (s *shard) evict(now time.Time) {
	g := &s.segments
	q := main
	if g.full[small].len() > g.smallMax || g.full[main].len() == 0 {
		q = small
	}
	id := g.full[q].pop()
	threshold, budget := promoteAt, g.words
	if q == main {
		budget = g.words * keepQuarters / 4
		threshold = s.keepThreshold(id, budget)
	}
	base := uint64(id) * g.words
	for at := base; at < base+uint64(g.fill[id]); {
		var hdr header
		hdr.load(s.arena[at:])
		n := uint64(hdr.words)
		s.leave(&hdr, at, q, threshold, &budget, now)
		at += n
	}
	s.nextGeneration(id)
	g.free = append(g.free, id)
}

// keepThreshold is the least popularity, 1 or more, at which what a segment of the main
// queue holds fits into the budget.
func (s *shard) keepThreshold(id uint32, budget uint64) int {
	var words [maxPopularity + 1]uint64
	base := uint64(id) * s.segments.words
	for at := base; at < base+uint64(s.segments.fill[id]); {
		var hdr header
		hdr.load(s.arena[at:])
		if b, i, ok := s.slotOf(&hdr, at); ok {
			words[slot(atomic.LoadUint64(&b[i])).popularity()] += uint64(hdr.words)
		}
		at += uint64(hdr.words)
	}
	sum := uint64(0)
	for p := maxPopularity; p > 0; p-- {
		if sum += words[p]; sum > budget {
			return min(p+1, maxPopularity)
		}
	}
	return 1
}

// slotOf finds the slot that leads to the entry at a word; there is none for an entry that
// was replaced.
func (s *shard) slotOf(hdr *header, at uint64) (bucket []uint64, i int, ok bool) {
	gen := s.gens[at>>s.segmentShift].Load()
	place := makeSlot(0, gen, 0, at).place()
	bucket = s.bucket(hdr.hash)
	for k := range slotsPerBucket {
		i := slotAt(k, hdr.hash)
		w := slot(atomic.LoadUint64(&bucket[i]))
		if w != 0 && w.place() == place {
			return bucket, i, true
		}
	}
	return nil, 0, false
}

// leave decides on one entry of a segment that is being emptied: it moves to the main
// queue or is forgotten.
func (s *shard) leave(hdr *header, at uint64, from queueID, threshold int, budget *uint64, now time.Time) {
	b, i, ok := s.slotOf(hdr, at)
	if !ok {
		return
	}
	w := slot(atomic.LoadUint64(&b[i]))
	words := uint64(hdr.words)
	stale := now.UnixNano()-hdr.born-hdr.ttl > int64(staleLimit)
	if stale || w.popularity() < threshold || words > *budget {
		atomic.StoreUint64(&b[i], 0)
		s.entries--
		s.evicted++
		if from == small && !stale {
			s.ghosts.add(hdr.hash)
		}
		return
	}
	*budget -= words
	to, ok := s.segments.take(main, words)
	if !ok {
		s.segments.turn(main)
		to, _ = s.segments.take(main, words)
	}
	for k := range words {
		atomic.StoreUint64(&s.arena[to+k], atomic.LoadUint64(&s.arena[at+k]))
	}
	popularity := 0
	if from == main {
		popularity = w.popularity() - 1
	}
	gen := s.gens[to>>s.segmentShift].Load()
	atomic.StoreUint64(&b[i], uint64(makeSlot(hdr.hash, gen, popularity, to)))
	s.promoted++
}

// nextGeneration makes every reader of a segment see that it was emptied. The low bits of a
// generation are never 0, so no slot in use is the empty one.
func (s *shard) nextGeneration(id uint32) {
	gen := s.gens[id].Load() + 1
	if gen&genMask == 0 {
		gen++
	}
	s.gens[id].Store(gen)
}

// ghosts are fingerprints of what left the small queue, each in the place that its hash
// chooses until another one takes it.
type ghosts []uint32

func (g ghosts) place(h uint64) (*uint32, uint32) {
	return &g[(h>>32)%uint64(len(g))], uint32(h) | 1
}

func (g ghosts) add(h uint64) {
	p, print := g.place(h)
	*p = print
}

// take reports whether h is known, and forgets it.
func (g ghosts) take(h uint64) bool {
	p, print := g.place(h)
	if *p != print {
		return false
	}
	*p = 0
	return true
}
