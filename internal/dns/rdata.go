package dns

// layout describes the RDATA of a type as a sequence of fields, one octet each:
//
//	\x01…\x3F  that many octets
//	c          a name: compressed and decompressed, lower case in canonical form
//	d          a name: never compressed, decompressed where others did, lower case
//	n          a name: never compressed, decompressed where others did, case kept
//	u          a name: never compressed, a pointer is an error, case kept
//	s          a counted string of up to 255 octets
//	+          one counted string or more, to the end
//	*          any octets, to the end
//
// RDATA must match its layout exactly. A type without a layout is opaque (RFC 3597).
//
// c are the types of RFC 1035 (RFC 3597 §4). d and n are those of which RFC 3597 §4
// and RFC 3755 §2 ask receivers to decompress them, and DNAME (RFC 2672 §4).
// Lower case follows RFC 4034 §6.2 without NSEC (RFC 6840 §5.1). The historic A6 is
// opaque (RFC 6563), and so are HIP, IPSECKEY and AMTRELAY, whose names are neither
// compressed nor put into lower case.
func layout(t Type) string {
	switch t {
	case TypeA:
		return "\x04"
	case TypeAAAA:
		return "\x10"
	case TypeNS, TypeCNAME, TypePTR, TypeMB, TypeMD, TypeMF, TypeMG, TypeMR:
		return "c"
	case TypeSOA:
		return "cc\x14"
	case TypeMX:
		return "\x02c"
	case TypeMINFO:
		return "cc"
	case TypeTXT, TypeSPF:
		return "+"
	case TypeHINFO:
		return "ss"
	case TypeDNAME:
		return "d"
	case TypeSRV:
		return "\x06d"
	case TypeAFSDB, TypeRT, TypeKX:
		return "\x02d"
	case TypeRP:
		return "dd"
	case TypePX:
		return "\x02dd"
	case TypeNAPTR:
		return "\x04sssd"
	case TypeRRSIG, TypeSIG:
		return "\x12d*"
	case TypeNSEC:
		return "n*"
	case TypeNXT:
		return "d*"
	case TypeDS, TypeCDS, TypeDLV, TypeDNSKEY, TypeCDNSKEY, TypeKEY:
		return "\x04*"
	case TypeNSEC3:
		return "\x04ss*"
	case TypeNSEC3PARAM:
		return "\x04s"
	case TypeSVCB, TypeHTTPS:
		return "\x02u*"
	case TypeLP:
		return "\x02u"
	case TypeNSAPPTR:
		return "u"
	case TypeTLSA, TypeSMIMEA:
		return "\x03*"
	case TypeSSHFP:
		return "\x02*"
	case TypeCAA:
		return "\x01s*"
	}
	return ""
}

// isName reports whether a field of a layout is a name.
func isName(field byte) bool {
	return field == 'c' || field == 'd' || field == 'n' || field == 'u'
}

// fieldLen is the length of a field that is not a name, at the start of data.
func fieldLen(field byte, data []byte) (int, bool) {
	switch field {
	case 's':
		if len(data) == 0 {
			return 0, false
		}
		n := 1 + int(data[0])
		return n, n <= len(data)
	case '+':
		n := 0
		for n < len(data) {
			n += 1 + int(data[n])
		}
		return n, n > 0 && n == len(data)
	case '*':
		return len(data), true
	}
	return int(field), int(field) <= len(data)
}

// unpackData appends the RDATA msg[off:end] of type t to out with its names
// decompressed. Every name must end inside RDATA and RDATA with its last field
// (RFC 9267 §5).
func unpackData(out, msg []byte, off, end int, t Type) ([]byte, Error) {
	fields := layout(t)
	if fields == "" {
		return append(out, msg[off:end]...), 0
	}
	var buf [MaxName]byte
	for i := 0; i < len(fields); i++ {
		field := fields[i]
		if !isName(field) {
			n, ok := fieldLen(field, msg[off:end])
			if !ok {
				return out, ErrRDATA
			}
			out = append(out, msg[off:off+n]...)
			off += n
			continue
		}
		if field == 'u' {
			n, ok := nameLen(msg[off:end])
			if !ok {
				return out, ErrRDATA
			}
			out = append(out, msg[off:off+n]...)
			off += n
			continue
		}
		n, next, err := unpackName(msg[:end], off, &buf)
		if err != 0 {
			return out, err
		}
		out = append(out, buf[:n]...)
		off = next
	}
	if off != end {
		return out, ErrRDATA
	}
	return out, 0
}

// checkData reports whether uncompressed RDATA is as its type lays it out.
func checkData(t Type, data []byte) bool {
	fields := layout(t)
	if fields == "" {
		return true
	}
	for i := 0; i < len(fields); i++ {
		var n int
		var ok bool
		if isName(fields[i]) {
			n, ok = nameLen(data)
		} else {
			n, ok = fieldLen(fields[i], data)
		}
		if !ok {
			return false
		}
		data = data[n:]
	}
	return len(data) == 0
}

// AppendCanonicalData appends RDATA in canonical form: names uncompressed, and in
// lower case where RFC 4034 §6.2, as corrected by RFC 6840 §5.1, says so.
// Malformed RDATA is appended as it is.
func AppendCanonicalData(out []byte, t Type, data []byte) []byte {
	start := len(out)
	out = append(out, data...)
	rest := out[start:]
	fields := layout(t)
	for i := 0; i < len(fields); i++ {
		var n int
		var ok bool
		if isName(fields[i]) {
			n, ok = nameLen(rest)
		} else {
			n, ok = fieldLen(fields[i], rest)
		}
		if !ok {
			return out
		}
		if fields[i] == 'c' || fields[i] == 'd' {
			lower(rest[:n])
		}
		rest = rest[n:]
	}
	return out
}
