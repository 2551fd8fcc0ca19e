package dns

import (
	"fmt"
	"strconv"
	"strings"
)

// Type is an RR type or a question's type (RFC 1035 §3.2.2, RFC 6895 §3.1).
type Type uint16

// The types that have a name here. Others are written TYPEn (RFC 3597 §5).
const (
	TypeA          Type = 1
	TypeNS         Type = 2
	TypeMD         Type = 3
	TypeMF         Type = 4
	TypeCNAME      Type = 5
	TypeSOA        Type = 6
	TypeMB         Type = 7
	TypeMG         Type = 8
	TypeMR         Type = 9
	TypeNULL       Type = 10
	TypeWKS        Type = 11
	TypePTR        Type = 12
	TypeHINFO      Type = 13
	TypeMINFO      Type = 14
	TypeMX         Type = 15
	TypeTXT        Type = 16
	TypeRP         Type = 17
	TypeAFSDB      Type = 18
	TypeX25        Type = 19
	TypeISDN       Type = 20
	TypeRT         Type = 21
	TypeNSAP       Type = 22
	TypeNSAPPTR    Type = 23
	TypeSIG        Type = 24
	TypeKEY        Type = 25
	TypePX         Type = 26
	TypeGPOS       Type = 27
	TypeAAAA       Type = 28
	TypeLOC        Type = 29
	TypeNXT        Type = 30
	TypeSRV        Type = 33
	TypeNAPTR      Type = 35
	TypeKX         Type = 36
	TypeCERT       Type = 37
	TypeA6         Type = 38
	TypeDNAME      Type = 39
	TypeOPT        Type = 41
	TypeAPL        Type = 42
	TypeDS         Type = 43
	TypeSSHFP      Type = 44
	TypeIPSECKEY   Type = 45
	TypeRRSIG      Type = 46
	TypeNSEC       Type = 47
	TypeDNSKEY     Type = 48
	TypeDHCID      Type = 49
	TypeNSEC3      Type = 50
	TypeNSEC3PARAM Type = 51
	TypeTLSA       Type = 52
	TypeSMIMEA     Type = 53
	TypeHIP        Type = 55
	TypeCDS        Type = 59
	TypeCDNSKEY    Type = 60
	TypeOPENPGPKEY Type = 61
	TypeCSYNC      Type = 62
	TypeZONEMD     Type = 63
	TypeSVCB       Type = 64
	TypeHTTPS      Type = 65
	TypeSPF        Type = 99
	TypeNID        Type = 104
	TypeL32        Type = 105
	TypeL64        Type = 106
	TypeLP         Type = 107
	TypeEUI48      Type = 108
	TypeEUI64      Type = 109
	TypeNXNAME     Type = 128 // RFC 9824: only in an NSEC bitmap
	TypeTKEY       Type = 249
	TypeTSIG       Type = 250
	TypeIXFR       Type = 251
	TypeAXFR       Type = 252
	TypeMAILB      Type = 253
	TypeMAILA      Type = 254
	TypeANY        Type = 255
	TypeURI        Type = 256
	TypeCAA        Type = 257
	TypeAMTRELAY   Type = 260
	TypeRESINFO    Type = 261
	TypeTA         Type = 32768
	TypeDLV        Type = 32769
)

// typeNames is read only.
var typeNames = [...]string{
	TypeA: "A", TypeNS: "NS", TypeMD: "MD", TypeMF: "MF", TypeCNAME: "CNAME", TypeSOA: "SOA",
	TypeMB: "MB", TypeMG: "MG", TypeMR: "MR", TypeNULL: "NULL", TypeWKS: "WKS", TypePTR: "PTR",
	TypeHINFO: "HINFO", TypeMINFO: "MINFO", TypeMX: "MX", TypeTXT: "TXT", TypeRP: "RP",
	TypeAFSDB: "AFSDB", TypeX25: "X25", TypeISDN: "ISDN", TypeRT: "RT", TypeNSAP: "NSAP",
	TypeNSAPPTR: "NSAP-PTR", TypeSIG: "SIG", TypeKEY: "KEY", TypePX: "PX", TypeGPOS: "GPOS",
	TypeAAAA: "AAAA", TypeLOC: "LOC", TypeNXT: "NXT", TypeSRV: "SRV", TypeNAPTR: "NAPTR",
	TypeKX: "KX", TypeCERT: "CERT", TypeA6: "A6", TypeDNAME: "DNAME", TypeOPT: "OPT", TypeAPL: "APL",
	TypeDS: "DS", TypeSSHFP: "SSHFP", TypeIPSECKEY: "IPSECKEY", TypeRRSIG: "RRSIG",
	TypeNSEC: "NSEC", TypeDNSKEY: "DNSKEY", TypeDHCID: "DHCID", TypeNSEC3: "NSEC3",
	TypeNSEC3PARAM: "NSEC3PARAM", TypeTLSA: "TLSA", TypeSMIMEA: "SMIMEA", TypeHIP: "HIP",
	TypeCDS: "CDS", TypeCDNSKEY: "CDNSKEY", TypeOPENPGPKEY: "OPENPGPKEY", TypeCSYNC: "CSYNC",
	TypeZONEMD: "ZONEMD", TypeSVCB: "SVCB", TypeHTTPS: "HTTPS", TypeSPF: "SPF", TypeNID: "NID",
	TypeL32: "L32", TypeL64: "L64", TypeLP: "LP", TypeEUI48: "EUI48", TypeEUI64: "EUI64",
	TypeNXNAME: "NXNAME", TypeTKEY: "TKEY", TypeTSIG: "TSIG", TypeIXFR: "IXFR", TypeAXFR: "AXFR",
	TypeMAILB: "MAILB", TypeMAILA: "MAILA", TypeANY: "ANY", TypeURI: "URI", TypeCAA: "CAA",
	TypeAMTRELAY: "AMTRELAY", TypeRESINFO: "RESINFO",
}

