package serve

import (
	"net/netip"
	"slices"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/filter"
)

// Rebinding says which addresses no public name may lead to. A web page can otherwise give
// its own name the address of a device in its reader's network, and speak with it as with
// itself (DNS rebinding).
//
// An answer with such an address, in an A, AAAA, SVCB or HTTPS record, IPv4-mapped or
// embedded for NAT64, is withheld as a whole: also the public addresses beside it, between
// which a browser would be made to change over. The reply is without data and says Blocked.
// Both views do so, being different by the list alone. It is off unless configured: what it
// withholds is in no log, and some services rest on public names of private addresses.
//
// Exempt are what is not the Internet's: sinkholes, which are no answer's addresses, and
// local zones.
type Rebinding struct {
	// Prefixes are the addresses; nil is PrivatePrefixes. More than a few dozen cost time.
	Prefixes []netip.Prefix
	// Allow are names that may lead there, with all below them: those of private zones that
	// have servers of their own, and those of services that are trusted.
	Allow []dns.Name
}

// PrivatePrefixes are the addresses of a reader's own machine and network: "this network" and
// loopback (RFC 1122 §3.2.1.3), private use (RFC 1918), shared address space (RFC 6598),
// link-local (RFC 3927), and for IPv6 unspecified, loopback, unique local (RFC 4193) and
// link-local (RFC 4291).
func PrivatePrefixes() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
		"::/127", "fc00::/7", "fe80::/10",
	} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// reboundTTL is the TTL of a withheld answer, in seconds: short, since the next one may be
// another.
const reboundTTL = 60

// reboundText goes with the Extended DNS Error Blocked.
const reboundText = "a public name with a private address"

// wellKnownNAT64 is the prefix that embeds IPv4 addresses (RFC 6052 §2.1).
var wellKnownNAT64 = netip.MustParsePrefix("64:ff9b::/96")

// rebinding is a Rebinding made ready.
type rebinding struct {
	prefixes []netip.Prefix
	nat64    []netip.Prefix // of 96 bits
	allow    map[string]bool
}

func newRebinding(cfg *Rebinding, d *DNS64) *rebinding {
	if cfg == nil {
		return nil
	}
	r := &rebinding{prefixes: cfg.Prefixes, nat64: []netip.Prefix{wellKnownNAT64}, allow: make(map[string]bool)}
	if cfg.Prefixes == nil {
		r.prefixes = PrivatePrefixes()
	}
	if d != nil && d.Prefix.Bits() == 96 {
		r.nat64 = append(r.nat64, d.Prefix)
	}
	for _, name := range cfg.Allow {
		r.allow[string(name.Canonical())] = true
	}
	return r
}

func (r *rebinding) private(a netip.Addr) bool {
	a = a.Unmap()
	within := func(p netip.Prefix) bool { return p.Contains(a) }
	if a.Is6() && slices.ContainsFunc(r.nat64, within) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	return slices.ContainsFunc(r.prefixes, within)
}

// allows reports whether name or one above it is allowed.
func (r *rebinding) allows(name []byte) bool {
	if len(r.allow) == 0 {
		return false
	}
	for at := 0; at < len(name); at += int(name[at]) + 1 {
		if r.allow[string(name[at:])] {
			return true
		}
	}
	return false
}

// forbids reports whether an answer to a question for name, in lower case, must not have an
// address.
func (s *Server) forbids(name []byte, a netip.Addr) bool {
	return s.rebinding != nil && s.rebinding.private(a) && !s.exempt(name)
}

// exempt reports whether a name may lead to a private address: one that is allowed, or one
// in a local zone.
func (s *Server) exempt(name []byte) bool {
	_, zone := s.local.Load().find(name)
	return zone != nil || s.rebinding.allows(name)
}

// judgeAnswer judges an answer to a question for name by the list and by what no public
// name may lead to.
func (s *Server) judgeAnswer(snap *snapshot, name []byte, a *answer.Answer) (filter.Verdict, bool) {
	if snap.list == nil {
		return filter.Verdict{}, false
	}
	if v, listed := snap.list.Judge(a); listed {
		return v, true
	}
	for addr := range a.Addrs() {
		if s.forbids(name, addr) {
			return rebound, true
		}
	}
	return filter.Verdict{}, false
}

// rebound is the verdict of no listing: that of the rebinding protection.
var rebound = filter.Verdict{}

// withheld answers in place of an answer with a private address.
func (s *Server) withheld(q *dns.Query, out []byte) []byte {
	start := len(out)
	out = begin(out, q, dns.RCodeSuccess)
	if q.StructuredError {
		return s.structured(q, out, start, s.withheldText, rebound)
	}
	out = appendSOA(out, start, toQuestion, reboundTTL)
	var room [len(reboundText)]byte
	return appendOPT(out, start, q, dns.RCodeSuccess, explanation{true, dns.EDEBlocked, append(room[:0], reboundText...)})
}
