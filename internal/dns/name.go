package dns

import (
	"cmp"
	"fmt"
	"strings"
)

// Name is a domain name in uncompressed wire form (RFC 1035 §3.1): length-prefixed
// labels, ended by the root's zero octet, letters in the case they were given in.
// The zero value "" is no name at all. A Name made by this package is well formed;
// the methods do not panic on others, and what they return for those means nothing.
//
// A length octet is at most 63 and thus never looks like a letter, so changing the
// case of all octets alike changes the case of the labels only.
type Name string

// Root is the name without labels.
const Root Name = "\x00"

const (
	MaxName  = 255 // octets of a name in wire form, RFC 1035 §2.3.4
	MaxLabel = 63  // octets of one label, RFC 1035 §2.3.4

	// maxLabels is the most labels that fit into MaxName octets, root not counted.
	maxLabels = (MaxName - 1) / 2
)

// ParseName reads a name in presentation form: labels between dots, with the escapes
// \X and \DDD of RFC 1035 §5.1. The name is absolute with and without a trailing dot.
// Unescaped blanks, control characters and octets beyond ASCII are refused: an
// internationalised name is given by its A-labels (RFC 5890).
func ParseName(s string) (Name, error) {
	if s == "." {
		return Root, nil
	}
	if s == "" {
		return "", fmt.Errorf("dns: empty name")
	}
	var buf [MaxName]byte
	n, label := 1, 0 // octets in buf; position of the current label's length octet
	for i := 0; i < len(s); {
		if s[i] == '.' {
			if n-label == 1 {
				return "", fmt.Errorf("dns: name %q: empty label", s)
			}
			buf[label] = byte(n - label - 1)
			label = n
			n++
			i++
			if n > MaxName {
				return "", fmt.Errorf("dns: name of more than %d octets", MaxName)
			}
			continue
		}
		c, size, err := parseOctet(s[i:])
		if err != nil {
			return "", fmt.Errorf("dns: name %q: %w", s, err)
		}
		i += size
		switch {
		case n-label > MaxLabel:
			return "", fmt.Errorf("dns: name %q: label of more than %d octets", s, MaxLabel)
		case n >= MaxName:
			return "", fmt.Errorf("dns: name of more than %d octets", MaxName)
		}
		buf[n] = c
		n++
	}
	if n-label == 1 { // a trailing dot: its length octet is the root
		return Name(buf[:n]), nil
	}
	if n >= MaxName {
		return "", fmt.Errorf("dns: name of more than %d octets", MaxName)
	}
	buf[label] = byte(n - label - 1)
	buf[n] = 0
	return Name(buf[:n+1]), nil
}

