package cache

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
)

const (
	headerWords   = int(unsafe.Sizeof(header{}) / wordBytes)
	messageHeader = 12 // octets, RFC 1035 §4.1.1
)

// header is the start of an entry, and all that is known of an answer besides its records.
// It holds no pointer. What follows it, each part beginning on a word:
//
//	where the TTLs are     an uint16 for each record: octets from the message's start
//	  … of plain           likewise, where there is a rendering of its own
//	message                from the question on, so the header's 12 octets are left out
//	plain message          only where plain is no beginning of the message
//	order                  an uint16 for each record: its place in the answer's own order;
//	                       only where that is another one
//	leads                  what a filter judges: names and addresses
//	text                   the Extended DNS Error's
//
// A message has one rendering for queries with the DO bit and one without, which lacks
// RRSIG, NSEC and NSEC3 records (RFC 4035 §3.2.1). Records are ordered so that the latter is
// the beginning of the former, which compression pointers, leading backwards, allow: the
// answer section's data, then its signatures, then the authority section's data, then its
// signatures and denials. Only where both the second and third are present (a signed alias
// to what does not exist) are two renderings stored.
type header struct {
	hash   uint64
	born   int64 // nanoseconds since 1970
	ttl    int64 // nanoseconds
	words  uint32
	status answer.Status
	rcode  dns.RCode
	ede    dns.ErrorCode
	qtype  dns.Type
	leads  uint16 // octets
	full   uint16 // octets of the message
	plain  uint16 // octets of the plain message
	counts [4]uint16
	name   uint8 // octets of the question's name
	text   uint8 // octets
	flags  headerFlags
}

// What counts holds.
const (
	fullAnswer = iota
	fullAuthority
	plainAnswer
	plainAuthority
)

// A header is whole words.
var _ [0]struct{} = [unsafe.Sizeof(header{}) % wordBytes]struct{}{}

type headerFlags uint8

const (
	hasError   headerFlags = 1 << iota // ede and text mean something
	hasOrder                           // the order is stored
	ownPlain                           // the plain message is stored
	hasFailure                         // isFailure
	isOdd                              // hasError, or the status has an Extended DNS Error
)

// load copies a header from shared words.
func (h *header) load(words []uint64) {
	to := (*[headerWords]uint64)(unsafe.Pointer(h))
	from := (*[headerWords]uint64)(words)
	for i := range to {
		to[i] = atomic.LoadUint64(&from[i])
	}
}

func wordsOf(octets int) int { return (octets + wordBytes - 1) / wordBytes }

func (h *header) records() int { return int(h.counts[fullAnswer]) + int(h.counts[fullAuthority]) }

func (h *header) plainRecords() int {
	return int(h.counts[plainAnswer]) + int(h.counts[plainAuthority])
}

// Where the parts of an entry begin, in words.
func (h *header) plainTable() int { return headerWords + wordsOf(2*h.records()) }

func (h *header) message() int {
	if h.flags&ownPlain == 0 {
		return h.plainTable()
	}
	return h.plainTable() + wordsOf(2*h.plainRecords())
}

func (h *header) plainMessage() int {
	if h.flags&ownPlain == 0 {
		return h.message()
	}
	return h.message() + wordsOf(int(h.full))
}

func (h *header) order() int {
	at := h.message() + wordsOf(int(h.full))
	if h.flags&ownPlain != 0 {
		at += wordsOf(int(h.plain))
	}
	return at
}

func (h *header) leadsAt() int {
	if h.flags&hasOrder == 0 {
		return h.order()
	}
	return h.order() + wordsOf(2*h.records())
}

func (h *header) textAt() int { return h.leadsAt() + wordsOf(int(h.leads)) }

// Entry is one look at a remembered answer. It is a value on its user's stack; it becomes
// invalid, which its methods notice, when the entry is evicted.
type Entry struct {
	header header
	words  []uint64 // the entry, in shared memory
	gen    uint64   // of its segment when it was found
	genNow *atomic.Uint64
	mem    *memory // keeps words mapped

	place uint64
	slot  *uint64
	memo  *uint64
}

