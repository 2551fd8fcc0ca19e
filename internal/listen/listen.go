// Package listen takes DNS queries from UDP, TCP and TLS sockets and sends the
// replies of a Handler: sockets in, bytes out.
//
// # One query
//
// A reader parses a datagram and calls Handler.Hit inline, in its own goroutine
// and into its own buffers: on that path there is no allocation, no lock and no
// channel. What Hit cannot answer goes to a bounded pool that calls Handler.Miss.
// When the pool and its queue are full the query is answered at once with
// SERVFAIL and the Extended DNS Error "Other: overloaded". On Linux a miss that ends has the
// socket read where the reader did not come to it in the meantime. So a flood of names that
// need the network slows the names that do not by about a millisecond.
//
// On Linux every address has one SO_REUSEPORT socket for each worker, and a
// worker moves datagrams in batches (recvmmsg, sendmmsg); replies of one length to
// one client go through the kernel as one (UDP_SEGMENT). Replies of Miss that become
// ready about the same time leave together likewise. Elsewhere one socket
// per address is read one datagram at a time; the replies are the same octets.
// A reply leaves from the address that was asked, on a wildcard socket too
// (IP_PKTINFO, IPV6_PKTINFO; not on Windows, where routing picks the address).
//
// TCP follows RFC 7766: queries are pipelined, replies leave in the order in
// which they become ready, connections are bounded in all and for each source,
// and a connection is bounded in queries under way, in octets and in time.
//
// DNS over TLS (RFC 7858) is the same stream in TLS 1.3. Behind each of its addresses are all
// views, and the server name chooses (Secure). Replies to queries with EDNS are padded to multiples of 468 octets
// (RFC 8467), whatever the query. What arrived together is read to its end before the replies leave, together
// and in as few records as hold them, so a busy client costs a few system calls for many
// queries. Handshakes are bounded in number and in time. DNS over HTTPS (RFC 8484) is HTTP/2 in the same streams; package doh
// has what is HTTP's, and the path chooses the view. Transports with sockets of their own (package doq) are guests: Admit,
// Answer and Dismiss. Who works for any of these connections reads plain sockets in between (Config.Beside), for the scheduler
// would leave them a fifth of the processors beside a flood.
//
// # Cookies and keepalive
//
// A query with a DNS cookie (RFC 7873) gets a server cookie back, in the form that servers
// of all makes can share (RFC 9018). What the handler says does not depend on it. Over TCP a
// client that asks is told how long its connection may be silent (RFC 7828). Both options
// are made here, where the client is known, and handed on in dns.Query.Reply.
//
// # What a client's address decides
//
// Whether it is answered at all, never what. Four things look at it:
//
//   - Access. Sources outside Config.Allow get REFUSED with the Extended DNS
//     Error "Prohibited" over UDP (what Unbound and BIND do by default: the reply is no longer
//     than the query, and the operator of a mistaken client can see the cause)
//     and a closed connection over TCP.
//   - Rate. Over Config.RateLimit, every second reply to a source prefix is cut
//     to its question with TC set and the others are dropped. A real client asks
//     again over TCP, which is not limited; a forged one cannot. Nor is limited who shows
//     a valid DNS cookie; who has none yet gets BADCOOKIE in place of TC, and one.
//   - Places. One source may hold an eighth of the places for queries that need the
//     network, a quarter where it proves its address (TCP, a cookie). Over that its
//     queries get SERVFAIL and the Extended DNS Error "Other", at once, so one source
//     neither fills the pool nor has a burst of replies held back and let go together.
//   - Loops. Datagrams from port 0 and from the ports of services that answer
//     anything (echo, chargen and their like) are dropped.
//
// Where a load balancer is between (Config.Balancers), the address is what its PROXY header says (package
// balancer), and it goes no further than that of any client.
//
// Nothing about a client is logged or written to disk.
//
// # Known faults
//
// A rate limit is kept for prefixes in a table of fixed size: under a flood from
// more prefixes than it has places a source may be limited later than it should.
//
// TCP connections, and UDP where it is read one datagram at a time, are read when the
// scheduler comes to their goroutines: on one processor and under a flood of names that
// need the network, tens of milliseconds later.
package listen

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/listen/doh"
)

