package cache

import (
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/shoji-dns/shoji/internal/dns"
)

const (
	// A bucket is two cache lines. A line is four slots, then their memos; so what a hit
	// reads of the index is mostly one line.
	slotsPerLine   = 4
	slotsPerBucket = 8
	bucketWords    = 2 * slotsPerBucket

	// bytesPerSlot is how much arena there is for one slot of the index. The shortest
	// real answers take about as much; so the arena fills before the index does.
	bytesPerSlot = 128

	// unitWords is what entries are aligned to: 16 octets, so that 32 bits reach 64 GiB.
	unitWords = 2

	cacheLine = 64
)

// A slot is one word of the index. 0 is an empty one.
//
//	tag 16 | generation 14 | popularity 2 | unit 32
type slot uint64

const (
	unitBits       = 32
	popularityOne  = slot(1) << unitBits
	popularityMask = slot(3) << unitBits
	maxPopularity  = 3
	genShift       = 34
	genMask        = 1<<14 - 1
	tagShift       = 48
)

func makeSlot(h, gen uint64, popularity int, word uint64) slot {
	return slot(h<<tagShift | (gen&genMask)<<genShift | uint64(popularity)<<unitBits | word/unitWords)
}

func (w slot) word() uint64    { return uint64(uint32(w)) * unitWords }
func (w slot) gen() uint64     { return uint64(w) >> genShift & genMask }
func (w slot) popularity() int { return int(w >> unitBits & 3) }
func (w slot) tag() uint64     { return uint64(w) >> tagShift }

// place is what identifies an entry: unit and generation.
func (w slot) place() uint64 { return uint64(uint32(w)) | w.gen()<<unitBits }

// plan is how a shard divides its memory.
type plan struct {
	segmentWords uint64 // a power of two
	segments     uint64
	buckets      uint64
}

// planShard divides size octets. total is the size of the whole cache.
func planShard(size, total uint64) plan {
	segment := uint64(segmentBytes)
	if total < smallCache {
		segment = smallSegmentBytes
	}
	const perSlot = 2*wordBytes + ghostBytes
	slots := segment / bytesPerSlot
	n := size / (segment + slots*perSlot + segmentTableBytes)
	return plan{segmentWords: segment / wordBytes, segments: n, buckets: n * slots / slotsPerBucket}
}

func (p plan) words() uint64 { return p.segments*p.segmentWords + p.buckets*bucketWords }

// shard is a part of the cache with a writers' mutex of its own.
type shard struct {
	// Readers use these; they never change.
	mem          *memory // keeps index and arena mapped
	index        []uint64
	arena        []uint64
	gens         []atomic.Uint64 // generation of each segment; never 0 in its low bits
	buckets      uint64
	segmentShift uint

	_ [cacheLine]byte // what writers change stands on lines of its own

	mu       sync.Mutex
	segments segments
	ghosts   ghosts
	entries  uint64
	puts     uint64
	evicted  uint64
	promoted uint64

	_ [cacheLine]byte
}

func (s *shard) init(mem *memory, p plan, words []uint64) {
	n := p.buckets * bucketWords
	s.mem, s.index, s.arena = mem, words[:n:n], words[n:]
	s.buckets = p.buckets
	s.segmentShift = uint(bits.TrailingZeros64(p.segmentWords))
	s.gens = make([]atomic.Uint64, p.segments)
	for i := range s.gens {
		s.gens[i].Store(1)
	}
	s.segments.init(p)
	s.ghosts = make(ghosts, p.buckets*slotsPerBucket)
}

// bucket is where entries of hash h have their slots.
func (s *shard) bucket(h uint64) []uint64 {
	// The top bits chose the shard; the ones below spread over the buckets.
	hi, _ := bits.Mul64(h<<maxShardBits, s.buckets)
	return s.index[hi*bucketWords:][:bucketWords:bucketWords]
}

// slotAt is where the k-th slot to look at, for a hash, is in its bucket. Which of the lines
// comes first is the hash's choice. The slot's memo is slotsPerLine words further on.
func slotAt(k int, h uint64) int {
	line := k/slotsPerLine ^ int(h>>20&1)
	return line*2*slotsPerLine + k%slotsPerLine
}

// maxShardBits is how many bits of the hash may choose the shard.
const maxShardBits = 6

// find looks for the entry of a question.
func (s *shard) find(e *Entry, h uint64, name []byte, t dns.Type) bool {
	b := s.bucket(h)
	for k := range slotsPerBucket {
		i := slotAt(k, h)
		w := slot(atomic.LoadUint64(&b[i]))
		if w == 0 || w.tag() != h&(1<<16-1) || !s.read(e, w, h, name, t) {
			continue
		}
		e.slot, e.memo = &b[i], &b[i+slotsPerLine]
		e.touch(w)
		return true
	}
	return false
}

