package listen

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/shoji-dns/shoji/internal/dns"
)

const (
	// batch is the most datagrams that one system call moves.
	batch = 32

	// drainRounds bounds the batches that a worker still takes from the kernel
	// after it was stopped.
	drainRounds = 256
)

// worker owns one UDP socket, its goroutine and all of its buffers. On the path
// of a hit it writes to nothing that it shares.
//
// The headers that the kernel reads point into the worker's own arrays: those of
// rx for ever, those of tx to what a reply needs until it is sent.
type worker struct {
	s        *Server
	conn     *net.UDPConn
	raw      syscall.RawConn
	v6       bool
	wildcard bool
	counters *counters
	err      error

	q     dns.Query
	tally tally

	rx, tx   [batch]unix.Mmsghdr
	rxIov    [batch]unix.Iovec
	messages [batch]segmented // what tx holds, laid of them now
	laid     int
	segments bool                         // replies may share a message
	refused  int                          // how often the kernel has refused that in a row
	names    [batch]unix.RawSockaddrInet6 // or RawSockaddrInet4, which is shorter
	controls [batch]control
	in       [batch][queryStride]byte
	out      [batch][replyStride]byte
}

// newReaders opens the sockets of one address, one for each worker.
func newReaders(s *Server, addr netip.AddrPort) ([]udpReader, error) {
	share := s.cfg.Workers > 1
	if share && addr.Port() != 0 {
		// A port that is shared is shared with every program of this user that
		// does the same. A socket that shares nothing tells whether it is free.
		c, err := openUDP(addr, false)
		if err != nil {
			return nil, err
		}
		c.Close()
	}
	var readers []udpReader
	for range s.cfg.Workers {
		w, err := newWorker(s, addr, share)
		if err != nil {
			for _, r := range readers {
				r.socket().Close()
			}
			return nil, err
		}
		readers = append(readers, w)
		addr = netip.AddrPortFrom(addr.Addr(), w.conn.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	}
	return readers, nil
}

func newWorker(s *Server, addr netip.AddrPort, share bool) (*worker, error) {
	c, err := openUDP(addr, share)
	if err != nil {
		return nil, err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		c.Close()
		return nil, err
	}
	w := &worker{s: s, conn: c, raw: raw, v6: addr.Addr().Is6(), wildcard: addr.Addr().IsUnspecified(), counters: s.newCounters()}
	for i := range batch {
		w.rxIov[i].Base = &w.in[i][0]
		w.rxIov[i].SetLen(maxUDPQuery)
		w.rx[i].Hdr.Iov = &w.rxIov[i]
		w.rx[i].Hdr.SetIovlen(1)
		w.rx[i].Hdr.Name = (*byte)(unsafe.Pointer(&w.names[i]))
		w.tx[i].Hdr.Iov = &w.messages[i].iov[0]
		if w.wildcard {
			w.rx[i].Hdr.Control = &w.controls[i].data[0]
		}
	}
	err = raw.Control(func(fd uintptr) { w.segments = canSegment(fd) })
	return w, err
}

func (w *worker) socket() *net.UDPConn { return w.conn }

// run stays in one Read for as long as the socket lives: every return of false
// from serve parks the goroutine until the kernel reports new datagrams.
func (w *worker) run() error {
	err := w.raw.Read(w.serve)
	if !w.s.stopping.Load() {
		if w.err != nil {
			err = w.err
		}
		return fmt.Errorf("listen: read from %s: %w", w.conn.LocalAddr(), err)
	}
	w.raw.Control(func(fd uintptr) {
		for range drainRounds {
			n, _ := w.receive(fd)
			if n == 0 {
				return
			}
			w.answer(n)
			w.send(fd)
		}
	})
	return nil
}

// serve handles batches until a batch was not full, which means that the socket
// had no more. The poller reports edges: it tells of every datagram that comes
// after that, even before the goroutine is parked.
func (w *worker) serve(fd uintptr) (done bool) {
	for !w.s.stopping.Load() {
		n, errno := w.receive(fd)
		if errno == unix.EBADF || errno == unix.ENOTSOCK {
			w.err = errno
			return true
		}
		w.answer(n)
		w.send(fd)
		if n < batch && errno != unix.EINTR {
			return false
		}
	}
	return true
}

// receive takes up to a batch of datagrams without waiting.
func (w *worker) receive(fd uintptr) (int, syscall.Errno) {
	for i := range w.rx {
		h := &w.rx[i].Hdr
		h.Namelen = unix.SizeofSockaddrInet6
		if w.wildcard {
			h.SetControllen(controlSize)
		}
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&w.rx)), batch, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// answer decides on the first n received datagrams and lays replies out in tx.
func (w *worker) answer(n int) {
	w.laid = 0
	replies := 0
	for i := range n {
		if w.wildcard {
			w.controls[i].len = int(w.rx[i].Hdr.Controllen)
			if !w.controls[i].toReply() {
				w.tally.ignored++
				continue
			}
		}
		packet := w.in[i][:w.rx[i].Len]
		from := w.source(i)
		out := w.out[replies][:0]
		reply, o := w.s.datagram(&w.q, packet, from, out, &w.tally)
		if o == needed && !w.submit(i, from) {
			reply, o = appendOverloaded(out, &w.q), ready
		}
		if o == ready {
			w.lay(i, reply)
			replies++
		}
	}
	w.seal()
	w.counters.publish(&w.tally)
}

// source is where datagram i came from, without the zone of a link-local address.
func (w *worker) source(i int) netip.AddrPort {
	name := &w.names[i]
	port := (*[2]byte)(unsafe.Pointer(&name.Port)) // at the same place in both families
	p := uint16(port[0])<<8 | uint16(port[1])
	if w.v6 {
		return netip.AddrPortFrom(netip.AddrFrom16(name.Addr), p)
	}
	return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr), p)
}

// submit gives the query of datagram i to the pool.
func (w *worker) submit(i int, from netip.AddrPort) bool {
	if w.v6 && w.names[i].Scope_id != 0 {
		zone := strconv.FormatUint(uint64(w.names[i].Scope_id), 10)
		from = netip.AddrPortFrom(from.Addr().WithZone(zone), from.Port())
	}
	return w.s.submitDatagram(&w.q, w, from, &w.controls[i], &w.tally)
}

// send sends what is laid. A reply that the kernel refuses, as one to an address
// without a route, is left out.
func (w *worker) send(fd uintptr) {
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
func (w *worker) sendWaiting(from, to int) (n int, errno syscall.Errno) {
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
func (w *worker) sendFrom(fd uintptr, from, to int) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&w.tx[from])), uintptr(to-from), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// reply sends the reply to a miss.
func (w *worker) reply(m *miss, message []byte) {
	if _, _, err := w.conn.WriteMsgUDPAddrPort(message, m.control.oob(), m.from); err != nil {
		w.counters.unsent.Add(1)
	}
}
