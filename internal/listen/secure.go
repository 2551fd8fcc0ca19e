package listen

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/listen/doh"
	"github.com/shoji-dns/shoji/internal/odoh"
)

const (
	// handshakeShare is which part of all connections may be in their TLS handshake at once; who
	// comes then waits, in a goroutine and with a place among the connections. A handshake holds some 20
	// KiB, most of it stack. It is more than one source may have, so that none keeps others out.
	handshakeShare = 2
	// handshakeTimeout is how long a client may take from the connection to the end of the
	// handshake, its wait for a place included.
	handshakeTimeout = 4 * time.Second
)

// Secure are the addresses where queries come over TLS. Every view is behind every one of
// them: which one a client wants is said inside of the encryption.
type Secure struct {
	// DoT are addresses for DNS over TLS (RFC 7858). Port 0 picks a free port.
	DoT []netip.AddrPort

	// DoH are addresses for DNS over HTTPS (RFC 8484), HTTP/2.
	DoH []netip.AddrPort

	// TLS makes a configuration with the certificates and what else a server needs, once for
	// each address. The version (1.3) and the ALPN protocol are set here.
	TLS func() *tls.Config

	// Challenged reports that an authority may come for a challenge of ACME, over TLS and from anywhere (RFC 8737): while it
	// does, who is not served is let as far as GetConfigForClient of TLS, and no further. nil: never.
	Challenged func() bool

	// Views are the resolver's views. A client that names none of them gets the first.
	Views []View

	// Oblivious are the keys that oblivious queries over DoH (RFC 9230) may be for, asked for at each;
	// nil: this is no target. Such a query may name its view inside of the encryption
	// (odoh.ViewOption), by the place in Views; else its path does.
	Oblivious func() odoh.Keys

	// Relay carries oblivious queries to other targets; nil: this is no proxy. RelayPath is the path for it.
	Relay     Relay
	RelayPath string
}

// Relay carries oblivious queries to targets. Carry may block, within limits of its own. query is what stands
// behind the question mark of the request's target; message is not kept.
type Relay interface {
	Carry(ctx context.Context, query string, message []byte) doh.Relayed
}

// View is one of the resolver's faces, and how a client asks for it.
type View struct {
	// Name is the server name (RFC 6066 §3) that asks for it over DoT.
	Name string
	// Path is the path that asks for it over DoH. A view without one is not had over DoH.
	Path    string
	Handler Handler
}

func (c *Secure) check() error {
	if len(c.DoT)+len(c.DoH) > 0 && (c.TLS == nil || len(c.Views) == 0) {
		return errors.New("listen: addresses with TLS need its configuration and a view")
	}
	if slices.ContainsFunc(c.Views, func(v View) bool { return v.Handler == nil }) {
		return errors.New("listen: a view has no handler")
	}
	return c.CheckPaths()
}

// CheckPaths reports what is wrong with the paths, for which Listen refuses them.
func (c *Secure) CheckPaths() error {
	first := ""
	for i, v := range c.Views {
		if v.Path == "" {
			continue
		}
		if err := checkPath(v.Path); err != nil {
			return err
		}
		for _, w := range c.Views[:i] {
			if v.Path == w.Path {
				return fmt.Errorf("listen: two views have the path %s", v.Path)
			}
		}
		if first = cmp.Or(first, v.Path); len(first) != len(v.Path) || doh.HuffmanBits(first) != doh.HuffmanBits(v.Path) {
			return fmt.Errorf("listen: the paths %s and %s can be told apart from outside: they need one length, and one in HTTP's Huffman code (RFC 7541, Appendix B), where they have %d and %d bits; two of the same letters in another order have",
				first, v.Path, doh.HuffmanBits(first), doh.HuffmanBits(v.Path))
		}
	}
	return c.checkRelay()
}

func (c *Secure) checkRelay() error {
	if c.Relay == nil {
		return nil
	}
	if c.RelayPath == odoh.ConfigsPath || slices.ContainsFunc(c.Views, func(v View) bool { return v.Path == c.RelayPath }) {
		return fmt.Errorf("listen: the path %s has a use already, and cannot be the proxy's", c.RelayPath)
	}
	return checkPath(c.RelayPath)
}

func checkPath(path string) error {
	if !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, notOfPath) {
		return fmt.Errorf("listen: %q is no path: it begins with / and has letters, digits and -._~/ alone", path)
	}
	return nil
}

func notOfPath(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~/", r))
}

