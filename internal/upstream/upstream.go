// Package upstream asks other resolvers over encrypted transports: DNS over TLS (RFC 7858),
// over HTTPS with HTTP/2 or HTTP/3 (RFC 8484), over dedicated QUIC connections (RFC 9250), and oblivious DNS
// over HTTPS (RFC 9230).
//
// A [Network] stands where plain sockets would: what is sent to the address of one of its
// resolvers goes over that resolver's transport, whatever was asked for, and all else goes on
// to the plain network. So the one who asks, package resolve, need not know, but for this:
// a query to be encrypted is padded by who writes it (RFC 8467 §4.1) and bears no cookie.
//
// # Resolvers
//
// A resolver is written as a URL whose host is an address, so that nothing has to be
// resolved before anything can be; behind # stands the name that its certificate must
// have, where that is not the address itself:
//
//	tls://192.0.2.1#dns.example              port 853
//	https://192.0.2.1/dns-query#dns.example  port 443, HTTP/2
//	h3://192.0.2.1/dns-query#dns.example     port 443, HTTP/3
//	quic://[2001:db8::1]#dns.example         port 853 (UDP)
//
// # Encrypted Client Hello
//
// With &ech= behind the name, in front of which # stands in any case, the name is not said in the clear
// (RFC 9849):
//
//	tls://192.0.2.1#dns.example&ech=auto       the resolver is asked for its configuration
//	tls://192.0.2.1#dns.example&ech=AEX+DQB…   by this configuration, in base64
//
// With auto, the SVCB records of the name are asked for of the resolver itself (RFC 9461), on
// a connection that says no name and whose certificate is verified. An answer that tells of no
// configuration means that there is none for an hour, and the name is said; no answer means that the
// resolver fails. A written configuration has to be accepted. Where a server refuses and tells
// newer ones, those are used, for as long as the program runs.
//
// An oblivious one has two servers, the target and, behind the word via, the proxy (HTTP/2, or HTTP/3 with
// h3):
//
//	odoh://192.0.2.1/dns-query#dns.example via https://198.51.100.7/proxy#proxy.example
//	odoh://192.0.2.1/dns-query?view=unfiltered#dns.example via https://198.51.100.7/proxy#proxy.example
//
// The view is told to a target that is shoji inside of the encryption, where the proxy does not see it
// (odoh.ViewOption); other targets have their paths.
//
// # Oblivious queries
//
// The target's key is fetched from the target itself, since a proxy could replace it; so the target learns
// that somebody at this address uses it, and not for what. A key is used for configLife, a part of it chosen by chance, and
// fetched anew where the target answers 401. Who made a target do so and watched who comes for the key could tell who
// had asked: a key that is younger than configLeast is therefore kept. A query has one length for all
// names of ordinary lengths, whatever the view.
//
// # Connections
//
// One connection to each resolver carries all questions, and is made anew when it fails; a
// question that was under way then is asked once more. Certificates are always verified, and
// TLS is 1.3. Questions of one connection are bounded by maxUnderWay. The message ID is 0
// over HTTPS and QUIC (RFC 8484 §4.1, RFC 9250 §4.2.1), and the connection's own over TLS; what
// is handed to accept has the query's.
//
// # Known faults
//
// HTTP lets nobody count what is under way on a connection: there the transport's own limits
// hold, which the server sets. The standard library pads an inner ClientHello to whole blocks of
// 32 octets and not to the longest name, so that names of different lengths may show.
package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/ech"
)

const (
	// maxUnderWay bounds the questions that wait on one connection.
	maxUnderWay = 1024

	// idleTime is how long a connection without questions is kept: a new one costs two round
	// trips, and servers close theirs after some ten seconds to minutes.
	idleTime = 30 * time.Second

	// dialTime bounds the making of a connection, for all that wait for it.
	dialTime = 5 * time.Second

	headerLen  = 12
	maxMessage = 0xffff
)

