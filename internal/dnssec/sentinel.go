package dnssec

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/shoji-dns/shoji/internal/dns"
)

// MaxSignalledTags bounds the key tags of one signal: with 12 of them the label of RFC
// 8145 §5.1 is 63 octets long.
const MaxSignalledTags = 12

// KeyTagQuery is the name of the query, of type NULL, by which a resolver tells the
// servers of a zone which trust anchors it has for the zone (RFC 8145 §5.1). Without
// tags there is nothing to tell.
func KeyTagQuery(zone dns.Name, tags []uint16) (dns.Name, bool) {
	tags = slices.Compact(slices.Sorted(slices.Values(tags)))
	if len(tags) == 0 || len(tags) > MaxSignalledTags {
		return "", false
	}
	var label strings.Builder
	label.WriteString("_ta")
	for _, tag := range tags {
		fmt.Fprintf(&label, "-%04x", tag)
	}
	name, err := zone.Child(label.String())
	return name, err == nil
}

// The first labels of RFC 8509 §2, up to the five digits of the key tag.
const (
	sentinelIs  = "root-key-sentinel-is-ta-"
	sentinelNot = "root-key-sentinel-not-ta-"
)

// Sentinel is a question about a resolver's root trust anchors that a name asks (RFC
// 8509).
type Sentinel struct {
	Tag uint16
	Not bool // "is this not a trust anchor?"
}

// ParseSentinel recognises a sentinel by the first label of a question's name, given in
// wire form.
func ParseSentinel(name []byte) (Sentinel, bool) {
	if len(name) == 0 || int(name[0]) >= len(name) {
		return Sentinel{}, false
	}
	label := name[1 : 1+int(name[0])]
	prefix := sentinelIs
	if len(label) == len(sentinelNot)+5 {
		prefix = sentinelNot
	}
	if len(label) != len(prefix)+5 || !bytes.EqualFold(label[:len(prefix)], []byte(prefix)) {
		return Sentinel{}, false
	}
	tag := 0
	for _, c := range label[len(prefix):] {
		if c < '0' || c > '9' {
			return Sentinel{}, false
		}
		tag = tag*10 + int(c-'0')
	}
	return Sentinel{uint16(tag), prefix == sentinelNot}, tag <= 0xFFFF
}

// Refuses reports whether the answer to a sentinel has to be SERVFAIL: type A or AAAA,
// a secure answer, and the tag being (or not) that of a root trust anchor in use (RFC
// 8509 §3.2). The caller has seen to it that the query's CD bit is clear.
func (s Sentinel) Refuses(t dns.Type, status Status, tags []uint16) bool {
	if t != dns.TypeA && t != dns.TypeAAAA || !status.IsSecure() {
		return false
	}
	return slices.Contains(tags, s.Tag) == s.Not
}