// valid reports whether everything loaded so far was of one entry.
func (e *Entry) valid() bool { return e.genNow.Load() == e.gen }

// touch counts the entry's popularity up; w is its slot. A slot that changed meanwhile is
// left alone.
func (e *Entry) touch(w slot) {
	if w&popularityMask != popularityMask {
		atomic.CompareAndSwapUint64(e.slot, uint64(w), uint64(w+popularityOne))
	}
}

// isNamed compares the question's name, with which the message begins.
func (e *Entry) isNamed(name []byte) bool {
	at := e.header.message()
	if at+wordsOf(len(name)) > len(e.words) {
		return false
	}
	words := e.words[at:]
	for len(name) >= wordBytes {
		if atomic.LoadUint64(&words[0]) != binary.NativeEndian.Uint64(name) {
			return false
		}
		name, words = name[wordBytes:], words[1:]
	}
	if len(name) == 0 {
		return true
	}
	var last [wordBytes]byte
	binary.NativeEndian.PutUint64(last[:], atomic.LoadUint64(&words[0]))
	return string(last[:len(name)]) == string(name)
}

// Fresh reports whether the answer's time to live has not passed.
func (e *Entry) Fresh(now time.Time) bool {
	return now.UnixNano()-e.header.born < e.header.ttl
}

// Young reports whether the answer has more than an eighth of its time before it. Most
// answers are young, and need no closer look.
func (e *Entry) Young(now time.Time) bool {
	return now.UnixNano()-e.header.born < e.header.ttl-e.header.ttl>>3
}

// TTL is how long the answer is fresh, from when it was learned.
func (e *Entry) TTL() time.Duration { return time.Duration(e.header.ttl) }

// Left is how long the answer stays fresh; less than 0 is how long it has been stale.
func (e *Entry) Left(now time.Time) time.Duration {
	return time.Duration(e.header.born + e.header.ttl - now.UnixNano())
}

// IsFailure reports a failed resolution, or bogus data.
func (e *Entry) IsFailure() bool { return e.header.flags&hasFailure != 0 }

// Print tells this answer from others, later answers to its question among them. Two
// answers may, by rare chance, have the same; none has 0.
func (e *Entry) Print() uint64 {
	return (e.header.hash ^ uint64(e.header.born)*0x9E3779B97F4A7C15) | 1<<63
}

// RCode is the answer's response code.
func (e *Entry) RCode() dns.RCode { return e.header.rcode }

// Status is the answer's DNSSEC status.
func (e *Entry) Status() answer.Status { return e.header.status }

// IsOdd reports whether there is something to explain: an Extended DNS Error of the answer
// or of its DNSSEC status.
func (e *Entry) IsOdd() bool { return e.header.flags&isOdd != 0 }

// Error is the answer's Extended DNS Error; present is false where it has none. The text is
// appended to buf. ok is false if the entry was evicted meanwhile.
func (e *Entry) Error(buf []byte) (code dns.ErrorCode, text []byte, present, ok bool) {
	if e.header.flags&hasError == 0 {
		return 0, buf, false, true
	}
	n := int(e.header.text)
	start := len(buf)
	buf = slices.Grow(buf, n)[:start+n]
	copyWords(buf[start:], e.words[e.header.textAt():])
	ok = e.valid()
	runtime.KeepAlive(e.mem)
	return e.header.ede, buf, true, ok
}

// Len is the length of the message, without OPT.
func (e *Entry) Len(do bool) int {
	if do {
		return messageHeader + int(e.header.full)
	}
	return messageHeader + int(e.header.plain)
}

