package doh

import (
	"encoding/binary"
	"strconv"

	"golang.org/x/net/http2/hpack"
)

// Status codes of replies (RFC 9110 §15). The last two are not sent: they say that the
// request is a query by GET, or is for a file.
const (
	statusOK     = 200
	statusBad    = 400
	statusKey    = 401
	statusNone   = 404
	statusMethod = 405
	statusType   = 415

	statusQuery = 1
	statusFile  = 2
)

const (
	// block is what the length of replies is a multiple of (RFC 8467 §4.1).
	block = 468
	// lifeDigits is how many digits every lifetime has.
	lifeDigits = 10
	// sizeDigits is how many digits every length has.
	sizeDigits = 5
	// fileLife is how long a file may be kept, in seconds.
	fileLife = 3600
)

// Reply appends the reply to a request, which may be kept for ttl seconds, or not at all where it
// is oblivious. It does nothing where the client has reset the stream.
func (s *Session) Reply(out []byte, id uint32, message []byte, oblivious bool, ttl uint32) []byte {
	st := s.streams[id]
	if st == nil {
		return out
	}
	if oblivious {
		return s.send(st, appendFields(out, id, fields{status: statusOK, contentType: TypeOblivious}), message, 0)
	}
	return s.send(st, appendFields(out, id, fields{status: statusOK, contentType: TypeMessage, keep: true, ttl: ttl, size: len(message)}), message, padding(message))
}

// Relayed is what came of a request that was to be carried to a target.
type Relayed struct {
	Status  int    // of HTTP: the target's own, or one that the proxy chose
	Cause   Cause  // which of the two it is
	Message []byte // an oblivious reply; empty where there is none
}

// Cause says in a Proxy-Status field (RFC 9209) where a status comes from.
type Cause uint8

// The causes of statuses (RFC 9209 §2.3), each but the first two an error of the proxy's.
const (
	CauseTarget      Cause = iota // the target said so
	CauseOK                       // the target said 200
	CauseRequest                  // the request is malformed
	CauseDenied                   // the target is none that this proxy is for
	CauseFull                     // too many requests are under way
	CauseTimeout                  // the target does not answer
	CauseRefused                  // there is no connection to the target
	CauseCertificate              // the target's certificate is not trusted
	CauseTLS                      // TLS with the target fails otherwise
	CauseResponse                 // the target's response is no oblivious one
	causes
)

func (c Cause) String() string {
	return [causes]string{"received-status=", "received-status=200", "error=http_request_error", "error=http_request_denied", "error=connection_limit_reached",
		"error=http_response_timeout", "error=connection_refused", "error=tls_certificate_error", "error=tls_protocol_error", "error=http_protocol_error"}[min(c, causes-1)]
}

// ProxyStatus is the Proxy-Status field of what came of a request.
func (r *Relayed) ProxyStatus() string {
	text := "shoji; " + r.Cause.String()
	if r.Cause == CauseTarget {
		text += strconv.Itoa(r.Status)
	}
	return text
}

// Relay appends what came of a request that was carried on.
func (s *Session) Relay(out []byte, id uint32, r *Relayed) []byte {
	st := s.streams[id]
	if st == nil {
		return out
	}
	f := fields{status: r.Status, proxy: r.ProxyStatus()}
	if len(r.Message) == 0 {
		s.close(st)
		f.end = true
		return appendFields(out, id, f)
	}
	f.contentType = TypeOblivious
	return s.send(st, appendFields(out, id, f), r.Message, 0)
}

// Overfull reports whether more waits for the client to read than is kept for it: the
// connection is to be closed.
func (s *Session) Overfull() bool { return s.waiting > maxWaiting }

// Refuse ends a request for which there is no place: the client may ask again elsewhere
// (RFC 9113 §8.7).
func (s *Session) Refuse(out []byte, id uint32) []byte {
	if st := s.streams[id]; st != nil {
		s.close(st)
		return appendReset(out, id, RefusedStream)
	}
	return out
}

// Fail answers a request that cannot be read: an oblivious one that does not open with the keys
// here by 401 (RFC 9230 §4.3), another by 400.
func (s *Session) Fail(out []byte, id uint32, unopened bool) []byte {
	st := s.streams[id]
	if st == nil {
		return out
	}
	status := statusBad
	if unopened {
		status = statusKey
	}
	s.close(st)
	return appendFields(out, id, fields{status: status, end: true})
}

// padding is how much a message needs to the next block.
func padding(message []byte) int { return (block - len(message)%block) % block }

// send appends the DATA frames of a reply, with pad octets of padding, where the windows have room for it;
// else it waits.
func (s *Session) send(st *stream, out, message []byte, pad int) []byte {
	if cost := int64(len(message) + pad + 2*(1+len(message)/maxPayload)); s.waiting == 0 && cost <= min(s.room, st.room) {
		start := len(out)
		out = appendData(out, st.id, message, pad)
		for at := start; at < len(out); {
			n := int(binary.BigEndian.Uint32(out[at:]) >> 8)
			s.room -= int64(n)
			at += frameHeader + n
		}
		s.close(st)
		return out
	}
	st.waiting = append([]byte(nil), message...)
	s.waiting += len(st.waiting)
	return s.release(out)
}

