// Package doq takes DNS queries over QUIC: over dedicated connections (RFC 9250) and over
// HTTP/3 (RFC 8484). QUIC itself is github.com/quic-go/quic-go. Who may ask, how much, and what the
// answer is, package listen decides; this package has the sockets.
//
// # Dedicated connections
//
// A stream has one query and its reply, each with its length before it. The server name chooses
// the view. What the protocol calls a fatal error ends the connection with
// DOQ_PROTOCOL_ERROR: a length that does not fit, octets after the query, a message ID that is not 0, an
// edns-tcp-keepalive option (RFC 9250 §4.3.3).
//
// # HTTP/3
//
// The path chooses the view, as over HTTP/2. Replies have the same lengths for both, but for those to
// queries without EDNS, which cannot be padded here.
//
// # Limits
//
// Connections count among those of package listen, in all and for each source. Of each, 100
// streams may be open, a query has 4 s to arrive and a client 4 s to read a reply. A connection without a query for the
// idle time ends, whatever else comes on it. A connection's
// windows are 64 KiB at first. What a client cancels keeps its place in the
// pool of package listen until it ends (the QUIC kin of CVE-2023-44487). More than handshakeLoad handshakes under way
// have new clients prove their addresses first (Retry, RFC 9000 §8.1.2). Handshakes have 4 s. What QUIC itself
// has to bound (CRYPTO frames, CVE-2023-49295's path challenges, CVE-2024-22189's connection IDs) quic-go bounds, and tests
// here hold it to that. With every read and write of a socket, plain queries get their turn (listen.Server.MakeWay).
//
// There is no early data (0-RTT).
//
// # Known faults
//
// One socket for each address: one processor reads it. quic-go looks at RFC 9000's limit for clients that have
// not proved their addresses before a packet and not after it, so that they get up to a packet more than three times what they
// sent. At a stop, what is under way over HTTP/3 may be cut where no dedicated connection is open. A reply that fits into a packet and is not read keeps its stream as long as its client keeps the connection.
package doq

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/shoji-dns/shoji/internal/listen"
)

const (
	// maxStreams is how many queries of one connection may be open: quic-go's default, and
	// what RFC 9113 has for HTTP/2.
	maxStreams = 100
	// controlStreams are a client's of HTTP/3: control, QPACK's two, and some to be ignored (RFC 9114
	// §6.2).
	controlStreams = 8
	// firstWindow and lastWindow bound what of a connection is buffered; a stream's last window holds the
	// longest query.
	firstWindow = 64 << 10
	lastWindow  = 256 << 10
	// handshakeTime is how long a client may take for the handshake.
	handshakeTime = 4 * time.Second
	// handshakeLoad is how many handshakes may be under way before new clients have to
	// prove their addresses.
	handshakeLoad = 64
	// messageTime is how long a query may take to arrive, and a reply to be read.
	messageTime = 4 * time.Second
	// maxHeaders bounds the header fields of a request.
	maxHeaders = 16 << 10
	// drainTime is how long queries under way may take after the end.
	drainTime = 5 * time.Second
)

// Errors of connections and streams (RFC 9250 §4.3, §8.4).
const (
	noError       quic.ApplicationErrorCode = 0
	protocolError quic.ApplicationErrorCode = 2
	internalError quic.StreamErrorCode      = 1
)

// Config is what Listen needs.
type Config struct {
	// Listen decides about clients and answers. Its views' names and paths hold here too.
	Listen *listen.Server
	Secure listen.Secure

	DoQ []netip.AddrPort // for dedicated connections
	DoH []netip.AddrPort // for HTTP/3

	IdleTimeout time.Duration // of a connection without queries; 0 is listen.DefaultIdleTimeout
}

// Server owns the sockets of one Config.
type Server struct {
	cfg   Config
	doors []*door
	conns sync.WaitGroup // dedicated ones
	webs  sync.WaitGroup // those of HTTP/3, which end with lasts
	lasts context.Context
	end   context.CancelFunc

	admitted atomic.Int64 // connections, in their handshake or after it
	shaken   atomic.Int64 // of them, after it
}

// door is one socket.
type door struct {
	at       netip.AddrPort
	udp      *net.UDPConn
	via      *quic.Transport
	listener *quic.Listener
	web      bool
}

// Listen opens the sockets. Clients are not accepted before Serve.
func Listen(cfg Config) (*Server, error) {
	if cfg.IdleTimeout <= 0 {
		cfg.IdleTimeout = listen.DefaultIdleTimeout
	}
	s := &Server{cfg: cfg}
	s.lasts, s.end = context.WithCancel(context.Background())
	for i, addrs := range [][]netip.AddrPort{cfg.DoQ, cfg.DoH} {
		for _, at := range addrs {
			if err := s.open(at, i == 1); err != nil {
				s.Close()
				return nil, err
			}
		}
	}
	return s, nil
}

