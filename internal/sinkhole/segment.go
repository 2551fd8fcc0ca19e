package sinkhole

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
	"time"
)

// A segment is a file: magic, and then frames until it ends. A frame is the length of
// its body in octets (32 bits, big-endian, as every number here), the body's CRC-32C,
// and the body, whose first octet is its kind.
const (
	magic       = "shoji captures 1" // 16 octets
	frameHead   = 8
	captureHead = 1 + 8 + 1 + 1 + 2 + 4 + 4 + sha256.Size
	countBody   = 1 + 8 + 8 + 1 + 2 + 4 + 4 + 8
	totalBody   = 1 + 8 + 8 + 8 + 8 + 8
	maxBody     = captureHead + networkOctets + MaxPrefix

	// networkOctets hold a truncated address: a /48 of IPv6, or a /24 of IPv4 and zeros.
	networkOctets = 6
)

// Kinds of bodies.
const (
	kindCapture = 1
	kindCount   = 2
	kindTotal   = 3
	kindNetwork = 4 // a capture with the network that it came from
)

// capture is one connection or datagram: kind, time (µs since 1970), transport, IP
// version, port, octets received, milliseconds that it lasted, SHA-256 of the prefix, prefix.
// One of kindNetwork has the network before the prefix.
type capture struct {
	at        time.Time
	transport uint8
	version   uint8
	port      uint16
	received  int
	lasted    time.Duration
	digest    [sha256.Size]byte
	prefix    []byte

	hasNetwork bool // else it was not kept
	network    [networkOctets]byte
}

func (c *capture) append(b []byte) []byte {
	if c.hasNetwork {
		b = append(b, kindNetwork)
	} else {
		b = append(b, kindCapture)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(c.at.UnixMicro()))
	b = append(b, c.transport, c.version)
	b = binary.BigEndian.AppendUint16(b, c.port)
	b = binary.BigEndian.AppendUint32(b, uint32(c.received))
	b = binary.BigEndian.AppendUint32(b, uint32(c.lasted.Milliseconds()))
	b = append(b, c.digest[:]...)
	if c.hasNetwork {
		b = append(b, c.network[:]...)
	}
	return append(b, c.prefix...)
}

// portCount is what came to one port in an interval: kind, its two ends (µs),
// transport, port, connections or datagrams, captures that were kept, octets.
type portCount struct {
	from, to   time.Time
	transport  uint8
	port       uint16
	seen, kept uint32
	octets     uint64
}

func (c portCount) append(b []byte) []byte {
	b = append(b, kindCount)
	b = binary.BigEndian.AppendUint64(b, uint64(c.from.UnixMicro()))
	b = binary.BigEndian.AppendUint64(b, uint64(c.to.UnixMicro()))
	b = append(b, c.transport)
	b = binary.BigEndian.AppendUint16(b, c.port)
	b = binary.BigEndian.AppendUint32(b, c.seen)
	b = binary.BigEndian.AppendUint32(b, c.kept)
	return binary.BigEndian.AppendUint64(b, c.octets)
}

// total is what is counted over all ports in an interval: kind, its two ends (µs),
// distinct sources of the day so far, connections ended for others, captures lost
// because the disk was too slow or refused.
type total struct {
	from, to         time.Time
	sources          uint64
	evicted, dropped uint64
}

func (t total) append(b []byte) []byte {
	b = append(b, kindTotal)
	b = binary.BigEndian.AppendUint64(b, uint64(t.from.UnixMicro()))
	b = binary.BigEndian.AppendUint64(b, uint64(t.to.UnixMicro()))
	b = binary.BigEndian.AppendUint64(b, t.sources)
	b = binary.BigEndian.AppendUint64(b, t.evicted)
	return binary.BigEndian.AppendUint64(b, t.dropped)
}

