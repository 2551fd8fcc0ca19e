package resolve

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
)

// internet is a small network of name servers in memory. A server is a function
// from a query to the replies that arrive for it, in order; no reply is silence.
type internet struct {
	mu      sync.Mutex
	servers map[netip.Addr]handler
	log     []asked
	delay   map[netip.Addr]time.Duration
}

type handler func(q *mdns.Msg, tcp bool) []*mdns.Msg

// asked is one query that a server got.
type asked struct {
	server string
	name   string // lower case
	typ    string
	tcp    bool
	edns   bool
}

var errNoRoute = errors.New("no route to host")

func newInternet() *internet {
	return &internet{servers: make(map[netip.Addr]handler), delay: make(map[netip.Addr]time.Duration)}
}

// Exchange satisfies Network.
func (n *internet) Exchange(ctx context.Context, addr netip.Addr, port uint16, tcp bool, query []byte, accept func([]byte) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q := new(mdns.Msg)
	if err := q.Unpack(query); err != nil {
		return err
	}
	n.mu.Lock()
	s, ok := n.servers[addr]
	delay := n.delay[addr]
	a := asked{addr.String(), strings.ToLower(q.Question[0].Name), mdns.TypeToString[q.Question[0].Qtype], tcp, q.IsEdns0() != nil}
	n.log = append(n.log, a)
	n.mu.Unlock()
	if !ok {
		return errNoRoute
	}
	replies := s(q, tcp)
	if delay > 0 {
		t := time.NewTimer(delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, m := range replies {
		m.Compress = true
		b, err := m.Pack()
		if err != nil {
			return err
		}
		if m.Id == rawReply {
			b = slices.Clone(query[:min(len(query), 20)])
			b[2] |= 0x80
		}
		if m.Id == bareReply {
			b = append(slices.Clone(query[:2]), 0x80, byte(m.Rcode), 0, 0, 0, 0, 0, 0, 0, 0)
		}
		if accept(b) {
			return nil
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// rawReply as the ID of a reply sends the query's own first octets back: malformed.
const rawReply = 0xdead

// bareReply as the ID of a reply sends a header alone, with its response code.
const bareReply = 0xbabe

// queries lists what was asked, oldest first.
func (n *internet) queries() []asked {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.log)
}

// count is how many queries satisfy f.
func (n *internet) count(f func(asked) bool) int {
	c := 0
	for _, a := range n.queries() {
		if f(a) {
			c++
		}
	}
	return c
}

func (n *internet) forget() {
	n.mu.Lock()
	n.log = nil
	n.mu.Unlock()
}

// serve puts an authoritative server for zones at addresses.
func (n *internet) serve(addrs string, zones ...string) {
	h := authority(zones...)
	n.handle(addrs, h)
}

func (n *internet) handle(addrs string, h handler) {
	for _, a := range strings.Fields(addrs) {
		n.servers[netip.MustParseAddr(a)] = h
	}
}

// authority answers from zones given as zone-file text; the first record of each
// is its SOA.
func authority(zones ...string) handler {
	var all []*zone
	for _, text := range zones {
		all = append(all, parseZone(text))
	}
	return func(q *mdns.Msg, tcp bool) []*mdns.Msg {
		return []*mdns.Msg{reply(all, q)}
	}
}

type zone struct {
	apex string
	rrs  []mdns.RR
}

func parseZone(text string) *zone {
	z := new(zone)
	p := mdns.NewZoneParser(strings.NewReader(text), ".", "")
	p.SetDefaultTTL(300)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		if z.apex == "" {
			z.apex = strings.ToLower(rr.Header().Name)
		}
		z.rrs = append(z.rrs, rr)
	}
	if err := p.Err(); err != nil {
		panic(err)
	}
	return z
}

// reply answers a query as RFC 1034 §4.3.2 has it.
func reply(all []*zone, q *mdns.Msg) *mdns.Msg {
	m := new(mdns.Msg)
	m.SetReply(q)
	m.RecursionDesired = false
	if q.IsEdns0() != nil {
		m.SetEdns0(1232, true)
	}
	name, t := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype
	var best *zone
	for _, z := range all {
		if mdns.IsSubDomain(z.apex, name) && (best == nil || len(z.apex) > len(best.apex)) && (t != mdns.TypeDS || name != z.apex || name == ".") {
			best = z
		}
	}
	if best == nil {
		m.Rcode = mdns.RcodeRefused
		return m
	}
	best.answer(m, name, t, 0)
	return m
}

func (z *zone) answer(m *mdns.Msg, name string, t uint16, depth int) {
	if z.refer(m, name, t) {
		return
	}
	m.Authoritative = true
	exists := false
	var cname *mdns.CNAME
	for _, rr := range z.rrs {
		owner := strings.ToLower(rr.Header().Name)
		exists = exists || mdns.IsSubDomain(name, owner)
		if rr.Header().Rrtype == mdns.TypeDNAME && owner != name && mdns.IsSubDomain(owner, name) {
			m.Answer = append(m.Answer, rr)
			return // the CNAME is left to the resolver to make
		}
		if owner == "*."+parent(name) && rr.Header().Rrtype == t {
			c := mdns.Copy(rr)
			c.Header().Name = m.Question[0].Name
			m.Answer = append(m.Answer, c)
		}
		if owner != name {
			continue
		}
		if rr.Header().Rrtype == t || t == mdns.TypeANY {
			m.Answer = append(m.Answer, rr)
		}
		if c, ok := rr.(*mdns.CNAME); ok {
			cname = c
		}
	}
	switch {
	case len(m.Answer) > depth:
	case cname != nil && depth < 12:
		m.Answer = append(m.Answer, cname)
		if target := strings.ToLower(cname.Target); mdns.IsSubDomain(z.apex, target) {
			z.answer(m, target, t, depth+1)
		}
	default:
		m.Ns = append(m.Ns, z.rrs[0])
		if !exists {
			m.Rcode = mdns.RcodeNameError
		}
	}
}

// refer fills in a referral where the name is below a delegation.
func (z *zone) refer(m *mdns.Msg, name string, t uint16) bool {
	for _, rr := range z.rrs {
		ns, ok := rr.(*mdns.NS)
		owner := strings.ToLower(rr.Header().Name)
		if !ok || owner == z.apex || !mdns.IsSubDomain(owner, name) || t == mdns.TypeDS && owner == name {
			continue
		}
		m.Ns = append(m.Ns, rr)
		for _, g := range z.rrs {
			if strings.EqualFold(g.Header().Name, ns.Ns) && (g.Header().Rrtype == mdns.TypeA || g.Header().Rrtype == mdns.TypeAAAA) {
				m.Extra = append(m.Extra, g)
			}
		}
	}
	return len(m.Ns) > 0
}

func parent(name string) string {
	if i := strings.IndexByte(name, '.'); i >= 0 && i+1 < len(name) {
		return name[i+1:]
	}
	return "."
}

// memory is a Memory without bounds.
type memory struct {
	mu sync.Mutex
	m  map[question]*answer.Answer
}

func newMemory() *memory { return &memory{m: make(map[question]*answer.Answer)} }

func (c *memory) Get(name dns.Name, t dns.Type, now time.Time) (*answer.Answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.m[question{name, t}]
	if !ok || !now.Before(a.Expires()) {
		return nil, false
	}
	return a, true
}

func (c *memory) Put(a *answer.Answer, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m[question{a.Name(), a.Type()}] = a
}

// holds reports whether any answer's records mention text.
func (c *memory) holds(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.m {
		for _, rrs := range [][]dns.RR{a.Answer(), a.Authority()} {
			for _, rr := range rrs {
				if strings.Contains(rr.String(), text) {
					return true
				}
			}
		}
	}
	return false
}

// Addresses of the standard servers.
const (
	rootAddr = "192.0.2.1"
	testAddr = "192.0.2.2"
	shopAddr = "192.0.2.3"
)

const rootZone = `
. 86400 SOA a.root. host.root. 1 1800 900 604800 600
. 518400 NS a.root.
a.root. 518400 A 192.0.2.1
test. 172800 NS ns.test.
ns.test. 172800 A 192.0.2.2
`

const testZone = `
test. 3600 SOA ns.test. host.test. 1 1800 900 604800 600
test. 3600 NS ns.test.
ns.test. 3600 A 192.0.2.2
shop.test. 3600 NS ns.shop.test.
ns.shop.test. 3600 A 192.0.2.3
`

const shopZone = `
shop.test. 3600 SOA ns.shop.test. host.shop.test. 1 1800 900 604800 600
shop.test. 3600 NS ns.shop.test.
ns.shop.test. 3600 A 192.0.2.3
www.shop.test. 300 A 198.51.100.1
a.b.c.shop.test. 300 A 198.51.100.2
alias.shop.test. 200 CNAME www.shop.test.
`

// standard is a root, a TLD and one zone.
func standard() *internet {
	n := newInternet()
	n.serve(rootAddr, rootZone)
	n.serve(testAddr, testZone)
	n.serve(shopAddr, shopZone)
	return n
}

func hints(addrs ...string) []Hint {
	h := Hint{Name: dns.MustName("a.root")}
	for _, a := range addrs {
		h.Addrs = append(h.Addrs, netip.MustParseAddr(a))
	}
	return []Hint{h}
}

// lab is a resolver on an internet.
type lab struct {
	*testing.T
	net *internet
	mem *memory
	r   *Resolver
}

func newLab(t *testing.T, n *internet, change ...func(*Config)) *lab {
	l := &lab{T: t, net: n, mem: newMemory()}
	c := Config{Network: n, Memory: l.mem, Hints: hints(rootAddr)}
	for _, f := range change {
		f(&c)
	}
	l.r = New(c)
	return l
}

func (l *lab) ask(name string, t dns.Type) *answer.Answer {
	l.Helper()
	return l.r.Resolve(l.Context(), dns.MustName(name), t)
}

// want checks an answer: its RCODE and the answer section, one record a line,
// without TTL and class.
func (l *lab) want(a *answer.Answer, rcode dns.RCode, records ...string) {
	l.Helper()
	var got []string
	for _, rr := range a.Answer() {
		f := strings.Fields(rr.String())
		got = append(got, strings.ToLower(f[0])+" "+strings.Join(f[3:], " "))
	}
	if a.RCode() != rcode || !slices.Equal(got, records) {
		code, text, _ := a.Error()
		l.Fatalf("%s %s: got %s %q (%s: %s)\nwant %s %q\nasked %v", a.Name(), a.Type(), a.RCode(), got, code, text, rcode, records, l.net.queries())
	}
	if !a.Status().IsIndeterminate() {
		l.Fatalf("status %s without validation", a.Status())
	}
}
