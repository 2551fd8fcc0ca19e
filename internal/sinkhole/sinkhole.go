package sinkhole

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Config says where a sinkhole listens and what it sends.
type Config struct {
	TCP  []netip.AddrPort // addresses to accept connections on; port 0: any free one
	UDP  []netip.AddrPort // addresses to take datagrams on
	Dir  string           // where captures go, and nothing else is; made if missing
	Name string           // of Dir, for people; "": Dir

	// Replies is what each TCP port sends; ports that are not in it send nothing.
	Replies map[uint16]Reply

	// Networks keeps, with what a connection or datagram said, the network that it came from: its address's
	// first 24 bits of IPv4, or 48 of IPv6. It is for operators with a legal basis.
	Networks bool

	Disk   int64         // octets that all segments may have; 0: DefaultDisk
	Retain time.Duration // how long a segment is kept; 0: DefaultRetain

	Log *slog.Logger
}

// Reply is one port's constant behaviour.
type Reply struct {
	Octets []byte // sent to everyone; MaxReply at most
	Close  bool   // closed at once, nothing sent or read
}

// Server is a sinkhole whose sockets are open.
type Server struct {
	conf    Config
	tcp     []*net.TCPListener
	udp     []*net.UDPConn
	sources *sources
	counts  *counts
	journal *journal
}

// checked is conf with its defaults, or what is wrong with it.
func checked(conf Config) (Config, error) {
	if len(conf.TCP)+len(conf.UDP) == 0 {
		return conf, errors.New("sinkhole: nothing to listen on: name an address and a port")
	}
	if conf.Disk == 0 {
		conf.Disk = DefaultDisk
	}
	if conf.Retain == 0 {
		conf.Retain = DefaultRetain
	}
	if conf.Disk < 2*segmentSize {
		return conf, fmt.Errorf("sinkhole: disk: %d octets are fewer than two segments: give at least %d", conf.Disk, 2*segmentSize)
	}
	if conf.Retain < segmentAge {
		return conf, fmt.Errorf("sinkhole: retention of %v: segments are removed whole and last a day: give at least %v", conf.Retain, segmentAge)
	}
	for port, r := range conf.Replies {
		if len(r.Octets) > MaxReply {
			return conf, fmt.Errorf("sinkhole: the reply of port %d has %d octets of at most %d", port, len(r.Octets), MaxReply)
		}
	}
	if conf.Log == nil {
		conf.Log = slog.New(slog.DiscardHandler)
	}
	return conf, nil
}

// Listen opens the sockets, makes the folder and takes it for this process: ErrInUse where another has it. Close the server if it is not run.
func Listen(conf Config) (*Server, error) {
	conf, err := checked(conf)
	if err != nil {
		return nil, err
	}
	s := &Server{conf: conf, sources: newSources(connectionLimit()), counts: newCounts(time.Now())}
	if s.journal, err = openJournal(conf); err != nil {
		return nil, err
	}
	// No keep-alives: a connection is short. No Multipath TCP: Landlock does not see it.
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	for _, a := range conf.TCP {
		l, err := lc.Listen(context.Background(), network("tcp", a), a.String())
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("sinkhole: %w", err)
		}
		s.tcp = append(s.tcp, l.(*net.TCPListener))
	}
	for _, a := range conf.UDP {
		c, err := net.ListenUDP(network("udp", a), net.UDPAddrFromAddrPort(a))
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("sinkhole: %w", err)
		}
		s.udp = append(s.udp, c)
	}
	return s, nil
}

// network makes an address of IPv6 one of IPv6 alone: [::] and 0.0.0.0 are two addresses.
func network(transport string, a netip.AddrPort) string {
	if a.Addr().Is4() {
		return transport + "4"
	}
	return transport + "6"
}

// Close closes the sockets and what is being written.
func (s *Server) Close() {
	for _, l := range s.tcp {
		l.Close()
	}
	for _, c := range s.udp {
		c.Close()
	}
	s.sources.closeAll()
	s.journal.close()
}

// TCPAddrs are the addresses on which connections are accepted.
func (s *Server) TCPAddrs() (all []netip.AddrPort) {
	for _, l := range s.tcp {
		all = append(all, l.Addr().(*net.TCPAddr).AddrPort())
	}
	return all
}

// UDPAddrs are the addresses on which datagrams are taken.
func (s *Server) UDPAddrs() (all []netip.AddrPort) {
	for _, c := range s.udp {
		all = append(all, c.LocalAddr().(*net.UDPAddr).AddrPort())
	}
	return all
}

// Run answers until ctx ends, and then closes the server. It fails at once where the
// folder cannot be written to. Later, captures that cannot be written are counted and
// logged: they are no reason to stop answering.
func (s *Server) Run(ctx context.Context) error {
	if err := s.journal.check(); err != nil {
		return err
	}
	var readers, writer, conns sync.WaitGroup
	stop := make(chan struct{})
	writer.Go(func() { s.keep(stop) })
	for _, l := range s.tcp {
		readers.Go(func() { s.accept(ctx, l, &conns) })
	}
	for _, c := range s.udp {
		readers.Go(func() { s.receive(ctx, c) })
	}
	<-ctx.Done()
	for _, l := range s.tcp {
		l.Close()
	}
	for _, c := range s.udp {
		c.Close()
	}
	readers.Wait()
	s.sources.closeAll()
	conns.Wait()
	close(stop)
	writer.Wait()
	s.Close()
	return nil
}

// keep writes captures and counts until stop is closed, and then what is left.
func (s *Server) keep(stop <-chan struct{}) {
	flush, count := time.NewTicker(flushEvery), time.NewTicker(countEvery)
	defer flush.Stop()
	defer count.Stop()
	for {
		select {
		case now := <-flush.C:
			s.journal.flush(now)
		case <-s.journal.half:
			s.journal.flush(time.Now())
		case now := <-count.C:
			s.count(now)
		case <-stop:
			now := time.Now()
			s.count(now)
			s.journal.flush(now)
			return
		}
	}
}

// count writes down the counts since the last time, and starts a new day's key.
func (s *Server) count(now time.Time) {
	n := 0
	for c := range s.counts.take(now) {
		s.journal.add(func(b []byte) []byte { return appendFrame(b, c.append) })
		if n++; n%maxCountsBetween == 0 { // a scan of all ports is more than the buffer holds
			s.journal.flush(now)
		}
	}
	total := s.counts.totals(now, s.sources.takeEvicted(), s.journal.takeDropped())
	s.journal.add(func(b []byte) []byte { return appendFrame(b, total.append) })
}

// maxCountsBetween counts go to the buffer before it is emptied: half of it.
const maxCountsBetween = maxPending / 2 / 64

// replyTo is what port sends.
func (s *Server) replyTo(port uint16) Reply { return s.conf.Replies[port] }

// Describe says what is kept and for how long, in one line.
func (s *Server) Describe() string {
	addresses := "no client addresses"
	if s.conf.Networks {
		addresses = "client addresses cut to /24 and /48"
	}
	return fmt.Sprintf("captures: first %d octets, %s, %d MiB at most, removed after %v and a day",
		MaxPrefix, addresses, s.conf.Disk>>20, s.conf.Retain)
}

// Ports are the ports that have a reply, in order.
func (s *Server) Ports() []uint16 {
	var all []uint16
	for p := range s.conf.Replies {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}
