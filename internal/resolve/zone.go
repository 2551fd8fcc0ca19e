package resolve

import (
	"net/netip"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// Upstream is a server that is configured. Port 0 means 53.
type Upstream struct {
	Addr netip.Addr
	Port uint16
}

// Zone is a stub or forward zone: the names at and below it are asked of servers
// that are configured, those of the deepest zone where one lies in another.
//
// Its answers are validated like any other. A private zone below a signed one that
// has no DS record for it, nor a denial of its being signed, is bogus, and needs a
// negative trust anchor (Config.Exempt).
type Zone struct {
	Name dns.Name

	// Forward marks servers that resolve for others, and are asked to (RD). They are
	// believed about names in the zone alone. Otherwise they are authoritative
	// servers of the zone: a stub zone.
	Forward bool

	// Servers are addresses, Hosts names of servers; at most 20 (maxNS) of both
	// together are used. The addresses of hosts are looked up as any other name's.
	Servers []Upstream
	Hosts   []dns.Name

	// First has the zone's names resolved as if it was not configured where its
	// servers fail.
	First bool

	// TCP has the servers asked over TCP only.
	TCP bool

	// Encrypted says that the Network encrypts what goes to the servers. They are asked as
	// over TCP, without cookies and letter case that only plain datagrams need, and every
	// query is padded (RFC 8467 §4.1).
	Encrypted bool

	// Prime has the servers of a stub zone asked for the zone's NS records, and the
	// servers that these name asked from there on (compare RFC 9609).
	Prime bool
}

// enterZones enters the configured zones. Which zone the names of one with First
// belong to otherwise is known once all are there.
func (r *Resolver) enterZones(zones []Zone) {
	root := r.cuts.fixed[dns.Root]
	for _, z := range zones {
		r.enterZone(z)
	}
	for _, z := range zones {
		c := r.cuts.fixed[z.Name.Canonical()]
		switch {
		case !z.First:
		case c.zone == dns.Root:
			c.next = root
		default:
			c.next = r.cuts.configured(c.zone.Parent())
		}
	}
}

func (r *Resolver) enterZone(z Zone) {
	c := &cut{zone: z.Name.Canonical(), forward: z.Forward, tcp: z.TCP || z.Encrypted, encrypted: z.Encrypted, hints: z.Prime && !z.Forward, loopback: r.loopback}
	c.top = c
	for _, u := range z.Servers {
		if len(c.names) == maxNS {
			break
		}
		port := u.Port
		if port == 0 {
			port = domainPort
		}
		c.loopback = c.loopback || u.Addr.IsLoopback()
		c.names = append(c.names, nameServer{known: true})
		c.add(len(c.names)-1, r.server(u.Addr, port), time.Time{})
	}
	for _, host := range z.Hosts {
		if len(c.names) < maxNS {
			c.names = append(c.names, nameServer{name: host.Canonical()})
		}
	}
	r.cuts.fixed[c.zone] = c
}