var (
	errTooLong  = errors.New("upstream: query is no DNS message, or longer than 65535 octets")
	errFull     = errors.New("upstream: too many questions under way to this resolver")
	errNotReply = errors.New("upstream: connection closed before a reply was accepted")
	errRefused  = errors.New("upstream: a reply that was not accepted")
)

// The transports, by the scheme of their URL.
const (
	TLS   = "tls"
	HTTPS = "https"
	HTTP3 = "h3"
	QUIC  = "quic"
	ODoH  = "odoh"
)

// defaultPort is where a transport's servers listen (RFC 7858 §3.1, RFC 9110 §4.2.2, RFC 9250
// §4.1.1).
var defaultPort = map[string]uint16{TLS: 853, HTTPS: 443, HTTP3: 443, QUIC: 853, ODoH: 443}

// Resolver is where and how one resolver is asked.
type Resolver struct {
	Transport string         // TLS, HTTPS, HTTP3, QUIC or ODoH
	Addr      netip.AddrPort // of the server
	Name      string         // that its certificate must have: a domain name, or the address
	Path      string         // of the URL, over HTTPS, HTTP3 and ODoH
	ECH       string         // AutoECH, a list of configurations in base64, or "" for none
	View      string         // over ODoH: Filtered, Unfiltered, or "" for what the path has
	Proxy     Proxy          // over ODoH: who carries what is asked
}

// Proxy is where and how an oblivious proxy is asked: as a Resolver over HTTPS or HTTP3.
type Proxy struct {
	Transport string
	Addr      netip.AddrPort
	Name      string
	Path      string
	ECH       string
}

func (p Proxy) resolver() Resolver {
	return Resolver{Transport: p.Transport, Addr: p.Addr, Name: p.Name, Path: p.Path, ECH: p.ECH}
}

// The views that an oblivious target can be told.
const (
	Filtered   = "filtered"
	Unfiltered = "unfiltered"
)

// Encrypted reports whether text is written as a resolver of this package, and not as
// a plain address.
func Encrypted(text string) bool { return strings.Contains(text, "://") }

// Parse reads a resolver as the package comment writes it.
func Parse(text string) (Resolver, error) {
	first, proxy, relayed := strings.Cut(text, via)
	r, err := parseURL(text, first)
	if err != nil {
		return r, err
	}
	if relayed != (r.Transport == ODoH) {
		return Resolver{}, fmt.Errorf("%q: odoh has its proxy behind \" via \", and nothing else has one: write it like %s", text, obliviousForm)
	}
	if relayed {
		p, err := parseURL(text, proxy)
		if err != nil {
			return Resolver{}, err
		}
		if p.Transport != HTTPS && p.Transport != HTTP3 {
			return Resolver{}, fmt.Errorf("%q: the proxy is asked over https or h3: write it like %s", text, obliviousForm)
		}
		if p.Addr == r.Addr {
			return Resolver{}, fmt.Errorf("%q: a proxy that is its own target knows who asks and what: name another proxy", text)
		}
		if p.ECH == AutoECH {
			return Resolver{}, fmt.Errorf("%q: a proxy answers no questions, and so cannot be asked for its configuration: write that behind &ech=", text)
		}
		r.Proxy = Proxy{p.Transport, p.Addr, p.Name, p.Path, p.ECH}
	}
	return r, nil
}

const (
	via           = " via "
	obliviousForm = "odoh://192.0.2.1/dns-query#dns.example via https://198.51.100.7/proxy#proxy.example"
)

