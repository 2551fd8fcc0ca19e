package main

import (
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/simnet"
)

// kind is one way in which a zone is signed, broken or delegated. Its name is the label
// of the zones of that kind: expired.aa. is the expired one below aa.
type kind struct {
	name string
	// sign changes how the zone is signed; nil leaves it unsigned.
	sign func(*simnet.Signing)
	noDS bool
	// bogus tells that validation must fail where the zone above is secure.
	bogus bool
	// edit changes a record of the signed zone on its way into the zone file, or drops
	// it by returning nil.
	edit func(origin string, rr dns.RR) dns.RR
	// servers are the name servers of the delegation; nil means ns in the zone itself.
	servers func(origin string) []nameServer
	// host is the server that holds the zone; "" means one of the leaf servers.
	host string
}

// nameServer is one NS record of a delegation, with the glue beside it.
type nameServer struct {
	name string
	glue []string // addresses; none for a server that has its name elsewhere
}

const (
	past   = -10 * 24 * time.Hour
	future = 10 * 24 * time.Hour
)

// Algorithm and digest numbers that nobody has assigned.
const (
	unknownAlgorithm = 200
	unknownDigest    = 200
)

// Iteration counts of NSEC3: RFC 9276 §3.2 lets a validator take 0 alone for secure.
const (
	iterationsTaken   = 50   // the most that shoji takes
	iterationsRefused = 100  // shoji and later releases of the peers do not take it; the peers' in Debian do
	iterationsExtreme = 2500 // nobody takes it
)

func algorithm(a uint8) func(*simnet.Signing) {
	return func(s *simnet.Signing) { s.Algorithm = a }
}

func hashed(iterations uint16, salt string, optOut bool) func(*simnet.Signing) {
	return func(s *simnet.Signing) {
		s.NSEC3 = &simnet.NSEC3{Iterations: iterations, Salt: salt, OptOut: optOut}
	}
}

func broken(b simnet.Break) func(*simnet.Signing) {
	return func(s *simnet.Signing) { s.Break = b }
}

func shifted(by time.Duration) func(*simnet.Signing) {
	return func(s *simnet.Signing) { s.Inception, s.Expiration = s.Inception.Add(by), s.Expiration.Add(by) }
}

// kinds are all kinds of zones below the top-level domains.
func kinds() []kind {
	return []kind{
		{name: "p256", sign: algorithm(dns.ECDSAP256SHA256)},
		{name: "p384", sign: algorithm(dns.ECDSAP384SHA384)},
		{name: "rsa256", sign: algorithm(dns.RSASHA256)},
		{name: "rsa512", sign: algorithm(dns.RSASHA512)},
		{name: "rsasha1", sign: algorithm(dns.RSASHA1NSEC3SHA1)},
		{name: "ed25519", sign: algorithm(dns.ED25519)},
		{name: "split", sign: func(s *simnet.Signing) { s.Split = true }},
		{name: "unknownalg", sign: algorithm(unknownAlgorithm)},
		{name: "unknownds", sign: func(s *simnet.Signing) { s.Digest = unknownDigest }},
		{name: "sha1ds", sign: func(s *simnet.Signing) { s.Digest = dns.SHA1 }},
		{name: "sha384ds", sign: func(s *simnet.Signing) { s.Digest = dns.SHA384 }},
		{name: "n3", sign: hashed(0, "", false)},
		{name: "n3salt", sign: hashed(10, "aabbccdd", false)},
		{name: "n3opt", sign: hashed(0, "", true)},
		{name: "n3taken", sign: hashed(iterationsTaken, "ab", false)},
		{name: "n3refused", sign: hashed(iterationsRefused, "", false)},
		{name: "n3extreme", sign: hashed(iterationsExtreme, "", true)},
		{name: "plain"},
		{name: "island", sign: algorithm(dns.ECDSAP256SHA256), noDS: true},
		{name: "expired", sign: shifted(past), bogus: true},
		{name: "future", sign: shifted(future), bogus: true},
		{name: "wrongds", sign: broken(simnet.BreakDS), bogus: true},
		{name: "nosig", sign: broken(simnet.OmitSignatures), bogus: true},
		{name: "badsig", sign: broken(simnet.BreakSignatures), bogus: true},
		{name: "badkeysig", sign: broken(simnet.BreakKeySignatures), bogus: true},
		{name: "signer", sign: algorithm(dns.ECDSAP256SHA256), bogus: true, edit: otherSigner},
		{name: "nodenial", sign: algorithm(dns.ECDSAP256SHA256), bogus: true, edit: withoutDenial},
		{name: "nodenial3", sign: hashed(0, "", false), bogus: true, edit: withoutDenial},
		{name: "halfsig", sign: algorithm(dns.ECDSAP256SHA256), edit: halfSigned},
		{name: "same", sign: algorithm(dns.ECDSAP256SHA256), host: serverTLD},
		{name: "sameplain", host: serverTLD},
		{name: "glueless", sign: algorithm(dns.ECDSAP256SHA256), servers: elsewhere},
		{name: "gluelessplain", servers: elsewhere},
		{name: "lame", sign: algorithm(dns.ECDSAP256SHA256), servers: partlyLame},
		{name: "closed", sign: hashed(0, "", false), servers: partlyClosed},
	}
}

