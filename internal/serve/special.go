package serve

import (
	"fmt"

	"github.com/shoji-dns/shoji/internal/dns"
)

// localTTL is the TTL of what is known here, in seconds, and of its absence (RFC 6303 §3).
const localTTL = 10800

// topNames are special names of one label, and one that is not, with what is built in for
// them.
//
// use-application-dns.net is asked for by Firefox, which leaves the choice of a resolver to
// the network where it does not exist. Resolvers that filter say so, and the unfiltered
// view, on the same network, must not undo that choice.
//
// ipv4only.arpa is not among them: it is special for resolvers that synthesise addresses
// for NAT64, and an ordinary name for others (RFC 8880 §7.1).
var topNames = [...]struct {
	name string
	kind LocalKind
}{
	{"localhost", LocalRedirect}, // to the loopback addresses, and nothing else: RFC 6761 §6.3
	{"invalid", LocalNXDomain},   // §6.4
	{"test", LocalNXDomain},      // §6.2
	{"onion", LocalNXDomain},     // RFC 7686 §2
	{"local", LocalNXDomain},     // RFC 6762 §22.1
	{"use-application-dns.net", LocalNXDomain},
	{"home.arpa", LocalStatic},       // RFC 8375
	{"resolver.arpa", LocalRedirect}, // it and those below exist without data: RFC 9462 §6.4
}

// reverseZones are empty: reverse zones of addresses without a public meaning (RFC 6303 §4,
// RFC 7793), but for those below that are numbered.
var reverseZones = [...]string{
	"10.in-addr.arpa", "168.192.in-addr.arpa",
	"0.in-addr.arpa", "127.in-addr.arpa", "254.169.in-addr.arpa",
	"2.0.192.in-addr.arpa", "100.51.198.in-addr.arpa", "113.0.203.in-addr.arpa",
	"255.255.255.255.in-addr.arpa",
	"0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
	"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
	"d.f.ip6.arpa", "8.e.f.ip6.arpa", "9.e.f.ip6.arpa", "a.e.f.ip6.arpa", "b.e.f.ip6.arpa",
	"8.b.d.0.1.0.0.2.ip6.arpa",
}

// builtIn are the zones for all special-use names. An empty zone has its SOA, which is
// synthesised, and the NS of RFC 6303 §3.
func builtIn() []LocalZone {
	var zones []LocalZone
	for _, n := range topNames {
		zones = append(zones, LocalZone{Name: dns.MustName(n.name), Kind: n.kind})
	}
	names := reverseZones[:]
	for i := 16; i <= 31; i++ { // RFC 1918
		names = append(names, fmt.Sprintf("%d.172.in-addr.arpa", i))
	}
	for i := 64; i <= 127; i++ { // RFC 7793
		names = append(names, fmt.Sprintf("%d.100.in-addr.arpa", i))
	}
	for _, n := range names {
		zones = append(zones, LocalZone{Name: dns.MustName(n), Kind: LocalStatic})
	}
	for i := range zones {
		z := &zones[i]
		record := func(t dns.Type, data string) {
			z.Records = append(z.Records, dns.RR{Name: z.Name, Type: t, Class: dns.ClassIN, TTL: localTTL, Data: []byte(data)})
		}
		switch {
		case z.Name == dns.MustName("localhost"):
			record(dns.TypeA, "\x7F\x00\x00\x01")
			record(dns.TypeAAAA, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01")
		case z.Kind == LocalStatic:
			record(dns.TypeNS, string(z.Name))
		}
	}
	return zones
}

func endsInArpa(name dns.Name) bool { return name.IsSubdomainOf("\x04arpa\x00") }
