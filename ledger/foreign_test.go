package ledger

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// foreignName packs a name and unpacks it again with another implementation,
// whose escapes are brought into our form.
func foreignName(t *testing.T, s string) string {
	t.Helper()
	buf := make([]byte, 256)
	n, err := dns.PackDomainName(s+".", buf, 0, nil, false)
	if err != nil {
		t.Errorf("%q is no name: %v", s, err)
		return s
	}
	out, _, err := dns.UnpackDomainName(buf[:n], 0)
	if err != nil {
		t.Errorf("%q is not read back: %v", s, err)
		return s
	}
	out = strings.TrimSuffix(out, ".")
	if strings.ToLower(out) != out {
		t.Errorf("%q has an upper-case letter in it", s)
	}
	return ourEscapes(out)
}

// ourEscapes rewrites the escapes that another implementation chose.
func ourEscapes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c != '\\':
			if isSpecial(c) && c != '.' {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
		case isDigit(s[i+1]):
			b.WriteString(s[i : i+4])
			i += 3
		default:
			if isSpecial(s[i+1]) {
				b.WriteByte('\\')
			}
			if s[i+1] == ' ' {
				b.WriteString(`\032`)
			} else {
				b.WriteByte(s[i+1])
			}
			i++
		}
	}
	return b.String()
}