// children are the zones below the zones of some kinds, on the same server as these.
func children() []kind {
	return []kind{
		{name: "sub", sign: algorithm(dns.ECDSAP256SHA256)},
		{name: "usub"},
		{name: "bsub", sign: broken(simnet.BreakDS), bogus: true},
		{name: "a.deep.osub", sign: hashed(0, "", true)},
	}
}

// fertile are the kinds that have children.
var fertile = []string{"p256", "n3", "n3opt", "plain", "expired"}

// tops are the top-level domains. Each has every kind below it, or every few of them.
func tops() []top {
	return []top{
		{kind{name: "aa", sign: algorithm(dns.ECDSAP256SHA256), host: serverTLD}, 1},
		{kind{name: "bb", sign: func(s *simnet.Signing) { algorithm(dns.RSASHA256)(s); hashed(0, "", false)(s) }, host: serverTLD}, 1},
		{kind{name: "cc", sign: func(s *simnet.Signing) { algorithm(dns.ED25519)(s); hashed(0, "", true)(s) }, host: serverTLD}, 1},
		{kind{name: "dd", sign: hashed(10, "5a17", true), host: serverTLD}, 1},
		{kind{name: "ee", host: serverTLD}, 3},
		{kind{name: "ff", sign: hashed(iterationsRefused, "", false), host: serverTLD}, 3},
		{kind{name: "gg", sign: algorithm(dns.ECDSAP256SHA256), host: serverRoot}, 3},
	}
}

// top is a top-level domain that has every stride-th kind below it.
type top struct {
	kind
	stride int
}

// otherSigner lets a sibling zone claim the signatures (RFC 4035 §5.3.1: the signer's
// name must be the zone that holds the RRset).
func otherSigner(origin string, rr dns.RR) dns.RR {
	if sig, ok := rr.(*dns.RRSIG); ok && sig.TypeCovered != dns.TypeDNSKEY {
		_, up, _ := strings.Cut(origin, ".")
		sig.SignerName = "p256." + up
	}
	return rr
}

// withoutDenial leaves NSEC and NSEC3 records out.
func withoutDenial(_ string, rr dns.RR) dns.RR {
	covered := rr.Header().Rrtype
	if sig, ok := rr.(*dns.RRSIG); ok {
		covered = sig.TypeCovered
	}
	if covered == dns.TypeNSEC || covered == dns.TypeNSEC3 {
		return nil
	}
	return rr
}

// halfSigned leaves the signatures out of the A RRsets of names with an odd number.
func halfSigned(_ string, rr dns.RR) dns.RR {
	sig, ok := rr.(*dns.RRSIG)
	if ok && sig.TypeCovered == dns.TypeA && strings.HasPrefix(sig.Hdr.Name, "h") && (sig.Hdr.Name[1]-'0')%2 == 1 {
		return nil
	}
	return rr
}

// elsewhere delegates to a server that has its name below another top-level domain, so
// that the parent has no glue for it.
func elsewhere(origin string) []nameServer {
	other := "aa."
	if dns.IsSubDomain("aa.", origin) {
		other = "bb."
	}
	return []nameServer{{name: "ns.p256." + other}}
}

// partlyLame adds a server that does not hold the zone.
func partlyLame(origin string) []nameServer {
	return []nameServer{{"ns2." + origin, []string{addrLame}}, {"ns." + origin, leafAddrs()}}
}

// partlyClosed adds an address at which no server listens.
func partlyClosed(origin string) []nameServer {
	return []nameServer{{"ns2." + origin, []string{addrClosed}}, {"ns." + origin, leafAddrs()}}
}
