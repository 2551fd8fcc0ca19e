package dns

import (
	"encoding/binary"
	"iter"
	"net/netip"
)

// RR is a resource record (RFC 1035 §4.1.3). Names in Data are uncompressed.
type RR struct {
	Name  Name
	Type  Type
	Class Class
	TTL   uint32 // seconds
	Data  []byte
}

// Target is the name that the record leads to: that of NS, CNAME, DNAME, PTR, MX, KX,
// AFSDB, SRV, SVCB and HTTPS. In SVCB and HTTPS the root means the owner itself in
// service mode (RFC 9460 §2.5.2), and no service in alias mode (§2.5.1).
func (r RR) Target() (Name, bool) {
	skip := 0
	switch r.Type {
	case TypeNS, TypeCNAME, TypeDNAME, TypePTR:
	case TypeMX, TypeKX, TypeAFSDB, TypeSVCB, TypeHTTPS:
		skip = 2
	case TypeSRV:
		skip = 6
	default:
		return "", false
	}
	if len(r.Data) < skip {
		return "", false
	}
	n, _, ok := ReadName(r.Data[skip:])
	if ok && n == Root && (r.Type == TypeSVCB || r.Type == TypeHTTPS) && be16(r.Data) != 0 {
		return r.Name, true
	}
	return n, ok
}

// Addr is the address of an A or AAAA record.
func (r RR) Addr() (netip.Addr, bool) {
	switch {
	case r.Type == TypeA && len(r.Data) == 4, r.Type == TypeAAAA && len(r.Data) == 16:
		return netip.AddrFromSlice(r.Data)
	}
	return netip.Addr{}, false
}

// Covered is the type that an RRSIG covers; 0 for other records.
func (r RR) Covered() Type {
	if r.Type != TypeRRSIG || len(r.Data) < 2 {
		return 0
	}
	return Type(be16(r.Data))
}

// Service parameter keys (RFC 9460 §14.3.2, RFC 9461 §5).
const (
	keyALPN          = 1
	keyNoDefaultALPN = 2
	keyPort          = 3
	keyIPv4Hint      = 4
	keyECH           = 5
	keyIPv6Hint      = 6
	keyDoHPath       = 7
)

// Addrs yields the address of an A or AAAA record, and the address hints of an SVCB or
// HTTPS record. RDATA that is malformed anywhere yields none.
func (r RR) Addrs() iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		if a, ok := r.Addr(); ok {
			yield(a)
			return
		}
		if r.Type != TypeSVCB && r.Type != TypeHTTPS {
			return
		}
		params, ok := r.serviceParams()
		for ok && len(params) > 0 {
			var key uint16
			var value []byte
			key, value, params = nextParam(params)
			size := hintLen(key)
			for ; size > 0 && len(value) > 0; value = value[size:] {
				a, _ := netip.AddrFromSlice(value[:size])
				if !yield(a) {
					return
				}
			}
		}
	}
}

// hintLen is the length of one address in the hint of that key; 0 for other keys.
func hintLen(key uint16) int {
	switch key {
	case keyIPv4Hint:
		return 4
	case keyIPv6Hint:
		return 16
	}
	return 0
}

// serviceParams are the parameters of an SVCB or HTTPS record. ok is false unless they
// are well formed: keys in strictly increasing order, and hints that are one address or
// more (RFC 9460 §2.2, §7.3).
func (r RR) serviceParams() (params []byte, ok bool) {
	if len(r.Data) < 2 {
		return nil, false
	}
	n, ok := nameLen(r.Data[2:])
	if !ok {
		return nil, false
	}
	params = r.Data[2+n:]
	last := -1
	for rest := params; len(rest) > 0; {
		if len(rest) < 4 || len(rest) < 4+int(be16(rest[2:])) {
			return nil, false
		}
		var key uint16
		var value []byte
		key, value, rest = nextParam(rest)
		size := hintLen(key)
		if int(key) <= last || size > 0 && (len(value) == 0 || len(value)%size != 0) {
			return nil, false
		}
		last = int(key)
	}
	return params, true
}

// nextParam reads the service parameter that well-formed params start with.
func nextParam(params []byte) (key uint16, value, rest []byte) {
	end := 4 + int(be16(params[2:]))
	return be16(params), params[4:end], params[end:]
}

// AppendCanonical appends the record in canonical form (RFC 4034 §6.2): the owner's
// name in lower case, the given TTL, and RDATA as AppendCanonicalData has it.
func (r RR) AppendCanonical(out []byte, ttl uint32) []byte {
	start := len(out)
	out = append(out, r.Name...)
	lower(out[start:])
	out = binary.BigEndian.AppendUint16(out, uint16(r.Type))
	out = binary.BigEndian.AppendUint16(out, uint16(r.Class))
	out = binary.BigEndian.AppendUint32(out, ttl)
	out = binary.BigEndian.AppendUint16(out, uint16(len(r.Data)))
	return AppendCanonicalData(out, r.Type, r.Data)
}
