package simnet

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// labZone is a zone of the lab and the servers that have it.
type labZone struct {
	spec  Spec
	hosts []labHost
}

// labHost is a server of the lab.
type labHost struct {
	addrs  []string
	faults *Faults
}

func on(addrs ...string) labHost { return labHost{addrs: addrs} }

func (h labHost) with(f Faults) labHost {
	h.faults = &f
	return h
}

func (h labHost) parsed() []netip.Addr {
	var out []netip.Addr
	for _, a := range h.addrs {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// labSigning makes the signatures of the lab: valid from a day before now, for
// longer than anybody leaves a lab running.
func labSigning(now time.Time, change func(*Signing)) *Signing {
	s := &Signing{Inception: now.Add(-24 * time.Hour), Expiration: now.Add(400 * 24 * time.Hour)}
	if change != nil {
		change(s)
	}
	return s
}

const labSOA = "@ SOA ns1 hostmaster 2026010101 7200 3600 1209600 300\n"

const labRoot = `$TTL 86400
@          SOA  a.roots. hostmaster.roots. 2026010101 1800 900 604800 86400
@          NS   a.roots.
@          NS   b.roots.
a.roots.   A    198.18.0.1
a.roots.   AAAA 2001:db8::1
b.roots.   A    198.18.0.2
b.roots.   AAAA 2001:db8::2
test.      NS   a.nic.test.
test.      NS   b.nic.test.
a.nic.test. A    198.18.1.1
a.nic.test. AAAA 2001:db8:1::1
b.nic.test. A    198.18.1.2
example.   NS   a.nic.example.
example.   NS   b.nic.example.
a.nic.example. A    198.18.1.3
a.nic.example. AAAA 2001:db8:1::3
b.nic.example. A    198.18.1.4
`

const labTest = `$TTL 3600
@         SOA a.nic hostmaster.nic 2026010101 7200 3600 1209600 300
@         NS  a.nic
@         NS  b.nic
a.nic     A    198.18.1.1
a.nic     AAAA 2001:db8:1::1
b.nic     A    198.18.1.2
shop      NS  ns1.shop
shop      NS  ns2.shop
ns1.shop  A    198.18.2.1
ns1.shop  AAAA 2001:db8:2::1
ns2.shop  A    198.18.2.2
bank      NS  ns1.bank
bank      NS  ns2.bank
ns1.bank  A    198.18.2.3
ns1.bank  AAAA 2001:db8:2::3
ns2.bank  A    198.18.2.4
legacy    NS  ns1.bank
evil      NS  ns1.evil
ns1.evil  A    198.18.2.6
bogus     NS  ns1.bogus
ns1.bogus A    198.18.2.7
expired   NS  ns1.expired
ns1.expired A  198.18.2.8
alien     NS  ns1.alien
ns1.alien A    198.18.2.9
hashed    NS  ns1.hashed
ns1.hashed A   198.18.2.10
rsa       NS  ns1.rsa
ns1.rsa   A    198.18.2.11
ed        NS  ns1.ed
ns1.ed    A    198.18.2.12
badds     NS  ns1.badds
ns1.badds A    198.18.2.13
lame      NS  ns1.lame
lame      NS  ns2.lame
ns1.lame  A    198.18.2.14
ns2.lame  A    198.18.2.15
nobody    NS  ns1.nobody
ns1.nobody A   198.18.2.16
slow      NS  ns1.slow
ns1.slow  A    198.18.2.17
dead      NS  ns1.dead
ns1.dead  A    198.18.2.18
glueless  NS  ns1.host.example.
glueless  NS  ns2.host.example.
island    NS  ns1.island
ns1.island A   198.18.2.21
`

const labExample = `$TTL 3600
@         SOA a.nic hostmaster.nic 2026010101 7200 3600 1209600 300
@         NS  a.nic
@         NS  b.nic
a.nic     A    198.18.1.3
a.nic     AAAA 2001:db8:1::3
b.nic     A    198.18.1.4
host      NS  ns1.host
host      NS  ns2.host
ns1.host  A    198.18.2.20
ns2.host  A    198.18.2.19
plain     NS  ns1.plain
ns1.plain A    198.18.2.22
six       NS  ns1.six
ns1.six   AAAA 2001:db8:2::23
dual      NS  ns1.dual
ns1.dual  A    198.18.2.24
ns1.dual  AAAA 2001:db8:2::24
deep      NS  ns1.deep
ns1.deep  A    198.18.2.25
salted    NS  ns1.salted
ns1.salted A   198.18.2.30
`

const labShop = labSOA + `
@      NS    ns1
@      NS    ns2
@      A     192.0.2.10
@      MX    10 mail
@      TXT   "v=spf1 mx -all"
ns1    A     198.18.2.1
ns1    AAAA  2001:db8:2::1
ns2    A     198.18.2.2
www    A     192.0.2.10
www    AAAA  2001:db8:80::10
www    HTTPS 1 . alpn="h2,h3" ipv4hint="192.0.2.10" ipv6hint="2001:db8:80::10"
mail   A     192.0.2.25
_imaps._tcp SRV 0 1 993 mail
cdn    CNAME c2.evil.test.
far    A     203.0.113.66
far    AAAA  2001:db8:113::66
hint   A     192.0.2.11
hint   HTTPS 1 . ipv4hint="203.0.113.80"
step1  CNAME step2
step2  CNAME step3
step3  CNAME www
chain  CNAME chain.bank.test.
loop   CNAME loop2
loop2  CNAME loop
gone   CNAME nothing.here
old    DNAME shop.test.
mirror DNAME evil.test.
*.box  A     192.0.2.12
*.box  TXT   "any box"
real.box A   192.0.2.13
a.b.c  A     192.0.2.14
`

const labBank = labSOA + `
@      NS    ns1
@      NS    ns2
@      A     192.0.2.20
@      MX    10 mail
@      CAA   0 issue "ca.test"
ns1    A     198.18.2.3
ns1    AAAA  2001:db8:2::3
ns2    A     198.18.2.4
www    A     192.0.2.20
www    AAAA  2001:db8:80::20
www    HTTPS 1 . alpn="h2"
mail   A     192.0.2.21
chain  CNAME chain.six.example.
alias  CNAME www
toshop CNAME www.shop.test.
tobad  CNAME www.bogus.test.
*.branch A   192.0.2.22
head.branch A 192.0.2.23
old    DNAME bank.test.
a.b.c  TXT   "below empty names"
`

const labEvil = labSOA + `
@       NS   ns1
@       A    192.0.2.60
ns1     A    198.18.2.6
www     A    192.0.2.60
c2      A    192.0.2.66
c2      AAAA 2001:db8:80::66
c2      MX   10 drop.c2
c2      TXT  "beacon every 60 s"
*.c2    A    192.0.2.67
exact   A    192.0.2.68
sub.exact A  192.0.2.69
`

// labLeaf is a small zone: a name server, an apex address and www.
func labLeaf(nsAddr string, host int, more ...string) string {
	t := "A"
	if strings.Contains(nsAddr, ":") {
		t = "AAAA"
	}
	return labSOA + fmt.Sprintf("@ NS ns1\nns1 %s %s\n@ A 192.0.2.%d\nwww A 192.0.2.%d\nwww AAAA 2001:db8:80::%d\n",
		t, nsAddr, host, host, host) + strings.Join(more, "\n") + "\n"
}

// labBig is a record set that fits no UDP datagram.
func labBig() string {
	var b strings.Builder
	for i := range 12 {
		fmt.Fprintf(&b, "big TXT \"%02d %s\"\n", i, strings.Repeat("x", 200))
	}
	return b.String()
}

// labZones are all zones of the lab.
func labZones(now time.Time) []labZone {
	sign := func(change func(*Signing)) *Signing { return labSigning(now, change) }
	split := sign(func(s *Signing) { s.Split = true })
	return append(labLeaves(sign), []labZone{
		{Spec{Origin: ".", Text: labRoot, Signing: split},
			[]labHost{on("198.18.0.1", "2001:db8::1"), on("198.18.0.2", "2001:db8::2")}},
		{Spec{Origin: "test.", Text: labTest, Signing: split},
			[]labHost{on("198.18.1.1", "2001:db8:1::1"), on("198.18.1.2")}},
		{Spec{Origin: "example.", Text: labExample, Signing: sign(func(s *Signing) {
			s.Split, s.NSEC3 = true, &NSEC3{OptOut: true}
		})}, []labHost{on("198.18.1.3", "2001:db8:1::3"), on("198.18.1.4")}},
		{Spec{Origin: "shop.test.", Text: labShop + labBig()},
			[]labHost{on("198.18.2.1", "2001:db8:2::1"), on("198.18.2.2")}},
		{Spec{Origin: "bank.test.", Text: labBank, Signing: split},
			[]labHost{on("198.18.2.3", "2001:db8:2::3"), on("198.18.2.4")}},
		{Spec{Origin: "legacy.test.", Text: labSOA + "@ NS ns1.bank.test.\n@ DNAME bank.test.\n", Signing: sign(nil)},
			[]labHost{on("198.18.2.3", "2001:db8:2::3"), on("198.18.2.4")}},
		{Spec{Origin: "evil.test.", Text: labEvil}, []labHost{on("198.18.2.6")}},
	}...)
}

// labLeaves are the zones that each show one thing.
func labLeaves(sign func(func(*Signing)) *Signing) []labZone {
	const day = 24 * time.Hour
	zones := []labZone{
		{Spec{Origin: "bogus.test.", Text: labLeaf("198.18.2.7", 30),
			Signing: sign(func(s *Signing) { s.Break = BreakSignatures })}, []labHost{on("198.18.2.7")}},
		{Spec{Origin: "expired.test.", Text: labLeaf("198.18.2.8", 31), Signing: sign(func(s *Signing) {
			s.Expiration = s.Inception.Add(-29 * day)
			s.Inception = s.Expiration.Add(-30 * day)
		})}, []labHost{on("198.18.2.8")}},
		{Spec{Origin: "alien.test.", Text: labLeaf("198.18.2.9", 32),
			Signing: sign(func(s *Signing) { s.Algorithm = unassignedAlgorithm })}, []labHost{on("198.18.2.9")}},
		{Spec{Origin: "hashed.test.", Text: labLeaf("198.18.2.10", 33, "*.wild TXT \"hashed\"", "a.b.c A 192.0.2.33"),
			Signing: sign(func(s *Signing) { s.NSEC3 = &NSEC3{} })}, []labHost{on("198.18.2.10")}},
		{Spec{Origin: "rsa.test.", Text: labLeaf("198.18.2.11", 34),
			Signing: sign(func(s *Signing) { s.Algorithm = dns.RSASHA256 })}, []labHost{on("198.18.2.11")}},
		{Spec{Origin: "ed.test.", Text: labLeaf("198.18.2.12", 35),
			Signing: sign(func(s *Signing) { s.Algorithm = dns.ED25519 })}, []labHost{on("198.18.2.12")}},
		{Spec{Origin: "badds.test.", Text: labLeaf("198.18.2.13", 36),
			Signing: sign(func(s *Signing) { s.Break = BreakDS })}, []labHost{on("198.18.2.13")}},
		{Spec{Origin: "lame.test.", Text: labLeaf("198.18.2.14", 37, "@ NS ns2", "ns2 A 198.18.2.15")},
			[]labHost{on("198.18.2.14").with(Faults{Lame: LameRefused}), on("198.18.2.15")}},
		{Spec{Origin: "nobody.test.", Text: labLeaf("198.18.2.16", 38)},
			[]labHost{on("198.18.2.16").with(Faults{Lame: LameRefused})}},
		{Spec{Origin: "slow.test.", Text: labLeaf("198.18.2.17", 39)},
			[]labHost{on("198.18.2.17").with(Faults{Slow: labSlow})}},
		{Spec{Origin: "dead.test.", Text: labLeaf("198.18.2.18", 40)},
			[]labHost{on("198.18.2.18").with(Faults{Dead: true})}},
		{Spec{Origin: "glueless.test.", Text: labSOA + "@ NS ns1.host.example.\n@ NS ns2.host.example.\nwww A 192.0.2.41\n"},
			[]labHost{on("198.18.2.20"), on("198.18.2.19")}},
		{Spec{Origin: "host.example.", Text: labLeaf("198.18.2.20", 42, "@ NS ns2", "ns2 A 198.18.2.19"), Signing: sign(nil)},
			[]labHost{on("198.18.2.20"), on("198.18.2.19")}},
		{Spec{Origin: "island.test.", Text: labLeaf("198.18.2.21", 43), Signing: sign(nil), NoDS: true},
			[]labHost{on("198.18.2.21")}},
		{Spec{Origin: "plain.example.", Text: labLeaf("198.18.2.22", 44)}, []labHost{on("198.18.2.22")}},
		{Spec{Origin: "six.example.", Text: labLeaf("2001:db8:2::23", 45, "chain CNAME www.dual.example."), Signing: sign(nil)},
			[]labHost{on("2001:db8:2::23")}},
		{Spec{Origin: "dual.example.", Text: labLeaf("198.18.2.24", 46, "ns1 AAAA 2001:db8:2::24"), Signing: sign(nil)},
			[]labHost{on("198.18.2.24"), on("2001:db8:2::24").with(Faults{Dead: true})}},
		{Spec{Origin: "salted.example.", Text: labLeaf("198.18.2.30", 47), Signing: sign(func(s *Signing) {
			s.NSEC3 = &NSEC3{Iterations: 5, Salt: "5a17"}
		})}, []labHost{on("198.18.2.30")}},
	}
	return append(zones, labDeep(sign(nil))...)
}

// labDeep is a ladder of signed zones, one label each, every one on a server of its own.
func labDeep(s *Signing) []labZone {
	const rungs = 4
	var zones []labZone
	origin := "deep.example."
	for i := range rungs + 1 {
		addr := fmt.Sprintf("198.18.2.%d", 25+i)
		text := labLeaf(addr, 50+i)
		if i < rungs {
			text += fmt.Sprintf("d%d NS ns1.d%d\nns1.d%d A 198.18.2.%d\n", i+1, i+1, i+1, 26+i)
		}
		zones = append(zones, labZone{Spec{Origin: origin, Text: text, Signing: s}, []labHost{on(addr)}})
		origin = child(fmt.Sprintf("d%d", i+1), origin)
	}
	return zones
}
