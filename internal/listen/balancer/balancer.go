// Package balancer reads the header by which a load balancer says whom it speaks for: the PROXY protocol,
// version 2 (HAProxy's proxy-protocol.txt, §2.2). It has no socket.
//
// A header stands once before all else of a connection, or first within its TLS, or at the beginning of each datagram. It is
// binary: a signature, version and command, family and protocol, the length of the rest, two addresses with
// ports, and records of type, length and value, of which one may be a checksum (CRC32C) of the whole. Of all that, the client's
// address is taken; records are looked at for the checksum alone.
//
// # Limits
//
// A header has MaxHeader octets at most. The text form of version 1 is not read, nor are addresses of Unix
// sockets and of unknown families: who is asked for would not be known.
package balancer

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
)

const (
	// HeadLen is the length of what says how long a header is.
	HeadLen = 16
	// MaxHeader bounds a header in octets: addresses take 52, and what balancers add, such as the name of a
	// client's certificate, some hundreds. "This block is always smaller than an MSS" (§2.2).
	MaxHeader = 1460

	signature = "\r\n\r\n\x00\r\nQUIT\n"

	versionTwo   = 0x20
	commandLocal = 0
	commandProxy = 1

	familyIPv4, familyIPv6           = 1, 2
	protocolStream, protocolDatagram = 1, 2

	recordHead     = 3
	recordChecksum = 3 // PP2_TYPE_CRC32C
	checksumLen    = 4
)

// What is wrong with a header.
var (
	ErrMissing = errors.New("balancer: no PROXY header of version 2")
	ErrHeader  = errors.New("balancer: a PROXY header that cannot be read")
)

// Header is what a balancer says.
type Header struct {
	// Client is whom it speaks for; not valid where it speaks for itself, as for a health check.
	Client netip.AddrPort
	// Datagram: the client sent a datagram, and may not be who it seems, whatever the balancer uses.
	Datagram bool
}

// Begins reports that b begins as a header does. No DNS message does, nor a TLS record or an HTTP request.
func Begins(b []byte) bool {
	return len(b) >= len(signature) && string(b[:len(signature)]) == signature
}

// Len is the length of the header that begins with HeadLen octets.
func Len(head []byte) (int, error) {
	if len(head) < HeadLen || !Begins(head) {
		return 0, ErrMissing
	}
	n := HeadLen + int(binary.BigEndian.Uint16(head[14:]))
	if head[12]&0xF0 != versionTwo || n > MaxHeader {
		return 0, ErrHeader
	}
	return n, nil
}

// Parse reads the header that b begins with, which is there in full, and returns its length.
func Parse(b []byte) (h Header, n int, err error) {
	if n, err = Len(b); err != nil {
		return Header{}, 0, err
	}
	if n > len(b) {
		return Header{}, 0, ErrHeader
	}
	b = b[:n]
	switch b[12] & 0x0F {
	case commandLocal: // what follows is to be skipped, whatever it is
		return Header{}, n, nil
	case commandProxy:
	default:
		return Header{}, 0, ErrHeader
	}
	h, records, ok := client(b)
	if !ok || !sound(b, records) {
		return Header{}, 0, ErrHeader
	}
	return h, n, nil
}

// client reads the addresses.
func client(b []byte) (h Header, records []byte, ok bool) {
	size := 4
	switch b[13] >> 4 {
	case familyIPv4:
	case familyIPv6:
		size = 16
	default:
		return h, nil, false
	}
	rest := b[HeadLen:]
	if len(rest) < 2*size+4 {
		return h, nil, false
	}
	switch b[13] & 0x0F {
	case protocolStream:
	case protocolDatagram:
		h.Datagram = true
	default:
		return h, nil, false
	}
	addr, _ := netip.AddrFromSlice(rest[:size])
	h.Client = netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(rest[2*size:]))
	return h, rest[2*size+4:], true
}

// sound reports that the records of a header are whole, and that its checksum is right where there is one.
func sound(header, records []byte) bool {
	for len(records) > 0 {
		if len(records) < recordHead {
			return false
		}
		end := recordHead + int(binary.BigEndian.Uint16(records[1:]))
		if end > len(records) {
			return false
		}
		if records[0] == recordChecksum && !summed(header, len(header)-len(records)+recordHead, end-recordHead) {
			return false
		}
		records = records[end:]
	}
	return true
}

// summed reports that the checksum of n octets at a place is that of the header with zeros there.
func summed(header []byte, at, n int) bool {
	if n != checksumLen {
		return false
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, header[:at])
	sum = crc32.Update(sum, table, make([]byte, checksumLen))
	sum = crc32.Update(sum, table, header[at+checksumLen:])
	return sum == binary.BigEndian.Uint32(header[at:])
}
