package dnssec_test

import (
	"fmt"
	"time"

	foreign "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
)

// section reads zone file lines as the records of a response.
func section(lines ...string) []dns.RR {
	m := new(foreign.Msg)
	for _, line := range lines {
		rr, err := foreign.NewRR(line)
		if err != nil {
			panic(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	var ours dns.Message
	if err := ours.Unpack(b); err != nil {
		panic(err)
	}
	return ours.Answer
}

// From a trust anchor to the proof that a name does not exist.
func Example() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	zone := dns.MustName("example.")
	anchors, err := dnssec.ParseAnchors("example. DS 3613 15 2 12C20306CC95275FC2D60A95D548BD6006CBC846AF2D7D87B2087D5AB62059FF")
	if err != nil {
		panic(err)
	}
	v, work := dnssec.New(dnssec.Config{}), new(dnssec.Work)

	keys, status := v.VerifyKeys(zone, dnssec.AnchorsOf(zone, anchors), section(
		"example. 3600 IN DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=",
		"example. 3600 IN RRSIG DNSKEY 15 1 3600 20360101000000 20260101000000 3613 example. xD6eaQ24Dnhrs3SUkoyzZFJca1kCqX2Cs6xn6Ww+J3eWVnC6B7zMvLHtjrnNR6sJo0rSdUAoTWMPgkiYIKyZAg==",
	), now, work)
	fmt.Println("keys:", status)

	response := dnssec.Response{
		Name: dns.MustName("nothing.example."), Type: dns.TypeA, RCode: dns.RCodeNameError,
		Authority: section(
			"example. 3600 IN SOA ns.example. host.example. 1 7200 3600 1209600 300",
			"example. 3600 IN RRSIG SOA 15 1 3600 20360101000000 20260101000000 3613 example. IYkWH/2YFUovGd5rDM0CqLEe02Rl6rahssj2+/W5seivl7oOva/UII8La9FYwyt5fBe/c5bGeDk4vff8a8+0BA==",
			"example. 300 IN NSEC www.example. NS SOA RRSIG NSEC DNSKEY",
			"example. 300 IN RRSIG NSEC 15 1 300 20360101000000 20260101000000 3613 example. pR9+NcMAgor9ykUgSCzQiGRiBxq5y068yJBZXL7xiripD5cd2tEKPUvv2mf7nIEHX2kxjWSxrcmxprivkupMAA==",
		),
	}
	a := v.VerifyAnswer(keys, &response, now, work)
	fmt.Println("answer:", a.Status, a.RCode, a.TTL)

	response.Authority = response.Authority[:2]
	a = v.VerifyAnswer(keys, &response, now, work)
	fmt.Printf("without the NSEC record: %v, %s (%v)\n", a.Status, a.Status.Reason(), a.Status.EDE())
	fmt.Println("verifications:", work.Verifications())
	// Output:
	// keys: secure
	// answer: secure NXDOMAIN 300
	// without the NSEC record: bogus, no NSEC or NSEC3 record (NSEC Missing)
	// verifications: 4
}
