package serve

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/cache"
	"github.com/shoji-dns/shoji/internal/dns"
)

const (
	headerLen = 12 // octets, RFC 1035 §4.1.1
	optLen    = 11 // octets of an OPT record without options, RFC 6891 §6.1.2
	edeLen    = 6  // octets of an EDE option without text, RFC 8914 §2

	// toQuestion is a compression pointer to the question's name.
	toQuestion = 0xC000 | headerLen

	// maxText is the longest EXTRA-TEXT that is sent.
	maxText = 255
)

// explanation is an Extended DNS Error (RFC 8914).
type explanation struct {
	present bool
	code    dns.ErrorCode
	text    []byte // valid while the reply is written
}

// write gives out an entry as it is. It reports false if the entry was evicted meanwhile.
func (s *Server) write(q *dns.Query, out []byte, e *cache.Entry, now time.Time) ([]byte, bool) {
	return s.render(q, out, e, now, false)
}

// render writes an entry: fresh, or stale and said to be so.
func (s *Server) render(q *dns.Query, out []byte, e *cache.Entry, now time.Time, stale bool) ([]byte, bool) {
	if s.cfg.Sentinel != nil && mayBeSentinel(q.Name()) && !q.Flags.Has(dns.FlagCD) && s.cfg.Sentinel(q.Name(), q.Type, e.Status()) {
		return s.fail(q, out, dns.EDEOther, "root key sentinel (RFC 8509)"), true
	}
	size := e.Len(q.DO)
	if q.HasEDNS {
		size += optLen + q.Reply.Len()
	}
	if size > q.MaxReply {
		return truncated(q, out), true
	}
	flags := q.ReplyFlags()
	if e.Status().IsSecure() && (q.DO || q.Flags.Has(dns.FlagAD)) {
		flags |= dns.FlagAD
	}
	floor := uint32(0)
	if stale {
		floor = s.staleTTL
	}
	start := len(out)
	out, ok := e.AppendMessage(out, q, flags, now, floor)
	if !ok {
		return out[:start], false
	}
	if !q.HasEDNS {
		return out, true
	}
	if stale {
		return appendOPT(out, start, q, e.RCode(), staleness(e)), true
	}
	if !e.IsOdd() {
		return appendOPT(out, start, q, e.RCode(), explanation{}), true
	}
	return s.writeOdd(q, out, start, e)
}

// mayBeSentinel tells the few names that may be root key sentinels by the length of their
// first label: a prefix of 24 or 25 octets and five digits (RFC 8509 §2).
func mayBeSentinel(name []byte) bool { return name[0] == 29 || name[0] == 30 }

// writeOdd ends a reply that has something to explain.
//
//go:noinline
func (s *Server) writeOdd(q *dns.Query, out []byte, start int, e *cache.Entry) ([]byte, bool) {
	var room [maxText]byte
	why, ok := explain(e, room[:0])
	if !ok {
		return out[:start], false
	}
	return appendOPT(out, start, q, e.RCode(), why), true
}

// explain is the answer's own Extended DNS Error, else its DNSSEC status's. It reports false
// if the entry was evicted meanwhile.
func explain(e *cache.Entry, room []byte) (why explanation, ok bool) {
	why.code, why.text, why.present, ok = e.Error(room)
	if code := e.Status().EDE(); !why.present && code != 0 {
		why.present, why.code, why.text = true, code, append(room, e.Status().Reason()...)
	}
	return why, ok
}

// bogus answers SERVFAIL in place of data that should verify and does not (RFC 4035 §5.5).
//
//go:noinline
func (s *Server) bogus(q *dns.Query, out []byte, e *cache.Entry) ([]byte, bool) {
	var room [maxText]byte
	why, ok := explain(e, room[:0])
	if !ok {
		return out, false
	}
	if !why.present {
		why.present, why.code = true, dns.EDEDNSSECBogus
	}
	start := len(out)
	out = begin(out, q, dns.RCodeServerFailure)
	return appendOPT(out, start, q, dns.RCodeServerFailure, why), true
}

// fail answers SERVFAIL.
func (s *Server) fail(q *dns.Query, out []byte, code dns.ErrorCode, text string) []byte {
	return empty(q, out, dns.RCodeServerFailure, code, text)
}