// String is the type's mnemonic, TYPEn where it has none (RFC 3597 §5).
func (t Type) String() string {
	switch {
	case int(t) < len(typeNames) && typeNames[t] != "":
		return typeNames[t]
	case t == TypeTA:
		return "TA"
	case t == TypeDLV:
		return "DLV"
	}
	return "TYPE" + strconv.Itoa(int(t))
}

// ParseType reads a mnemonic or TYPEn, in any case.
func ParseType(s string) (Type, error) {
	u := strings.ToUpper(s)
	if u != "" {
		for t, name := range typeNames {
			if name == u {
				return Type(t), nil
			}
		}
	}
	switch u {
	case "TA":
		return TypeTA, nil
	case "DLV":
		return TypeDLV, nil
	}
	if n, ok := parseNumbered(u, "TYPE"); ok {
		return Type(n), nil
	}
	return 0, fmt.Errorf("dns: no RR type %q", s)
}

// parseNumbered reads prefix followed by a decimal number of 16 bits.
func parseNumbered(s, prefix string) (uint16, bool) {
	digits, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	return uint16(n), err == nil
}

// IsMeta reports whether t is a pseudo-type or a question type, that no zone holds
// data of (RFC 6895 §3.1): OPT, NXNAME and 128 to 255.
func (t Type) IsMeta() bool { return t == TypeOPT || 128 <= t && t <= 255 }

// Class is an RR class or a question's class (RFC 1035 §3.2.4, RFC 6895 §3.2).
type Class uint16

const (
	ClassIN   Class = 1
	ClassCH   Class = 3
	ClassHS   Class = 4
	ClassNONE Class = 254 // RFC 2136
	ClassANY  Class = 255
)

// String is the class's mnemonic, CLASSn where it has none (RFC 3597 §5).
func (c Class) String() string {
	switch c {
	case ClassIN:
		return "IN"
	case ClassCH:
		return "CH"
	case ClassHS:
		return "HS"
	case ClassNONE:
		return "NONE"
	case ClassANY:
		return "ANY"
	}
	return "CLASS" + strconv.Itoa(int(c))
}

// ParseClass reads a mnemonic or CLASSn, in any case.
func ParseClass(s string) (Class, error) {
	u := strings.ToUpper(s)
	for _, c := range [...]Class{ClassIN, ClassCH, ClassHS, ClassNONE, ClassANY} {
		if c.String() == u {
			return c, nil
		}
	}
	if n, ok := parseNumbered(u, "CLASS"); ok {
		return Class(n), nil
	}
	return 0, fmt.Errorf("dns: no class %q", s)
}

// Opcode is the kind of a request (RFC 6895 §2.2).
type Opcode uint8

const (
	OpcodeQuery  Opcode = 0
	OpcodeIQuery Opcode = 1 // obsolete, RFC 3425
	OpcodeStatus Opcode = 2
	OpcodeNotify Opcode = 4 // RFC 1996
	OpcodeUpdate Opcode = 5 // RFC 2136
	OpcodeDSO    Opcode = 6 // RFC 8490
)

// String is the opcode's mnemonic, OPCODEn where it has none.
func (o Opcode) String() string {
	switch o {
	case OpcodeQuery:
		return "QUERY"
	case OpcodeIQuery:
		return "IQUERY"
	case OpcodeStatus:
		return "STATUS"
	case OpcodeNotify:
		return "NOTIFY"
	case OpcodeUpdate:
		return "UPDATE"
	case OpcodeDSO:
		return "DSO"
	}
	return "OPCODE" + strconv.Itoa(int(o))
}

// Flags is the second word of the header (RFC 1035 §4.1.1, RFC 4035 §3.1.6, §3.2).
type Flags uint16

const (
	FlagQR Flags = 1 << 15 // a reply
	FlagAA Flags = 1 << 10 // authoritative answer
	FlagTC Flags = 1 << 9  // truncated
	FlagRD Flags = 1 << 8  // recursion desired
	FlagRA Flags = 1 << 7  // recursion available
	FlagAD Flags = 1 << 5  // authentic data
	FlagCD Flags = 1 << 4  // checking disabled

	maskOpcode Flags = 0xF << 11
	maskRCode  Flags = 0xF
)

// Has reports whether all bits of mask are set.
func (f Flags) Has(mask Flags) bool { return f&mask == mask }

// Opcode is the opcode in f.
func (f Flags) Opcode() Opcode { return Opcode(f & maskOpcode >> 11) }

// WithOpcode is f with another opcode.
func (f Flags) WithOpcode(o Opcode) Flags { return f&^maskOpcode | Flags(o)<<11&maskOpcode }

// RCode is the header's four bits of the response code.
func (f Flags) RCode() RCode { return RCode(f & maskRCode) }

// WithRCode is f with the low four bits of another response code.
func (f Flags) WithRCode(r RCode) Flags { return f&^maskRCode | Flags(r)&maskRCode }

// String lists the flags that are set, as dig does: "qr rd ra".
func (f Flags) String() string {
	var set []string
	for _, flag := range [...]struct {
		mask Flags
		name string
	}{{FlagQR, "qr"}, {FlagAA, "aa"}, {FlagTC, "tc"}, {FlagRD, "rd"}, {FlagRA, "ra"}, {FlagAD, "ad"}, {FlagCD, "cd"}} {
		if f.Has(flag.mask) {
			set = append(set, flag.name)
		}
	}
	return strings.Join(set, " ")
}
