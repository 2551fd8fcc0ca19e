package feed

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/shoji-dns/shoji/internal/dns"
)

// transferScheme begins the location of a policy zone that is had by zone transfer.
const transferScheme = "axfr://"

// maxPrimaries bounds the servers of one location.
const maxPrimaries = 8

// Transfer is a location that is a zone to be transferred: axfr://[KEY@]ADDRESS[:PORT][,…]/ZONE.
type Transfer struct {
	Key  string           // name of the TSIG key; "": none
	From []netip.AddrPort // asked in this order; the port is 53 unless the location says
	Zone dns.Name
}

// IsTransfer reports whether a location is a zone to be transferred.
func IsTransfer(location string) bool { return strings.HasPrefix(location, transferScheme) }

// ParseTransfer reads such a location.
func ParseTransfer(location string) (Transfer, error) {
	var t Transfer
	rest, ok := strings.CutPrefix(location, transferScheme)
	servers, zone, whole := strings.Cut(rest, "/")
	if !ok || !whole {
		return t, fmt.Errorf("%q is no zone to transfer; write it as %s[KEY@]ADDRESS[:PORT]/ZONE", location, transferScheme)
	}
	if key, behind, ok := strings.Cut(servers, "@"); ok {
		if t.Key, servers = key, behind; key == "" {
			return t, errors.New("no name of a key before @")
		}
	}
	for text := range strings.SplitSeq(servers, ",") {
		at, err := netip.ParseAddrPort(text)
		if err != nil {
			addr, failed := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
			if failed != nil {
				return t, fmt.Errorf("%q is no ADDRESS or ADDRESS:PORT", text)
			}
			at = netip.AddrPortFrom(addr, 53)
		}
		if t.From = append(t.From, at); len(t.From) > maxPrimaries {
			return t, fmt.Errorf("more than %d servers", maxPrimaries)
		}
	}
	var err error
	if t.Zone, err = dns.ParseName(zone); err == nil && t.Zone == dns.Root {
		err = errors.New("the root is no policy zone")
	}
	if err != nil {
		return t, fmt.Errorf("zone %q: %w", zone, err)
	}
	return t, nil
}