// Handler answers queries. *serve.Server is one.
type Handler interface {
	// Hit appends the reply to out, or reports false if q needs Miss. It never
	// blocks and never allocates: socket readers call it inline.
	Hit(q *dns.Query, out []byte) ([]byte, bool)

	// Miss appends the reply to out. It may block, within limits of its own, and
	// returns soon after ctx ends.
	Miss(ctx context.Context, q *dns.Query, out []byte) []byte
}

// Config is what Listen needs. Only Handler with Addrs, or Secure, have no default.
type Config struct {
	Handler Handler

	// Addrs are the addresses to listen on, each over UDP and TCP. Port 0 picks
	// a free port. An IPv6 address takes IPv6 alone.
	Addrs []netip.AddrPort

	// Secure are addresses where queries come over TLS; the zero value is none.
	Secure Secure

	// Beside are servers of this process whose plain sockets what comes over TLS must not hold up.
	Beside []*Server

	// Workers is the number of UDP sockets and readers for each address on Linux;
	// 0 means GOMAXPROCS. Elsewhere there is one.
	Workers int

	// Allow holds the source prefixes that are served; nil means LocalPrefixes.
	Allow []netip.Prefix

	// Balancers are source prefixes of load balancers, which say whom they speak for by a PROXY header
	// of version 2, before each connection (over TLS, or first within it) and in each datagram. What decides by a client's address
	// then has the client's. One of them without a header is not served, nor anybody else with one. Over QUIC
	// balancers are not served. They themselves may ask (health checks).
	Balancers []netip.Prefix

	// RateLimit is how many queries a second each source prefix (an IPv4 /24, an
	// IPv6 /56) may send over UDP before its replies are dropped or truncated.
	// 0 means no limit. Loopback is never limited.
	RateLimit int

	// CookieSecrets are the keys of server cookies (RFC 9018), for servers that share an
	// address: the first mints, and what any of them minted is valid. nil means a random
	// one, replaced every day.
	CookieSecrets []CookieSecret

	// NSID is told to clients that ask which server answers them (RFC 5001). It is cut after
	// MaxNSID octets; "" is not told.
	NSID string

	// IgnorePorts are source ports whose datagrams are dropped; nil means ReflectorPorts.
	IgnorePorts []uint16

	// MaxMisses bounds the queries that wait for the network at once; as many
	// again may queue for a place. 0 means DefaultMaxMisses.
	MaxMisses int

	// MaxConns bounds the TCP connections; 0 means DefaultMaxConns. One source (an
	// IPv4 address, an IPv6 /56) may hold a quarter of them.
	MaxConns int

	// IdleTimeout is how long a TCP connection may be silent; 0 means
	// DefaultIdleTimeout. It shrinks as the places for connections fill up.
	IdleTimeout time.Duration

	// Drain is how long Serve lets queries under way finish after its context
	// ended; 0 means DefaultDrain.
	Drain time.Duration
}

