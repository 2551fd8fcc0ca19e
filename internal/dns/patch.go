package dns

import "encoding/binary"

// TTLOffsets appends where the TTLs of a message are, OPT left out: what a cache that
// keeps replies in wire form needs in order to age them. It follows no pointer. The
// error is a kind of ErrFormat, and the offsets are then those given.
func TTLOffsets(offsets []uint16, msg []byte) ([]uint16, error) {
	given := len(offsets)
	if len(msg) < headerLen || len(msg) > maxMessage {
		return offsets, ErrShort
	}
	off := headerLen
	for range be16(msg[4:]) {
		next, ok := skipName(msg, off)
		if !ok || next+4 > len(msg) {
			return offsets[:given], ErrShort
		}
		off = next + 4
	}
	records := int(be16(msg[6:])) + int(be16(msg[8:])) + int(be16(msg[10:]))
	for ; records > 0; records-- {
		next, ok := skipName(msg, off)
		if !ok || next+rrFixedLen > len(msg) {
			return offsets[:given], ErrShort
		}
		if Type(be16(msg[next:])) != TypeOPT {
			offsets = append(offsets, uint16(next+4))
		}
		off = next + rrFixedLen + int(be16(msg[next+8:]))
	}
	if off != len(msg) {
		return offsets[:given], ErrTrailing
	}
	return offsets, nil
}

// PutID sets a message's ID.
func PutID(msg []byte, id uint16) { binary.BigEndian.PutUint16(msg, id) }

// PutFlags sets a message's flags, response code included.
func PutFlags(msg []byte, f Flags) { binary.BigEndian.PutUint16(msg[2:], uint16(f)) }

// PutQuestionName overwrites the question's name by the same name in other case: so a
// reply repeats the question as it was sent. Names that point to it follow. It reports
// false, and changes nothing, where the message has another question.
func PutQuestionName(msg, name []byte) bool {
	if len(msg) < headerLen+len(name) || be16(msg[4:]) == 0 {
		return false
	}
	asked := msg[headerLen : headerLen+len(name)]
	if !equalFold(asked, name) {
		return false
	}
	copy(asked, name)
	return true
}

// PutTTLs sets the TTLs at the given offsets.
func PutTTLs(msg []byte, offsets []uint16, ttl uint32) {
	for _, off := range offsets {
		binary.BigEndian.PutUint32(msg[off:], ttl)
	}
}

// AgeTTLs takes age seconds off the TTLs at the given offsets, down to floor.
func AgeTTLs(msg []byte, offsets []uint16, age, floor uint32) {
	for _, off := range offsets {
		ttl := be32(msg[off:])
		binary.BigEndian.PutUint32(msg[off:], max(ttl-min(ttl, age), floor))
	}
}

// MinTTL is the least of the TTLs at the given offsets; ok is false without any.
func MinTTL(msg []byte, offsets []uint16) (ttl uint32, ok bool) {
	for i, off := range offsets {
		if t := be32(msg[off:]); i == 0 || t < ttl {
			ttl = t
		}
	}
	return ttl, len(offsets) > 0
}
