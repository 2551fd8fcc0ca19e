// Package discovery says of a resolver which encrypted transports it has, in the forms in which
// clients are told: SVCB records for _dns.resolver.arpa, asked for on plain DNS (DDR, RFC
// 9462), and for the resolver's own name (RFC 9461), HTTPS records of that name (RFC 9460), and options
// of DHCP and of router advertisements (DNR, RFC 9463).
//
// It is pure: what it is given, it writes. Parameters stand in the order of their keys (RFC
// 9460 §2.2), and are alpn, port, the address hints (in records alone: RFC 9463 §3.1.8 has addresses
// of its own), ech and dohpath.
package discovery

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/shoji-dns/shoji/internal/dns"
)

// Name is where plain resolvers are asked for their designated ones (RFC 9462 §4).
const Name = "_dns.resolver.arpa."

// TTL is that of the records, in seconds: an hour, so that a change is soon felt.
const TTL = 3600

// Keys of service parameters (RFC 9460 §14.3.2, RFC 9461 §10.1).
const (
	keyALPN    = 1
	keyPort    = 3
	keyHint4   = 4
	keyECH     = 5 // RFC 9848 §3
	keyHint6   = 6
	keyDoHPath = 7
)

// Endpoint is one way to a resolver.
type Endpoint struct {
	Priority uint16   // from 1; a client takes the least that it can use
	Target   dns.Name // the authentication domain name, which the certificate has
	ALPN     []string // dot, doq, h2, h3
	Port     uint16   //
	Path     string   // of DoH; "" elsewhere
	ECH      []byte   // list of configurations of Encrypted Client Hello (RFC 9849 §4); nil: none
	Addrs    []netip.Addr
}

// Check refuses what no client could use.
func (e *Endpoint) Check() error {
	switch {
	case e.Priority == 0:
		return errors.New("a priority of 0 is an alias, and no way to a resolver")
	case e.Target == dns.Root || e.Target == "":
		return errors.New("no name for the certificate to have")
	case len(e.ALPN) == 0:
		return fmt.Errorf("%s: no transport", e.Target)
	case e.Port == 0:
		return fmt.Errorf("%s: no port", e.Target)
	}
	return nil
}

// params appends the service parameters.
func (e *Endpoint) params(out []byte, hints bool) []byte {
	var alpn, hint4, hint6, path []byte
	for _, p := range e.ALPN {
		alpn = append(append(alpn, byte(len(p))), p...)
	}
	if hints {
		hint4, hint6 = e.addrs(netip.Addr.Is4), e.addrs(netip.Addr.Is6)
	}
	if e.Path != "" {
		path = append([]byte(e.Path), "{?dns}"...) // RFC 9461 §5
	}
	for _, p := range []struct {
		key   uint16
		value []byte
	}{{keyALPN, alpn}, {keyPort, binary.BigEndian.AppendUint16(nil, e.Port)}, {keyHint4, hint4}, {keyECH, e.ECH}, {keyHint6, hint6}, {keyDoHPath, path}} {
		if len(p.value) == 0 {
			continue
		}
		out = binary.BigEndian.AppendUint16(out, p.key)
		out = binary.BigEndian.AppendUint16(out, uint16(len(p.value)))
		out = append(out, p.value...)
	}
	return out
}

// addrs are the addresses of a family, one after the other.
func (e *Endpoint) addrs(of func(netip.Addr) bool) (out []byte) {
	for _, a := range e.Addrs {
		if of(a) {
			out = append(out, a.AsSlice()...)
		}
	}
	return out
}

// Record is the SVCB record for _dns.resolver.arpa.
func (e *Endpoint) Record() dns.RR { return e.record(dns.MustName(Name), dns.TypeSVCB, e.Target) }

func (e *Endpoint) record(owner dns.Name, t dns.Type, target dns.Name) dns.RR {
	data := binary.BigEndian.AppendUint16(nil, e.Priority)
	data = append(data, target...)
	return dns.RR{Name: owner, Type: t, Class: dns.ClassIN, TTL: TTL, Data: e.params(data, true)}
}

