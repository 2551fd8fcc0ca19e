package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Socket is an address to listen on. Port 0 asks for any free port.
type Socket struct{ netip.AddrPort }

// UnmarshalText reads ADDRESS:PORT or [ADDRESS]:PORT.
func (a *Socket) UnmarshalText(b []byte) error {
	ap, err := netip.ParseAddrPort(string(b))
	if err != nil {
		return fmt.Errorf("%q is no address with a port: write it like 192.0.2.1:53 or [2001:db8::1]:53", b)
	}
	a.AddrPort = ap
	return nil
}

// Address is a server to ask; its port is 53 where the text has none.
type Address struct{ netip.AddrPort }

// UnmarshalText reads ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT.
func (a *Address) UnmarshalText(b []byte) error {
	s := string(b)
	if ap, err := netip.ParseAddrPort(s); err == nil && ap.Port() != 0 {
		a.AddrPort = ap
		return nil
	}
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return fmt.Errorf("%q is no address: write it like 192.0.2.1, 192.0.2.1:5353 or [2001:db8::1]:53", s)
	}
	a.AddrPort = netip.AddrPortFrom(addr, 53)
	return nil
}

// Forwarder is a resolver to ask: a plain address, or the URL of an encrypted one.
type Forwarder struct {
	Address
	URL string // as it was written; "" for a plain address
}

// UnmarshalText reads what Address reads, and takes anything with :// for a URL.
func (f *Forwarder) UnmarshalText(b []byte) error {
	if strings.Contains(string(b), "://") {
		*f = Forwarder{URL: string(b)}
		return nil
	}
	return f.Address.UnmarshalText(b)
}

// Secrets are keys of 16 octets.
type Secrets [][16]byte

// UnmarshalText reads keys of 32 hexadecimal digits with commas between them.
func (s *Secrets) UnmarshalText(b []byte) error {
	var all Secrets
	for i, text := range strings.Split(string(b), ",") {
		key, err := hex.DecodeString(strings.TrimSpace(text))
		if err != nil || len(key) != 16 {
			return fmt.Errorf("key %d is not of 32 hexadecimal digits: make one with openssl rand -hex 16", i+1) // and is not shown
		}
		all = append(all, [16]byte(key))
	}
	*s = all
	return nil
}

// Duration is a time span written like 10s or 1m30s.
type Duration time.Duration

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is no time span: write it like 10s or 1m30s", b)
	}
	*d = Duration(v)
	return nil
}

// Moment is a fixed point in time, or any.
type Moment struct {
	Time time.Time // zero if none is set
	Any  bool      // -1 was given
}

// UnmarshalText reads a time as RFC 3339 writes it, or by one of the two forms of RFC
// 4034 §3.2: seconds since 1970, or the 14 digits of YYYYMMDDHHmmSS in UTC. -1 is any time.
func (m *Moment) UnmarshalText(b []byte) error {
	text := string(b)
	if text == "-1" {
		*m = Moment{Any: true}
		return nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil && len(text) == len(signatureTime) {
		at, err = time.Parse(signatureTime, text)
	} else if seconds, bad := strconv.ParseUint(text, 10, 32); bad == nil {
		at, err = time.Unix(int64(seconds), 0).UTC(), nil
	}
	if err != nil {
		return fmt.Errorf("%q is no time: write it like 2007-04-18T10:15:46Z or 1176891346, or -1 for any time", text)
	}
	*m = Moment{Time: at}
	return nil
}

// signatureTime is RFC 4034's YYYYMMDDHHmmSS, as package time writes a layout.
const signatureTime = "20060102150405"

// Size is a number of octets, written like 64MiB, 1GiB or 500000.
type Size int64

// UnmarshalText reads a whole number with an optional unit KiB, MiB, GiB or TiB.
func (s *Size) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	num, shift := text, 0
	for i, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if cut, ok := strings.CutSuffix(text, unit); ok {
			num, shift = strings.TrimSpace(cut), 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(num, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return fmt.Errorf("%q is no size: write it like 64MiB", text)
	}
	*s = Size(n << shift)
	return nil
}

func readFull(r io.Reader, buf []byte) (int, error) {
	n, err := io.ReadFull(r, buf)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}
