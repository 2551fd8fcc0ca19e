package curate

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/shoji-dns/shoji/internal/dns"
)

// Prefixes broader than these are refused. A /32 of IPv6 is what a registry
// allocates to a whole network operator; a /16 of IPv4 is of that order.
const (
	MinPrefixIPv4 = 16
	MinPrefixIPv6 = 32
)

// Guard refuses listings that would take down more than their subject.
// The zero Guard knows no names of the resolver's own.
type Guard struct {
	own   []dns.Name
	addrs []netip.Addr
}

// infrastructure holds names that resolution itself needs, and names that are
// answered locally and never from the Internet (RFC 6761, RFC 9462).
var infrastructure = []string{
	"root-servers.net", "gtld-servers.net", "resolver.arpa", "in-addr.arpa", "ip6.arpa", "home.arpa", "ipv4only.arpa",
	"localhost", "local", "invalid", "onion", "use-application-dns.net",
}

// NewGuard makes a Guard for a resolver that is itself called by the names own,
// and that needs the addresses addrs: its own, and those of the root servers. It
// returns an error for a name that is none.
func NewGuard(own []string, addrs []netip.Addr) (Guard, error) {
	g := Guard{addrs: addrs}
	for _, s := range append(append([]string(nil), infrastructure...), own...) {
		n, err := dns.ParseName(s)
		if err != nil {
			return Guard{}, fmt.Errorf("own name %q: %w", s, err)
		}
		g.own = append(g.own, n.Canonical())
	}
	return g, nil
}

// Name says why name may not be listed; "" where it may. With subtree, the
// question is about everything below it too.
func (g Guard) Name(name dns.Name, subtree bool) string {
	if name == dns.Root {
		return "the root"
	}
	text := strings.TrimSuffix(name.Canonical().String(), ".")
	if name.Labels() == 1 {
		return "a top-level domain"
	}
	if suffix, _ := publicsuffix.PublicSuffix(text); suffix == text {
		return "a public suffix"
	}
	for _, own := range g.own {
		if own.Equal(name) || subtree && own.IsSubdomainOf(name) || name.IsSubdomainOf(own) {
			return "a name of the resolver or its infrastructure (" + strings.TrimSuffix(own.String(), ".") + ")"
		}
	}
	return ""
}

// Prefix says why p may not be listed; "" where it may.
func (g Guard) Prefix(p netip.Prefix) string {
	least := MinPrefixIPv6
	if p.Addr().Is4() {
		least = MinPrefixIPv4
	}
	a := p.Masked().Addr()
	switch {
	case p.Bits() < least:
		return "too broad an address range"
	case a.IsLoopback(), a.IsUnspecified(), a.IsLinkLocalUnicast(), a.IsMulticast(), a.IsPrivate():
		return "an address range that is not on the Internet"
	}
	for _, own := range g.addrs {
		if p.Contains(own.Unmap()) {
			return "an address of the resolver or a root server (" + own.Unmap().String() + ")"
		}
	}
	return ""
}