// AppendMessage appends the answer as a reply to q, with the given flags, to which the
// response code is added, and no OPT. The question's name is as q spells it. TTLs are what
// is left of them, or as they were learned but floor at most, whichever is more. It reports false, and what was appended means nothing, if
// the entry was evicted meanwhile. Nothing is allocated where the capacity of out suffices.
func (e *Entry) AppendMessage(out []byte, q *dns.Query, flags dns.Flags, now time.Time, floor uint32) ([]byte, bool) {
	h := &e.header
	counts, table, body, n := h.counts[:2], headerWords, h.message(), int(h.full)
	if !q.DO {
		counts, n = h.counts[2:], int(h.plain)
		if h.flags&ownPlain != 0 {
			table, body = h.plainTable(), h.plainMessage()
		}
	}
	start := len(out)
	out = slices.Grow(out, messageHeader+n)[:start+messageHeader+n]
	msg := out[start:]
	binary.BigEndian.PutUint64(msg, uint64(q.ID)<<48|uint64(flags|dns.Flags(h.rcode&0xF))<<32|1<<16|uint64(counts[0]))
	binary.BigEndian.PutUint32(msg[8:], uint32(counts[1])<<16)
	copyWords(msg[messageHeader:], e.words[body:])
	copy(msg[messageHeader:], q.RawName())
	if records := int(counts[0]) + int(counts[1]); records > 0 {
		if !patchTTLs(msg, e.words[table:], records, e.age(now), floor) {
			return out, false
		}
	}
	ok := e.valid()
	runtime.KeepAlive(e.mem)
	return out, ok
}

// age is how long ago the answer was learned, in whole seconds.
func (e *Entry) age(now time.Time) uint32 {
	return uint32(max(now.UnixNano()-e.header.born, 0) / int64(time.Second))
}

// patchTTLs takes age off each record's TTL in msg, down to floor where it is above that. It reports false where
// the table is not one of msg, which happens when the entry has been evicted.
func patchTTLs(msg []byte, table []uint64, records int, age, floor uint32) bool {
	var offsets uint64
	for i := range records {
		if i%4 == 0 {
			offsets = atomic.LoadUint64(&table[i/4])
		}
		at := int(uint16(offsets))
		offsets >>= 16
		if at+4 > len(msg) {
			return false
		}
		ttl := binary.BigEndian.Uint32(msg[at:])
		ttl = max(ttl-min(ttl, age), min(ttl, floor))
		binary.BigEndian.PutUint32(msg[at:], ttl)
	}
	return true
}

// copyWords fills out from shared words, of which there are enough.
func copyWords(out []byte, words []uint64) {
	for len(out) >= wordBytes {
		binary.NativeEndian.PutUint64(out, atomic.LoadUint64(&words[0]))
		out, words = out[wordBytes:], words[1:]
	}
	if len(out) > 0 {
		var last [wordBytes]byte
		binary.NativeEndian.PutUint64(last[:], atomic.LoadUint64(&words[0]))
		copy(out, last[:])
	}
}

// Leads copies into buf what the answer leads to: the names and addresses that a filter
// judges. NextLead reads them. It reports false where buf is too short, or the entry was
// evicted meanwhile.
func (e *Entry) Leads(buf []byte) ([]byte, bool) {
	n := int(e.header.leads)
	if n == 0 {
		return nil, true
	}
	if n > len(buf) {
		return nil, false
	}
	copyWords(buf[:n], e.words[e.header.leadsAt():])
	ok := e.valid()
	runtime.KeepAlive(e.mem)
	return buf[:n], ok
}

// The kinds of leads; each is followed by the address or the uncompressed name.
const (
	leadName = iota
	lead4
	lead6
)

// NextLead reads one of an answer's leads: a name in lower case and uncompressed, or else
// an address. rest is nil after the last one.
func NextLead(leads []byte) (name []byte, addr netip.Addr, rest []byte) {
	kind, b := leads[0], leads[1:]
	switch kind {
	case lead4:
		return nil, netip.AddrFrom4([4]byte(b)), b[4:]
	case lead6:
		return nil, netip.AddrFrom16([16]byte(b)), b[16:]
	}
	n := 1
	for b[n-1] != 0 {
		n += int(b[n-1]) + 1
	}
	return b[:n], netip.Addr{}, b[n:]
}