// Defaults and limits. Each bounds something that strangers can drive.
const (
	// DefaultMaxMisses: a resolution holds about 30 KiB, so 4096 of them 120 MiB.
	DefaultMaxMisses = 4096
	// DefaultMaxConns: an idle connection holds about 12 KiB.
	DefaultMaxConns = 2048
	// DefaultIdleTimeout is "on the order of a few seconds" (RFC 7766 §6.2.3).
	DefaultIdleTimeout = 10 * time.Second
	// DefaultDrain is about as long as a stub resolver waits for an answer.
	DefaultDrain = 5 * time.Second

	// MaxUDPReply is the longest UDP reply in octets, whatever a client offers:
	// it crosses every network whole (RFC 9715 §3.2, R5).
	MaxUDPReply = dns.DefaultUDPSize
	// MaxNSID bounds the server's identifier in octets, so that a reply without records has
	// room for it in 512 octets beside the longest name, a cookie and an error.
	MaxNSID = 128
	// maxUDPQuery is the longest datagram read, in octets. Replies advertise
	// MaxUDPReply as what this side takes (RFC 6891 §6.2.3); what is longer than
	// maxUDPQuery is cut, and so malformed.
	maxUDPQuery = 2048

	// missPatience is how long a miss may queue. A stub resolver has asked again
	// by then (the shortest common timeout is 2 s), so working on it would be in vain.
	missPatience = time.Second

	// portAttempts bounds the search for a port that is free over UDP and TCP.
	portAttempts = 16
)

// Server owns the sockets of one Config.
type Server struct {
	cfg       Config
	allow     ranges
	balancers ranges
	refusals  atomic.Uint64 // connections of balancers that were not served
	limiter   *limiter      // nil: no limit
	cookies   *cookies
	misses    *pool
	relays    *pool // of oblivious queries for other targets
	udp       []udpReader
	tcp       []door
	conns     *conns
	addrs     []netip.AddrPort
	dot       []netip.AddrPort
	doh       []netip.AddrPort
	routes    []doh.Route
	greets    chan struct{} // one taken for each TLS handshake under way
	opens     chan struct{} // one taken for each oblivious query that is being opened
	strangers chan struct{} // one taken for each of them with who is not served
	way       courtesy
	desks     sync.Pool // of *desk
	ahead     sync.Pool // of *[maxRecord]byte

	stopping    atomic.Bool
	stats       []*counters // one for each UDP reader, and tcpCounters
	tcpCounters *counters

	guests        sync.Mutex // held to publish to guestCounters
	guestCounters *counters

	end context.CancelFunc // ends the misses
}

// udpReader is one UDP socket with its goroutine.
type udpReader interface {
	// run reads, answers inline and returns when the socket was stopped, with
	// an error if nobody had stopped it.
	run() error
	// flush sends what replies to misses wait to be sent.
	flush()
	// unseen is how long the socket has gone unread; look reads it, up to so many batches.
	unseen(now time.Time) time.Duration
	look(batches int)
	socket() *net.UDPConn
}

// Listen opens the sockets of cfg. Nothing is read before Serve.
func Listen(cfg Config) (*Server, error) {
	return listen(cfg, newReaders)
}

// opener opens the UDP readers of one address; the first of them picks the port where addr has none.
type opener func(s *Server, addr netip.AddrPort) ([]udpReader, error)

func listen(cfg Config, open opener) (*Server, error) {
	if len(cfg.Addrs)+len(cfg.Secure.Views) == 0 || len(cfg.Addrs) > 0 && cfg.Handler == nil {
		return nil, errors.New("listen: a handler and at least one address are needed")
	}
	if err := cfg.Secure.check(); err != nil {
		return nil, err
	}
	s := newServer(cfg)
	for _, addr := range cfg.Addrs {
		if err := s.open(addr, open); err != nil {
			s.closeSockets()
			return nil, err
		}
	}
	if err := s.openSecure(); err != nil {
		s.closeSockets()
		return nil, err
	}
	return s, nil
}

// newServer makes a Server without sockets.
func newServer(cfg Config) *Server {
	cfg = cfg.withDefaults()
	s := &Server{
		cfg:       cfg,
		allow:     newRanges(slices.Concat(cfg.Allow, cfg.Balancers)),
		balancers: newRanges(cfg.Balancers),
		cookies:   newCookies(cfg.CookieSecrets),
		misses:    newPool(cfg.MaxMisses),
		relays:    newPool(maxRelays),
		conns:     newConns(cfg.MaxConns),
		way:       newCourtesy(cfg.Beside),
		greets:    make(chan struct{}, max(1, cfg.MaxConns/handshakeShare)),
		opens:     make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1)),
		strangers: make(chan struct{}, maxStrangers),
	}
	if cfg.RateLimit > 0 {
		s.limiter = newLimiter(cfg.RateLimit)
	}
	s.tcpCounters, s.guestCounters = s.newCounters(), s.newCounters()
	s.misses.ctx, s.end = context.WithCancel(context.Background())
	s.relays.ctx, s.relays.proven = s.misses.ctx, relayShare
	s.desks.New = func() any { return newDesk() }
	s.ahead.New = func() any { return new([maxRecord]byte) }
	return s
}

