package dnssec

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/shoji-dns/shoji/internal/dns"
)

// RootAnchors is the root zone's key signing keys of 2017 and 2024, in the form that
// ParseAnchors reads (RFC 9718; IANA's root-anchors.xml).
const RootAnchors = `
. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D
. IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16
`

const (
	// maxAnchors bounds the records of one anchor text; a list of every signed TLD
	// stays below.
	maxAnchors = 4096

	// maxAnchorText bounds the octets of an anchor text.
	maxAnchorText = 4 << 20
)

// Anchor is one trust anchor: what a zone's key set must live up to.
type Anchor struct {
	Zone dns.Name // canonical
	DS   DS

	// Key is the key itself where the anchor was given as a DNSKEY record; otherwise
	// its PublicKey is empty. DS is then the SHA-256 digest of the key.
	Key DNSKEY
}

// ParseAnchors reads trust anchors: DS and DNSKEY records in the syntax of zone files
// (RFC 1035 §5.1), owner first, with or without TTL and class, comments and parentheses
// included. A record of another type is an error, as is a text that names no anchor.
func ParseAnchors(text string) ([]Anchor, error) {
	if len(text) > maxAnchorText {
		return nil, fmt.Errorf("dnssec: trust anchors of more than %d octets", maxAnchorText)
	}
	var anchors []Anchor
	lines, err := splitRecords(text)
	if err != nil {
		return nil, err
	}
	for _, fields := range lines {
		a, err := parseAnchor(fields)
		if err != nil {
			return nil, fmt.Errorf("dnssec: trust anchor %q: %w", strings.Join(fields, " "), err)
		}
		if len(anchors) == maxAnchors {
			return nil, fmt.Errorf("dnssec: more than %d trust anchors", maxAnchors)
		}
		anchors = append(anchors, a)
	}
	if len(anchors) == 0 {
		return nil, fmt.Errorf("dnssec: no trust anchor in the text")
	}
	return anchors, nil
}

// AnchorsOf returns the DS records of the anchors of a zone.
func AnchorsOf(zone dns.Name, anchors []Anchor) []DS {
	var set []DS
	for _, a := range anchors {
		if a.Zone.Equal(zone) {
			set = append(set, a.DS)
		}
	}
	return set
}

// splitRecords splits a zone file text into the fields of its records. Parentheses join
// lines, a semicolon begins a comment, and a backslash takes the meaning of what
// follows.
func splitRecords(text string) (records [][]string, err error) {
	var fields []string
	open := false
	for line := range strings.Lines(text) {
		for field := ""; ; {
			if field, line = nextField(line); field == "" {
				break
			}
			if field != "(" && field != ")" {
				fields = append(fields, field)
			} else if open == (field == "(") {
				return nil, fmt.Errorf("dnssec: trust anchors: parentheses do not match")
			} else {
				open = !open
			}
		}
		if !open && len(fields) > 0 {
			records = append(records, fields)
			fields = nil
		}
	}
	if open {
		return nil, fmt.Errorf("dnssec: trust anchors: parentheses do not match")
	}
	return records, nil
}

// nextField returns the first field of a line and what follows it; "" at the line's
// end.
func nextField(line string) (field, rest string) {
	line = strings.TrimLeft(line, " \t\r\n")
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case ';', ' ', '\t', '\r', '\n':
			if line[i] == ';' {
				return line[:i], ""
			}
			return line[:i], line[i:]
		case '(', ')':
			return line[:max(i, 1)], line[max(i, 1):]
		}
	}
	return line, ""
}

// parseAnchor reads the fields of one record.
func parseAnchor(fields []string) (Anchor, error) {
	zone, err := dns.ParseName(fields[0])
	if err != nil {
		return Anchor{}, err
	}
	a := Anchor{Zone: zone.Canonical()}
	rest := fields[1:]
	for len(rest) > 0 && (strings.EqualFold(rest[0], "IN") || isNumber(rest[0])) {
		rest = rest[1:] // TTL and class, in either order
	}
	if len(rest) < 5 {
		return Anchor{}, fmt.Errorf("too few fields")
	}
	n, err := numbers(rest[1:4])
	if err != nil {
		return Anchor{}, err
	}
	data := strings.Join(rest[4:], "")
	switch strings.ToUpper(rest[0]) {
	case "DS":
		a.DS, err = anchorDS(n, data)
	case "DNSKEY":
		a.Key, err = anchorKey(n, data)
		a.DS = a.Key.DS(a.Zone, SHA256)
	default:
		err = fmt.Errorf("%s is neither DS nor DNSKEY", rest[0])
	}
	return a, err
}

// anchorDS makes a DS record of its fields.
func anchorDS(n [3]uint16, data string) (DS, error) {
	digest, err := hex.DecodeString(data)
	ds := DS{Tag: n[0], Algorithm: Algorithm(n[1]), Type: Digest(n[2]), Digest: string(digest)}
	switch {
	case err != nil:
		return DS{}, fmt.Errorf("digest: %w", err)
	case n[1] > 255 || n[2] > 255:
		return DS{}, fmt.Errorf("algorithm or digest type above 255")
	case len(digest) == 0, ds.Type.size() != 0 && ds.Type.size() != len(digest):
		return DS{}, fmt.Errorf("digest of %d octets", len(digest))
	}
	return ds, nil
}

// anchorKey makes a DNSKEY record of its fields.
func anchorKey(n [3]uint16, data string) (DNSKEY, error) {
	key, err := base64.StdEncoding.DecodeString(data)
	switch {
	case err != nil:
		return DNSKEY{}, fmt.Errorf("public key: %w", err)
	case n[1] != dnskeyProtocol || n[2] > 255:
		return DNSKEY{}, fmt.Errorf("protocol other than %d, or algorithm above 255", dnskeyProtocol)
	case n[0]&FlagZone == 0:
		return DNSKEY{}, fmt.Errorf("not a zone key")
	case n[0]&FlagRevoke != 0:
		return DNSKEY{}, fmt.Errorf("revoked key")
	case len(key) == 0 || len(key) > maxRDATA-dnskeyFixed:
		return DNSKEY{}, fmt.Errorf("public key of %d octets", len(key))
	}
	return DNSKEY{Flags: n[0], Protocol: uint8(n[1]), Algorithm: Algorithm(n[2]), PublicKey: string(key)}, nil
}

const maxRDATA = 65535 // octets, RFC 1035 §3.2.1

func numbers(fields []string) (n [3]uint16, err error) {
	for i, f := range fields {
		v, err := strconv.ParseUint(f, 10, 16)
		if err != nil {
			return n, fmt.Errorf("%q is no number up to 65535", f)
		}
		n[i] = uint16(v)
	}
	return n, nil
}

// isNumber reports whether a field is a TTL in seconds.
func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
}

// String is the anchor as a zone file line that ParseAnchors reads back.
func (a Anchor) String() string {
	if a.Key.PublicKey != "" {
		return fmt.Sprintf("%s IN DNSKEY %s", a.Zone, a.Key)
	}
	return fmt.Sprintf("%s IN DS %s", a.Zone, a.DS)
}

// String is the RDATA in presentation form (RFC 4034 §5.3).
func (d DS) String() string {
	return fmt.Sprintf("%d %d %d %X", d.Tag, d.Algorithm, d.Type, d.Digest)
}

// String is the RDATA in presentation form (RFC 4034 §2.2).
func (k DNSKEY) String() string {
	return fmt.Sprintf("%d %d %d %s", k.Flags, k.Protocol, k.Algorithm, base64.StdEncoding.EncodeToString([]byte(k.PublicKey)))
}
