package scenario

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/cache"
	wire "github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/resolve"
	"github.com/shoji-dns/shoji/internal/serve"
)

// cacheSize is the memory of a story's cache, in octets.
const cacheSize = 4 << 20

// foreign are settings of other implementations without an equivalent here. A story that has one
// tests that, and is skipped.
var foreign = map[string]string{
	"define-tag": "answers by client", "access-control-tag": "answers by client", "access-control-tag-action": "answers by client",
	"access-control-tag-data": "answers by client", "local-zone-tag": "answers by client", "access-control-view": "answers by client",
	"tags": "answers by client", "view-first": "answers by client", "response-ip": "response-ip actions", "response-ip-tag": "answers by client",
	"response-ip-data": "response-ip actions", "send-client-subnet": "EDNS Client Subnet", "client-subnet-zone": "EDNS Client Subnet",
	"client-subnet-always-forward": "EDNS Client Subnet", "nat64-prefix": "NAT64 upstream", "do-nat64": "NAT64 upstream",
	"dns-error-reporting": "error reporting (RFC 9567)", "edns-client-string": "client strings toward servers",
	"serve-original-ttl": "TTLs that do not count down", "auto-trust-anchor-file": "a roll-over state of another format",
	"feature-list": "scripts of Knot Resolver", "edns-tcp-keepalive": "a transport's option", "answer-cookie": "a transport's option",
}

// open makes the resolver core as cmd/shoji does, of what the story configures.
func (g *game) open() error {
	s := g.story
	for _, set := range s.Settings {
		if why := foreign[set.Key]; why != "" {
			return skipped(why)
		}
		if set.Clause == "rpz" {
			return skipped("clause " + set.Clause)
		}
	}
	zones, anchors, err := s.build(time.Now())
	if err != nil {
		return unreadable(err.Error())
	}
	g.script = newScript(s, zones, g.Trace)
	memory, err := cache.New(cache.Config{Bytes: cacheSize})
	if err != nil {
		return err
	}
	conf := resolve.Config{Network: g.script, Memory: memory, Anchors: anchors, NoIPv4: !isYes(s.last("do-ip4"), true)}
	if err := s.resolveConfig(&conf); err != nil {
		return err
	}
	if conf.Copies, err = g.copies(&conf); err != nil {
		return err
	}
	resolver := resolve.New(conf)
	view := serve.Config{Cache: memory, Resolver: resolver, Version: s.last("version"), Identity: s.last("identity"), Sentinel: resolver.Refuses}
	if isYes(s.last("root-key-sentinel"), true) {
		view.Sentinel = resolver.Refuses
	}
	if view.Local, err = s.local(conf.Zones); err != nil {
		return err
	}
	if view.DNS64, view.Rebinding, err = s.addresses(); err != nil {
		return err
	}
	if subjects := s.every("list"); len(subjects) > 0 {
		if g.List == nil {
			return skipped("a list")
		}
		list, err := g.List(subjects)
		if err != nil {
			return unreadable(err.Error())
		}
		view.Live = new(filter.Live)
		view.Live.Swap(list)
		view.Sinkhole4, view.Sinkhole6 = sinkhole4, sinkhole6
	}
	if view.Stale, err = s.stale(); err != nil {
		return unreadable(err.Error())
	}
	g.refresher = serve.NewRefresher(resolver)
	view.Nonrecursive = s.snoops()
	view.Refresher, view.Prefetch = g.refresher, isYes(s.last("prefetch"), false)
	g.server = serve.New(view)
	return nil
}

// The sinkhole of stories that list something: addresses for documentation (RFC 5737, RFC 3849).
var (
	sinkhole4 = netip.MustParseAddr("192.0.2.53")
	sinkhole6 = netip.MustParseAddr("2001:db8::53")
)

// snoops reports whether a client may ask without RD: one that may need not differ from one
// that may not in the stories.
func (s *Scenario) snoops() bool {
	return slices.ContainsFunc(s.every("access-control"), func(v string) bool { return strings.Contains(v, "allow_snoop") })
}

// resolveConfig fills in what the story says of the resolver.
func (s *Scenario) resolveConfig(c *resolve.Config) error {
	var err error
	if c.Anchors, err = s.anchors(c.Anchors); err != nil {
		return unreadable(err.Error())
	}
	if c.Exempt, err = names(s.every("domain-insecure")); err != nil {
		return unreadable(err.Error())
	}
	c.Validation = dnssec.Config{SHA1: true, Iterations: dnssec.MostIterations}
	if at, always := s.date(); s.Dialect == Unbound {
		c.Validation.At, c.Validation.AnyTime = at, always
	}
	c.NoIPv6 = !isYes(s.last("do-ip6"), true) || !c.NoIPv4 && !slices.ContainsFunc(s.serverAddrs(), netip.Addr.Is6)
	c.Aggressive = isYes(s.last("aggressive-nsec"), true)
	c.Minimise = resolve.MinimiseRelaxed
	if !isYes(s.last("qname-minimisation", "query-minimization"), true) {
		c.Minimise = resolve.MinimiseOff
	} else if isYes(s.last("qname-minimisation-strict"), false) {
		c.Minimise = resolve.MinimiseStrict
	}
	c.Aggressive = isYes(s.last("aggressive-nsec"), true)
	c.Loopback = !isYes(s.last("do-not-query-localhost"), true)
	if c.TTLs, err = s.ttls(); err != nil {
		return unreadable(err.Error())
	}
	if s.Dialect == Deckard {
		return s.deckardServers(c)
	}
	return s.servers(c)
}

