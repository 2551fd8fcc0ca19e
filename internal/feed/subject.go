package feed

import (
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"github.com/shoji-dns/shoji/internal/dns"
)

// subject is what a claim is about: a name (with its subtree or not) or a prefix.
type subject struct {
	name    dns.Name
	subtree bool // the text itself asked for the subtree: "*.name" or ".name"
	prefix  netip.Prefix
	path    bool // the text was a URL with something behind the host
}

// problem is why a text is no subject. The zero value is no problem.
type problem struct {
	reason string // malformed, because
	skip   Reason // well-formed, and not for us
}

func (p problem) ok() bool { return p == problem{} }

func malformed(reason string) problem { return problem{reason: reason} }

// dots are the characters that IDNA takes for a label separator (RFC 3490 §3.1).
var dots = strings.NewReplacer("。", ".", "．", ".", "｡", ".")

// parseSubject reads a host, an address, a prefix or a URL as feeds write them:
// "name", "*.name", "192.0.2.1", "192.0.2.0/24", "192.0.2.1:443",
// "[2001:db8::1]:443", "name:8080", "http://name/path", "name/path".
func parseSubject(s string) (subject, problem) {
	_, rest, isURL := strings.Cut(s, "://")
	if isURL {
		s = rest
		if i := strings.LastIndexByte(authority(s), '@'); i >= 0 {
			s = s[i+1:]
		}
	} else if p, err := netip.ParsePrefix(s); err == nil {
		return subject{prefix: unmapped(p)}, problem{}
	}
	host := authority(s)
	path := len(s) > len(host) && s[len(host):] != "/"
	if host == "" {
		if path {
			return subject{}, problem{skip: SkipPath}
		}
		return subject{}, malformed("no name or address")
	}
	sub, p := parseHost(host)
	sub.path = path
	if !isURL && path && sub.prefix.IsValid() && strings.Trim(s[len(host)+1:], "0123456789") == "" {
		return subject{}, malformed("not a prefix length")
	}
	return sub, p
}

// authority is s up to the first character that can begin a URL's path, query or fragment.
func authority(s string) string {
	if i := strings.IndexAny(s, "/?#"); i >= 0 {
		return s[:i]
	}
	return s
}

// parseHost reads a name or an address, with ports or without.
func parseHost(s string) (subject, problem) {
	if strings.HasPrefix(s, "[") {
		in, after, closed := strings.Cut(s[1:], "]")
		a, err := netip.ParseAddr(in)
		if !closed || err != nil || !allPorts(after) {
			return subject{}, malformed("not an IPv6 address in brackets")
		}
		return address(a)
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return address(a)
	}
	if i := strings.IndexByte(s, ':'); i >= 0 {
		if !allPorts(s[i:]) {
			return subject{}, malformed("not a port")
		}
		s = s[:i]
		if a, err := netip.ParseAddr(s); err == nil {
			return address(a)
		}
	}
	var sub subject
	if t, ok := strings.CutPrefix(s, "*."); ok {
		s, sub.subtree = t, true
	} else if t, ok := strings.CutPrefix(s, "."); ok && t != "" {
		s, sub.subtree = t, true
	}
	var p problem
	sub.name, p = parseName(s)
	return sub, p
}

// allPorts reports whether s is "" or one or more of ":" and a port number.
func allPorts(s string) bool {
	for s != "" {
		if s[0] != ':' {
			return false
		}
		port, rest := s[1:], ""
		if i := strings.IndexByte(port, ':'); i >= 0 {
			port, rest = port[:i], port[i:]
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
		s = rest
	}
	return true
}

func address(a netip.Addr) (subject, problem) {
	if a.Zone() != "" {
		return subject{}, malformed("an address with a zone")
	}
	a = a.Unmap()
	return subject{prefix: netip.PrefixFrom(a, a.BitLen())}, problem{}
}

// unmapped is p masked, and as an IPv4 prefix if it is an IPv4-mapped one.
func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// parseName reads a host name: letters, digits, hyphens and underscores, or Unicode.
func parseName(s string) (dns.Name, problem) {
	var buf [dns.MaxName + 1]byte
	b := buf[:0]
	if len(s) > 4*dns.MaxName {
		return "", malformed("longer than a name can be")
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'A' <= c && c <= 'Z':
			b = append(b, c+'a'-'A')
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
			b = append(b, c)
		case c >= 0x80:
			return parseUnicode(s)
		default:
			return "", malformed("a character that no host name has: " + strconv.QuoteRuneToASCII(rune(c)))
		}
	}
	return makeName(string(b))
}

// parseUnicode converts the labels of s that are not ASCII to A-labels (RFC 5891
// §5), one by one, so that an underscore in another label does no harm.
func parseUnicode(s string) (dns.Name, problem) {
	labels := strings.Split(dots.Replace(s), ".")
	for i, l := range labels {
		if strings.IndexFunc(l, func(r rune) bool { return r >= 0x80 }) < 0 {
			continue
		}
		a, err := idna.Lookup.ToASCII(l)
		if err != nil || a == "" {
			return "", malformed("not an internationalised name")
		}
		labels[i] = a
	}
	joined := strings.Join(labels, ".")
	for i := 0; i < len(joined); i++ {
		if joined[i] >= 0x80 {
			return "", malformed("not an internationalised name")
		}
	}
	return parseName(joined)
}

// makeName checks what the characters alone do not show.
func makeName(s string) (dns.Name, problem) {
	s = strings.TrimSuffix(s, ".")
	if s == "" {
		return dns.Root, problem{}
	}
	last := s[strings.LastIndexByte(s, '.')+1:]
	if strings.Trim(last, "0123456789") == "" && last != "" {
		return "", malformed("neither an address nor a name: the last label is all digits")
	}
	n, err := dns.ParseName(s)
	if err != nil {
		return "", malformed(bounded(err.Error(), MaxText))
	}
	return n, problem{}
}