// parseURL reads one URL of a resolver that is written as text.
func parseURL(text, one string) (Resolver, error) {
	fail := func(format string, args ...any) (Resolver, error) {
		return Resolver{}, fmt.Errorf("%q: %s", text, fmt.Sprintf(format, args...))
	}
	u, err := url.Parse(one)
	if err != nil {
		return fail("no URL: write it like tls://192.0.2.1#dns.example or https://192.0.2.1/dns-query#dns.example")
	}
	port, known := defaultPort[u.Scheme]
	view, viewed := strings.CutPrefix(u.RawQuery, "view=")
	switch viewed = viewed && u.Scheme == ODoH; {
	case !known:
		return fail("the transport %q is none of tls, https, h3, quic, odoh", u.Scheme)
	case viewed && view != Filtered && view != Unfiltered:
		return fail("the view %q is neither filtered nor unfiltered", view)
	case u.User != nil || u.RawQuery != "" && !viewed || u.ForceQuery || u.Opaque != "":
		return fail("neither user, password nor query belongs there")
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil || addr.Zone() != "" {
		return fail("the host %q is no address: write its address there and the name behind #, as in %s://192.0.2.1%s#%s", u.Hostname(), u.Scheme, u.Path, u.Hostname())
	}
	if text := u.Port(); text != "" {
		ap, err := netip.ParseAddrPort("0.0.0.0:" + text)
		if err != nil || ap.Port() == 0 {
			return fail("the port %q is none of 1 to 65535", text)
		}
		port = ap.Port()
	}
	r := Resolver{Transport: u.Scheme, Addr: netip.AddrPortFrom(addr.Unmap(), port)}
	hidden := false
	if r.Name, r.ECH, hidden = strings.Cut(u.Fragment, "&ech="); hidden && r.ECH != AutoECH {
		if _, err := ech.ParseText(r.ECH); err != nil {
			return fail("behind &ech= stands neither auto nor a configuration: %v", err)
		}
	}
	if viewed {
		r.View = view
	}
	if r.Name == "" {
		r.Name = r.Addr.Addr().String()
	}
	if !hostName.MatchString(r.Name) && !isAddr(r.Name) {
		return fail("%q behind # is no name of a host", r.Name)
	}
	overHTTP := u.Scheme == HTTPS || u.Scheme == HTTP3 || u.Scheme == ODoH
	switch {
	case overHTTP && (u.Path == "" || u.Path == "/"):
		return fail("no path: most resolvers have /dns-query")
	case overHTTP:
		r.Path = u.EscapedPath()
	case u.Path != "" && u.Path != "/":
		return fail("a path belongs to https, h3 and odoh alone")
	}
	return r, nil
}

// hostName is what a certificate can have for a name (RFC 5280 §4.2.1.6).
var hostName = regexp.MustCompile(`^[0-9A-Za-z]([0-9A-Za-z_.-]*[0-9A-Za-z])?$`)

func isAddr(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == ""
}

// String is the resolver as Parse reads it.
func (r Resolver) String() string {
	s := r.Transport + "://" + r.Addr.String() + r.Path
	if r.View != "" {
		s += "?view=" + r.View
	}
	if name := r.Name; name != r.Addr.Addr().String() || r.ECH != "" {
		s += "#" + name
	}
	if r.ECH != "" {
		s += "&ech=" + r.ECH
	}
	if r.Transport == ODoH {
		s += via + r.Proxy.resolver().String()
	}
	return s
}

// Plain is the network that takes what is not for a resolver of this package:
// exchange.Network.
type Plain interface {
	Exchange(ctx context.Context, addr netip.Addr, port uint16, tcp bool, query []byte, accept func(reply []byte) bool) error
}

// Config is what a Network is made of.
type Config struct {
	Plain     Plain
	Resolvers []Resolver
	Roots     *x509.CertPool // who may sign their certificates; nil: whom the system trusts

	// Adjust changes the TLS configuration of each resolver before it is used; nil does not.
	Adjust func(*tls.Config)

	// Connected is told of each TCP connection, before its handshake; nil is not.
	Connected func()
}

// connect makes a TCP connection to a resolver.
func (c *Config) connect(ctx context.Context, r Resolver) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTime}
	conn, err := d.DialContext(ctx, "tcp", r.Addr.String())
	if err == nil && c.Connected != nil {
		c.Connected()
	}
	return conn, err
}

// Network sends queries to encrypted resolvers, and others on to the plain network. It is
// safe for concurrent use.
type Network struct {
	plain Plain
	by    map[netip.AddrPort]client
}

