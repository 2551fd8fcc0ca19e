package listen

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
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

	// maxSpares is how many goroutines beside its own may read one socket, each with buffers of some 100 KiB. One that
	// the scheduler has taken the processor from keeps its place.
	maxSpares = 4
)

// worker owns one UDP socket and its goroutine. Others read the socket too where its own does not come
// to it (look).
type worker struct {
	way
	s    *Server
	conn *net.UDPConn
	err  error

	own    *taker
	spares [maxSpares]atomic.Pointer[taker] // made when they are needed first
	canCut bool                             // the kernel said so when the socket was opened

	misses outbox

	born time.Time
	seen atomic.Int64 // when a batch was last read, in nanoseconds since born
}

// taker takes batches from a worker's socket, for one goroutine at a time: all of its buffers. On the path
// of a hit it writes to nothing that it shares with another. The headers of rx point into its
// own arrays for ever.
type taker struct {
	sender
	w *worker

	q     dns.Query
	tally tally

	rx    [batch]unix.Mmsghdr
	rxIov [batch]unix.Iovec
	in    [batch][queryStride]byte

	taken atomic.Bool // a spare one is in use
	most  int         // batches that take takes
	take  func(fd uintptr)
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
	err = raw.Control(func(fd uintptr) { w.canCut = canSegment(fd) })
	w.way = way{raw: raw, v6: addr.Addr().Is6(), wildcard: addr.Addr().IsUnspecified(), counters: s.newCounters()}
	w.own = w.newTaker()
	w.misses.init(w.way, w.canCut)
	return w, err
}

func (w *worker) newTaker() *taker {
	t := &taker{w: w}
	t.take = t.takeSome
	t.sender.init(w.way, w.canCut)
	for i := range batch {
		t.rxIov[i].Base = &t.in[i][0]
		t.rxIov[i].SetLen(maxUDPQuery)
		t.rx[i].Hdr.Iov = &t.rxIov[i]
		t.rx[i].Hdr.SetIovlen(1)
		t.rx[i].Hdr.Name = (*byte)(unsafe.Pointer(&t.names[i]))
		if t.wildcard {
			t.rx[i].Hdr.Control = &t.controls[i].data[0]
		}
	}
	return t
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
			if n, _ := w.own.move(fd); n == 0 {
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
		n, errno := w.own.move(fd)
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
func (t *taker) move(fd uintptr) (n int, errno syscall.Errno) {
	n, errno = t.receive(fd)
	t.answer(n)
	t.send(fd)
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
	if t := w.spare(); t != nil {
		t.most = batches
		w.raw.Control(t.take)
		t.taken.Store(false)
	}
}

// spare is a taker that nobody uses; nil where all are in use.
func (w *worker) spare() *taker {
	for i := range w.spares {
		t := w.spares[i].Load()
		if t == nil {
			t = w.newTaker()
			t.taken.Store(true)
			if w.spares[i].CompareAndSwap(nil, t) {
				return t
			}
			continue
		}
		if t.taken.CompareAndSwap(false, true) {
			return t
		}
	}
	return nil
}

// takeSome moves a few batches.
func (t *taker) takeSome(fd uintptr) {
	for range t.most {
		if n, _ := t.move(fd); n < batch {
			return
		}
	}
}

// receive takes up to a batch of datagrams without waiting.
func (t *taker) receive(fd uintptr) (int, syscall.Errno) {
	for i := range t.rx {
		h := &t.rx[i].Hdr
		h.Namelen = unix.SizeofSockaddrInet6
		if t.wildcard {
			h.SetControllen(controlSize)
		}
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&t.rx)), batch, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// answer decides on the first n received datagrams and lays replies out in tx.
func (t *taker) answer(n int) {
	t.laid = 0
	replies := 0
	now := time.Now() // once a batch: its queries came within microseconds of each other
	t.w.seen.Store(int64(now.Sub(t.w.born)))
	for i := range n {
		if t.wildcard {
			t.controls[i].len = int(t.rx[i].Hdr.Controllen)
			if !t.controls[i].toReply() {
				t.tally.ignored++
				continue
			}
		}
		from := t.source(i)
		client, packet, ok := t.w.s.speaker(from, t.in[i][:t.rx[i].Len])
		if !ok {
			t.tally.ignored++
			continue
		}
		out := t.out[replies][:0]
		reply, o := t.w.s.datagram(&t.q, packet, client, now, out, &t.tally)
		if o >= needed {
			reply, o = t.submit(i, from, client.Addr(), o, out)
		}
		if o == ready {
			t.lay(i, reply)
			replies++
		}
	}
	t.seal()
	t.counters.publish(&t.tally)
}

// source is where datagram i came from, without the zone of a link-local address.
func (t *taker) source(i int) netip.AddrPort {
	name := &t.names[i]
	port := (*[2]byte)(unsafe.Pointer(&name.Port)) // at the same place in both families
	p := uint16(port[0])<<8 | uint16(port[1])
	if t.v6 {
		return netip.AddrPortFrom(netip.AddrFrom16(name.Addr), p)
	}
	return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr), p)
}

// submit gives the query of datagram i to the pool, or appends a reply that says why not.
func (t *taker) submit(i int, from netip.AddrPort, client netip.Addr, o outcome, out []byte) ([]byte, outcome) {
	if t.v6 && t.names[i].Scope_id != 0 {
		zone := strconv.FormatUint(uint64(t.names[i].Scope_id), 10)
		from = netip.AddrPortFrom(from.Addr().WithZone(zone), from.Port())
	}
	return t.w.s.submitDatagram(&t.q, t.w, from, client, &t.controls[i], o, out, &t.tally)
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
