package dns

import (
	"encoding/binary"
	"time"
)

// maxQueryAdditional is the most additional records of a request that are looked at:
// an OPT and a SIG(0) or two that are unknown. More is malformed.
const maxQueryAdditional = 4

// Query is a request on the server's way in. Parse fills it from a packet, of which it
// keeps nothing, and allocates nothing; a Query is made to be used again.
//
// What Parse takes for a request:
//
//   - QDCOUNT must be 1 (RFC 9619). A request without a question, as RFC 7873 §5.4
//     allows for asking for a cookie, is malformed here.
//   - ANCOUNT and NSCOUNT must be 0: opcode QUERY has no use for either but IXFR's SOA,
//     and transfers are not served.
//   - The question's name is not compressed: nothing stands before it.
//   - One OPT, with the root as its owner (RFC 6891 §6.1.1).
//   - A TSIG cannot be interpreted here, which is a FORMERR (RFC 8945 §5.2). Any other
//     additional record, SIG(0) among them (RFC 2931 §3.1), is ignored.
//   - Nothing follows the last record.
type Query struct {
	ID    uint16
	Flags Flags
	Type  Type
	Class Class

	HasEDNS bool
	Version uint8
	DO      bool
	UDPSize uint16 // as sent, at least MinUDPSize; MinUDPSize without EDNS

	HasCookie       bool // COOKIE, RFC 7873
	Keepalive       bool // edns-tcp-keepalive, RFC 7828; to be ignored over UDP
	NSID            bool // RFC 5001
	Padding         bool // RFC 7830: the reply may be padded, over an encrypted transport
	StructuredError bool // asks for structured errors: by their option, or as earlier drafts had it by an EDE
	ClientCookie    [clientCookie]byte
	serverLen       uint8
	serverCookie    [maxServer]byte

	// MaxReply is the longest reply in octets. Parse sets what UDP allows; a stream
	// transport sets 65535 after Parse.
	MaxReply int

	// Received is when the packet was read, where the transport says so; else zero.
	Received time.Time
	// Reply is what the transport has the reply carry.
	Reply ReplyOptions

	nameLen uint8
	raw     [MaxName + 1]byte // one octet more than a name: whole words
	lowered [MaxName + 1]byte
}

// ServerCookieLen is the length in octets of the server cookies that are given (RFC 9018 §4).
const ServerCookieLen = 16

// ReplyOptions are the EDNS options of a reply that are a transport's: Parse leaves them
// empty, the transport fills them in, and whoever writes the reply copies them. They are the
// same whatever is answered, and what is answered does not depend on them.
type ReplyOptions struct {
	HasCookie    bool
	HasKeepalive bool
	Cookie       [ServerCookieLen]byte // goes behind the client's own cookie
	Keepalive    uint16                // an idle timeout in units of 100 ms (RFC 7828 §3.1)
	NSID         string                // the server's identifier (RFC 5001); "" for none
}

// Len is how many octets the options take in a reply.
func (o *ReplyOptions) Len() int {
	n := 0
	if o.HasCookie {
		n += optionLen + clientCookie + ServerCookieLen
	}
	if o.HasKeepalive {
		n += optionLen + 2
	}
	if o.NSID != "" {
		n += optionLen + len(o.NSID)
	}
	return n
}

// AppendReplyOptions appends the options of q.Reply as they stand in an OPT record.
func (q *Query) AppendReplyOptions(out []byte) []byte {
	if q.Reply.HasCookie {
		out = append(out, 0, byte(OptionCookie), 0, clientCookie+ServerCookieLen)
		out = append(append(out, q.ClientCookie[:]...), q.Reply.Cookie[:]...)
	}
	if q.Reply.HasKeepalive {
		out = append(out, 0, byte(OptionKeepalive), 0, 2, byte(q.Reply.Keepalive>>8), byte(q.Reply.Keepalive))
	}
	if id := q.Reply.NSID; id != "" {
		out = append(out, 0, byte(OptionNSID), byte(len(id)>>8), byte(len(id)))
		out = append(out, id...)
	}
	return out
}

// Name is the question's name in wire form and lower case. It is valid until the next
// Parse, and empty where the question could not be read.
func (q *Query) Name() []byte { return q.lowered[:q.nameLen] }

// RawName is the question's name in wire form as it was sent.
func (q *Query) RawName() []byte { return q.raw[:q.nameLen] }

// ServerCookie is the server part of the cookie; empty where the client has none yet.
func (q *Query) ServerCookie() []byte { return q.serverCookie[:q.serverLen] }

// ReplyFlags are the flags of a reply to q: QR, and the opcode, RD and CD that a reply
// repeats (RFC 1035 §4.1.1, RFC 4035 §3.2.2); for opcode QUERY also RA.
func (q *Query) ReplyFlags() Flags {
	if q.Flags.Opcode() != OpcodeQuery {
		return FlagQR | q.Flags&maskOpcode
	}
	return FlagQR | FlagRA | q.Flags&(FlagRD|FlagCD)
}

