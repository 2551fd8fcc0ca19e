package listen

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
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

	// maxUnseen is how long a socket may go unread while misses are worked on before one of
	// their goroutines reads it, up to maxLook batches. The
	// scheduler knows no priorities: of thousands of replies from servers that came at once
	// it runs every one before it asks the kernel whether a query came.
	maxUnseen = 500 * time.Microsecond
)

// worker owns one UDP socket, its goroutine and all of its buffers. On the path
// of a hit it writes to nothing that it shares with another worker. The headers of rx point into the
// worker's own arrays for ever.
type worker struct {
	sender
	s    *Server
	conn *net.UDPConn
	err  error

	q     dns.Query
	tally tally

	rx    [batch]unix.Mmsghdr
	rxIov [batch]unix.Iovec
	in    [batch][queryStride]byte

	misses outbox

	turn sync.Mutex // held while a batch is moved, by run and by look
	born time.Time
	seen atomic.Int64 // when a batch was last read, in nanoseconds since born
	most int          // batches that take takes; turn is held
	take func(fd uintptr)
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
	w := &worker{s: s, conn: c, born: time.Now()}
	w.take = w.takeSome
	var segments bool
	err = raw.Control(func(fd uintptr) { segments = canSegment(fd) })
	base := way{raw: raw, v6: addr.Addr().Is6(), wildcard: addr.Addr().IsUnspecified(), counters: s.newCounters()}
	w.sender.init(base, segments)
	w.misses.init(base, segments)
	for i := range batch {
		w.rxIov[i].Base = &w.in[i][0]
		w.rxIov[i].SetLen(maxUDPQuery)
		w.rx[i].Hdr.Iov = &w.rxIov[i]
		w.rx[i].Hdr.SetIovlen(1)
		w.rx[i].Hdr.Name = (*byte)(unsafe.Pointer(&w.names[i]))
		if w.wildcard {
			w.rx[i].Hdr.Control = &w.controls[i].data[0]
		}
	}
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
			if n, _ := w.move(fd); n == 0 {
				return
			}
		}
	})
	return nil
}

// serve handles batches until a batch was not full, which means that the socket
// had no more. The poller reports edges: it tells of every datagram that comes
// after that, even before the goroutine is parked.
func (w *worker) serve(fd uintptr) (done bool) {
	for !w.s.stopping.Load() {
		n, errno := w.move(fd)
		if errno == unix.EBADF || errno == unix.ENOTSOCK {
			w.err = errno
			return true
		}
		if n < batch && errno != unix.EINTR {
			return false
		}
	}
	return true
}

// move takes up to a batch of datagrams and answers what can be answered now.
func (w *worker) move(fd uintptr) (n int, errno syscall.Errno) {
	w.turn.Lock()
	defer w.turn.Unlock()
	return w.moveLocked(fd)
}

func (w *worker) moveLocked(fd uintptr) (n int, errno syscall.Errno) {
	n, errno = w.receive(fd)
	w.answer(n)
	w.send(fd)
	return n, errno
}

// unseen is how long the socket has gone unread; 0 when it is to be read no more.
func (w *worker) unseen(now time.Time) time.Duration {
	if w.s.stopping.Load() {
		return 0
	}
	return now.Sub(w.born) - time.Duration(w.seen.Load())
}

// look reads up to so many batches in the goroutine of who calls, so that hits stay fast while
// there is more than enough to do. What it leaves, run finds.
func (w *worker) look(batches int) {
	if !w.turn.TryLock() {
		return
	}
	defer w.turn.Unlock()
	w.most = batches
	w.raw.Control(w.take)
}

// takeSome moves a few batches; the turn is held.
func (w *worker) takeSome(fd uintptr) {
	for range w.most {
		if n, _ := w.moveLocked(fd); n < batch {
			return
		}
	}
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
	now := time.Now() // once a batch: its queries came within microseconds of each other
	w.seen.Store(int64(now.Sub(w.born)))
	for i := range n {
		if w.wildcard {
			w.controls[i].len = int(w.rx[i].Hdr.Controllen)
			if !w.controls[i].toReply() {
				w.tally.ignored++
				continue
			}
		}
		from := w.source(i)
		client, packet, ok := w.s.speaker(from, w.in[i][:w.rx[i].Len])
		if !ok {
			w.tally.ignored++
			continue
		}
		out := w.out[replies][:0]
		reply, o := w.s.datagram(&w.q, packet, client, now, out, &w.tally)
		if o >= needed {
			reply, o = w.submit(i, from, client.Addr(), o, out)
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

// submit gives the query of datagram i to the pool, or appends a reply that says why not.
func (w *worker) submit(i int, from netip.AddrPort, client netip.Addr, o outcome, out []byte) ([]byte, outcome) {
	if w.v6 && w.names[i].Scope_id != 0 {
		zone := strconv.FormatUint(uint64(w.names[i].Scope_id), 10)
		from = netip.AddrPortFrom(from.Addr().WithZone(zone), from.Port())
	}
	return w.s.submitDatagram(&w.q, w, from, client, &w.controls[i], o, out, &w.tally)
}

// reply has the reply to a miss sent with those that come about the same time.
func (w *worker) reply(m *miss, message []byte) {
	w.misses.add(m, message)
	if w.unseen(time.Now()) >= maxUnseen {
		w.look(maxLook)
	}
}

// flush sends the replies to misses that wait.
func (w *worker) flush() { w.misses.flush() }
