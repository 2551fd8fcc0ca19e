package listen

import (
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Replies of one length to one client, which a batch of a busy client such as a
// forwarder or another server has many of, leave as one message that the kernel
// cuts at the interface (UDP_SEGMENT, Linux 4.18): the way through the kernel,
// most of what a reply costs, is taken once for all of them. What is on the wire
// is the same, but for the order of one batch's replies.

// maxRefused is after how many refusals in a row a worker asks the kernel no
// more to cut. One client that is reached by an odd way must not decide for others.
const maxRefused = 64

// segmented is a message of tx: one reply, or several of one length.
type segmented struct {
	first   int // the datagram that the first reply answers
	length  int // of each reply
	replies int
	iov     [batch]unix.Iovec
	control segmentControl
}

// segmentControl holds the control data of one datagram and, behind it, the
// length at which to cut.
type segmentControl struct {
	_    [0]uint64 // aligned as the kernel's structures are
	data [controlSize + segmentSpace]byte
}

// segmentSpace is the space of a control message of two octets: a header of at most 16, padded to 8.
const segmentSpace = 24

// canSegment reports whether the kernel knows how to cut: an older one would
// send one long datagram.
func canSegment(fd uintptr) bool {
	_, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
	return err == nil
}

// lay puts the reply to datagram i into tx.
func (w *worker) lay(i int, reply []byte) {
	k := w.place(i, len(reply))
	m := &w.messages[k]
	iov := &m.iov[m.replies]
	iov.Base = &reply[0]
	iov.SetLen(len(reply))
	m.replies++
	w.tx[k].Hdr.SetIovlen(m.replies)
}

// place finds the message for a reply to datagram i, or begins one.
func (w *worker) place(i, length int) int {
	if w.segments {
		for k := range w.laid {
			if m := &w.messages[k]; m.length == length && w.sameClient(m.first, i) {
				return k
			}
		}
	}
	k := w.laid
	w.laid++
	m := &w.messages[k]
	m.first, m.length, m.replies = i, length, 0
	h := &w.tx[k].Hdr
	h.Name, h.Namelen = w.rx[i].Hdr.Name, w.rx[i].Hdr.Namelen
	if w.wildcard {
		h.Control = &w.controls[i].data[0]
	} else {
		h.Control = nil
	}
	h.SetControllen(w.controls[i].len)
	return k
}

// sameClient reports whether two datagrams came from one address and port to one address.
func (w *worker) sameClient(i, j int) bool {
	return w.names[i] == w.names[j] &&
		(!w.wildcard || slices.Equal(w.controls[i].oob(), w.controls[j].oob()))
}

// seal tells the kernel where to cut the messages of several replies.
func (w *worker) seal() {
	for k := range w.laid {
		m := &w.messages[k]
		if m.replies < 2 {
			continue
		}
		at := copy(m.control.data[:], w.controls[m.first].oob())
		c := (*unix.Cmsghdr)(unsafe.Pointer(&m.control.data[at]))
		c.Level, c.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(2))
		*(*uint16)(unsafe.Pointer(&m.control.data[at+unix.CmsgLen(0)])) = uint16(m.length)
		w.tx[k].Hdr.Control = &m.control.data[0]
		w.tx[k].Hdr.SetControllen(at + segmentSpace)
	}
}

// unseal sends the replies of message k one by one, after the kernel refused to
// cut it: it does where an interface cannot compute checksums, and under IPsec.
func (w *worker) unseal(fd uintptr, k int) {
	if w.refused++; w.refused == maxRefused {
		w.segments = false
	}
	m := &w.messages[k]
	all := m.iov
	h := &w.tx[k].Hdr
	h.Control = nil
	if w.wildcard {
		h.Control = &w.controls[m.first].data[0]
	}
	h.SetControllen(w.controls[m.first].len)
	h.SetIovlen(1)
	for i := range m.replies {
		m.iov[0] = all[i]
		if _, errno := w.sendFrom(fd, k, k+1); errno != 0 {
			w.counters.unsent.Add(1)
		}
	}
}

// refusesToCut reports whether an error is about cutting a message rather than
// about where it goes.
func refusesToCut(errno syscall.Errno) bool {
	return errno == unix.EIO || errno == unix.EINVAL || errno == unix.EMSGSIZE
}
