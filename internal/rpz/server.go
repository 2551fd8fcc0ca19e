package rpz

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// ServerConfig is what a Server needs.
type ServerConfig struct {
	Zone   *Zone
	Listen []netip.AddrPort // each over UDP and TCP; port 0: any free one
	Keys   []*Key
	Allow  []Grant
}

// Server answers for a zone.
type Server struct {
	cfg     ServerConfig
	keys    map[string]*Key
	grants  access
	tcp     []net.Listener
	udp     []*net.UDPConn
	turns   chan struct{} // one for each transfer that is under way
	closing sync.Once

	mu    sync.Mutex
	conns map[net.Conn]netip.Addr
	each  map[netip.Addr]int
}

// Listen opens the sockets; Serve answers.
func Listen(cfg ServerConfig) (*Server, error) {
	s := &Server{
		cfg: cfg, keys: map[string]*Key{}, grants: cfg.Allow, turns: make(chan struct{}, MaxTransfers),
		conns: map[net.Conn]netip.Addr{}, each: map[netip.Addr]int{},
	}
	for _, k := range cfg.Keys {
		if s.keys[k.name] != nil {
			return nil, fmt.Errorf("two keys have the name %s", k.name)
		}
		s.keys[k.name] = k
	}
	for _, a := range cfg.Listen {
		if err := s.open(a); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// portAttempts is how often another free port is tried: one that is free for TCP may be
// taken for UDP.
const portAttempts = 16

func (s *Server) open(a netip.AddrPort) error {
	for attempt := 1; ; attempt++ {
		l, err := net.Listen("tcp", a.String())
		if err != nil {
			return err
		}
		u, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			s.tcp = append(s.tcp, l)
			s.udp = append(s.udp, u.(*net.UDPConn))
			return nil
		}
		l.Close()
		if a.Port() != 0 || attempt == portAttempts {
			return err
		}
	}
}

// Addrs are the addresses that are listened on.
func (s *Server) Addrs() []netip.AddrPort {
	var out []netip.AddrPort
	for _, l := range s.tcp {
		out = append(out, l.Addr().(*net.TCPAddr).AddrPort())
	}
	return out
}

// Close ends Serve and what is under way.
func (s *Server) Close() {
	s.closing.Do(func() {
		for _, l := range s.tcp {
			l.Close()
		}
		for _, u := range s.udp {
			u.Close()
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// Serve answers until ctx ends or a socket fails.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, s.Close)()
	var all sync.WaitGroup
	for _, l := range s.tcp {
		all.Go(func() { cancel(s.acceptAll(ctx, l)) })
	}
	for _, u := range s.udp {
		all.Go(func() { cancel(s.datagrams(ctx, u)) })
	}
	all.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// failurePause is how long a socket that fails, such as for want of descriptors, is left alone.
const failurePause = 50 * time.Millisecond

func (s *Server) acceptAll(ctx context.Context, l net.Listener) error {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		c, err := l.Accept()
		if temporary := (interface{ Temporary() bool })(nil); err != nil && errors.As(err, &temporary) && temporary.Temporary() {
			time.Sleep(failurePause)
			continue
		}
		if err != nil {
			return err
		}
		from := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
		if !s.grants.knows(from) || !s.admit(c, from) {
			c.Close()
			continue
		}
		all.Go(func() {
			defer s.leave(c, from)
			s.requests(ctx, c, from)
		})
	}
}

// admit counts a connection in, if there is room for it.
func (s *Server) admit(c net.Conn, from netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= MaxConnections || s.each[from] >= MaxConnectionsEach {
		return false
	}
	s.conns[c] = from
	s.each[from]++
	return true
}

func (s *Server) leave(c net.Conn, from netip.Addr) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.each[from]--; s.each[from] == 0 {
		delete(s.each, from)
	}
}

// requests answers the requests of one connection, one after the other.
func (s *Server) requests(ctx context.Context, c net.Conn, from netip.Addr) {
	buf := make([]byte, 2+MaxRequest)
	for range MaxRequests {
		c.SetReadDeadline(time.Now().Add(requestTime))
		raw, err := readFrame(c, buf[2:])
		if err != nil || ctx.Err() != nil {
			return
		}
		x := &exchange{stream: true, turn: s.turn, done: func() { <-s.turns }, write: func(b []byte) error { return writeFrame(c, b) }}
		if s.answer(ctx, raw, from, x) != nil {
			return
		}
	}
}

// turn waits until a transfer may begin.
func (s *Server) turn(ctx context.Context) error {
	select {
	case s.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errLong says that a message is longer than is taken.
var errLong = errors.New("a message longer than is taken")

// readFrame reads one message with its length before it (RFC 1035 §4.2.2).
func readFrame(r io.Reader, buf []byte) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if n > len(buf) {
		return nil, errLong
	}
	_, err := io.ReadFull(r, buf[:n])
	return buf[:n], err
}

// writeFrame writes one message with its length before it.
func writeFrame(c net.Conn, b []byte) error {
	c.SetWriteDeadline(time.Now().Add(writeTime))
	head := binary.BigEndian.AppendUint16(make([]byte, 0, 2), uint16(len(b)))
	_, err := (&net.Buffers{head, b}).WriteTo(c)
	return err
}

// datagrams answers requests over UDP.
func (s *Server) datagrams(ctx context.Context, u *net.UDPConn) error {
	buf := make([]byte, maxDatagram+1)
	for {
		n, at, err := u.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
			return err
		}
		if err != nil { // of an earlier reply, as some systems report it
			time.Sleep(failurePause)
			continue
		}
		if n > maxDatagram {
			continue
		}
		x := &exchange{write: func(b []byte) error {
			if len(b) > maxDatagram {
				return errLong
			}
			_, err := u.WriteToUDPAddrPort(b, at)
			return err
		}}
		_ = s.answer(ctx, buf[:n], at.Addr().Unmap(), x) // nobody else can be told
	}
}