// appendData appends a message as DATA frames, with padding in the last one, and an own one where that is
// not enough.
func appendData(out []byte, id uint32, message []byte, pad int) []byte {
	const most = maxPayload - maxPadding - 1
	for len(message) > most {
		out = append(appendFrame(out, most, frameData, 0, id), message[:most]...)
		message = message[most:]
	}
	if pad == 0 {
		return append(appendFrame(out, len(message), frameData, flagEnd, id), message...)
	}
	var zeros [maxPadding]byte
	first := min(pad, maxPadding)
	out = append(appendFrame(out, 1+len(message)+first, frameData, flagPadded, id), byte(first))
	out = append(append(out, message...), zeros[:first]...)
	out = append(appendFrame(out, 1+pad-first, frameData, flagPadded|flagEnd, id), byte(pad-first))
	return append(out, zeros[:pad-first]...)
}

// release appends what has waited, as far as the windows go now. A client whose windows are
// shorter than replies gets them in pieces, and without padding.
func (s *Session) release(out []byte) []byte {
	for _, st := range s.streams {
		for len(st.waiting) > 0 {
			n := int(min(int64(len(st.waiting)), s.room, st.room, maxPayload))
			if n <= 0 {
				break
			}
			flags := byte(0)
			if n == len(st.waiting) {
				flags = flagEnd
			}
			s.room, st.room, s.waiting = s.room-int64(n), st.room-int64(n), s.waiting-n
			out = append(appendFrame(out, n, frameData, flags, st.id), st.waiting[:n]...)
			if st.waiting = st.waiting[n:]; flags == flagEnd {
				s.close(st)
			}
		}
	}
	return out
}

// fields are the header fields of a response.
type fields struct {
	status      int
	contentType string // "": there is no content
	keep        bool   // it may be kept for ttl seconds; else not at all
	ttl         uint32
	proxy       string // of Proxy-Status; "": there is none
	size        int    // of a DNS message that follows, in octets; 0: it is not told
	end         bool   // nothing follows
}

// appendFields appends a HEADERS frame. Fields are literals that no table keeps (RFC 7541
// §6.2.2), with names of the static table (Appendix A) where it has them. dig 9.18 reads no reply
// that does not tell its length.
func appendFields(out []byte, id uint32, f fields) []byte {
	const fieldStatus, fieldCacheControl, fieldContentLength, fieldContentType = 8, 24, 28, 31
	flags := byte(flagEndHeaders)
	if f.end {
		flags |= flagEnd
	}
	start := len(out)
	out = appendFrame(out, 0, frameHeaders, flags, id)
	if f.status == statusOK {
		out = append(out, 0x80|fieldStatus)
	} else {
		out = strconv.AppendInt(append(out, fieldStatus, 3), int64(f.status), 10)
	}
	if f.contentType != "" {
		out = append(out, 0x0F, fieldContentType-0x0F, byte(len(f.contentType)))
		out = append(out, f.contentType...)
	}
	switch {
	case f.contentType == "":
	case f.keep:
		out = append(out, 0x0F, fieldCacheControl-0x0F, byte(len("max-age=")+lifeDigits))
		out = appendDigits(append(out, "max-age="...), lifeDigits, f.ttl)
	default:
		out = append(out, 0x0F, fieldCacheControl-0x0F, byte(len(noStore)))
		out = append(out, noStore...)
	}
	if f.size > 0 {
		out = append(out, 0x0F, fieldContentLength-0x0F, sizeDigits)
		out = appendDigits(out, sizeDigits, uint32(f.size))
	}
	if f.proxy != "" {
		out = append(out, 0, byte(len(proxyStatus)))
		out = append(append(out, proxyStatus...), byte(len(f.proxy)))
		out = append(out, f.proxy...)
	}
	n := len(out) - start - frameHeader
	out[start+1], out[start+2] = byte(n>>8), byte(n)
	return out
}

// What is said of a reply that nobody may keep (RFC 9230 §4.1), and the name of the field that says what a
// proxy did.
const (
	noStore     = "no-store"
	proxyStatus = "proxy-status"
)

// appendDigits appends a number with so many digits.
func appendDigits(out []byte, digits int, n uint32) []byte {
	out = append(out, "0000000000"[:digits]...)
	for i := len(out) - 1; n > 0; i-- {
		out[i] += byte(n % 10)
		n /= 10
	}
	return out
}

func appendReset(out []byte, id uint32, code Code) []byte {
	out = appendFrame(out, 4, frameReset, 0, id)
	return binary.BigEndian.AppendUint32(out, uint32(code))
}

// HuffmanBits is how many bits the text of a path takes as clients write it in HPACK: two
// paths of one length are told apart by it.
func HuffmanBits(path string) int {
	// Eight times the text is eight times its bits, without what fills the last octet.
	eight := ""
	for range 8 {
		eight += path
	}
	return int(hpack.HuffmanEncodeLength(eight))
}
