package serve

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/shoji-dns/shoji/internal/dns"
)

// localTTL is the TTL of what is known here, in seconds, and of its absence (RFC 6303 §3).
const localTTL = 10800

// special is how a special-use name and all below it are answered.
type special uint8

const (
	ordinary special = iota
	// absent: no such name (RFC 6761 §6.2, §6.4; RFC 7686 §2; RFC 6762 §22.1).
	absent
	// emptyZone: a zone with nothing but its SOA and NS (RFC 6303 §3).
	emptyZone
	// loopback: the loopback addresses, and nothing else (RFC 6761 §6.3).
	loopback
	// noData: the name and those below it exist without data (RFC 9462 §6.4).
	noData
)

// topNames are special names of one label, and one that is not.
//
// use-application-dns.net is asked for by Firefox, which leaves the choice of a resolver to
// the network where it does not exist. Resolvers that filter say so, and the unfiltered
// view, on the same network, must not undo that choice.
//
// ipv4only.arpa is not among them: it is special for resolvers that synthesise addresses
// for NAT64, and an ordinary name for others (RFC 8880 §7.1).
var topNames = [...]struct {
	name string
	kind special
}{
	{"localhost", loopback},
	{"invalid", absent},
	{"test", absent},
	{"onion", absent},
	{"local", absent},
	{"use-application-dns.net", absent},
	{"home.arpa", emptyZone}, // RFC 8375
	{"resolver.arpa", noData},
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

// specialNames are all special-use names, by their lower-case wire form.
func specialNames(cfg Config) map[string]special {
	names := make(map[string]special)
	for _, n := range topNames {
		names[string(dns.MustName(n.name))] = n.kind
	}
	for _, n := range reverseZones {
		names[string(dns.MustName(n))] = emptyZone
	}
	for i := 16; i <= 31; i++ { // RFC 1918
		names[string(dns.MustName(fmt.Sprintf("%d.172.in-addr.arpa", i)))] = emptyZone
	}
	for i := 64; i <= 127; i++ { // RFC 7793
		names[string(dns.MustName(fmt.Sprintf("%d.100.in-addr.arpa", i)))] = emptyZone
	}
	if cfg.Lab {
		delete(names, string(dns.MustName("test")))
	}
	for _, n := range cfg.Ordinary {
		delete(names, string(n.Canonical()))
	}
	return names
}

// isSpecial finds the special-use name that name, in lower case, is or lies below, and where
// in name it begins. Names whose last four octets are of no special-use name, which are nearly
// all, are told by these.
func (s *Server) isSpecial(name []byte) (at int, kind special) {
	if len(name) < 6 {
		return 0, ordinary
	}
	switch binary.BigEndian.Uint32(name[len(name)-5:]) {
	case 'h'<<24 | 'o'<<16 | 's'<<8 | 't', 'a'<<24 | 'l'<<16 | 'i'<<8 | 'd', 't'<<24 | 'e'<<16 | 's'<<8 | 't',
		'n'<<24 | 'i'<<16 | 'o'<<8 | 'n', 'o'<<24 | 'c'<<16 | 'a'<<8 | 'l', 'a'<<24 | 'r'<<16 | 'p'<<8 | 'a':
		return s.findSpecial(name)
	case 3<<24 | 'n'<<16 | 'e'<<8 | 't':
		const canary = "\x13use-application-dns\x03net\x00"
		if len(name) >= len(canary) && string(name[len(name)-len(canary):]) == canary {
			return s.findSpecial(name)
		}
	}
	return 0, ordinary
}

// findSpecial looks name and every name above it up, name itself first: those at least that
// are as long as a special-use name, which spares reverse names of IPv6 most of their labels.
//
//go:noinline
func (s *Server) findSpecial(name []byte) (at int, kind special) {
	for at < len(name) && name[at] != 0 {
		if s.lengths[len(name)-at] {
			if kind = s.special[string(name[at:])]; kind != ordinary {
				return at, kind
			}
		}
		at += int(name[at]) + 1
	}
	return 0, ordinary
}

// asksParent reports whether a query for a special-use name that begins at an offset is one
// for its DS: that belongs to the zone above, which is asked. So a client that validates
// finds the proof that a private zone need not be signed (RFC 8375 §4, RFC 6303 §7).
func asksParent(q *dns.Query, at int) bool {
	return q.Type == dns.TypeDS && at == 0 && q.Flags.Has(dns.FlagRD) && endsInArpa(q.Name())
}

func endsInArpa(name []byte) bool {
	const arpa = "\x04arpa\x00"
	return len(name) > len(arpa) && string(name[len(name)-len(arpa):]) == arpa
}

// local answers a question for a special-use name that begins at an offset of the
// question's name.
func (s *Server) local(q *dns.Query, out []byte, at int, kind special) []byte {
	start := len(out)
	zone := uint16(toQuestion + at)
	r := dns.RCodeSuccess
	if kind == absent || kind == emptyZone && at > 0 {
		r = dns.RCodeNameError
	}
	out = begin(out, q, r)
	switch {
	case q.Type == dns.TypeANY && r == dns.RCodeSuccess:
		out = appendHINFO(out, start, localTTL)
	case kind == loopback && q.Type == dns.TypeA:
		out = appendAddr(out, start, toQuestion, netip.AddrFrom4([4]byte{127, 0, 0, 1}), localTTL)
	case kind == loopback && q.Type == dns.TypeAAAA:
		out = appendAddr(out, start, toQuestion, netip.IPv6Loopback(), localTTL)
	case kind == emptyZone && at == 0 && q.Type == dns.TypeNS:
		out = appendRecord(out, zone, dns.TypeNS, dns.ClassIN, localTTL, 2)
		out = binary.BigEndian.AppendUint16(out, zone)
		count(out, start, answerCount)
	case kind == emptyZone && at == 0 && q.Type == dns.TypeSOA:
		out = appendSOA(out, start, zone, localTTL)
		binary.BigEndian.PutUint32(out[start+answerCount:], 1<<16) // it is the answer
	default:
		out = appendSOA(out, start, zone, localTTL)
	}
	return appendOPT(out, start, q, r, explanation{})
}