// Named are the records by which who knows the resolver by its name finds the endpoint: the SVCB record
// of _dns below the name (RFC 9461 §3), and over HTTP the HTTPS record that a browser asks for
// (RFC 9460 §9), which is at the name itself for port 443. An error is of a name that is too long
// to have names below it.
func (e *Endpoint) Named() ([]dns.RR, error) {
	below := func(labels ...string) (dns.Name, error) {
		var name []byte
		for _, l := range labels {
			name = append(append(name, byte(len(l))), l...)
		}
		if name = append(name, e.Target...); len(name) > dns.MaxName {
			return "", fmt.Errorf("%s: too long to have names below it", e.Target)
		}
		return dns.Name(name), nil
	}
	owner, err := below("_dns")
	if err != nil {
		return nil, err
	}
	out := []dns.RR{e.record(owner, dns.TypeSVCB, e.Target)}
	if e.Path == "" {
		return out, nil
	}
	web := *e
	web.Path, owner = "", e.Target
	if e.Port != 443 {
		if owner, err = below(fmt.Sprintf("_%d", e.Port), "_https"); err != nil {
			return nil, err
		}
	}
	return append(out, web.record(owner, dns.TypeHTTPS, e.Target)), nil
}

// ECH finds what an SVCB or HTTPS record tells of Encrypted Client Hello. ok is false where its
// parameters do not end with it, or do not stand in order (RFC 9460 §2.2).
func ECH(r dns.RR) (list []byte, ok bool) {
	if r.Type != dns.TypeSVCB && r.Type != dns.TypeHTTPS || len(r.Data) < 2 {
		return nil, false
	}
	b := r.Data[2:]
	for len(b) > 0 && b[0] != 0 { // the target
		if len(b) < 1+int(b[0]) || b[0] > 63 {
			return nil, false
		}
		b = b[1+int(b[0]):]
	}
	if len(b) == 0 {
		return nil, false
	}
	b = b[1:]
	for last := -1; len(b) > 0; {
		if len(b) < 4 {
			return nil, false
		}
		key, n := int(binary.BigEndian.Uint16(b)), int(binary.BigEndian.Uint16(b[2:]))
		if b = b[4:]; key <= last || n > len(b) {
			return nil, false
		}
		if key == keyECH {
			list = b[:n:n]
		}
		last, b = key, b[n:]
	}
	return list, true
}

// DHCPv4 is the value of option 162 for some endpoints, or nothing where none has an IPv4 address (RFC
// 9463 §5.1).
func DHCPv4(all []Endpoint) (out []byte) {
	for i := range all {
		e := &all[i]
		addrs := e.addrs(netip.Addr.Is4)
		if len(addrs) == 0 || len(addrs) > 255 {
			continue
		}
		one := binary.BigEndian.AppendUint16(nil, e.Priority)
		one = append(append(one, byte(len(e.Target))), e.Target...)
		one = append(append(one, byte(len(addrs))), addrs...)
		one = e.params(one, false)
		out = binary.BigEndian.AppendUint16(out, uint16(len(one)))
		out = append(out, one...)
	}
	return out
}

// DHCPv6 is the value of an option 144, without its code and length (RFC 9463 §4.1). ok is false where
// the endpoint has no IPv6 address.
func (e *Endpoint) DHCPv6() (out []byte, ok bool) {
	addrs := e.addrs(netip.Addr.Is6)
	out = binary.BigEndian.AppendUint16(nil, e.Priority)
	out = e.named(out, addrs)
	return e.params(out, false), len(addrs) > 0
}

// Advertisement is a whole option 144 of router advertisements, valid for lifetime seconds
// (RFC 9463 §6.1). ok is false where the endpoint has no IPv6 address, or does not fit.
func (e *Endpoint) Advertisement(lifetime uint32) (out []byte, ok bool) {
	const kind, unit, most = 144, 8, 255 * 8
	addrs := e.addrs(netip.Addr.Is6)
	out = binary.BigEndian.AppendUint16([]byte{kind, 0}, e.Priority)
	out = binary.BigEndian.AppendUint32(out, lifetime)
	out = e.named(out, addrs)
	params := e.params(nil, false)
	out = binary.BigEndian.AppendUint16(out, uint16(len(params)))
	out = append(out, params...)
	for len(out)%unit != 0 {
		out = append(out, 0)
	}
	if len(addrs) == 0 || len(out) > most {
		return nil, false
	}
	out[1] = byte(len(out) / unit)
	return out, true
}

// named appends the name and addresses as DHCPv6 and router advertisements have them.
func (e *Endpoint) named(out, addrs []byte) []byte {
	out = binary.BigEndian.AppendUint16(out, uint16(len(e.Target)))
	out = append(out, e.Target...)
	out = binary.BigEndian.AppendUint16(out, uint16(len(addrs)))
	return append(out, addrs...)
}
