package simnet

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// question puts a question to the zones without a network.
func answerOf(t *testing.T, name string, qtype uint16, zones ...*Zone) *dns.Msg {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(name, qtype)
	q.SetEdns0(1232, true)
	packet, err := q.Pack()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	replies := Authoritative(zones...)(Query{Bytes: packet, TCP: true})
	m := new(dns.Msg)
	if err := m.Unpack(replies[0].Bytes); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return m
}

// probes are names in, beside and below everything that a zone has.
func probes(z *Zone) []string {
	var out []string
	for _, n := range z.sorted() {
		out = append(out, n.name, strings.ToUpper(n.name), child("0", n.name), child("zz", n.name),
			child("m.deeper", n.name), child("*", n.name))
		if n.name != z.origin {
			out = append(out, "a"+n.name, "z"+n.name)
		}
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(s string) bool {
		_, ok := dns.IsDomainName(s)
		return !ok || len(s) > 250
	})
}

var probeTypes = []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeNS, dns.TypeDS, dns.TypeSOA, dns.TypeCNAME,
	dns.TypeDNAME, dns.TypeDNSKEY, dns.TypeNSEC, dns.TypeANY, dns.TypeRRSIG, dns.TypeHTTPS, 65280}

// probe checks every reply of a zone to every probe.
func probe(t *testing.T, z *Zone) int {
	t.Helper()
	count := 0
	c := newChecker(z)
	for _, name := range probes(z) {
		for _, qtype := range probeTypes {
			m := answerOf(t, name, qtype, z)
			count++
			if err := c.check(m); err != nil {
				t.Errorf("%s: %s %s: %v", z.origin, name, dns.Type(qtype), err)
			}
			if want := expected(z, strings.ToLower(name), qtype); want != "" && want != outcome(m) {
				t.Errorf("%s: %s %s: %s, should be %s\n%v", z.origin, name, dns.Type(qtype), outcome(m), want, m)
			}
			if t.Failed() && count > 5000 {
				t.FailNow()
			}
		}
	}
	return count
}

// outcome names what a reply is.
func outcome(m *dns.Msg) string {
	switch {
	case !m.Authoritative && m.Rcode == dns.RcodeSuccess:
		return "referral"
	case m.Rcode != dns.RcodeSuccess:
		return dns.RcodeToString[m.Rcode]
	case len(m.Answer) == 0:
		return "NODATA"
	}
	return "answer"
}

// expected says what the reply must be, from the definitions alone: a name
// exists if some record is at or below it. Aliases are left to other tests.
func expected(z *Zone, name string, qtype uint16) string {
	has := func(name string, t uint16) bool { return z.nodes[name] != nil && z.nodes[name].of(t) != nil }
	for up := name; up != z.origin; up = parent(up) {
		if above := parent(up); has(above, dns.TypeDNAME) {
			return ""
		}
	}
	cut := ""
	for up := name; up != z.origin; up = parent(up) {
		if has(up, dns.TypeNS) {
			cut = up // the one nearest the apex counts
		}
	}
	if cut != "" && !(cut == name && qtype == dns.TypeDS) {
		return "referral"
	}
	owner := name
	exists := func(name string) bool {
		for n := range z.nodes {
			if dns.IsSubDomain(name, n) && len(z.nodes[n].types()) > 0 {
				return true
			}
		}
		return false
	}
	if !exists(name) {
		up := parent(name)
		for !exists(up) {
			up = parent(up)
		}
		if owner = child("*", up); !exists(owner) {
			return "NXDOMAIN"
		}
	}
	switch {
	case has(owner, dns.TypeCNAME) && qtype != dns.TypeCNAME:
		return ""
	case has(owner, qtype), qtype == dns.TypeANY && z.nodes[owner] != nil && len(z.nodes[owner].types()) > 0:
		return "answer"
	case qtype == dns.TypeRRSIG && z.signing != nil && z.nodes[owner] != nil && len(z.nodes[owner].types()) > 0:
		return "" // unsigned at an unsigned delegation
	}
	return "NODATA"
}

// TestProofs puts thousands of questions to each signed zone of the lab and
// checks every signature and every denial.
func TestProofs(t *testing.T) {
	count := 0
	for _, z := range Lab(7, labNow).Tree().Zones() {
		if sound(z) {
			count += probe(t, z)
		}
	}
	if count < 10_000 {
		t.Errorf("only %d questions", count)
	}
}

// randomZone makes a zone of names that crowd together.
func randomZone(r *rand.Rand) string {
	labels := []string{"a", "b", "c", "*", "ab", "-", "zz"}
	name := func() string {
		var parts []string
		for range 1 + r.IntN(4) {
			parts = append(parts, labels[r.IntN(len(labels))])
		}
		return strings.Join(parts, ".")
	}
	var b strings.Builder
	b.WriteString("@ NS ns.elsewhere.\n")
	aliases := map[string]bool{}
	plain := map[string]bool{}
	for range 1 + r.IntN(25) {
		owner := name()
		kind := r.IntN(10)
		alone := kind >= 8 // CNAME, DNAME: keep them free of other data
		if aliases[owner] || alone && plain[owner] || kind < 10 && kind >= 6 && strings.HasPrefix(owner, "*") {
			continue
		}
		aliases[owner], plain[owner] = alone, true
		switch kind {
		case 0, 1, 2:
			fmt.Fprintf(&b, "%s A 192.0.2.%d\n", owner, r.IntN(250))
		case 3, 4, 5:
			fmt.Fprintf(&b, "%s TXT \"%d\"\n", owner, r.IntN(250))
		case 6:
			fmt.Fprintf(&b, "%s NS ns.elsewhere.\n", owner)
		case 7:
			fmt.Fprintf(&b, "%s NS ns.elsewhere.\n%s DS 1 13 2 %064d\n", owner, owner, r.IntN(1000))
		case 8:
			fmt.Fprintf(&b, "%s CNAME %s\n", owner, name())
		case 9:
			fmt.Fprintf(&b, "%s DNAME %s.elsewhere.\n", owner, name())
		}
	}
	return b.String()
}

// TestRandomZones does the same to random zones, with NSEC, NSEC3 and opt-out.
func TestRandomZones(t *testing.T) {
	const rounds = 15
	for i := range uint64(rounds) {
		text := randomZone(rand.New(rand.NewPCG(1, i)))
		s := &Signing{Inception: labNow.Add(-time.Hour), Expiration: labNow.Add(time.Hour)}
		switch i % 3 {
		case 1:
			s.NSEC3 = &NSEC3{Iterations: uint16(i % 4), Salt: []string{"", "0badcafe"}[i%2]}
		case 2:
			s.NSEC3 = &NSEC3{OptOut: true}
		}
		tree, err := Build(i, Spec{Origin: "z.example.", Text: text, Signing: s})
		if err != nil {
			t.Fatalf("%d: %v\n%s", i, err, text)
		}
		if probe(t, tree.Zone("z.example")); t.Failed() {
			t.Fatalf("round %d:\n%s", i, text)
		}
	}
}