func (c Config) withDefaults() Config {
	if c.Workers <= 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.Allow == nil {
		c.Allow = LocalPrefixes()
	}
	if c.IgnorePorts == nil {
		c.IgnorePorts = ReflectorPorts()
	}
	c.NSID = c.NSID[:min(len(c.NSID), MaxNSID)]
	if c.MaxMisses <= 0 {
		c.MaxMisses = DefaultMaxMisses
	}
	if c.MaxConns <= 0 {
		c.MaxConns = DefaultMaxConns
	}
	if c.IdleTimeout <= 0 {
		c.IdleTimeout = DefaultIdleTimeout
	}
	if c.Drain <= 0 {
		c.Drain = DefaultDrain
	}
	return c
}

// open opens UDP and TCP on one address, with the same port for both.
func (s *Server) open(addr netip.AddrPort, open opener) error {
	for attempt := 1; ; attempt++ {
		readers, err := open(s, addr)
		if err != nil {
			return err
		}
		at := readers[0].socket().LocalAddr().(*net.UDPAddr).AddrPort()
		at = netip.AddrPortFrom(addr.Addr(), at.Port())
		l, err := listenTCP(at)
		if err == nil {
			s.udp = append(s.udp, readers...)
			s.tcp = append(s.tcp, door{TCPListener: l})
			s.addrs = append(s.addrs, at)
			return nil
		}
		for _, r := range readers {
			r.socket().Close()
		}
		if addr.Port() != 0 || attempt == portAttempts {
			return err
		}
	}
}

// Addrs are the addresses that are listened on, in the order of Config.Addrs,
// with the ports that were picked.
func (s *Server) Addrs() []netip.AddrPort { return s.addrs }

// Serve answers queries until ctx ends, then stops reading, lets what is under
// way finish within Config.Drain, and closes every socket. It returns nil after
// such an end and an error if a socket failed before. It is called once.
func (s *Server) Serve(ctx context.Context) error {
	defer s.end()
	var wg sync.WaitGroup
	failed := make(chan error, len(s.udp)+len(s.tcp))
	for _, r := range s.udp {
		wg.Go(func() { failed <- r.run() })
	}
	for _, l := range s.tcp {
		wg.Go(func() { failed <- s.accept(l) })
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.stop()
	wg.Wait()
	s.drain()
	s.closeSockets()
	return err
}

// Close closes the sockets of a Server that was never served.
func (s *Server) Close() {
	s.end()
	s.closeSockets()
}

// stop ends reading: readers take what the kernel already holds and return.
func (s *Server) stop() {
	s.stopping.Store(true)
	past := time.Unix(1, 0)
	for _, r := range s.udp {
		r.socket().SetReadDeadline(past)
	}
	for _, l := range s.tcp {
		l.Close()
	}
	s.conns.stop(past)
}

// drain waits for misses and connections under way. After Config.Drain it
// cancels the misses and cuts the connections; both then end at once.
func (s *Server) drain() {
	late := time.AfterFunc(s.cfg.Drain, func() {
		s.end()
		s.conns.cut()
	})
	defer late.Stop()
	s.misses.wait()
	s.relays.wait()
	for _, r := range s.udp {
		r.flush()
	}
	s.conns.wait()
}

func (s *Server) closeSockets() {
	for _, r := range s.udp {
		r.socket().Close()
	}
	for _, l := range s.tcp {
		l.Close()
	}
}
