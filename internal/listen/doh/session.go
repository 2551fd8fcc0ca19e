package doh

import (
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/net/http2/hpack"
)

const (
	frameHeader = 9 // octets, RFC 9113 §4.1
	// MaxFrame is the longest frame that is read, with its header: HTTP/2's least limit.
	MaxFrame = frameHeader + maxPayload

	maxPayload = 1 << 14
	preface    = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" // RFC 9113 §3.4

	// MaxStreams is how many requests of one connection may be open: what RFC 9113 §6.5.2
	// recommends as the least.
	MaxStreams = 100
	// maxFields is how long a request's header fields may be, encoded or decoded, each with
	// 32 octets beside its text (RFC 9113 §6.5.2): a query of 8 KiB by GET, with room.
	maxFields = 16 << 10
	// tableSize is the size of the decoder's dynamic table: HTTP/2's default.
	tableSize = 4096
	// maxBodies is how many octets of bodies may be under way; the connection's window.
	maxBodies = 128 << 10
	// defaultWindow is every window's size at first (RFC 9113 §6.9.2).
	defaultWindow = 65535
	// maxWindow is the largest window (RFC 9113 §6.9.1).
	maxWindow = 1<<31 - 1
	// maxWaiting is how many octets of replies may wait for the client's windows.
	maxWaiting = 256 << 10

	// patience is how many frames a client may send at first that ask for nothing, and
	// perRequest how many more each request allows: two updates of windows, a ping, a
	// priority, a reset.
	patience   = 512
	perRequest = 6
)