// client asks one resolver. query has the ID 0 or the caller's, as the transport wants;
// a reply is handed over as it came, but for its ID, which is the query's.
type client interface {
	ask(ctx context.Context, query []byte, accept func(reply []byte) bool) error
	close()
}

// New makes a Network. Two resolvers at one address and port are an error: what is sent
// there could not be told apart.
func New(cfg Config) (*Network, error) {
	n := &Network{plain: cfg.Plain, by: make(map[netip.AddrPort]client)}
	for _, r := range cfg.Resolvers {
		if _, twice := n.by[r.Addr]; twice {
			return nil, fmt.Errorf("%s: another resolver has the same address and port: leave one of them out", r)
		}
		s, err := newSecurity(r, cfg, protocols[r.Transport])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r, err)
		}
		s.ask = askOnce
		if n.by[r.Addr], err = open(s); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// protocols are the transports' names for ALPN: RFC 7858 §3.1, RFC 9113 §3.2, RFC 9114 §3.1, RFC 9250 §4.1.1.
var protocols = map[string]string{TLS: "dot", HTTPS: "h2", HTTP3: "h3", QUIC: "doq", ODoH: "h2"}

// open makes the client of one resolver. Nothing is sent yet.
func open(s *security) (client, error) {
	switch s.r.Transport {
	case TLS:
		return newStream(s), nil
	case QUIC:
		return newQUIC(s), nil
	case ODoH:
		return newOblivious(s.r, s.cfg)
	}
	return &overHTTP{newWeb(s), s.r.Path}, nil
}

// askOnce asks over a connection of its own.
func askOnce(ctx context.Context, s *security, query []byte, accept func([]byte) bool) error {
	c, err := open(s)
	if err != nil {
		return err
	}
	defer c.close()
	return c.ask(ctx, query, accept)
}

// Exchange implements resolve.Network.
func (n *Network) Exchange(ctx context.Context, addr netip.Addr, port uint16, tcp bool, query []byte, accept func(reply []byte) bool) error {
	c, mine := n.by[netip.AddrPortFrom(addr.Unmap(), port)]
	if !mine {
		return n.plain.Exchange(ctx, addr, port, tcp, query, accept)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(query) > maxMessage || len(query) < headerLen {
		return errTooLong
	}
	err := c.ask(ctx, query, accept)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Close closes all connections. The Network must not be used afterwards.
func (n *Network) Close() {
	for _, c := range n.by {
		c.close()
	}
}

// Ask puts one query to one resolver over a connection of its own, and hands accept what
// arrives until it returns true. It is what a client that asks once needs.
func Ask(ctx context.Context, r Resolver, roots *x509.CertPool, query []byte, accept func(reply []byte) bool) error {
	n, err := New(Config{Resolvers: []Resolver{r}, Roots: roots})
	if err != nil {
		return err
	}
	defer n.Close()
	return n.Exchange(ctx, r.Addr.Addr(), r.Addr.Port(), true, query, accept)
}

// FetchECH asks a resolver for its configuration of Encrypted Client Hello, without saying its name; nil
// where it tells of none. roots are as in Config.
func FetchECH(ctx context.Context, r Resolver, roots *x509.CertPool) ([]byte, error) {
	s, err := newSecurity(r, Config{Roots: roots}, protocols[r.Transport])
	if err != nil {
		return nil, err
	}
	s.ask = askOnce
	return s.fetch(ctx)
}

// once hands a reply over that came by itself: on a stream or in a body of its own.
func once(query, reply []byte, accept func([]byte) bool) error {
	if len(reply) < headerLen {
		return errRefused
	}
	copy(reply[:2], query[:2])
	if !accept(reply) {
		return errRefused
	}
	return nil
}

// withoutID is a copy of query with the ID 0, behind room octets for a length.
func withoutID(query []byte, room int) []byte {
	out := make([]byte, room+len(query))
	copy(out[room:], query)
	out[room], out[room+1] = 0, 0
	if room == 2 {
		binary.BigEndian.PutUint16(out, uint16(len(query)))
	}
	return out
}
