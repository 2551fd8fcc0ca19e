package dnssec

import (
	"fmt"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// The text of a Rollover is lines of fields; what follows a semicolon is a comment:
//
//	zone .
//	refreshed 2026-03-01T12:00:00Z next 2026-03-02T12:00:00Z interval 24h0m0s
//	anchor . IN DS 20326 8 2 E06D…
//	key valid since 2026-01-01T00:00:00Z until - . IN DNSKEY 257 3 8 AwEA…
//
// A dash is a time that is not set.

// maxRolloverText bounds the octets of the text of a Rollover: 32 keys of 4096 bits, in
// base 64, and as many anchors stay below.
const maxRolloverText = 1 << 20

// MarshalText is the state as text, the same for the same state.
func (r Rollover) MarshalText() ([]byte, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "zone %s\n", r.Zone)
	fmt.Fprintf(&b, "refreshed %s next %s interval %s\n", timeText(r.Refreshed), timeText(r.Next), r.Interval)
	for _, ds := range r.Anchors {
		fmt.Fprintf(&b, "anchor %s\n", Anchor{Zone: r.Zone, DS: ds})
	}
	for _, m := range r.Keys {
		fmt.Fprintf(&b, "key %s since %s until %s %s ; tag %d\n", m.State, timeText(m.Since), timeText(m.Until),
			Anchor{Zone: r.Zone, Key: m.Key}, m.Key.Tag())
	}
	return []byte(b.String()), nil
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// UnmarshalText reads what MarshalText wrote. Anything else is an error, and r is then
// left as it was.
func (r *Rollover) UnmarshalText(text []byte) error {
	if len(text) > maxRolloverText {
		return fmt.Errorf("dnssec: trust anchor state of more than %d octets", maxRolloverText)
	}
	var out Rollover
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		var fields []string
		for f, rest := nextField(line); f != ""; f, rest = nextField(rest) {
			fields = append(fields, f)
		}
		if len(fields) == 0 {
			continue
		}
		if err := out.read(fields); err != nil {
			return fmt.Errorf("dnssec: trust anchor state, line %d: %w", number, err)
		}
	}
	if out.Zone == "" {
		return fmt.Errorf("dnssec: trust anchor state without a zone")
	}
	*r = out
	return nil
}

// read takes in the fields of one line.
func (r *Rollover) read(f []string) error {
	switch {
	case f[0] == "zone" && len(f) == 2 && r.Zone == "":
		zone, err := dns.ParseName(f[1])
		r.Zone = zone.Canonical()
		return err
	case r.Zone == "":
		return fmt.Errorf("the zone has to come first")
	case f[0] == "refreshed" && len(f) == 6 && f[2] == "next" && f[4] == "interval":
		return r.readTimes(f)
	case f[0] == "anchor":
		a, err := r.readAnchor(f[1:])
		if err != nil {
			return err
		}
		if a.Key.PublicKey != "" || len(r.Anchors) == maxManagedKeys {
			return fmt.Errorf("an anchor that is no DS record, or too many")
		}
		r.Anchors = append(r.Anchors, a.DS)
		return nil
	case f[0] == "key" && len(f) > 6 && f[2] == "since" && f[4] == "until":
		return r.readKey(f)
	}
	return fmt.Errorf("unknown line %q", strings.Join(f, " "))
}

func (r *Rollover) readTimes(f []string) (err error) {
	if r.Refreshed, err = parseTime(f[1]); err != nil {
		return err
	}
	if r.Next, err = parseTime(f[3]); err != nil {
		return err
	}
	r.Interval, err = time.ParseDuration(f[5])
	if r.Interval < 0 || r.Interval > maxRefresh {
		return fmt.Errorf("interval %s", f[5])
	}
	return err
}

func (r *Rollover) readKey(f []string) (err error) {
	var m ManagedKey
	for s := KeyPending; s <= KeyRemoved; s++ {
		if s.String() == f[1] {
			m.State = s
		}
	}
	if m.State == 0 {
		return fmt.Errorf("unknown state %q", f[1])
	}
	if m.Since, err = parseTime(f[3]); err != nil {
		return err
	}
	if m.Until, err = parseTime(f[5]); err != nil {
		return err
	}
	a, err := r.readAnchor(f[6:])
	if err != nil {
		return err
	}
	m.Key = a.Key
	if m.Key.PublicKey == "" || len(r.Keys) == maxManagedKeys || r.find(m.Key) >= 0 {
		return fmt.Errorf("a key that is no DNSKEY record, stands there twice, or is one too many")
	}
	r.Keys = append(r.Keys, m)
	return nil
}

func (r *Rollover) readAnchor(f []string) (Anchor, error) {
	if len(f) == 0 {
		return Anchor{}, fmt.Errorf("a record is missing")
	}
	a, err := parseAnchor(f)
	if err == nil && a.Zone != r.Zone {
		err = fmt.Errorf("a record of %s", a.Zone)
	}
	return a, err
}

func parseTime(s string) (time.Time, error) {
	if s == "-" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339, s)
}
