package curate

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/policy"
)

// Prefixes broader than these are refused. A /32 of IPv6 is what a registry
// allocates to a whole network operator; a /16 of IPv4 is of that order.
const (
	MinPrefixIPv4 = 16
	MinPrefixIPv6 = 32
)

// Guard refuses listings that would take down more than their subject, whatever a policy
// says, and is where the policy learns of public suffixes, infrastructure, own names and those that everyone needs.
// The zero Guard knows no names of the resolver's own.
type Guard struct {
	own      []dns.Name
	internet []dns.Name // infrastructure
	everyone map[dns.Name]bool
	addrs    []netip.Addr
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
	g := Guard{addrs: addrs, everyone: make(map[dns.Name]bool)}
	for _, text := range everyone {
		g.everyone[dns.MustName(text)] = true
	}
	var err error
	if g.internet, err = canonical(infrastructure); err == nil {
		g.own, err = canonical(own)
	}
	return g, err
}

func canonical(texts []string) ([]dns.Name, error) {
	var out []dns.Name
	for _, s := range texts {
		n, err := dns.ParseName(s)
		if err != nil {
			return nil, fmt.Errorf("own name %q: %w", s, err)
		}
		out = append(out, n.Canonical())
	}
	return out, nil
}

// Why says why s may not be listed; "" where it may.
func (g Guard) Why(s Subject) string {
	if s.Prefix.IsValid() {
		return g.Prefix(s.Prefix)
	}
	return g.Name(s.Name, s.Scope == feed.Subtree)
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
	for _, own := range slices.Concat(g.own, g.internet) {
		if touches(name, subtree, own) {
			return "a name of the resolver or its infrastructure (" + plainText(own) + ")"
		}
	}
	return ""
}

// touches reports whether a listing of name would take down own or part of it.
func touches(name dns.Name, subtree bool, own dns.Name) bool {
	return subtree && own.IsSubdomainOf(name) || name.IsSubdomainOf(own) // a name is its own subdomain
}

// plainText is a name as the log writes it.
func plainText(n dns.Name) string { return strings.TrimSuffix(n.String(), ".") }

// nameFacts is what is known of a name, as evidence for the policy.
func (g Guard) nameFacts(name dns.Name, subtree bool) []policy.Evidence {
	var out []policy.Evidence
	for _, own := range g.own {
		if touches(name, subtree, own) {
			out = append(out, fact(SourceOperator, policy.Own, plainText(own)))
		}
	}
	for _, needed := range g.internet {
		if touches(name, subtree, needed) {
			out = append(out, fact(sourceShoji, policy.Infrastructure, plainText(needed)))
		}
	}
	if name == dns.Root {
		return append(out, fact(sourceShoji, policy.PublicSuffix, "the root"))
	}
	if g.isEveryones(name) {
		out = append(out, fact(sourceShoji, policy.Popular, everyoneRank))
	}
	return append(out, suffixFacts(plainText(name.Canonical()), subtree)...)
}

// suffixFacts is what the public suffix list says of a name. A suffix of its private part,
// which somebody registers names below for others, is a shared apex.
func suffixFacts(text string, subtree bool) []policy.Evidence {
	suffix, icann := publicsuffix.PublicSuffix(text)
	private := !icann && strings.Contains(suffix, ".")
	switch {
	case suffix == text:
		return []policy.Evidence{fact(sourceSuffixes, policy.PublicSuffix, "")}
	case private:
		return []policy.Evidence{fact(sourceSuffixes, policy.BelowSharedApex, suffix)}
	case subtree: // all of what a rule such as *.kawasaki.jp speaks of
		if below, _ := publicsuffix.PublicSuffix("x." + text); below == "x."+text {
			return []policy.Evidence{fact(sourceSuffixes, policy.PublicSuffix, below)}
		}
	}
	return nil
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
