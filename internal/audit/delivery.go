package audit

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
)

// Content delivery gives different addresses to different askers, and so does load sharing.
// The rule that tells it from tampering, and what it cannot tell, stands in
// docs/verification.md. In short: what is signed must pass validation; of what is not, every
// address has to be accounted for.

// Recursion finds what the Internet says. *resolve.Resolver is one.
type Recursion interface {
	Resolve(ctx context.Context, name dns.Name, t dns.Type) *answer.Answer
	// Refresh is Resolve, anew where what is known ends within ahead.
	Refresh(ctx context.Context, name dns.Name, t dns.Type, ahead time.Duration) *answer.Answer
}

const (
	// anew makes Refresh ask whatever is known: no answer is kept longer.
	anew = 8 * 24 * time.Hour
	// near4 and near6 are how many bits two addresses share that one site announces: the
	// longest prefixes that are commonly routed (RFC 7454 §6.1.3).
	near4, near6 = 24, 48
	// maxReverse bounds the addresses of one answer whose reverse names are looked up.
	maxReverse = 4
)

// How a difference was accounted for.
const (
	bySame    = "same"      // there is none
	bySigned  = "signed"    // there is none, and DNSSEC proves what is said
	byOwner   = "owner"     // DNSSEC proves both
	byChange  = "change"    // asked again, both were the same
	byAddress = "addresses" // each address was found, or is near one that was
	byReverse = "reverse"   // the owner of each address gives it a name of the same owner
)

// accounted says how the addresses of a reply are accounted for by what the own recursion
// found; "" where they are not.
func (l *live) accounted(ctx context.Context, got *said, t dns.Type, found []*answer.Answer) string {
	var known []netip.Addr
	var owners []string
	for _, a := range found {
		for addr := range a.Addrs() {
			known = append(known, addr.Unmap())
		}
		s := readSaid(a.Name(), t, a.RCode(), a.Answer())
		owners = append(owners, owner(s.end))
	}
	var rest []netip.Addr
	for _, a := range got.addrs {
		if !slices.ContainsFunc(known, func(k netip.Addr) bool { return isNear(a, k) }) {
			rest = append(rest, a)
		}
	}
	if len(rest) == 0 {
		return byAddress
	}
	if len(rest) > maxReverse || slices.ContainsFunc(rest, isSpecial) {
		return ""
	}
	for _, k := range known[:min(len(known), maxReverse)] {
		owners = append(owners, l.reverseOwner(ctx, k))
	}
	for _, a := range rest {
		if o := l.reverseOwner(ctx, a); o == "" || !slices.Contains(owners, o) {
			return ""
		}
	}
	return byReverse
}

// isNear reports whether two addresses are one, or of one site.
func isNear(a, b netip.Addr) bool {
	bits := near4
	if a.Is6() {
		bits = near6
	}
	p, err := a.Prefix(bits)
	return a == b || err == nil && p.Contains(b)
}

// reverseOwner is whose an address is by its reverse name, which must lead back to it; ""
// where none does. The reverse zone is the address holder's, and no resolver's.
func (l *live) reverseOwner(ctx context.Context, a netip.Addr) string {
	ptr := l.cfg.Recursion.Resolve(ctx, reverseName(a), dns.TypePTR)
	for _, rr := range ptr.Answer() {
		name, ok := rr.Target()
		if rr.Type != dns.TypePTR || !ok {
			continue
		}
		t := dns.TypeA
		if a.Is6() {
			t = dns.TypeAAAA
		}
		for back := range l.cfg.Recursion.Resolve(ctx, name, t).Addrs() {
			if back.Unmap() == a {
				return owner(name)
			}
		}
	}
	return ""
}

// reverseName is the name of an address in in-addr.arpa or ip6.arpa (RFC 1035 §3.5, RFC
// 3596 §2.5).
func reverseName(a netip.Addr) dns.Name {
	var b strings.Builder
	if a.Is4() {
		o := a.As4()
		fmt.Fprintf(&b, "%d.%d.%d.%d.in-addr.arpa", o[3], o[2], o[1], o[0])
	} else {
		o := a.As16()
		for _, c := range slices.Backward(o[:]) {
			fmt.Fprintf(&b, "%x.%x.", c&15, c>>4)
		}
		b.WriteString("ip6.arpa")
	}
	return dns.MustName(b.String())
}

// owner is the registered domain that a name is in, by the public suffix list.
func owner(n dns.Name) string {
	text := strings.TrimSuffix(n.Canonical().String(), ".")
	if d, err := publicsuffix.EffectiveTLDPlusOne(text); err == nil {
		return d
	}
	return text
}