// Parse reads a request. It returns ErrDrop where nothing may be answered: fewer octets
// than a header, or a reply. After ErrFormat, ErrNotImplemented or ErrBadVersion, ID and
// Flags are set, and so are the question and EDNS where they could be read: enough for
// AppendError.
func (q *Query) Parse(packet []byte) error {
	if len(packet) < headerLen || packet[2]&0x80 != 0 {
		return ErrDrop
	}
	q.reset(packet)
	counts := binary.BigEndian.Uint64(packet[4:])
	off := headerLen
	if counts>>48 == 1 {
		off = q.parseQuestion(packet)
	}
	switch {
	case q.Flags.Opcode() != OpcodeQuery:
		return ErrNotImplemented
	case counts&^0xFFFF != 1<<48 || off == 0:
		return ErrFormat
	}
	additional := int(uint16(counts))
	if additional > maxQueryAdditional {
		return ErrFormat
	}
	for ; additional > 0; additional-- {
		var err Error
		if off, err = q.parseAdditional(packet, off); err != 0 {
			return err
		}
	}
	if off != len(packet) {
		return ErrFormat
	}
	return nil
}

// reset forgets the last packet and reads the header's first two words.
func (q *Query) reset(packet []byte) {
	q.ID, q.Flags = be16(packet), Flags(be16(packet[2:]))
	q.Type, q.Class = 0, 0
	q.HasEDNS, q.Version, q.DO, q.UDPSize = false, 0, false, MinUDPSize
	q.HasCookie, q.Keepalive, q.NSID, q.Padding, q.StructuredError = false, false, false, false, false
	q.serverLen, q.nameLen = 0, 0
	q.MaxReply = MinUDPSize
	q.Received, q.Reply = time.Time{}, ReplyOptions{}
}

// parseQuestion reads the question after the header and returns where it ends, or 0.
func (q *Query) parseQuestion(packet []byte) int {
	rest := packet[headerLen:]
	n := 0
	for n < len(rest) && rest[n] != 0 {
		if rest[n] > MaxLabel {
			return 0
		}
		n += 1 + int(rest[n])
	}
	n++
	if n > MaxName || n+4 > len(rest) {
		return 0
	}
	copy(q.raw[:], rest[:n])
	q.nameLen = uint8(n)
	for i := 0; i < n; i += 8 {
		w := binary.LittleEndian.Uint64(q.raw[i : i+8])
		binary.LittleEndian.PutUint64(q.lowered[i:i+8], lowerWord(w))
	}
	q.Type, q.Class = Type(be16(rest[n:])), Class(be16(rest[n+2:]))
	return headerLen + n + 4
}

// parseAdditional reads one additional record and returns where it ends.
func (q *Query) parseAdditional(packet []byte, off int) (int, Error) {
	start, ok := skipName(packet, off)
	if !ok || start+rrFixedLen > len(packet) {
		return 0, ErrFormat
	}
	fixed := packet[start : start+rrFixedLen]
	data := start + rrFixedLen
	end := data + int(be16(fixed[8:]))
	if end > len(packet) {
		return 0, ErrFormat
	}
	switch Type(be16(fixed)) {
	case TypeTSIG:
		return 0, ErrFormat
	case TypeOPT:
		if q.HasEDNS || packet[off] != 0 {
			return 0, ErrFormat
		}
		if err := q.parseOPT(fixed, packet[data:end]); err != 0 {
			return 0, err
		}
	}
	return end, 0
}

// parseOPT reads an OPT record. Of a version above 0 it reads nothing more than that
// (RFC 6891 §6.1.3).
func (q *Query) parseOPT(fixed, data []byte) Error {
	q.HasEDNS = true
	q.UDPSize = max(be16(fixed[2:]), MinUDPSize)
	q.MaxReply = min(int(q.UDPSize), DefaultUDPSize)
	q.Version = fixed[5]
	q.DO = fixed[6]&0x80 != 0
	if q.Version != 0 {
		return ErrBadVersion
	}
	for options := 0; len(data) > 0; options++ {
		o, rest, ok := nextOption(data)
		if !ok || options == MaxOptions {
			return ErrFormat
		}
		switch o.Code {
		case OptionCookie:
			if !q.parseCookie(o.Data) {
				return ErrFormat
			}
		case OptionKeepalive:
			q.Keepalive = true
		case OptionNSID:
			q.NSID = true
		case OptionPadding:
			q.Padding = true
		case OptionEDE, OptionStructuredError:
			q.StructuredError = true
		}
		data = rest
	}
	return 0
}

// parseCookie reads a COOKIE option: a client cookie, alone or with a server cookie;
// any other length is malformed (RFC 7873 §5.2.2). The first option counts.
func (q *Query) parseCookie(data []byte) bool {
	server := len(data) - clientCookie
	if server != 0 && (server < minServer || server > maxServer) {
		return false
	}
	if !q.HasCookie {
		q.HasCookie = true
		q.ClientCookie = [clientCookie]byte(data)
		q.serverLen = uint8(copy(q.serverCookie[:], data[clientCookie:]))
	}
	return true
}
