package sinkhole

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// peer is what is done with a connection.
type peer interface {
	io.ReadWriteCloser
	CloseWrite() error
	SetDeadline(time.Time) error
}

// connection is one that is open, in the list of its network's.
type connection struct {
	peer         peer
	older, newer *connection
	slot         int
	number       uint64 // in the order in which they came
	capture      bool   // what it says may be kept
}

// patience is how much longer than others this one is waited for, so that those which were
// opened together do not end together, and new ones behind them wait.
func (c *connection) patience() time.Duration {
	return time.Duration(c.number%spreadSteps) * (Spread / spreadSteps)
}

// scratches hold what is read past the prefix, which nobody looks at.
var scratches = sync.Pool{New: func() any { return new([2048]byte) }}

// acceptPause is how long accepting waits after the system refused, as without free descriptors.
const acceptPause = 5 * time.Millisecond

// accept takes connections of one socket until ctx ends.
func (s *Server) accept(ctx context.Context, l *net.TCPListener, conns *sync.WaitGroup) {
	for {
		c, err := l.AcceptTCP()
		switch {
		case err == nil:
			s.admit(c, conns)
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		default: // no descriptors or memory: an older connection makes room
			s.sources.evictOne()
			select {
			case <-time.After(acceptPause):
			case <-ctx.Done():
				return
			}
		}
	}
}

// admit counts a connection and answers it.
func (s *Server) admit(c *net.TCPConn, conns *sync.WaitGroup) {
	now := time.Now()
	from := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	local := destination(c)
	what := capture{at: now, transport: tcp, version: version(local.Addr()), port: local.Port()}
	s.from(&what, from)
	s.counts.saw(from, tcp, what.port)
	reply := s.replyTo(what.port)
	if reply.Close {
		c.Close()
		return
	}
	held := &connection{peer: c}
	s.sources.enter(held, from, now)
	conns.Go(func() {
		defer s.sources.leave(held)
		defer c.Close()
		var got octets
		answer(c, reply.Octets, &got, now, held.patience())
		what.lasted = time.Since(now)
		s.took(&what, &got, held.capture)
	})
}

// answer waits a little for the peer to speak, sends the reply, lets it know that this was
// all, and reads what else it has to say. Its steps depend on how much comes and when,
// never on what.
func answer(c peer, reply []byte, got *octets, now time.Time, more time.Duration) {
	if len(reply) > 0 {
		if c.SetDeadline(now.Add(Patience+more)) != nil {
			return
		}
		n, _ := c.Read(got.room(nil)) // whether it spoke or not, or is done: the reply is sent
		got.took(n)
	}
	if c.SetDeadline(now.Add(Lifetime+more)) != nil {
		return
	}
	if len(reply) > 0 {
		if _, err := c.Write(reply); err != nil || c.CloseWrite() != nil {
			return
		}
	}
	for got.kept < MaxPrefix && !got.full() {
		n, err := c.Read(got.room(nil))
		got.took(n)
		if err != nil {
			return
		}
	}
	scratch := scratches.Get().(*[2048]byte)
	defer scratches.Put(scratch)
	for !got.full() {
		n, err := c.Read(got.room(scratch[:]))
		got.took(n)
		if err != nil {
			return
		}
	}
}

// maxDatagram is the most that UDP carries (RFC 768: a length of 16 bits).
const maxDatagram = 65535

// receive takes datagrams of one socket until ctx ends. Nothing is sent.
func (s *Server) receive(ctx context.Context, c *net.UDPConn) {
	local := c.LocalAddr().(*net.UDPAddr).AddrPort()
	buffer := make([]byte, maxDatagram)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buffer)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			continue // an ICMP error of nothing that was sent, or a datagram that is too long
		}
		now := time.Now()
		source := from.Addr().Unmap()
		what := capture{at: now, transport: udp, version: version(local.Addr()), port: local.Port()}
		s.from(&what, source)
		s.counts.saw(source, udp, what.port)
		var got octets
		got.took(copy(got.room(nil), buffer[:n]))
		got.total = n
		s.took(&what, &got, s.sources.mayCapture(source, now))
	}
}

// took counts what came and keeps it where it may be kept. That nothing came is counted alone.
func (s *Server) took(what *capture, got *octets, may bool) {
	keep := may && got.total > 0
	if keep {
		what.received, what.prefix, what.digest = got.total, got.prefix(), got.digest()
		keep = s.journal.add(func(b []byte) []byte { return appendFrame(b, what.append) })
	}
	s.counts.read(what.transport, what.port, got.total, keep)
}

// from notes the network that something came from, where that is kept.
func (s *Server) from(what *capture, a netip.Addr) {
	if what.hasNetwork = s.conf.Networks; what.hasNetwork {
		what.network = truncated(a)
	}
}

// version is 4 or 6.
func version(a netip.Addr) uint8 {
	if a.Unmap().Is4() {
		return 4
	}
	return 6
}
