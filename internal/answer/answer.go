// Package answer holds the value that one resolution yields: what the Internet
// said to one question, with its DNSSEC status, never what a filter makes of it.
//
// An Answer is immutable. Whoever holds one may read it from any goroutine;
// nobody may change the slices that its methods return.
package answer

import (
	"iter"
	"net/netip"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
)

// Parts is what New makes an Answer of.
type Parts struct {
	Name   dns.Name // the question's name, in canonical form
	Type   dns.Type // the question's type
	RCode  dns.RCode
	Status dnssec.Status // of the whole answer: the weakest of its parts

	// Answer holds the chain in order: each CNAME or DNAME, then the data at its
	// end; RRSIGs follow what they sign. Authority holds the SOA of a negative
	// answer and the denial of existence (NSEC, NSEC3) with its RRSIGs.
	Answer    []dns.RR
	Authority []dns.RR

	// ErrorCode and ErrorText say why a resolution failed or what is odd about it
	// (RFC 8914). They count only where HasError is set.
	HasError  bool
	ErrorCode dns.ErrorCode
	ErrorText string

	Born time.Time     // when it was learned
	TTL  time.Duration // how long it may be served from memory, counted from Born
}

// Status is the DNSSEC status of an answer. Only package dnssec makes one.
type Status = dnssec.Status

// Answer is an immutable answer to one question in class IN.
type Answer struct{ p Parts }

// New makes an Answer. It takes the slices over: the caller no longer writes to them.
func New(p Parts) *Answer {
	p.Name = p.Name.Canonical()
	return &Answer{p: p}
}

func (a *Answer) Name() dns.Name        { return a.p.Name }
func (a *Answer) Type() dns.Type        { return a.p.Type }
func (a *Answer) RCode() dns.RCode      { return a.p.RCode }
func (a *Answer) Status() dnssec.Status { return a.p.Status }
func (a *Answer) Answer() []dns.RR      { return a.p.Answer }
func (a *Answer) Authority() []dns.RR   { return a.p.Authority }
func (a *Answer) Born() time.Time       { return a.p.Born }
func (a *Answer) TTL() time.Duration    { return a.p.TTL }

// Error is the Extended DNS Error of a failed or odd resolution; ok is false where there is none.
func (a *Answer) Error() (code dns.ErrorCode, text string, ok bool) {
	return a.p.ErrorCode, a.p.ErrorText, a.p.HasError
}

// Expires is the moment from which the answer is stale.
func (a *Answer) Expires() time.Time { return a.p.Born.Add(a.p.TTL) }

// Targets yields every name that the answer leads to: the targets of CNAME,
// DNAME, SVCB and HTTPS records in the answer section, in order.
func (a *Answer) Targets() iter.Seq[dns.Name] {
	return func(yield func(dns.Name) bool) {
		for _, rr := range a.p.Answer {
			switch rr.Type {
			case dns.TypeCNAME, dns.TypeDNAME, dns.TypeSVCB, dns.TypeHTTPS:
				if t, ok := rr.Target(); ok && !yield(t) {
					return
				}
			}
		}
	}
}

// Addrs yields every address that the answer leads to: A and AAAA records and
// the address hints of SVCB and HTTPS records (RFC 9460 §7.3) in the answer section.
func (a *Answer) Addrs() iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for _, rr := range a.p.Answer {
			for addr := range rr.Addrs() {
				if !yield(addr) {
					return
				}
			}
		}
	}
}
