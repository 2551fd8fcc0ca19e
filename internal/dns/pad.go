package dns

import "encoding/binary"

// PadMessage pads the message in out that begins at start to the next multiple of block
// octets, or to limit where that is nearer (RFC 7830, RFC 8467 §4.1): by an option at the end
// of its OPT record. It leaves a message as it is that is malformed or too long, has no OPT as
// its last record, or is padded already. It follows no pointer.
func PadMessage(out []byte, start, block, limit int) []byte {
	msg := out[start:]
	size := min((len(msg)+optionLen+block-1)/block*block, limit, maxMessage)
	n := size - len(msg) - optionLen
	if n < 0 {
		return out
	}
	opt := lastOPT(msg)
	if opt == 0 {
		return out
	}
	if _, padded := findOption(msg[opt+rrFixedLen:], OptionPadding); padded {
		return out
	}
	length := msg[opt+rrFixedLen-2:]
	binary.BigEndian.PutUint16(length, be16(length)+uint16(optionLen+n))
	out = append(out, 0, byte(OptionPadding), byte(n>>8), byte(n))
	if cap(out)-len(out) >= n {
		out = out[:len(out)+n]
		clear(out[len(out)-n:])
		return out
	}
	return append(out, make([]byte, n)...)
}

// FindOption is the data of the first EDNS option with a code, in a message whose last record is
// OPT. It is false where there is none, or the message is malformed.
func FindOption(msg []byte, code uint16) (data []byte, ok bool) {
	opt := lastOPT(msg)
	if opt == 0 {
		return nil, false
	}
	return findOption(msg[opt+rrFixedLen:], code)
}

func findOption(options []byte, code uint16) (data []byte, ok bool) {
	for len(options) > 0 {
		o, rest, ok := nextOption(options)
		if !ok {
			return nil, false
		}
		if o.Code == code {
			return o.Data, true
		}
		options = rest
	}
	return nil, false
}

// AddOption is a copy of a message with one EDNS option more. Where the message ends in padding that is
// long enough, the option takes its place from it. It is false where the message is malformed, or has no OPT
// as its last record.
func AddOption(msg []byte, code uint16, data []byte) ([]byte, bool) {
	opt := lastOPT(msg)
	add := optionLen + len(data)
	if opt == 0 || len(msg)+add > maxMessage {
		return nil, false
	}
	out := append(make([]byte, 0, len(msg)+add), msg...)
	if padding, ok := findOption(msg[opt+rrFixedLen:], OptionPadding); ok && len(padding) >= add {
		if at := len(msg) - len(padding); &msg[at] == &padding[0] {
			out = out[:len(msg)-add]
			binary.BigEndian.PutUint16(out[at-2:], uint16(len(padding)-add))
		}
	}
	out = binary.BigEndian.AppendUint16(out, code)
	out = append(binary.BigEndian.AppendUint16(out, uint16(len(data))), data...)
	binary.BigEndian.PutUint16(out[opt+rrFixedLen-2:], uint16(len(out)-opt-rrFixedLen))
	return out, true
}

// lastOPT is where the fixed part of the OPT record is that ends a message, and 0 where there
// is none, or one that is malformed.
func lastOPT(msg []byte) int {
	if len(msg) < headerLen || be16(msg[10:]) == 0 {
		return 0
	}
	off := headerLen
	for range be16(msg[4:]) {
		next, ok := skipName(msg, off)
		if !ok || next+4 > len(msg) {
			return 0
		}
		off = next + 4
	}
	records := int(be16(msg[6:])) + int(be16(msg[8:])) + int(be16(msg[10:]))
	fixed := 0
	for ; records > 0; records-- {
		next, ok := skipName(msg, off)
		if !ok || next+rrFixedLen > len(msg) {
			return 0
		}
		fixed = next
		off = next + rrFixedLen + int(be16(msg[next+8:]))
	}
	if off != len(msg) || Type(be16(msg[fixed:])) != TypeOPT {
		return 0
	}
	for data := msg[fixed+rrFixedLen:]; len(data) > 0; {
		_, rest, ok := nextOption(data)
		if !ok {
			return 0
		}
		data = rest
	}
	return fixed
}

// LeastTTL is the least TTL of a message's records in seconds, OPT left out, or of a negative
// answer the TTL of its SOA: how long the message may be kept (RFC 8484 §5.1). It is 0 for a
// message without records or one that is malformed.
func LeastTTL(msg []byte) uint32 {
	if len(msg) < headerLen {
		return 0
	}
	off := headerLen
	for range be16(msg[4:]) {
		next, ok := skipName(msg, off)
		if !ok || next+4 > len(msg) {
			return 0
		}
		off = next + 4
	}
	least, found := ^uint32(0), false
	records := int(be16(msg[6:])) + int(be16(msg[8:])) + int(be16(msg[10:]))
	for ; records > 0; records-- {
		next, ok := skipName(msg, off)
		if !ok || next+rrFixedLen > len(msg) {
			return 0
		}
		if Type(be16(msg[next:])) != TypeOPT {
			least, found = min(least, binary.BigEndian.Uint32(msg[next+4:])), true
		}
		off = next + rrFixedLen + int(be16(msg[next+8:]))
	}
	if !found {
		return 0
	}
	return least
}
