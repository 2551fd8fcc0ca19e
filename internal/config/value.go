package config

import (
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
