package ledger

import (
	"errors"
	"fmt"
)

// maxNameWire is the length of the longest name in wire form (RFC 1035 §2.3.4).
const maxNameWire = 255

// maxLabel is the length of the longest label (RFC 1035 §2.3.4).
const maxLabel = 63

// CheckName says what keeps name from being the one form in which an entry
// writes a name: labels between dots, no trailing dot, ASCII letters in lower
// case; the characters . " \ ( ) ; @ $ of a label behind a backslash; octets
// outside of ! to ~ as a backslash and three digits (RFC 1035 §5.1). The root
// has no such form: it cannot be listed.
func CheckName(name string) error { return checkName([]byte(name)) }

func checkName(b []byte) error {
	if len(b) == 0 {
		return errors.New("the name is empty")
	}
	wire, label := 1, 0
	for i := 0; i < len(b); {
		if b[i] == '.' {
			if label == 0 {
				return fmt.Errorf("empty label at octet %d of name %q", i, b)
			}
			wire, label = wire+label+1, 0
			i++
			continue
		}
		n, err := nameOctet(b[i:])
		if err != nil {
			return fmt.Errorf("octet %d of name %q: %w", i, b, err)
		}
		i += n
		if label++; label > maxLabel {
			return fmt.Errorf("name %q has a label over %d octets", b, maxLabel)
		}
	}
	if label == 0 {
		return fmt.Errorf("name %q ends in a dot", b)
	}
	if wire += label + 1; wire > maxNameWire {
		return fmt.Errorf("name %q is over %d octets in wire form", b, maxNameWire)
	}
	return nil
}

// nameOctet checks the writing of the octet at the start of b and says how long it is.
func nameOctet(b []byte) (int, error) {
	c := b[0]
	switch {
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		return 1, nil
	case 'A' <= c && c <= 'Z':
		return 0, errors.New("an upper-case letter")
	case c <= ' ' || c > '~':
		return 0, fmt.Errorf(`%#02x must be written \%03d`, c, c)
	case c != '\\':
		if isSpecial(c) {
			return 0, fmt.Errorf(`%q must stand behind a backslash`, c)
		}
		return 1, nil
	case len(b) >= 2 && isSpecial(b[1]):
		return 2, nil
	case len(b) < 4 || !isDigit(b[1]) || !isDigit(b[2]) || !isDigit(b[3]):
		return 0, errors.New("not an escape that is needed")
	}
	v := int(b[1]-'0')*100 + int(b[2]-'0')*10 + int(b[3]-'0')
	if v > 255 || v > ' ' && v <= '~' {
		return 0, fmt.Errorf(`\%s is not an escape that is needed`, b[1:4])
	}
	return 4, nil
}

// isSpecial reports whether a label's character stands behind a backslash.
func isSpecial(c byte) bool {
	switch c {
	case '.', '"', '\\', '(', ')', ';', '@', '$':
		return true
	}
	return false
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