// empty answers with a response code alone, and says why.
func empty(q *dns.Query, out []byte, r dns.RCode, code dns.ErrorCode, text string) []byte {
	start := len(out)
	out = begin(out, q, r)
	var room [maxText]byte
	return appendOPT(out, start, q, r, explanation{true, code, append(room[:0], text...)})
}

// truncated answers with the question alone, and TC: the client asks again over TCP.
func truncated(q *dns.Query, out []byte) []byte {
	start := len(out)
	out = begin(out, q, dns.RCodeSuccess)
	dns.PutFlags(out[start:], q.ReplyFlags()|dns.FlagTC)
	return appendOPT(out, start, q, dns.RCodeSuccess, explanation{})
}

// begin appends a header and the question.
func begin(out []byte, q *dns.Query, r dns.RCode) []byte {
	const qdcount1 = 1 << 16
	out = binary.BigEndian.AppendUint64(out, uint64(q.ID)<<48|uint64(q.ReplyFlags().WithRCode(r))<<32|qdcount1)
	out = binary.BigEndian.AppendUint32(out, 0)
	out = append(out, q.RawName()...)
	return binary.BigEndian.AppendUint32(out, uint32(q.Type)<<16|uint32(q.Class))
}

// Where a message counts its records.
const (
	answerCount     = 6
	authorityCount  = 8
	additionalCount = 10
)

// count counts one more record of a message that begins at start.
func count(out []byte, start, section int) {
	at := out[start+section:]
	binary.BigEndian.PutUint16(at, binary.BigEndian.Uint16(at)+1)
}

// appendRecord appends a record of the question's class, but for its RDATA of size octets.
// The owner is a compression pointer.
func appendRecord(out []byte, owner uint16, t dns.Type, class dns.Class, ttl uint32, size int) []byte {
	out = binary.BigEndian.AppendUint16(out, owner)
	out = binary.BigEndian.AppendUint32(out, uint32(t)<<16|uint32(class))
	out = binary.BigEndian.AppendUint32(out, ttl)
	return binary.BigEndian.AppendUint16(out, uint16(size))
}

// soaNobody is responsible for a zone that is synthesised (RFC 6303 §3).
const soaNobody = "\x06nobody\x07invalid\x00"

// appendNumbers appends the numbers of a synthesised SOA: serial, refresh, retry and expire as
// RFC 6303 §3 has them, and the minimum, which is the TTL of what is absent (RFC 2308 §4).
func appendNumbers(out []byte, ttl uint32) []byte {
	for _, v := range [...]uint32{1, 3600, 1200, 604800, ttl} {
		out = binary.BigEndian.AppendUint32(out, v)
	}
	return out
}

// appendSOA appends a synthesised SOA with the given owner as the authority of a negative
// answer (RFC 2308 §5). The zone is its own server (RFC 6303 §3).
func appendSOA(out []byte, start int, owner uint16, ttl uint32) []byte {
	const size = 2 + len(soaNobody) + 5*4
	out = appendRecord(out, owner, dns.TypeSOA, dns.ClassIN, ttl, size)
	out = binary.BigEndian.AppendUint16(out, owner)
	out = append(out, soaNobody...)
	out = appendNumbers(out, ttl)
	count(out, start, authorityCount)
	return out
}

// appendOPT ends a reply to a query with EDNS: by an OPT record with the transport's options,
// and the explanation if there is room for it.
func appendOPT(out []byte, start int, q *dns.Query, r dns.RCode, why explanation) []byte {
	if !q.HasEDNS {
		return out
	}
	do := byte(0)
	if q.DO {
		do = 0x80
	}
	out = append(out, 0, 0, byte(dns.TypeOPT), dns.DefaultUDPSize>>8, dns.DefaultUDPSize&0xFF, byte(r>>4), 0, do, 0, 0, 0)
	count(out, start, additionalCount)
	options := len(out)
	out = q.AppendReplyOptions(out)
	n := edeLen + len(why.text)
	if !why.present || len(out)-start+n > q.MaxReply {
		binary.BigEndian.PutUint16(out[options-2:], uint16(len(out)-options))
		return out
	}
	binary.BigEndian.PutUint16(out[options-2:], uint16(len(out)-options+n))
	out = slices.Grow(out, n)
	out = binary.BigEndian.AppendUint16(out, dns.OptionEDE)
	out = binary.BigEndian.AppendUint16(out, uint16(n-4))
	out = binary.BigEndian.AppendUint16(out, uint16(why.code))
	return append(out, why.text...)
}
