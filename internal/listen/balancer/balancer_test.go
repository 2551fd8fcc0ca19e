package balancer

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"
)

// header is one with a command, family and protocol, and what follows the length.
func header(command, family byte, rest string) []byte {
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, family)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(rest))), rest...)
}

const (
	four = "\xc0\x00\x02\x07\xc0\x00\x02\x01\x30\x39\x00\x35" // 192.0.2.7:12345 to 192.0.2.1:53
	six  = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x30\x39\x00\x35"
)

// checked is a header with a checksum between two other records.
func checked() []byte {
	b := header(0x21, 0x11, four+"\x04\x00\x02ab"+"\x03\x00\x04\x00\x00\x00\x00"+"\x02\x00\x01x")
	at := HeadLen + len(four) + 5 + 3
	binary.BigEndian.PutUint32(b[at:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func TestParse(t *testing.T) {
	client4, client6 := netip.MustParseAddrPort("192.0.2.7:12345"), netip.MustParseAddrPort("[2001:db8::7]:12345")
	for what, c := range map[string]struct {
		b    []byte
		want Header
	}{
		"TCP over IPv4":           {header(0x21, 0x11, four), Header{Client: client4}},
		"UDP over IPv4":           {header(0x21, 0x12, four), Header{Client: client4, Datagram: true}},
		"TCP over IPv6":           {header(0x21, 0x21, six), Header{Client: client6}},
		"UDP over IPv6":           {header(0x21, 0x22, six), Header{Client: client6, Datagram: true}},
		"IPv4 in IPv6":            {header(0x21, 0x21, strings.Repeat("\x00", 10)+"\xff\xff\xc0\x00\x02\x07"+six[16:]), Header{Client: client4}},
		"with records":            {header(0x21, 0x11, four+"\x04\x00\x02ab\xe0\x00\x00"), Header{Client: client4}},
		"with a checksum":         {checked(), Header{Client: client4}},
		"a balancer for itself":   {header(0x20, 0, ""), Header{}},
		"the same with addresses": {header(0x20, 0x11, four), Header{}},
		"the same with nonsense":  {header(0x20, 0xFF, "nonsense"), Header{}},
		"as long as may be":       {header(0x21, 0x11, four+"\x04\x05\x95"+strings.Repeat("x", MaxHeader-HeadLen-len(four)-3)), Header{Client: client4}},
	} {
		h, n, err := Parse(append(c.b, "the query"...))
		if err != nil || h != c.want || n != len(c.b) {
			t.Errorf("%s: %+v, %d octets of %d, %v", what, h, n, len(c.b), err)
		}
		for cut := range c.b {
			if _, _, err := Parse(c.b[:cut]); err == nil {
				t.Errorf("%s: cut to %d octets", what, cut)
			}
		}
	}
}

func TestBadHeaders(t *testing.T) {
	wrong := checked()
	wrong[HeadLen]++
	for what, c := range map[string]struct {
		b    []byte
		want error
	}{
		"nothing":                  {nil, ErrMissing},
		"a DNS query":              {[]byte("\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01"), ErrMissing},
		"version 1":                {[]byte("PROXY TCP4 192.0.2.7 192.0.2.1 12345 53\r\n"), ErrMissing},
		"another version":          {header(0x31, 0x11, four), ErrHeader},
		"another command":          {header(0x22, 0x11, four), ErrHeader},
		"an unknown family":        {header(0x21, 0x01, four), ErrHeader},
		"an unknown protocol":      {header(0x21, 0x10, four), ErrHeader},
		"a Unix socket":            {header(0x21, 0x31, strings.Repeat("x", 216)), ErrHeader},
		"addresses cut off":        {header(0x21, 0x11, four[:11]), ErrHeader},
		"addresses of IPv4 for 6":  {header(0x21, 0x21, four), ErrHeader},
		"a record cut off":         {header(0x21, 0x11, four+"\x04\x00"), ErrHeader},
		"a record longer than all": {header(0x21, 0x11, four+"\x04\x00\x03ab"), ErrHeader},
		"a checksum of 2 octets":   {header(0x21, 0x11, four+"\x03\x00\x02ab"), ErrHeader},
		"a wrong checksum":         {wrong, ErrHeader},
		"too long":                 {header(0x21, 0x11, four+"\x04\x05\x96"+strings.Repeat("x", MaxHeader-HeadLen-len(four)-2)), ErrHeader},
	} {
		if h, _, err := Parse(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v", what, h, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(header(0x21, 0x11, four))
	f.Add(header(0x21, 0x22, six))
	f.Add(header(0x20, 0, ""))
	f.Add(checked())
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := Parse(b)
		switch {
		case err != nil && (n != 0 || h != Header{}):
			t.Errorf("%+v, %d octets with an error", h, n)
		case err == nil && (n < HeadLen || n > min(len(b), MaxHeader) || !Begins(b)):
			t.Errorf("%d octets of %d", n, len(b))
		case err == nil && h.Client.IsValid() && h.Client.Addr().Is4In6():
			t.Errorf("%s", h.Client)
		}
	})
}
