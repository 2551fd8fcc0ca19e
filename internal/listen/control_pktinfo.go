//go:build linux || darwin

package listen

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// control is the control message of one datagram: the address that was asked,
// as the kernel gives it and as it takes it back.
type control struct {
	_    [0]uint64 // aligned as the kernel's structures are
	data [controlSize]byte
	len  int
}

// controlSize holds the larger of the two messages: a header of at most 16
// octets and an in6_pktinfo of 20, padded to 8.
const controlSize = 40

// toReply turns the control data that came with a query into what its reply
// takes: the same source address, and whichever interface leads to the client,
// save for link-local addresses, which mean nothing without their interface. It
// reports false where no reply can have the asked address, as it was multicast.
func (c *control) toReply() bool {
	if c.len < unix.SizeofCmsghdr {
		return false
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&c.data))
	info := unsafe.Pointer(&c.data[unix.CmsgLen(0)])
	switch {
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && c.len >= unix.CmsgLen(unix.SizeofInet4Pktinfo):
		(*unix.Inet4Pktinfo)(info).Ifindex = 0
		return true
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && c.len >= unix.CmsgLen(unix.SizeofInet6Pktinfo):
		to := (*unix.Inet6Pktinfo)(info)
		if to.Addr[0] != 0xfe || to.Addr[1]&0xc0 != 0x80 {
			to.Ifindex = 0
		}
		return to.Addr[0] != 0xff
	}
	return false
}

// oob is the part of c that the kernel reads.
func (c *control) oob() []byte { return c.data[:c.len] }

// wantControl makes a socket tell the address that each datagram was sent to.
func wantControl(fd int, v6 bool) error {
	if v6 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
}
