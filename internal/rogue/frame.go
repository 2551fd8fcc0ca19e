package rogue

import "slices"

// The frames that a client here sends or looks at (RFC 9000 §19).
const (
	FramePing             = 0x01
	FrameAck              = 0x02
	FrameReset            = 0x04
	FrameStopSending      = 0x05
	FrameCrypto           = 0x06
	FrameToken            = 0x07
	FrameStream           = 0x08 // and seven more, by flags
	FrameMaxData          = 0x10
	FrameMaxStreams       = 0x12
	FrameBlocked          = 0x14
	FrameNewID            = 0x18
	FrameRetireID         = 0x19
	FrameChallenge        = 0x1a
	FrameResponse         = 0x1b
	FrameClose            = 0x1c
	FrameCloseApp         = 0x1d
	FrameDone             = 0x1e
	streamOffset     byte = 4
	streamLength     byte = 2
	streamEnd        byte = 1
)

// Numbers appends variable-length integers: a frame's kind and its fields.
func Numbers(out []byte, all ...uint64) []byte {
	for _, n := range all {
		out = AppendNumber(out, n)
	}
	return out
}

// Stream appends a STREAM frame with its length, from the stream's beginning.
func Stream(out []byte, id uint64, data []byte, end bool) []byte {
	kind := uint64(FrameStream | streamLength)
	if end {
		kind |= uint64(streamEnd)
	}
	return append(Numbers(out, kind, id, uint64(len(data))), data...)
}

// NewID appends a NEW_CONNECTION_ID frame that retires all IDs before it.
func NewID(out []byte, sequence, retire uint64) []byte {
	out = append(Numbers(out, FrameNewID, sequence, retire), idLen)
	for i := range idLen {
		out = append(out, byte(sequence>>(8*i)))
	}
	return append(out, make([]byte, 16)...) // the stateless reset token
}

// frame is one frame of a packet. Data is that of CRYPTO and STREAM frames; numbers are its first
// fields.
type frame struct {
	kind    uint64
	numbers [4]uint64
	data    []byte
}

// fieldsOf are how many numbers a frame has before its data, and how many octets follow them.
var fieldsOf = map[uint64]struct{ numbers, octets int }{
	FramePing: {}, FrameReset: {3, 0}, FrameStopSending: {2, 0}, FrameMaxData: {1, 0}, 0x11: {2, 0}, FrameMaxStreams: {1, 0}, 0x13: {1, 0},
	FrameBlocked: {1, 0}, 0x15: {2, 0}, 0x16: {1, 0}, 0x17: {1, 0}, FrameRetireID: {1, 0}, FrameChallenge: {0, 8}, FrameResponse: {0, 8}, FrameDone: {},
}

// parseFrames reads the frames of a packet; what it does not know ends it.
func parseFrames(b []byte, each func(frame)) (ok bool) {
	for len(b) > 0 {
		f := frame{}
		if f.kind, b, ok = readNumber(b); !ok {
			return false
		}
		switch {
		case f.kind == 0: // padding
			continue
		case f.kind == FrameAck, f.kind == FrameAck+1:
			b, ok = f.ack(b)
		case f.kind == FrameCrypto:
			b, ok = f.read(b, 1, -1)
		case f.kind == FrameToken:
			b, ok = f.read(b, 0, -1)
		case f.kind >= FrameStream && f.kind < FrameStream+8:
			b, ok = f.stream(b)
		case f.kind == FrameNewID:
			if b, ok = f.read(b, 2, 0); ok && len(b) > 0 {
				b, ok = f.read(b, 0, 1+int(b[0])+16)
			}
		case f.kind == FrameClose:
			b, ok = f.read(b, 2, -1)
		case f.kind == FrameCloseApp:
			b, ok = f.read(b, 1, -1)
		default:
			known, found := fieldsOf[f.kind]
			if !found {
				return false
			}
			b, ok = f.read(b, known.numbers, known.octets)
		}
		if !ok {
			return false
		}
		each(f)
	}
	return true
}

// read reads n numbers and then so many octets, or as many as another number says (-1).
func (f *frame) read(b []byte, n, octets int) (rest []byte, ok bool) {
	for i := range n {
		if f.numbers[i], b, ok = readNumber(b); !ok {
			return nil, false
		}
	}
	if octets < 0 {
		length, after, ok := readNumber(b)
		if !ok || length > uint64(len(after)) {
			return nil, false
		}
		octets, b = int(length), after
	}
	if octets > len(b) {
		return nil, false
	}
	f.data = slices.Clone(b[:octets])
	return b[octets:], true
}

func (f *frame) stream(b []byte) (rest []byte, ok bool) {
	n := 1
	if byte(f.kind)&streamOffset != 0 {
		n = 2
	}
	for i := range n {
		if f.numbers[i], b, ok = readNumber(b); !ok {
			return nil, false
		}
	}
	octets := len(b)
	if byte(f.kind)&streamLength != 0 {
		octets = -1
	}
	return f.read(b, 0, octets)
}

// ack skips an acknowledgement.
func (f *frame) ack(b []byte) (rest []byte, ok bool) {
	if b, ok = f.read(b, 4, 0); !ok {
		return nil, false
	}
	more := 2 * f.numbers[2]
	if f.kind == FrameAck+1 {
		more += 3
	}
	for ; more > 0; more-- {
		if _, b, ok = readNumber(b); !ok {
			return nil, false
		}
	}
	return b, true
}
