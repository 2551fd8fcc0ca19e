package dns

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// String is the record as a line of a zone file. RDATA of a type without a text form
// here, or not as its type lays it out, is written as RFC 3597 §5 has it.
func (r RR) String() string {
	return fmt.Sprintf("%s\t%d\t%s\t%s\t%s", r.Name, r.TTL, r.Class, r.Type, r.dataText())
}

// textForm describes the text form of a type's RDATA, one octet a field:
//
//	1 2 4  a number of so many octets
//	t T    a time (RFC 4034 §3.2), a type
//	i I    an IPv4 address, an IPv6 address
//	n s    a name, a quoted string
//	+      quoted strings, to the end
//	x b    hexadecimal, base64, to the end
//	h H    counted hexadecimal, a counted base32hex hash (RFC 5155 §3.3)
//	m      a type bitmap, to the end (RFC 4034 §4.1.2)
func textForm(t Type) string {
	switch t {
	case TypeA:
		return "i"
	case TypeAAAA:
		return "I"
	case TypeNS, TypeCNAME, TypePTR, TypeDNAME, TypeMB, TypeMD, TypeMF, TypeMG, TypeMR:
		return "n"
	case TypeSOA:
		return "nn44444"
	case TypeMX, TypeKX, TypeAFSDB, TypeRT:
		return "2n"
	case TypeMINFO, TypeRP:
		return "nn"
	case TypeTXT, TypeSPF, TypeRESINFO:
		return "+"
	case TypeHINFO:
		return "ss"
	case TypeSRV:
		return "222n"
	case TypeNAPTR:
		return "22sssn"
	case TypeDS, TypeCDS, TypeDLV:
		return "211x"
	case TypeDNSKEY, TypeCDNSKEY:
		return "211b"
	case TypeRRSIG:
		return "T114tt2nb"
	case TypeNSEC:
		return "nm"
	case TypeNSEC3:
		return "112hHm"
	case TypeNSEC3PARAM:
		return "112h"
	case TypeTLSA, TypeSMIMEA:
		return "111x"
	case TypeSSHFP:
		return "11x"
	}
	return ""
}

func (r RR) dataText() string {
	form := textForm(r.Type)
	if s, ok := r.serviceText(); ok {
		return s
	}
	if form == "" || !checkData(r.Type, r.Data) {
		return unknownText(r.Data)
	}
	fields := make([]string, 0, len(form))
	data := r.Data
	for i := 0; i < len(form); i++ {
		text, n, ok := fieldText(form[i], data)
		if !ok {
			return unknownText(r.Data)
		}
		fields = append(fields, text)
		data = data[n:]
	}
	return strings.TrimRight(strings.Join(fields, " "), " ")
}

// unknownText is RDATA in the form for unknown types (RFC 3597 §5).
func unknownText(data []byte) string {
	return strings.TrimRight(fmt.Sprintf(`\# %d %s`, len(data), strings.ToUpper(hex.EncodeToString(data))), " ")
}

// fieldText is the text of one field at the start of data, and the field's length.
func fieldText(form byte, data []byte) (text string, n int, ok bool) {
	switch form {
	case '1', '2', '4', 't', 'T':
		return numberText(form, data)
	case 'i', 'I':
		a, ok := netip.AddrFromSlice(data)
		return a.String(), len(data), ok
	case 'n':
		name, rest, ok := ReadName(data)
		return name.String(), len(data) - len(rest), ok
	case 's', 'h', 'H':
		n, ok := fieldLen('s', data)
		if !ok {
			return "", 0, false
		}
		return countedText(form, data[1:n]), n, true
	case '+':
		var all []string
		for rest := data; len(rest) > 0; {
			n, ok := fieldLen('s', rest)
			if !ok {
				return "", 0, false
			}
			all = append(all, countedText('s', rest[1:n]))
			rest = rest[n:]
		}
		return strings.Join(all, " "), len(data), true
	case 'x':
		return strings.ToUpper(hex.EncodeToString(data)), len(data), true
	case 'b':
		return base64.StdEncoding.EncodeToString(data), len(data), true
	case 'm':
		text, ok := bitmapText(data)
		return text, len(data), ok
	}
	return "", 0, false
}

