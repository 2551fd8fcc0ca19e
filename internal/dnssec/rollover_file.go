package dnssec

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/shoji-dns/shoji/internal/dns"
)

// The states of several zones are kept as one text: those of the zones one after the other,
// and a last line with a digest of all octets before it, by which damage is seen. A state
// that lost the line of a revoked key would bring the key back.
//
//	; Trust anchors as RFC 5011 has moved them on. …
//	zone .
//	…
//	sha256 6D2F…

const (
	// MaxManagedZones bounds the zones whose anchors are kept up to date by RFC 5011:
	// each costs a query an hour.
	MaxManagedZones = 64

	// MaxRolloversText bounds the text of their states, in octets.
	MaxRolloversText = 4 << 20

	rolloversHead = "; Trust anchors as RFC 5011 has moved them on. Without this file, those of the configuration count.\n"
	digestField   = "sha256 "
)

// MarshalRollovers is the states of several zones as one text, the same for the same states.
func MarshalRollovers(states []Rollover) ([]byte, error) {
	out := []byte(rolloversHead)
	for _, r := range states {
		text, err := r.MarshalText()
		if err != nil {
			return nil, err
		}
		out = append(out, text...)
	}
	sum := sha256.Sum256(out)
	return fmt.Appendf(out, "%s%X\n", digestField, sum), nil
}

// ParseRollovers reads what MarshalRollovers wrote. Anything else is an error that says what
// is wrong; nothing of a damaged text counts.
func ParseRollovers(text []byte) ([]Rollover, error) {
	if len(text) > MaxRolloversText {
		return nil, fmt.Errorf("dnssec: trust anchor states of more than %d octets", MaxRolloversText)
	}
	body, err := checkDigest(text)
	if err != nil {
		return nil, err
	}
	var states []Rollover
	for _, section := range sections(body) {
		var r Rollover
		if err := r.UnmarshalText(section); err != nil {
			return nil, err
		}
		if len(states) == MaxManagedZones {
			return nil, fmt.Errorf("dnssec: trust anchor states of more than %d zones", MaxManagedZones)
		}
		for i := range states {
			if states[i].Zone == r.Zone {
				return nil, fmt.Errorf("dnssec: two trust anchor states of %s", r.Zone)
			}
		}
		states = append(states, r)
	}
	return states, nil
}

// checkDigest returns what stands before the last line if that line is its digest.
func checkDigest(text []byte) ([]byte, error) {
	end := bytes.LastIndex(text, []byte("\n"+digestField))
	if end < 0 {
		return nil, fmt.Errorf("dnssec: trust anchor states without a digest at the end: cut short, or no such file")
	}
	body, last := text[:end+1], strings.TrimSpace(string(text[end+1+len(digestField):]))
	want, err := hex.DecodeString(last)
	if sum := sha256.Sum256(body); err != nil || !bytes.Equal(sum[:], want) {
		return nil, fmt.Errorf("dnssec: trust anchor states do not have the digest that stands at their end: damaged, or changed by hand")
	}
	return body, nil
}

// sections splits states into those of one zone each. Comments before the first are dropped.
func sections(body []byte) (out [][]byte) {
	start := -1
	for at := 0; at < len(body); {
		next := at + bytes.IndexByte(body[at:], '\n') + 1
		if next == at {
			next = len(body)
		}
		if bytes.HasPrefix(body[at:], []byte("zone ")) {
			if start >= 0 {
				out = append(out, body[start:at])
			}
			start = at
		}
		at = next
	}
	if start >= 0 {
		out = append(out, body[start:])
	}
	return out
}

// StateOf is the state of a zone among others.
func StateOf(zone dns.Name, states []Rollover) (Rollover, bool) {
	for _, r := range states {
		if r.Zone == zone {
			return r, true
		}
	}
	return Rollover{}, false
}
