package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// reply is what a resolver said, in the form in which replies are compared: RRsets as
// sets, names in lower case, TTLs aside.
type reply struct {
	err       error
	rcode     string
	ad, tc    bool
	answer    []string
	soa       []string // of the authority section
	denial    []string // NSEC and NSEC3 there, with their signatures
	authority []string // what else is there
	ttl       map[string]uint32
	ede       []string
	raw       *dns.Msg
}

const (
	// patience is how long one reply is waited for, in seconds of a loaded machine.
	patience = 12 * time.Second
	// udpSize is the size that the peers advertise too (DNS flag day 2020).
	udpSize = 1232
)

var errTruncated = errors.New("truncated over TCP")

// ask sends a question to a resolver over UDP, and over TCP where the reply is truncated.
func ask(server string, q question) *reply {
	m := q.message()
	r := &reply{}
	client := dns.Client{Net: "udp", Timeout: patience, UDPSize: dns.MaxMsgSize}
	in, _, err := client.Exchange(m, server)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() { // a datagram may be lost
		in, _, err = client.Exchange(m, server)
	}
	if err == nil && in.Truncated {
		r.tc = true
		client.Net = "tcp"
		if in, _, err = client.Exchange(m, server); err == nil && in.Truncated {
			err = errTruncated
		}
	}
	if r.err = err; err == nil {
		r.read(in)
	}
	return r
}

// message is the question as a query.
func (q question) message() *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(q.name, q.qtype)
	m.Question[0].Qclass = q.class
	m.CheckingDisabled, m.AuthenticatedData = q.cd, q.ad
	if q.edns {
		m.SetEdns0(udpSize, q.do)
	}
	return m
}

// read takes a message apart.
func (r *reply) read(m *dns.Msg) {
	r.raw = m
	r.rcode, r.ad = dns.RcodeToString[m.Rcode], m.AuthenticatedData
	r.ttl = make(map[string]uint32)
	for _, rr := range m.Answer {
		r.answer = append(r.answer, canonical(rr))
		r.note(rr)
	}
	for _, rr := range m.Ns {
		section := &r.authority
		switch covers(rr) {
		case dns.TypeSOA:
			section = &r.soa
		case dns.TypeNSEC, dns.TypeNSEC3:
			section = &r.denial
		}
		*section = append(*section, canonical(rr))
	}
	for _, s := range []*[]string{&r.answer, &r.soa, &r.denial, &r.authority} {
		slices.Sort(*s)
		*s = slices.Compact(*s)
	}
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				r.ede = append(r.ede, fmt.Sprintf("%d %s", e.InfoCode, e.ExtraText))
			}
		}
	}
}

// note remembers the least TTL of an answer's RRset.
func (r *reply) note(rr dns.RR) {
	h := rr.Header()
	key := dns.CanonicalName(h.Name) + " " + dns.Type(h.Rrtype).String()
	if ttl, ok := r.ttl[key]; !ok || h.Ttl < ttl {
		r.ttl[key] = h.Ttl
	}
}

// covers is a record's type, and that of the RRset that a signature is over.
func covers(rr dns.RR) uint16 {
	if sig, ok := rr.(*dns.RRSIG); ok {
		return sig.TypeCovered
	}
	return rr.Header().Rrtype
}

// canonical writes a record without its TTL. Names lose their letter case, also in the
// RDATA of types in which a name may be compressed (RFC 4343 §3).
func canonical(rr dns.RR) string {
	rr = dns.Copy(rr)
	h := rr.Header()
	h.Ttl, h.Name = 0, dns.CanonicalName(h.Name)
	switch h.Rrtype {
	case dns.TypeNS, dns.TypeCNAME, dns.TypeDNAME, dns.TypeSOA, dns.TypePTR, dns.TypeMX, dns.TypeSRV, dns.TypeNSEC, dns.TypeNSEC3:
		return strings.ToLower(rr.String())
	}
	return rr.String()
}