// numberText is a number, a time or a type.
func numberText(form byte, data []byte) (text string, n int, ok bool) {
	switch {
	case form == '1' && len(data) >= 1:
		return strconv.Itoa(int(data[0])), 1, true
	case form == '2' && len(data) >= 2:
		return strconv.Itoa(int(be16(data))), 2, true
	case form == 'T' && len(data) >= 2:
		return Type(be16(data)).String(), 2, true
	case form == '4' && len(data) >= 4:
		return strconv.FormatUint(uint64(be32(data)), 10), 4, true
	case form == 't' && len(data) >= 4:
		return time.Unix(int64(be32(data)), 0).UTC().Format("20060102150405"), 4, true
	}
	return "", 0, false
}

// countedText is the text of a counted field's octets.
func countedText(form byte, data []byte) string {
	switch {
	case form == 'H':
		return base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(data)
	case form == 'h' && len(data) == 0:
		return "-"
	case form == 'h':
		return strings.ToUpper(hex.EncodeToString(data))
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range data {
		writeEscaped(&b, c, `"\\`)
	}
	b.WriteByte('"')
	return b.String()
}

// bitmapText lists the types of a bitmap.
func bitmapText(data []byte) (string, bool) {
	var types []string
	for len(data) > 0 {
		if len(data) < 2 || data[1] == 0 || data[1] > 32 || len(data) < 2+int(data[1]) {
			return "", false
		}
		for i, c := range data[2 : 2+int(data[1])] {
			for bit := range 8 {
				if c&(0x80>>bit) != 0 {
					types = append(types, Type(int(data[0])<<8|i*8|bit).String())
				}
			}
		}
		data = data[2+int(data[1]):]
	}
	return strings.Join(types, " "), true
}

// serviceText is the RDATA of an SVCB or HTTPS record (RFC 9460 §2.1).
func (r RR) serviceText() (string, bool) {
	if r.Type != TypeSVCB && r.Type != TypeHTTPS {
		return "", false
	}
	params, ok := r.serviceParams()
	if !ok {
		return "", false
	}
	target, _, _ := ReadName(r.Data[2:])
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s", be16(r.Data), target)
	for len(params) > 0 {
		var key uint16
		var value []byte
		key, value, params = nextParam(params)
		b.WriteString(paramText(key, value))
	}
	return b.String(), true
}

// paramText is one service parameter (RFC 9460 §14.3.2), with a blank in front. A value
// that is not as its key wants it is written as that of an unknown key.
func paramText(key uint16, value []byte) string {
	alpn, isALPN := alpnText(value)
	switch size := hintLen(key); {
	case size > 0:
		var hints []string
		for ; len(value) > 0; value = value[size:] {
			a, _ := netip.AddrFromSlice(value[:size])
			hints = append(hints, a.String())
		}
		return fmt.Sprintf(" ipv%dhint=%s", key, strings.Join(hints, ","))
	case key == keyALPN && isALPN:
		return " alpn=" + alpn
	case key == keyNoDefaultALPN && len(value) == 0:
		return " no-default-alpn"
	case key == keyPort && len(value) == 2:
		return fmt.Sprintf(" port=%d", be16(value))
	case key == keyECH:
		return fmt.Sprintf(` ech="%s"`, base64.StdEncoding.EncodeToString(value))
	case key == keyDoHPath:
		return " dohpath=" + countedText('s', value)
	case len(value) == 0:
		return fmt.Sprintf(" key%d", key)
	}
	return fmt.Sprintf(" key%d=%s", key, countedText('s', value))
}

// alpnText is a list of protocol names (RFC 9460 §7.1.1); ok is false where one is
// empty or would need the list's own escapes.
func alpnText(value []byte) (text string, ok bool) {
	var names []string
	for len(value) > 0 {
		n, ok := fieldLen('s', value)
		if !ok || n == 1 || bytes.ContainsAny(value[1:n], `,\"`) {
			return "", false
		}
		names = append(names, string(value[1:n]))
		value = value[n:]
	}
	text = strings.Join(names, ",")
	return countedText('s', []byte(text)), len(names) > 0
}
