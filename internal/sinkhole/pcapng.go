package sinkhole

import (
	"encoding/binary"
	"fmt"
	"io"
)

// pcapng (draft-ietf-opsawg-pcapng): blocks in little-endian order here, one interface of
// raw IP packets.
const (
	blockSection   = 0x0A0D0D0A
	blockInterface = 1
	blockPacket    = 6
	sectionMagic   = 0x1A2B3C4D
	linkRaw        = 101 // LINKTYPE_RAW: an IPv4 or IPv6 packet
	optionComment  = 1
)

// Export writes the captures of a folder as a pcapng file for Wireshark and the like:
// each as one packet, whose ports' and protocol's fields are right and whose addresses
// are made up, from those for documentation (RFC 5737, RFC 3849), since none were kept; where
// networks were, a packet comes from the first address of its own.
func Export(dir string, w io.Writer) (packets int, err error) {
	e := exporter{w: w}
	e.write(section())
	err = readAll(dir, visitor{e.capture, func(portCount) {}, func(total) {}}, func(segment, error) {})
	if err == nil {
		err = e.err
	}
	return e.packets, err
}

type exporter struct {
	w       io.Writer
	packets int
	err     error // the first one
}

func (e *exporter) write(b []byte) {
	if e.err == nil {
		_, e.err = e.w.Write(b)
	}
}

func (e *exporter) capture(c *capture) {
	if _, ok := transportName(c.transport); !ok || e.err != nil {
		return
	}
	e.packets++
	// Source ports tell captures apart, so that a viewer does not make them one stream.
	const firstPort, ports = 1024, 1<<16 - 1024
	packet := c.packet(uint16(firstPort + e.packets%ports))
	comment := "addresses are made up"
	if p, ok := c.source(); ok {
		comment = fmt.Sprintf("came from %s; the address that it came to is made up", p)
	}
	if c.received > len(c.prefix) {
		comment += fmt.Sprintf("; %d octets came, of which the first %d were kept", c.received, len(c.prefix))
	}
	at := uint64(c.at.UnixMicro())
	body := binary.LittleEndian.AppendUint32(nil, 0) // interface
	body = binary.LittleEndian.AppendUint32(body, uint32(at>>32))
	body = binary.LittleEndian.AppendUint32(body, uint32(at))
	body = binary.LittleEndian.AppendUint32(body, uint32(len(packet)))
	body = binary.LittleEndian.AppendUint32(body, uint32(len(packet)))
	body = padded(append(body, packet...))
	e.write(block(blockPacket, option(body, comment)))
}

// section begins the file: what follows has one interface.
func section() []byte {
	body := binary.LittleEndian.AppendUint32(nil, sectionMagic)
	body = binary.LittleEndian.AppendUint16(body, 1) // version 1.0
	body = binary.LittleEndian.AppendUint16(body, 0)
	body = binary.LittleEndian.AppendUint64(body, ^uint64(0)) // the length is not given
	body = option(body, "captures of a sinkhole; whole client addresses were not kept, and those here are made up or networks")
	b := block(blockSection, body)
	face := binary.LittleEndian.AppendUint16(nil, linkRaw)
	face = binary.LittleEndian.AppendUint16(face, 0)
	face = binary.LittleEndian.AppendUint32(face, 0) // no limit of a packet's length
	return append(b, block(blockInterface, face)...)
}

// option appends a comment and the end of options.
func option(b []byte, comment string) []byte {
	b = binary.LittleEndian.AppendUint16(b, optionComment)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(comment)))
	b = padded(append(b, comment...))
	return append(b, 0, 0, 0, 0)
}

// padded is b to a multiple of 32 bits.
func padded(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// block frames a body by its length, before and after.
func block(kind uint32, body []byte) []byte {
	size := uint32(12 + len(body))
	b := binary.LittleEndian.AppendUint32(nil, kind)
	b = binary.LittleEndian.AppendUint32(b, size)
	b = append(b, body...)
	return binary.LittleEndian.AppendUint32(b, size)
}

// packet is an IP packet (RFC 791, RFC 8200) from sourcePort with what was kept.
func (c *capture) packet(sourcePort uint16) []byte {
	segment := c.segment(sourcePort)
	var pseudo, head []byte
	if c.version == 6 {
		head = append(head, 0x60, 0, 0, 0)
		head = binary.BigEndian.AppendUint16(head, uint16(len(segment)))
		head = append(head, c.transport, 64)
		addresses := make([]byte, 32) // 2001:db8::1 → 2001:db8::2
		copy(addresses, "\x20\x01\x0d\xb8")
		copy(addresses[16:], "\x20\x01\x0d\xb8")
		addresses[15], addresses[31] = 1, 2
		if c.hasNetwork {
			copy(addresses, c.network[:])
			addresses[15] = 0
		}
		head = append(head, addresses...)
		pseudo = binary.BigEndian.AppendUint32(addresses, uint32(len(segment)))
		pseudo = append(pseudo, 0, 0, 0, c.transport)
	} else {
		addresses := []byte{192, 0, 2, 1, 192, 0, 2, 2}
		if c.hasNetwork {
			copy(addresses, []byte{c.network[0], c.network[1], c.network[2], 0})
		}
		head = append(head, 0x45, 0)
		head = binary.BigEndian.AppendUint16(head, uint16(20+len(segment)))
		head = append(head, 0, 0, 0, 0, 64, c.transport, 0, 0)
		head = append(head, addresses...)
		binary.BigEndian.PutUint16(head[10:], checksum(head))
		pseudo = append(addresses, 0, c.transport)
		pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(segment)))
	}
	at := 16 // TCP's checksum
	if c.transport == udp {
		at = 6
	}
	sum := checksum(append(pseudo, segment...))
	if sum == 0 && c.transport == udp {
		sum = 0xffff // 0 means none (RFC 768)
	}
	binary.BigEndian.PutUint16(segment[at:], sum)
	return append(head, segment...)
}

// segment is a TCP segment (RFC 9293) or UDP datagram without its checksum.
func (c *capture) segment(sourcePort uint16) []byte {
	b := binary.BigEndian.AppendUint16(nil, sourcePort)
	b = binary.BigEndian.AppendUint16(b, c.port)
	if c.transport == udp {
		b = binary.BigEndian.AppendUint16(b, uint16(8+len(c.prefix)))
		b = append(b, 0, 0)
		return append(b, c.prefix...)
	}
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 1) // sequence and acknowledgment numbers
	b = append(b, 5<<4, 0x18)             // five words of header; PSH, ACK
	b = append(b, 0xff, 0xff, 0, 0, 0, 0) // window, checksum, urgent pointer
	return append(b, c.prefix...)
}

// checksum is the Internet's (RFC 1071).
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
