package ledger

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// scanner walks over canonical JSON (RFC 8785) and nothing else: what is valid
// JSON in another writing is an error that says where.
type scanner struct {
	b []byte
	i int
}

func (s *scanner) fail(format string, args ...any) error {
	return fmt.Errorf("octet %d: %s", s.i, fmt.Sprintf(format, args...))
}

// peek is the next octet, 0 at the end.
func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

// want consumes the octet c.
func (s *scanner) want(c byte) error {
	if s.i >= len(s.b) {
		return s.fail("the entry ends where %q should be", c)
	}
	if s.b[s.i] != c {
		return s.fail("%q where %q should be: not canonical JSON (RFC 8785)", s.b[s.i], c)
	}
	s.i++
	return nil
}

// more consumes what stands between two elements and reports whether there is
// another one; end closes the object or array.
func (s *scanner) more(end byte) (bool, error) {
	switch s.peek() {
	case ',':
		s.i++
		return true, nil
	case end:
		s.i++
		return false, nil
	}
	return false, s.fail("neither %q nor %q: not canonical JSON (RFC 8785)", ',', end)
}

// text reads a string. The result is a part of the input unless the string has
// escapes in it.
func (s *scanner) text() ([]byte, error) {
	if err := s.want('"'); err != nil {
		return nil, err
	}
	start, ascii := s.i, true
	for s.i < len(s.b) {
		c := s.b[s.i]
		switch {
		case c == '"':
			t := s.b[start:s.i]
			if !ascii && !utf8.Valid(t) {
				s.i = start
				return nil, s.fail("text is not UTF-8")
			}
			s.i++
			return t, nil
		case c == '\\':
			return s.escaped(start)
		case c < ' ':
			return nil, s.fail("a control character that is not escaped")
		case c >= utf8.RuneSelf:
			ascii = false
		}
		s.i++
	}
	return nil, s.fail("the entry ends within a string")
}

// escaped reads the rest of a string from its first escape on.
func (s *scanner) escaped(start int) ([]byte, error) {
	t := bytes.Clone(s.b[start:s.i])
	for s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == '"':
			if !utf8.Valid(t) {
				s.i = start
				return nil, s.fail("text is not UTF-8")
			}
			s.i++
			return t, nil
		case c < ' ':
			return nil, s.fail("a control character that is not escaped")
		case c == '\\':
			c, n, err := s.escape()
			if err != nil {
				return nil, err
			}
			t = append(t, c)
			s.i += n
		default:
			t = append(t, c)
			s.i++
		}
	}
	return nil, s.fail("the entry ends within a string")
}

// escape reads one escape, which must be the shortest for its character
// (RFC 8785 §3.2.2.2), and says how long it is.
func (s *scanner) escape() (c byte, n int, err error) {
	rest := s.b[s.i:]
	if len(rest) < 2 {
		return 0, 0, s.fail("the entry ends within an escape")
	}
	switch rest[1] {
	case '"', '\\':
		return rest[1], 2, nil
	case 'b':
		return '\b', 2, nil
	case 't':
		return '\t', 2, nil
	case 'n':
		return '\n', 2, nil
	case 'f':
		return '\f', 2, nil
	case 'r':
		return '\r', 2, nil
	}
	if len(rest) >= 6 && string(rest[1:4]) == "u00" && isHex(rest[4:6], 2) {
		c = unhex(rest[4])<<4 | unhex(rest[5])
		if c < ' ' && shortEscape(c) == 0 {
			return c, 6, nil
		}
	}
	return 0, 0, s.fail("an escape that is not the shortest for its character: not canonical JSON (RFC 8785)")
}

// number reads a whole number from 0 to MaxNumber.
func (s *scanner) number() (uint64, error) {
	start := s.i
	var n uint64
	for ; isDigit(s.peek()); s.i++ {
		if n = n*10 + uint64(s.b[s.i]-'0'); n > MaxNumber {
			s.i = start
			return 0, s.fail("a number over 2^53-1")
		}
	}
	if digits := s.i - start; digits == 0 || digits > 1 && s.b[start] == '0' {
		s.i = start
		return 0, s.fail("not a whole number in canonical JSON (RFC 8785)")
	}
	return n, nil
}

// key reads a member's name and the colon behind it. Every name that an entry
// may hold is plain, so one with an escape in it is as unknown as it looks.
func (s *scanner) key() ([]byte, error) {
	name, err := s.text()
	if err != nil {
		return nil, err
	}
	return name, s.want(':')
}

// isHex reports whether b is n lower-case hexadecimal digits.
func isHex(b []byte, n int) bool {
	if len(b) != n {
		return false
	}
	for _, c := range b {
		if !isDigit(c) && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func unhex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c - 'a' + 10
}