// deckardServers takes the one root server, or the one to forward to.
func (s *Scenario) deckardServers(c *resolve.Config) error {
	if a, ok := readAddr(s.last("forward-addr")); ok {
		c.Zones = append(c.Zones, resolve.Zone{Name: wire.Root, Forward: true, Servers: []resolve.Upstream{{Addr: a}}})
	}
	if a, ok := readAddr(s.last("stub-addr")); ok {
		name := s.last("stub-name")
		if name == "" {
			name = "k.root-servers.net."
		}
		c.Hints = []resolve.Hint{{Name: wire.MustName(name), Addrs: []netip.Addr{a}}}
	}
	return nil
}

// servers takes the stub and forward zones. A stub zone of the root is its hints.
func (s *Scenario) servers(c *resolve.Config) error {
	for _, kind := range []string{"stub-zone", "forward-zone"} {
		for _, clause := range s.clauses(kind) {
			z := clauseOf(clause)
			switch {
			case z.name == "." && kind == "stub-zone":
				for i, a := range z.addrs {
					name := s.rootName(a)
					if name == "" {
						name = fmt.Sprintf("%c.root-servers.net.", 'k'+i%10)
					}
					c.Hints = append(c.Hints, resolve.Hint{Name: wire.MustName(name), Addrs: []netip.Addr{a}})
				}
			default:
				zone, err := z.zone(kind == "forward-zone")
				if err != nil {
					return unreadable(err.Error())
				}
				zone.TCP = zone.TCP || isYes(s.last("tcp-upstream"), false)
				c.Zones = append(c.Zones, zone)
			}
		}
	}
	return nil
}

// ttls reads the bounds of TTLs, in seconds.
func (s *Scenario) ttls() (t resolve.TTLs, err error) {
	for key, to := range map[string]*time.Duration{"cache-min-ttl": &t.Min, "cache-max-ttl": &t.Max,
		"cache-min-negative-ttl": &t.MinNegative, "cache-max-negative-ttl": &t.MaxNegative} {
		v := s.last(key)
		if bound, ok := s.features()[strings.ReplaceAll(strings.TrimPrefix(key, "cache-"), "-", "_")]; ok {
			v = bound
		}
		if v == "" {
			continue
		}
		seconds, err := strconv.ParseUint(v, 10, 31)
		if err != nil {
			return t, fmt.Errorf("%s: %w", key, err)
		}
		*to = time.Duration(seconds) * time.Second
	}
	return t, nil
}

// stale reads when answers past their TTL are given: ages in seconds, 0 for any, and the
// client's patience in milliseconds.
func (s *Scenario) stale() (t serve.Stale, err error) {
	if !isYes(s.last("serve-expired"), false) {
		return t, nil
	}
	t = serve.Stale{MaxAge: serve.DefaultMaxAge, AnswerTTL: serve.DefaultAnswerTTL, ClientTimeout: serve.DefaultClientTimeout}
	for key, to := range map[string]*time.Duration{"serve-expired-ttl": &t.MaxAge, "serve-expired-reply-ttl": &t.AnswerTTL,
		"serve-expired-client-timeout": &t.ClientTimeout} {
		v := s.last(key)
		if v == "" {
			continue
		}
		n, err := strconv.ParseUint(v, 10, 31)
		if err != nil {
			return t, fmt.Errorf("%s: %w", key, err)
		}
		if *to = time.Duration(n) * time.Second; to == &t.ClientTimeout {
			*to = time.Duration(n) * time.Millisecond
		}
	}
	if t.MaxAge == 0 {
		t.MaxAge = math.MaxInt64
	}
	return t, nil
}

// zoneClause is a stub-zone or forward-zone clause.
type zoneClause struct {
	name              string
	addrs             []netip.Addr
	servers           []resolve.Upstream
	hosts             []string
	first, prime, tcp bool
}

func clauseOf(settings []Setting) (z zoneClause) {
	for _, set := range settings {
		switch _, key, _ := strings.Cut(set.Key, "-"); key {
		case "":
			z.name = dns.Fqdn(strings.ToLower(set.Value))
		case "addr":
			if a, ok := readAddr(set.Value); ok {
				z.addrs = append(z.addrs, a)
				z.servers = append(z.servers, resolve.Upstream{Addr: a, Port: readPort(set.Value)})
			}
		case "host":
			z.hosts = append(z.hosts, set.Value)
		case "first":
			z.first = isYes(set.Value, false)
		case "prime":
			z.prime = isYes(set.Value, false)
		case "tcp-upstream":
			z.tcp = isYes(set.Value, false)
		}
	}
	return z
}

// zone is the clause as package resolve takes it.
func (z *zoneClause) zone(forward bool) (resolve.Zone, error) {
	name, err := wire.ParseName(z.name)
	if err != nil {
		return resolve.Zone{}, err
	}
	hosts, err := names(z.hosts)
	return resolve.Zone{Name: name, Forward: forward, Servers: z.servers, Hosts: hosts, First: z.first, TCP: z.tcp, Prime: z.prime}, err
}

// readPort is the port behind "@" in a server's address; 0 where there is none.
func readPort(text string) uint16 {
	text, _, _ = strings.Cut(text, "#")
	_, text, _ = strings.Cut(text, "@")
	port, _ := strconv.ParseUint(strings.TrimSpace(text), 10, 16)
	return uint16(port)
}

// anchors reads the story's trust anchors behind those of its own zones. Records that are no
// anchors are left out, as by the implementation that the story was written for.
func (s *Scenario) anchors(own []dnssec.Anchor) ([]dnssec.Anchor, error) {
	for _, text := range s.every("trust-anchor") {
		a, err := dnssec.ParseAnchors(text)
		if err != nil {
			return nil, err
		}
		own = append(own, a...)
	}
	return own, nil
}

func names(texts []string) ([]wire.Name, error) {
	var out []wire.Name
	for _, text := range texts {
		n, err := wire.ParseName(text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		out = append(out, n)
	}
	return out, nil
}