// Named is the view that a server name asks for, as a place in Views.
func (c *Secure) Named(name string) int {
	return max(0, slices.IndexFunc(c.Views, func(v View) bool { return v.Name != "" && strings.EqualFold(v.Name, name) }))
}

// door is a socket where connections come in. tls is nil where they are not encrypted.
type door struct {
	*net.TCPListener
	tls  *tls.Config
	http bool
}

// The ALPN names of what is spoken over TLS: RFC 7858 §3.1, RFC 9113 §3.2. A client without
// ALPN is served too.
const (
	protocolDoT  = "dot"
	protocolHTTP = "h2"
	// protocolACME is a challenge's (RFC 8737 §6.2), which Secure.TLS may answer by GetConfigForClient. The
	// connection ends with its handshake.
	protocolACME = "acme-tls/1"
)

// routes are the paths over DoH.
func (c *Secure) routes() (out []doh.Route) {
	for i, v := range c.Views {
		if v.Path != "" {
			out = append(out, doh.Route{Path: v.Path, View: i, Oblivious: c.Oblivious != nil})
		}
	}
	if c.Oblivious != nil {
		out = append(out, doh.Route{Path: odoh.ConfigsPath, File: c.configs})
	}
	if c.Relay != nil {
		out = append(out, doh.Route{Path: c.RelayPath, Relay: true})
	}
	return out
}

// configs is what clients learn the key by.
func (c *Secure) configs() ([]byte, string) { return c.Oblivious().Configs(), odoh.ConfigsType }

// openSecure opens the sockets of Config.Secure.
func (s *Server) openSecure() (err error) {
	s.routes = s.cfg.Secure.routes()
	if s.dot, err = s.openDoors(s.cfg.Secure.DoT, protocolDoT); err != nil {
		return err
	}
	s.doh, err = s.openDoors(s.cfg.Secure.DoH, protocolHTTP)
	return err
}

func (s *Server) openDoors(addrs []netip.AddrPort, protocol string) (at []netip.AddrPort, err error) {
	for _, addr := range addrs {
		l, err := listenTCP(addr)
		if err != nil {
			return nil, err
		}
		config := s.cfg.Secure.TLS()
		config.MinVersion = tls.VersionTLS13
		config.NextProtos = []string{protocol}
		config.DynamicRecordSizingDisabled = true
		s.tcp = append(s.tcp, door{l, config, protocol == protocolHTTP})
		at = append(at, netip.AddrPortFrom(addr.Addr(), l.Addr().(*net.TCPAddr).AddrPort().Port()))
	}
	return at, nil
}

// DoTAddrs are the addresses of Config.Secure.DoT, with the ports that were picked.
func (s *Server) DoTAddrs() []netip.AddrPort { return s.dot }

// DoHAddrs are the addresses of Config.Secure.DoH, with the ports that were picked.
func (s *Server) DoHAddrs() []netip.AddrPort { return s.doh }

// welcome takes a connection through the TLS handshake and has it served. The handshake's deep
// stack ends with this goroutine, so that a connection does not hold it.
func (s *Server) welcome(st *stream, d door) {
	if !s.handshake(st, d) {
		s.conns.remove(st)
		s.part(st)
		st.conn.Close()
		return
	}
	go func() {
		defer s.conns.remove(st)
		st.serve()
	}()
}

// handshake makes st a stream of one view. It reports false where there is no agreement.
func (s *Server) handshake(st *stream, d door) bool {
	ctx, cancel := context.WithTimeout(s.misses.ctx, handshakeTimeout)
	defer cancel()
	select {
	case s.greets <- struct{}{}:
		defer func() { <-s.greets }()
	case <-ctx.Done():
		return false
	}
	below := newRecords(st.conn, &s.ahead, st.ahead)
	st.ahead = nil
	config := d.tls
	if st.stranger {
		config = challengesAlone(config)
	}
	conn := tls.Server(below, config)
	err := conn.HandshakeContext(ctx)
	s.MakeWay()
	if err != nil || st.stranger || conn.ConnectionState().NegotiatedProtocol == protocolACME {
		return false
	}
	if st.unknown && !s.introducedWithin(st, conn) {
		s.refusals.Add(1)
		return false
	}
	below.dry, st.below = st.dry, below
	if d.http {
		st.overHTTP()
	}
	st.h = s.cfg.Secure.Views[s.cfg.Secure.Named(conn.ConnectionState().ServerName)].Handler
	return s.conns.secured(st, conn)
}
