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

// maxRefused is after how many refusals in a row a sender asks the kernel no
// more to cut. One client that is reached by an odd way must not decide for others.
const maxRefused = 64

// segmented is a message of tx: one reply, or several of one length.
type segmented struct {
	first   int // whom the first reply is for: an index of names
	length  int // of each reply
	replies int
	ended   bool // the last reply is shorter: none may follow
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

// lay puts the reply to whoever has names[i] into tx.
func (w *sender) lay(i int, reply []byte) {
	k := w.place(i, len(reply))
	m := &w.messages[k]
	iov := &m.iov[m.replies]
	iov.Base = &reply[0]
	iov.SetLen(len(reply))
	m.replies++
	w.tx[k].Hdr.SetIovlen(m.replies)
}

// place finds the message for a reply to names[i], or begins one.
func (w *sender) place(i, length int) int {
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
	m.first, m.length, m.replies, m.ended = i, length, 0, false
	h := &w.tx[k].Hdr
	h.Name, h.Namelen = (*byte)(unsafe.Pointer(&w.names[i])), w.nameLen()
	if w.wildcard {
		h.Control = &w.controls[i].data[0]
	} else {
		h.Control = nil
	}
	h.SetControllen(w.controls[i].len)
	return k
}

// sameClient reports whether two replies go to one address and port from one address.
func (w *sender) sameClient(i, j int) bool {
	return w.names[i] == w.names[j] &&
		(!w.wildcard || slices.Equal(w.controls[i].oob(), w.controls[j].oob()))
}

// join has messages of one reply end those of longer replies to the same client: what is
// left over behind the last cut is a datagram too.
func (w *sender) join() {
	if !w.segments {
		return
	}
	kept := 0
	for k := range w.laid {
		if m := &w.messages[k]; !w.joins(m, kept) {
			if k != kept {
				w.move(k, kept)
			}
			kept++
		}
	}
	w.laid = kept
}

// joins makes one message of m and one of the first n, where one may end the other.
func (w *sender) joins(m *segmented, n int) bool {
	for j := range n {
		host := &w.messages[j]
		if host.ended || host.length == m.length || !w.sameClient(host.first, m.first) {
			continue
		}
		switch {
		case host.length > m.length && m.replies == 1:
			host.iov[host.replies] = m.iov[0]
			host.replies++
		case host.length < m.length && host.replies == 1:
			end := host.iov[0]
			copy(host.iov[:], m.iov[:m.replies])
			host.iov[m.replies] = end
			host.length, host.replies = m.length, m.replies+1
		default:
			continue
		}
		host.ended = true
		w.tx[j].Hdr.SetIovlen(host.replies)
		return true
	}
	return false
}

// move makes message k message to, whose place is free.
func (w *sender) move(k, to int) {
	m, into := &w.messages[k], &w.messages[to]
	into.first, into.length, into.replies, into.ended = m.first, m.length, m.replies, m.ended
	copy(into.iov[:], m.iov[:m.replies])
	h := w.tx[k].Hdr
	h.Iov = &into.iov[0]
	w.tx[to].Hdr = h
}

// seal tells the kernel where to cut the messages of several replies.
func (w *sender) seal() {
	w.join()
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
func (w *sender) unseal(fd uintptr, k int) {
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
