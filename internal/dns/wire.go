package dns

import "encoding/binary"

const (
	headerLen  = 12     // RFC 1035 §4.1.1
	maxMessage = 65535  // octets of a message: the two-octet length of RFC 1035 §4.2.2
	rrFixedLen = 10     // type, class, TTL and RDLENGTH of an RR, RFC 1035 §4.1.3
	maxPointer = 0x3FFF // the furthest offset that a compression pointer reaches

	// maxHops bounds the pointers followed for one name. A name whose every label but
	// the first is reached by a pointer of its own needs no more (RFC 9267 §2).
	maxHops = maxLabels - 1
)

// Error is what a parser or a builder finds wrong. Error values are comparable
// constants. All from ErrFormat on are kinds of ErrFormat: errors.Is(err, ErrFormat).
type Error uint8

const (
	ErrDrop           Error = iota + 1 // not a request: no reply may be sent
	ErrNotImplemented                  // an opcode other than QUERY
	ErrBadVersion                      // an EDNS version above 0
	ErrTooLong                         // what should be built exceeds the limit
	ErrFormat                          // malformed
	ErrShort                           // ends inside a header, a name or a record
	ErrLabel                           // a label type other than a string or a pointer
	ErrPointer                         // a compression pointer that does not lead backwards
	ErrNameLength                      // a name of more than MaxName octets
	ErrRDATA                           // RDATA that is not as its type lays it out
	ErrOPT                             // an OPT record that is repeated or misplaced, or its options
	ErrCount                           // header counts that no valid message has
	ErrTrailing                        // octets after the last record
)

// Error says what is wrong.
func (e Error) Error() string {
	switch e {
	case ErrDrop:
		return "dns: not a request"
	case ErrNotImplemented:
		return "dns: opcode not implemented"
	case ErrBadVersion:
		return "dns: EDNS version not implemented"
	case ErrTooLong:
		return "dns: message too long"
	case ErrShort:
		return "dns: message ends early"
	case ErrLabel:
		return "dns: unknown label type"
	case ErrPointer:
		return "dns: compression pointer does not lead backwards"
	case ErrNameLength:
		return "dns: name too long"
	case ErrRDATA:
		return "dns: malformed RDATA"
	case ErrOPT:
		return "dns: malformed OPT record"
	case ErrCount:
		return "dns: header counts do not fit"
	case ErrTrailing:
		return "dns: octets after the last record"
	}
	return "dns: malformed message"
}

// Is makes every detailed error a kind of ErrFormat.
func (e Error) Is(target error) bool {
	return e == target || e > ErrFormat && target == ErrFormat
}

// RCode is what a server answers to a request that failed so. ErrDrop has no answer.
func (e Error) RCode() RCode {
	switch e {
	case ErrNotImplemented:
		return RCodeNotImplemented
	case ErrBadVersion:
		return RCodeBadVers
	case ErrDrop, ErrTooLong:
		return RCodeServerFailure
	}
	return RCodeFormatError
}

func be16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }
func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// unpackName decompresses the name at off into buf. It returns the name's length
// and the offset of what follows it.
//
// A pointer must lead to before the labels that it ends, and not into the header;
// so every hop leads further back and none can be repeated (RFC 9267 §2).
func unpackName(msg []byte, off int, buf *[MaxName]byte) (n, next int, err Error) {
	segment := off // where the labels being read began
	for hops := 0; ; {
		if off >= len(msg) {
			return 0, 0, ErrShort
		}
		c := int(msg[off])
		switch c & 0xC0 {
		case 0x00:
			if off+1+c > len(msg) {
				return 0, 0, ErrShort
			}
			if c == 0 {
				buf[n] = 0 // in bounds: a label leaves an octet for the root
				if hops == 0 {
					next = off + 1
				}
				return n + 1, next, 0
			}
			if n+1+c >= MaxName {
				return 0, 0, ErrNameLength
			}
			n += copy(buf[n:], msg[off:off+1+c])
			off += 1 + c
		case 0xC0:
			if off+2 > len(msg) {
				return 0, 0, ErrShort
			}
			if hops == 0 {
				next = off + 2
			}
			hops++
			off = int(be16(msg[off:]) & maxPointer)
			if off >= segment || off < headerLen || hops > maxHops {
				return 0, 0, ErrPointer
			}
			segment = off
		default:
			return 0, 0, ErrLabel
		}
	}
}

// skipName returns the offset of what follows the name at off, without following
// pointers.
func skipName(msg []byte, off int) (int, bool) {
	for end := off + MaxName; off < len(msg) && off < end; {
		c := int(msg[off])
		switch {
		case c == 0:
			return off + 1, true
		case c >= 0xC0:
			return off + 2, off+2 <= len(msg)
		case c > MaxLabel:
			return 0, false
		}
		off += 1 + c
	}
	return 0, false
}