// read copies the header of the entry that w leads to and reports whether it is of the
// question asked for. The generation is looked at twice: before the header's lengths are
// believed, and after the name was compared.
func (s *shard) read(e *Entry, w slot, h uint64, name []byte, t dns.Type) bool {
	start := w.word()
	segment := start >> s.segmentShift
	if segment >= uint64(len(s.gens)) {
		return false
	}
	gen := s.gens[segment].Load()
	if gen&genMask != w.gen() {
		return false
	}
	words := s.arena[start:min(start+1<<s.segmentShift, uint64(len(s.arena)))]
	if len(words) < headerWords {
		return false
	}
	e.header.load(words)
	if e.header.hash != h || e.header.qtype != t || int(e.header.name) != len(name) {
		return false
	}
	if s.gens[segment].Load() != gen {
		return false
	}
	e.words = words[:e.header.words]
	e.gen, e.genNow, e.place, e.mem = gen, &s.gens[segment], w.place(), s.mem
	return e.isNamed(name) && e.valid()
}

// put stores an image of an entry, in the place of one of the same question.
func (s *shard) put(h uint64, image []uint64, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	words := uint64((*header)(unsafe.Pointer(unsafe.SliceData(image))).words)
	queue, popularity := small, 0
	if i, ok := s.locate(h, image); ok {
		w := slot(atomic.LoadUint64(&s.bucket(h)[i]))
		queue, popularity = s.segments.queue[w.word()>>s.segmentShift], w.popularity()
	} else if s.ghosts.take(h) {
		queue = main
	}
	word, ok := s.allocate(queue, words, now)
	if !ok {
		return
	}
	for i, v := range image {
		atomic.StoreUint64(&s.arena[word+uint64(i)], v)
	}
	gen := s.gens[word>>s.segmentShift].Load()
	s.publish(h, image, makeSlot(h, gen, popularity, word))
	s.puts++
	runtime.KeepAlive(s.mem)
}

// locate finds the slot of the entry with the same question as image. The mutex is held.
func (s *shard) locate(h uint64, image []uint64) (int, bool) {
	hdr := (*header)(unsafe.Pointer(unsafe.SliceData(image)))
	at := hdr.message()
	name := unsafe.Slice((*byte)(unsafe.Pointer(&image[at])), hdr.name)
	b := s.bucket(h)
	var e Entry
	for k := range slotsPerBucket {
		i := slotAt(k, h)
		w := slot(atomic.LoadUint64(&b[i]))
		if w != 0 && w.tag() == h&(1<<16-1) && s.read(&e, w, h, name, hdr.qtype) {
			return i, true
		}
	}
	return 0, false
}

// publish makes a stored entry findable: in the slot of its question, or an empty one, or
// that of the least popular entry of the bucket. Allocating may have evicted entries, so
// the slot is looked for again. The mutex is held.
func (s *shard) publish(h uint64, image []uint64, w slot) {
	b := s.bucket(h)
	i, known := s.locate(h, image)
	if !known {
		i = s.emptiest(b, h)
		if atomic.LoadUint64(&b[i]) != 0 {
			s.evicted++
		} else {
			s.entries++
		}
	}
	// A reader that still holds the slot's old word may write the memo late; the memo
	// names the place that it is about, so it says nothing of this entry.
	atomic.StoreUint64(&b[i], uint64(w))
	atomic.StoreUint64(&b[i+slotsPerLine], 0)
}

// emptiest chooses the slot to use for a new entry: the first empty one, else the least
// popular, one in the small queue before one in the main queue.
func (s *shard) emptiest(b []uint64, h uint64) int {
	best, rank := 0, 1<<30
	turn := int(s.puts) // so that no position is always the first to go
	for k := range slotsPerBucket {
		if i := slotAt(k, h); atomic.LoadUint64(&b[i]) == 0 {
			return i
		}
	}
	for k := range slotsPerBucket {
		i := slotAt((k+turn)%slotsPerBucket, h)
		w := slot(atomic.LoadUint64(&b[i]))
		r := 2*w.popularity() + int(s.segments.queue[w.word()>>s.segmentShift])
		if r < rank {
			best, rank = i, r
		}
	}
	return best
}

func (s *shard) addStats(sum *Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum.Bytes += uint64(len(s.index)+len(s.arena))*wordBytes + uint64(len(s.ghosts))*ghostBytes +
		uint64(len(s.gens))*segmentTableBytes
	sum.Entries += s.entries
	sum.Puts += s.puts
	sum.Evicted += s.evicted
	sum.Promoted += s.promoted
}