// appendFrame appends a frame with the body that the function appends.
func appendFrame(b []byte, body func([]byte) []byte) []byte {
	start := len(b)
	b = body(append(b, make([]byte, frameHead)...))
	written := b[start+frameHead:]
	binary.BigEndian.PutUint32(b[start:], uint32(len(written)))
	binary.BigEndian.PutUint32(b[start+4:], crc32.Checksum(written, crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// frames is how many whole frames b has, which appendFrame wrote.
func frames(b []byte) (n int) {
	for len(b) >= frameHead {
		b = b[frameHead+binary.BigEndian.Uint32(b):]
		n++
	}
	return n
}

// visitor is told what a segment holds. What it is given is valid until it returns.
type visitor struct {
	capture func(*capture)
	count   func(portCount)
	total   func(total)
}

// errNotSegment: the file does not begin as a segment does.
var errNotSegment = errors.New("not a segment of captures")

// errTorn: a frame is cut short or damaged. What came before it was read.
var errTorn = errors.New("torn or damaged frame")

// readSegment reads frames until the segment ends. A frame that is not whole ends it
// with errTorn: nothing after it can be trusted to be a frame.
func readSegment(r io.Reader, v visitor) (frames int, err error) {
	var head [len(magic)]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return 0, errTorn
		}
		return 0, err
	}
	if string(head[:]) != magic {
		return 0, errNotSegment
	}
	var body [maxBody]byte
	for {
		_, err := io.ReadFull(r, head[:frameHead])
		switch {
		case err == io.EOF:
			return frames, nil
		case err == io.ErrUnexpectedEOF:
			return frames, errTorn
		case err != nil:
			return frames, err
		}
		size := binary.BigEndian.Uint32(head[:])
		if size == 0 || size > maxBody {
			return frames, errTorn
		}
		if _, err := io.ReadFull(r, body[:size]); err == io.EOF || err == io.ErrUnexpectedEOF {
			return frames, errTorn
		} else if err != nil {
			return frames, err
		}
		if crc32.Checksum(body[:size], crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(head[4:]) {
			return frames, errTorn
		}
		if err := v.body(body[:size]); err != nil {
			return frames, err
		}
		frames++
	}
}

// body decodes one. A kind that is not known is passed over: it is a later version's.
func (v visitor) body(b []byte) error {
	switch n := len(b); b[0] {
	case kindCapture:
		if n < captureHead {
			return fmt.Errorf("a capture of %d octets: %w", n, errTorn)
		}
		v.capture(decodeCapture(b))
	case kindNetwork:
		if n < captureHead+networkOctets {
			return fmt.Errorf("a capture with its network of %d octets: %w", n, errTorn)
		}
		c := decodeCapture(b)
		c.hasNetwork, c.network, c.prefix = true, [networkOctets]byte(c.prefix), c.prefix[networkOctets:]
		v.capture(c)
	case kindCount:
		if n != countBody {
			return fmt.Errorf("a count of %d octets: %w", n, errTorn)
		}
		v.count(portCount{
			from: micro(b[1:]), to: micro(b[9:]), transport: b[17], port: binary.BigEndian.Uint16(b[18:]),
			seen: binary.BigEndian.Uint32(b[20:]), kept: binary.BigEndian.Uint32(b[24:]), octets: binary.BigEndian.Uint64(b[28:]),
		})
	case kindTotal:
		if n != totalBody {
			return fmt.Errorf("a total of %d octets: %w", n, errTorn)
		}
		v.total(total{
			from: micro(b[1:]), to: micro(b[9:]), sources: binary.BigEndian.Uint64(b[17:]),
			evicted: binary.BigEndian.Uint64(b[25:]), dropped: binary.BigEndian.Uint64(b[33:]),
		})
	}
	return nil
}

func decodeCapture(b []byte) *capture {
	c := capture{
		at: micro(b[1:]), transport: b[9], version: b[10], port: binary.BigEndian.Uint16(b[11:]),
		received: int(binary.BigEndian.Uint32(b[13:])), lasted: time.Duration(binary.BigEndian.Uint32(b[17:])) * time.Millisecond,
		prefix: b[captureHead:],
	}
	copy(c.digest[:], b[21:])
	return &c
}

// truncated is an address's network, as far as it may be kept: /24 of IPv4, /48 of IPv6.
func truncated(a netip.Addr) (out [networkOctets]byte) {
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		copy(out[:3], b[:])
		return out
	}
	b := a.As16()
	copy(out[:], b[:])
	return out
}

// source is the network that a capture came from, where it was kept.
func (c *capture) source() (netip.Prefix, bool) {
	switch {
	case !c.hasNetwork:
		return netip.Prefix{}, false
	case c.version == 6:
		var b [16]byte
		copy(b[:], c.network[:])
		return netip.PrefixFrom(netip.AddrFrom16(b), 48), true
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{c.network[0], c.network[1], c.network[2], 0}), 24), true
}

// micro reads a time.
func micro(b []byte) time.Time { return time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC() }