// The types of frames and their flags (RFC 9113 §6).
const (
	frameData = iota
	frameHeaders
	framePriority
	frameReset
	frameSettings
	framePush
	framePing
	frameGoAway
	frameWindow
	frameContinuation

	flagEnd        = 0x1 // END_STREAM
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// The settings that are looked at or sent (RFC 9113 §6.5.2).
const (
	settingPush       = 2
	settingStreams    = 3
	settingWindow     = 4
	settingFrameSize  = 5
	settingFieldsSize = 6
)

// Code is an HTTP/2 error code (RFC 9113 §7). It is an error of the connection.
type Code uint32

const (
	NoError          Code = 0
	ProtocolError    Code = 1
	FlowControlError Code = 3
	StreamClosed     Code = 5
	FrameSizeError   Code = 6
	RefusedStream    Code = 7
	CompressionError Code = 9
	EnhanceYourCalm  Code = 11
)

const (
	noPriority         = 5 // octets of a priority
	settingLen         = 6 // and of a setting
	maxPadding         = 255
	noStream    uint32 = 0 // stands for the connection
	reservedBit uint32 = 1 << 31
)

func (c Code) Error() string { return fmt.Sprintf("HTTP/2 error %d", uint32(c)) }

// Session is the state of one connection. It is made by NewSession and used by one goroutine
// at a time.
type Session struct {
	routes  []Route
	decoder *hpack.Decoder
	fields  asked // of the request that is being read

	begun    bool // the preface has come
	settled  bool // and the first SETTINGS
	block    []byte
	blockOf  uint32 // the stream whose header block goes on; 0: none
	blockEnd bool   // its HEADERS had END_STREAM
	last     uint32 // the highest stream that the client has begun

	streams map[uint32]*stream
	spare   []*stream
	credit  int // frames that may come and ask for nothing

	window  int64 // that it gives each new stream
	room    int64 // that is left of the connection's
	waiting int   // octets that wait for windows
	bodies  int   // octets of bodies that wait for their ends
	owed    int   // octets read that the client's window does not yet have back
	scratch []byte
}

// stream is one request that is not yet answered in full.
type stream struct {
	id      uint32
	since   time.Time // when it began; zero once it is whole
	request Request
	route   *Route
	status  int // what to answer instead of asking; 0: nothing
	length  int // as its content-length says; -1: it does not say
	body    []byte
	room    int64  // that the client's window has left
	waiting []byte // of the reply
}

// NewSession makes the session of a new connection; its routes are not changed.
func NewSession(routes []Route) *Session {
	return &Session{routes: routes, streams: make(map[uint32]*stream), credit: patience,
		window: defaultWindow, room: defaultWindow}
}

// Start appends what a server says first.
func (s *Session) Start(out []byte) []byte {
	out = appendFrame(out, 3*settingLen, frameSettings, 0, noStream)
	for _, v := range [...][2]uint32{{settingStreams, MaxStreams}, {settingFieldsSize, maxFields}, {settingWindow, MaxMessage}} {
		out = binary.BigEndian.AppendUint16(out, uint16(v[0]))
		out = binary.BigEndian.AppendUint32(out, v[1])
	}
	return appendWindow(out, noStream, maxBodies-defaultWindow)
}

// Asker is asked what requests ask. Ask answers r at once, by Session.Reply or
// Session.Refuse, or keeps a copy of it and does so later.
type Asker interface {
	Ask(r *Request, out []byte) []byte
}

// Consume reads the whole frames in b, and appends to out what is to be sent. It returns how
// many octets it has read. After an error the connection is to be closed once out is sent.
func (s *Session) Consume(b, out []byte, now time.Time, to Asker) (used int, _ []byte, err error) {
	if !s.begun {
		if n := min(len(b), len(preface)); string(b[:n]) != preface[:n] {
			return 0, s.goAway(out, ProtocolError), ProtocolError
		} else if n < len(preface) {
			return 0, out, nil
		}
		s.begun, used = true, len(preface)
	}
	for len(b)-used >= frameHeader {
		head := b[used : used+frameHeader]
		n := int(binary.BigEndian.Uint32(head) >> 8)
		if n > maxPayload {
			return used, s.goAway(out, FrameSizeError), FrameSizeError
		}
		if len(b)-used < frameHeader+n {
			break
		}
		payload := b[used+frameHeader : used+frameHeader+n]
		used += frameHeader + n
		out, err = s.frame(head[3], head[4], binary.BigEndian.Uint32(head[5:])&^reservedBit, payload, out, now, to)
		if err != nil {
			code, ok := err.(Code)
			if !ok {
				code = ProtocolError
			}
			return used, s.goAway(out, code), err
		}
	}
	// What is kept and what the client may still send are maxBodies together.
	if give := s.owed - s.bodies; give > maxBodies/4 {
		out = appendWindow(out, noStream, uint32(give))
		s.owed -= give
	}
	return used, out, nil
}

// Oldest is when the request began that has waited longest for its end; zero if there is
// none.
func (s *Session) Oldest() (oldest time.Time) {
	for _, st := range s.streams {
		if !st.since.IsZero() && (oldest.IsZero() || st.since.Before(oldest)) {
			oldest = st.since
		}
	}
	return oldest
}

// GoAway appends the end of the connection for no fault of the client's.
func (s *Session) GoAway(out []byte) []byte { return s.goAway(out, NoError) }

func (s *Session) goAway(out []byte, code Code) []byte {
	out = appendFrame(out, 8, frameGoAway, 0, noStream)
	out = binary.BigEndian.AppendUint32(out, s.last)
	return binary.BigEndian.AppendUint32(out, uint32(code))
}

// frame takes one frame.
func (s *Session) frame(kind, flags byte, id uint32, p, out []byte, now time.Time, to Asker) ([]byte, error) {
	if !s.settled && kind != frameSettings || s.blockOf != 0 && (kind != frameContinuation || id != s.blockOf) {
		return out, ProtocolError
	}
	if s.credit--; s.credit < 0 {
		return out, EnhanceYourCalm
	}
	switch kind {
	case frameHeaders:
		return s.headers(flags, id, p, out, now, to)
	case frameContinuation:
		return s.continuation(flags, id, p, out, now, to)
	case frameData:
		return s.data(flags, id, p, out, to)
	case frameSettings:
		return s.settings(flags, id, p, out)
	case frameWindow:
		return s.windowUpdate(id, p, out)
	case framePing:
		if id != noStream {
			return out, ProtocolError
		} else if len(p) != 8 {
			return out, FrameSizeError
		} else if flags&flagAck != 0 {
			return out, nil
		}
		return append(appendFrame(out, 8, framePing, flagAck, noStream), p...), nil
	case frameReset:
		if id == noStream || id > s.last {
			return out, ProtocolError
		} else if len(p) != 4 {
			return out, FrameSizeError
		}
		if st := s.streams[id]; st != nil {
			s.credit -= perRequest // what it asked for is worked on nevertheless
			s.close(st)
		}
	case framePriority:
		if id == noStream {
			return out, ProtocolError
		} else if len(p) != noPriority {
			return out, FrameSizeError
		}
	case framePush:
		return out, ProtocolError
	case frameGoAway: // no more requests will come; those that did are answered
		if id != noStream {
			return out, ProtocolError
		}
	}
	return out, nil
}

// settings takes what the client can read.
func (s *Session) settings(flags byte, id uint32, p, out []byte) ([]byte, error) {
	switch {
	case id != noStream:
		return out, ProtocolError
	case len(p)%settingLen != 0 || flags&flagAck != 0 && len(p) > 0:
		return out, FrameSizeError
	case flags&flagAck != 0:
		return out, nil
	}
	s.settled = true
	window := s.window
	for ; len(p) > 0; p = p[settingLen:] {
		v := binary.BigEndian.Uint32(p[2:])
		switch binary.BigEndian.Uint16(p) {
		case settingPush:
			if v > 1 {
				return out, ProtocolError
			}
		case settingWindow:
			if v > maxWindow {
				return out, FlowControlError
			}
			window = int64(v)
		case settingFrameSize:
			if v < maxPayload || v >= 1<<24 {
				return out, ProtocolError
			}
		}
	}
	out = appendFrame(out, 0, frameSettings, flagAck, noStream)
	if window == s.window {
		return out, nil
	}
	for _, st := range s.streams {
		if st.room += window - s.window; st.room > maxWindow {
			return out, FlowControlError
		}
	}
	s.window = window
	return s.release(out), nil
}

// windowUpdate takes what more the client will read.
func (s *Session) windowUpdate(id uint32, p, out []byte) ([]byte, error) {
	if len(p) != 4 {
		return out, FrameSizeError
	}
	n := int64(binary.BigEndian.Uint32(p) &^ reservedBit)
	room := &s.room
	if id != noStream {
		st := s.streams[id]
		switch {
		case id > s.last:
			return out, ProtocolError
		case st == nil: // it has ended meanwhile
			return out, nil
		}
		room = &st.room
	}
	if *room += n; n == 0 {
		return out, ProtocolError
	} else if *room > maxWindow {
		return out, FlowControlError
	}
	if s.waiting == 0 {
		return out, nil
	}
	return s.release(out), nil
}

// open begins a stream.
func (s *Session) open(id uint32) *stream {
	var st *stream
	if n := len(s.spare); n > 0 {
		st, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		st = new(stream)
	}
	*st = stream{id: id, length: -1, room: s.window, body: st.body[:0]}
	s.streams[id] = st
	return st
}

// maxSpare is how many streams are kept for later, and maxSpareBody how long their bodies'
// buffers may be.
const (
	maxSpare     = 4
	maxSpareBody = 512
)

// close ends a stream.
func (s *Session) close(st *stream) {
	delete(s.streams, st.id)
	s.waiting -= len(st.waiting)
	if !st.since.IsZero() {
		s.bodies -= len(st.body)
	}
	if cap(st.body) <= maxSpareBody && len(s.spare) < maxSpare {
		s.spare = append(s.spare, st)
	}
}

func appendFrame(out []byte, n int, kind, flags byte, id uint32) []byte {
	out = append(out, byte(n>>16), byte(n>>8), byte(n), kind, flags)
	return binary.BigEndian.AppendUint32(out, id)
}

func appendWindow(out []byte, id, n uint32) []byte {
	out = appendFrame(out, 4, frameWindow, 0, id)
	return binary.BigEndian.AppendUint32(out, n)
}

// unpad is the payload of a frame without its padding.
func unpad(flags byte, p []byte) ([]byte, bool) {
	if flags&flagPadded == 0 {
		return p, true
	}
	if len(p) == 0 || int(p[0]) >= len(p) {
		return nil, false
	}
	return p[1 : len(p)-int(p[0])], true
}