func (s *Server) open(at netip.AddrPort, web bool) error {
	network := "udp4"
	if at.Addr().Is6() {
		network = "udp6"
	}
	udp, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(at))
	if err != nil {
		return listen.Explain("QUIC", at, err)
	}
	security := s.cfg.Secure.TLS()
	security.MinVersion = tls.VersionTLS13
	security.NextProtos = []string{"doq"}
	security.GetConfigForClient = nil // what it may answer comes over TCP (RFC 8737)
	control := int64(-1)
	if web {
		security.NextProtos, control = []string{http3.NextProtoH3}, controlStreams
	}
	via := &quic.Transport{Conn: &socket{udp, s.cfg.Listen.MakeWay}, ConnContext: s.admit, VerifySourceAddress: func(net.Addr) bool { return s.admitted.Load()-s.shaken.Load() > handshakeLoad }}
	listener, err := via.Listen(security, &quic.Config{
		HandshakeIdleTimeout: handshakeTime, MaxIdleTimeout: s.cfg.IdleTimeout,
		InitialStreamReceiveWindow: firstWindow, MaxStreamReceiveWindow: lastWindow,
		InitialConnectionReceiveWindow: firstWindow, MaxConnectionReceiveWindow: lastWindow,
		MaxIncomingStreams: maxStreams, MaxIncomingUniStreams: control, DisablePathMTUDiscovery: true,
	})
	if err != nil {
		udp.Close()
		return err
	}
	at = netip.AddrPortFrom(at.Addr(), udp.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	s.doors = append(s.doors, &door{at: at, udp: udp, via: via, listener: listener, web: web})
	return nil
}

// DoQAddrs are the addresses of Config.DoQ, with the ports that were picked.
func (s *Server) DoQAddrs() []netip.AddrPort { return s.addrs(false) }

// DoHAddrs are the addresses of Config.DoH, with the ports that were picked.
func (s *Server) DoHAddrs() []netip.AddrPort { return s.addrs(true) }

func (s *Server) addrs(web bool) (out []netip.AddrPort) {
	for _, d := range s.doors {
		if d.web == web {
			out = append(out, d.at)
		}
	}
	return out
}

var errTurnedAway = errors.New("no place for this client")

// admit takes a connection in before its handshake, or turns it away.
func (s *Server) admit(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	from := source(info.RemoteAddr)
	if !s.cfg.Listen.Admit(from) {
		return nil, errTurnedAway
	}
	s.admitted.Add(1)
	context.AfterFunc(ctx, func() {
		s.admitted.Add(-1)
		s.cfg.Listen.Dismiss(from)
	})
	return ctx, nil
}

// socket is a UDP socket whose user makes way for plain queries with every read and write: what
// quic-go does between them is its own.
type socket struct {
	*net.UDPConn
	makeWay func()
}

// SyscallConn implements syscall.Conn: quic-go reads by it.
func (s *socket) SyscallConn() (syscall.RawConn, error) {
	raw, err := s.UDPConn.SyscallConn()
	return &reads{raw, s.makeWay}, err
}

// WriteMsgUDP sends a datagram.
func (s *socket) WriteMsgUDP(b, oob []byte, to *net.UDPAddr) (n, control int, err error) {
	s.makeWay()
	return s.UDPConn.WriteMsgUDP(b, oob, to)
}

// reads is how a socket is read.
type reads struct {
	syscall.RawConn
	makeWay func()
}

// Read implements syscall.RawConn.
func (r *reads) Read(f func(fd uintptr) bool) error {
	r.makeWay()
	return r.RawConn.Read(f)
}

// source is a client's address.
func source(a net.Addr) netip.Addr {
	if u, ok := a.(*net.UDPAddr); ok {
		return u.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// Serve answers queries until ctx ends, then lets what is under way finish, and closes
// every socket. It is called once.
func (s *Server) Serve(ctx context.Context) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	failed := make(chan error, len(s.doors))
	var wg sync.WaitGroup
	for _, d := range s.doors {
		wg.Go(func() { failed <- s.accept(base, d) })
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	late := time.AfterFunc(drainTime, cancel)
	defer late.Stop()
	for _, d := range s.doors {
		d.listener.Close()
	}
	wg.Wait()
	s.conns.Wait()
	s.end()
	s.webs.Wait()
	s.Close()
	return err
}

// Close closes the sockets.
func (s *Server) Close() {
	s.end()
	for _, d := range s.doors {
		d.listener.Close()
		d.via.Close()
		d.udp.Close()
	}
}