// parseOctet reads one octet of a label, escaped or not, and says how much text it took.
func parseOctet(s string) (c byte, size int, err error) {
	switch c := s[0]; {
	case c <= ' ' || c >= 0x7F:
		return 0, 0, fmt.Errorf("octet %#02x is not escaped", c)
	case c != '\\':
		return c, 1, nil
	case len(s) < 2:
		return 0, 0, fmt.Errorf("backslash at the end")
	case !isDigit(s[1]):
		return s[1], 2, nil
	case len(s) < 4 || !isDigit(s[2]) || !isDigit(s[3]):
		return 0, 0, fmt.Errorf(`escape \DDD needs three digits`)
	}
	v := int(s[1]-'0')*100 + int(s[2]-'0')*10 + int(s[3]-'0')
	if v > 255 {
		return 0, 0, fmt.Errorf(`escape \%s is above 255`, s[1:4])
	}
	return byte(v), 4, nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// MustName is ParseName for constants and tests; it panics on what is no name.
func MustName(s string) Name {
	n, err := ParseName(s)
	if err != nil {
		panic(err)
	}
	return n
}

// ReadName reads the uncompressed name at the start of b, as RDATA of an RR holds
// them, and returns what follows it. The Name is a copy.
func ReadName(b []byte) (n Name, rest []byte, ok bool) {
	size, ok := nameLen(b)
	if !ok {
		return "", nil, false
	}
	return Name(b[:size]), b[size:], true
}

// nameLen is the length of the uncompressed name at the start of b.
func nameLen[S ~string | ~[]byte](b S) (int, bool) {
	for i := 0; i < len(b) && i < MaxName; i += int(b[i]) + 1 {
		if b[i] == 0 {
			return i + 1, true
		}
		if b[i] > MaxLabel {
			return 0, false
		}
	}
	return 0, false
}

// String is the presentation form, absolute: with a trailing dot, "." for Root.
// What would not read back as itself is escaped (RFC 1035 §5.1, RFC 4343 §2.1).
func (n Name) String() string {
	if n == Root {
		return "."
	}
	var b strings.Builder
	b.Grow(len(n) + 8)
	for i := 0; i < len(n) && n[i] != 0; {
		end := min(i+1+int(n[i]), len(n))
		for i++; i < end; i++ {
			writeEscaped(&b, n[i], `."\();@$`)
		}
		b.WriteByte('.')
	}
	return b.String()
}

// writeEscaped writes one octet in presentation form, those in special with a backslash.
func writeEscaped(b *strings.Builder, c byte, special string) {
	switch {
	case c < ' ' || c > '~' || c == ' ' && special != `"\`:
		b.Write([]byte{'\\', '0' + c/100, '0' + c/10%10, '0' + c%10})
	case strings.IndexByte(special, c) >= 0:
		b.Write([]byte{'\\', c})
	default:
		b.WriteByte(c)
	}
}

// Canonical is n in ASCII lower case (RFC 4343 §3); n itself when it is so already.
func (n Name) Canonical() Name {
	for i := 0; i < len(n); i++ {
		if 'A' <= n[i] && n[i] <= 'Z' {
			b := []byte(n)
			lower(b[i:])
			return Name(b)
		}
	}
	return n
}

// Labels counts the labels, the root not among them.
func (n Name) Labels() int {
	labels := 0
	for i := 0; i < len(n) && n[i] != 0; i += int(n[i]) + 1 {
		labels++
	}
	return labels
}

// Parent is n without its first label. The root is its own parent.
func (n Name) Parent() Name {
	if len(n) == 0 || n[0] == 0 || int(n[0])+1 >= len(n) {
		return n
	}
	return n[int(n[0])+1:]
}

// Suffix is the last labels labels of n: 0 gives Root, Labels() or more gives n.
// It shares n's memory.
func (n Name) Suffix(labels int) Name {
	for skip := n.Labels() - max(labels, 0); skip > 0; skip-- {
		n = n.Parent()
	}
	return n
}

// Equal reports whether n and m are the same name, letters compared without case.
func (n Name) Equal(m Name) bool { return equalFold(n, m) }

// IsSubdomainOf reports whether n is z or below it (RFC 9499 §7). Nothing is below "".
func (n Name) IsSubdomainOf(z Name) bool {
	if z == "" {
		return false
	}
	cut := len(n) - len(z)
	for i := 0; i <= cut; i += int(n[i]) + 1 {
		if i == cut {
			return equalFold(n[cut:], z)
		}
		if n[i] == 0 {
			return false
		}
	}
	return false
}

// Compare orders names canonically (RFC 4034 §6.1): label by label from the root
// down, each as octets in lower case, and a name before those below it.
func (n Name) Compare(m Name) int {
	var no, mo [maxLabels]uint8
	i, j := labelOffsets(n, &no), labelOffsets(m, &mo)
	for i > 0 && j > 0 {
		i, j = i-1, j-1
		if c := compareLabels(n[no[i]:], m[mo[j]:]); c != 0 {
			return c
		}
	}
	return cmp.Compare(i, j)
}

// compareLabels compares the labels that n and m start with.
func compareLabels(n, m Name) int {
	a, b := n[1:min(int(n[0])+1, len(n))], m[1:min(int(m[0])+1, len(m))]
	for i := 0; i < len(a) && i < len(b); i++ {
		if c := cmp.Compare(lowerOctet(a[i]), lowerOctet(b[i])); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// labelOffsets stores where the labels of n begin and returns their number.
func labelOffsets[S ~string | ~[]byte](n S, offsets *[maxLabels]uint8) int {
	labels := 0
	for i := 0; i < len(n) && n[i] != 0 && labels < maxLabels; i += int(n[i]) + 1 {
		offsets[labels] = uint8(i)
		labels++
	}
	return labels
}

// Child is n with one more label in front. The label is given as its octets, unescaped.
func (n Name) Child(label string) (Name, error) {
	switch {
	case len(n) == 0:
		return "", fmt.Errorf("dns: no name to be a child of")
	case len(label) == 0 || len(label) > MaxLabel:
		return "", fmt.Errorf("dns: label of %d octets", len(label))
	case 1+len(label)+len(n) > MaxName:
		return "", fmt.Errorf("dns: name of more than %d octets", MaxName)
	}
	return Name(rune(len(label))) + Name(label) + n, nil
}
