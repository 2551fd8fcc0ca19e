package audit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// Server is a resolver to ask, in one of its views.
type Server struct {
	Addr       netip.AddrPort
	Unfiltered bool
	Encrypted  string // the transport, such as "tls"; "" for plain DNS, by any of the transports
}

// String is the server for people.
func (s Server) String() string {
	if s.Encrypted != "" {
		return s.Encrypted + "://" + s.Addr.String()
	}
	return s.Addr.String()
}

// Route is the way of a question to a resolver.
type Route struct {
	Server
	Source    netip.Addr // of this machine; the zero Addr leaves it to the system
	Port      uint16     // of the source; 0 leaves it to the system
	Transport string
}

// Transport carries questions. Carry sends a query by a route and returns the reply to it.
type Transport struct {
	Name  string
	Carry func(ctx context.Context, r Route, query []byte) ([]byte, error)
}

// The transports that Plain has.
const (
	UDP = "UDP"
	TCP = "TCP"
)

// Plain are the transports of DNS without encryption.
func Plain() []Transport {
	return []Transport{{UDP, carryUDP}, {TCP, carryTCP}}
}

const (
	// askTries and askWait are a stub's: glibc's and others' are 2 and 5 s (resolv.conf(5)).
	askTries = 2
	askWait  = 5 * time.Second
	// portTries is how many source ports are tried before the system chooses one.
	portTries = 4
	// maxStrays bounds the datagrams that are no reply to what was asked.
	maxStrays = 64
)

var errStrays = errors.New("too many datagrams that are no reply")

// carryUDP is what a stub does: it sends again what is not answered.
func carryUDP(ctx context.Context, r Route, query []byte) ([]byte, error) {
	conn, err := dial(ctx, "udp", r)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	buf := make([]byte, 65535)
	for range askTries {
		if _, err = conn.Write(query); err != nil {
			return nil, err
		}
		if err = conn.SetReadDeadline(time.Now().Add(askWait)); err != nil {
			return nil, err
		}
		var n int
		for range maxStrays {
			if n, err = conn.Read(buf); err != nil {
				break
			}
			if answers(query, buf[:n]) {
				return buf[:n], nil
			}
			err = errStrays
		}
		if timeout := (net.Error)(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
			return nil, err
		}
	}
	return nil, err
}

// carryTCP asks over a connection of its own.
func carryTCP(ctx context.Context, r Route, query []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTries*askWait)
	defer cancel()
	conn, err := dial(ctx, "tcp", r)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	reply := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, reply); err != nil {
		return nil, err
	}
	if !answers(query, reply) {
		return nil, errors.New("the reply is to another question")
	}
	return reply, nil
}

// dial connects from the route's source. A source port that is taken is replaced.
func dial(ctx context.Context, network string, r Route) (net.Conn, error) {
	port := r.Port
	for try := 1; ; try++ {
		var d net.Dialer
		if r.Source.IsValid() || port != 0 {
			source := r.Source
			if !source.IsValid() && r.Server.Addr.Addr().Is4() {
				source = netip.IPv4Unspecified()
			} else if !source.IsValid() {
				source = netip.IPv6Unspecified()
			}
			at := netip.AddrPortFrom(source, port)
			if d.LocalAddr = net.UDPAddrFromAddrPort(at); network == "tcp" {
				d.LocalAddr = net.TCPAddrFromAddrPort(at)
			}
		}
		conn, err := d.DialContext(ctx, network, r.Server.Addr.String())
		if port == 0 || !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EADDRNOTAVAIL) && !errors.Is(err, syscall.EACCES) {
			return conn, err
		}
		if port = anyPort(); try == portTries {
			port = 0
		}
	}
}

// anyPort is a source port from the whole range that resolvers and stubs draw from
// (RFC 6056 §3.2).
func anyPort() uint16 { return uint16(1024 + rand.IntN(65536-1024)) }

// answers reports whether a message is the reply to a query: it has its ID and question, to
// the letter.
func answers(query, reply []byte) bool {
	const header = 12
	if len(reply) < header || reply[2]&0x80 == 0 || [2]byte(query) != [2]byte(reply) || binary.BigEndian.Uint16(reply[4:]) != 1 {
		return false
	}
	_, rest, ok := dns.ReadName(query[header:])
	end := len(query) - len(rest) + 4
	return ok && len(reply) >= end && string(reply[header:end]) == string(query[header:end])
}

// String is the route in words.
func (r Route) String() string {
	s := r.Server.String()
	if r.Encrypted == "" {
		s += " over " + r.Transport
	}
	if r.Source.IsValid() {
		s += fmt.Sprintf(" from %s", r.Source)
	}
	return s
}

// from is the route's source in words.
func (r Route) from() string {
	if r.Source.IsValid() {
		return r.Source.String()
	}
	return "where the system chose"
}
