package listen

import (
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// way is where a sender's replies leave: a socket, and what is known of it.
type way struct {
	raw      syscall.RawConn
	v6       bool
	wildcard bool // the address that was asked is told with each reply
	counters *counters
}

// sender lays out a batch of replies and sends it with one system call. It belongs to
// one goroutine at a time. The headers of tx point to what a reply needs until it is sent.
type sender struct {
	way
	tx       [batch]unix.Mmsghdr
	messages [batch]segmented // what tx holds, laid of them now
	laid     int
	segments bool                         // replies may share a message
	refused  int                          // how often the kernel has refused that in a row
	names    [batch]unix.RawSockaddrInet6 // or RawSockaddrInet4, which is shorter
	controls [batch]control
	out      [batch][replyStride]byte
}

func (w *sender) init(to way, segments bool) {
	w.way, w.segments = to, segments
	for i := range batch {
		w.tx[i].Hdr.Iov = &w.messages[i].iov[0]
	}
}

// nameLen is the length in octets of the addresses in names.
func (w *sender) nameLen() uint32 {
	if w.v6 {
		return unix.SizeofSockaddrInet6
	}
	return unix.SizeofSockaddrInet4
}

// setName makes names[i] a client's address.
func (w *sender) setName(i int, to netip.AddrPort) {
	name := &w.names[i]
	*name = unix.RawSockaddrInet6{}
	port := (*[2]byte)(unsafe.Pointer(&name.Port)) // at the same place in both families
	port[0], port[1] = byte(to.Port()>>8), byte(to.Port())
	if !w.v6 {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		v4.Family, v4.Addr = unix.AF_INET, to.Addr().As4()
		return
	}
	name.Family, name.Addr = unix.AF_INET6, to.Addr().As16()
	if zone := to.Addr().Zone(); zone != "" {
		id, _ := strconv.ParseUint(zone, 10, 32) // as submit wrote it
		name.Scope_id = uint32(id)
	}
}

// send sends what is laid. A reply that the kernel refuses, as one to an address
// without a route, is left out.
func (w *sender) send(fd uintptr) {
	for done := 0; done < w.laid; {
		sent, errno := w.sendFrom(fd, done, w.laid)
		if errno == unix.EAGAIN {
			sent, errno = w.sendWaiting(done, w.laid)
		}
		switch errno {
		case 0:
			for k := done; w.refused > 0 && k < done+sent; k++ {
				if w.messages[k].replies > 1 {
					w.refused = 0
				}
			}
			done += sent
		case unix.EINTR:
		default:
			if m := &w.messages[done]; m.replies > 1 && refusesToCut(errno) {
				w.unseal(fd, done)
			} else {
				w.counters.unsent.Add(uint64(m.replies))
			}
			done++
		}
	}
}

// sendWaiting is sendFrom when the interface's queue is full. Waiting for it holds
// back reading too, so the kernel drops what this machine cannot answer.
func (w *sender) sendWaiting(from, to int) (n int, errno syscall.Errno) {
	err := w.raw.Write(func(fd uintptr) bool {
		n, errno = w.sendFrom(fd, from, to)
		return errno != unix.EAGAIN
	})
	if err != nil {
		return 0, unix.EBADF
	}
	return n, errno
}

// sendFrom sends messages of tx from one up to another, without waiting.
func (w *sender) sendFrom(fd uintptr, from, to int) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&w.tx[from])), uintptr(to-from), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}
