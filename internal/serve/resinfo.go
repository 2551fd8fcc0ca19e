package serve

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/shoji-dns/shoji/internal/dns"
)

// Information is what the resolver tells about itself in RESINFO records (RFC 9606), under its
// own names and resolver.arpa. The registry has no keys for a policy or a log, so theirs begin
// with temp-, as private ones do (§8.2).
type Information struct {
	Names    []dns.Name // the resolver's own, by which clients authenticate it
	Minimise bool       // QNAME minimisation (RFC 9156): qnamemin
	URL      string     // for people, of the resolver: infourl
	Policy   string     // of what is listed, and why: temp-policy
	Logs     []string   // of all listings, where there are any: temp-log, and temp-log-2 and so on for the others
}

// possibleErrors are the Extended DNS Errors that replies may have, as exterr lists them
// (RFC 9606 §5): those of validation and resolution, of the list, and of local policy.
const possibleErrors = "0-15,18-20,21-30"

// maxInformation is the longest key with its value in octets: one string (RFC 1035 §3.3).
const maxInformation = 255

// data is the RDATA: strings of keys with their values (RFC 9606 §4), those of RFC 9606
// first.
func (i *Information) data() ([]byte, error) {
	pairs := []string{"exterr=" + possibleErrors}
	if i.Minimise {
		pairs = slices.Insert(pairs, 0, "qnamemin")
	}
	told := []struct{ key, value string }{{"infourl", i.URL}, {"temp-policy", i.Policy}}
	for n, log := range i.Logs {
		key := "temp-log" // of several strings with one key, readers take the first (RFC 6763 §6.4)
		if n > 0 {
			key += "-" + strconv.Itoa(n+1)
		}
		told = append(told, struct{ key, value string }{key, log})
	}
	for _, p := range told {
		switch {
		case p.value == "":
		case !strings.HasPrefix(p.value, "https://"):
			return nil, fmt.Errorf("%s: %q does not begin with https://", p.key, p.value)
		case len(p.value) == len("https://") || strings.ContainsFunc(p.value, notOfURL):
			return nil, fmt.Errorf("%s: %q is no address of a page", p.key, p.value)
		default:
			pairs = append(pairs, p.key+"="+p.value)
		}
	}
	var out []byte
	for _, p := range pairs {
		if len(p) > maxInformation {
			return nil, fmt.Errorf("%q is longer than %d octets", p, maxInformation)
		}
		out = append(append(out, byte(len(p))), p...)
	}
	return out, nil
}

// inform puts the RESINFO records into zones.
func (i *Information) inform(zones map[dns.Name]LocalZone) error {
	if i == nil {
		return nil
	}
	data, err := i.data()
	if err != nil {
		return err
	}
	for _, name := range append(i.Names[:len(i.Names):len(i.Names)], dns.MustName("resolver.arpa")) {
		name = name.Canonical()
		if name == dns.Root {
			return errors.New("the root is no resolver's own name")
		}
		join(zones, []dns.RR{{Name: name, Type: dns.TypeRESINFO, Class: dns.ClassIN, TTL: localTTL, Data: data}})
	}
	return nil
}

// join puts records of the resolver's own into zones. What an operator wrote of an owner and
// type stands.
func join(zones map[dns.Name]LocalZone, records []dns.RR) {
	type set struct {
		owner dns.Name
		rtype dns.Type
	}
	ours := make(map[set]bool)
	for _, r := range records {
		r.Name = r.Name.Canonical()
		zone, ok := nearest(zones, r.Name)
		if !ok {
			continue
		}
		at := set{r.Name, r.Type}
		known := slices.ContainsFunc(zone.Records, func(k dns.RR) bool { return k.Type == r.Type && k.Name.Equal(r.Name) })
		if known && !ours[at] {
			continue
		}
		ours[at] = true
		zone.Records = append(zone.Records[:len(zone.Records):len(zone.Records)], r)
		zones[zone.Name] = zone
	}
}

// nearest is the zone for the record of a name: the one that the name is answered from, or
// one of its own where that would change other answers. ok is false where an operator has
// withheld the name.
func nearest(zones map[dns.Name]LocalZone, name dns.Name) (zone LocalZone, ok bool) {
	own := LocalZone{Name: name, Kind: LocalTypeTransparent}
	for at := name; ; at = at.Parent() {
		z, found := zones[at]
		switch {
		case !found && at == dns.Root:
			return own, true
		case !found:
			continue
		case z.Kind == LocalNXDomain, z.Kind == LocalRedirect && at != name:
			return LocalZone{}, false
		case z.Kind == LocalNoDefault:
			return own, true
		case z.Kind == LocalTransparent && !slices.ContainsFunc(z.Records, func(r dns.RR) bool { return r.Name.IsSubdomainOf(name) }):
			return own, true
		}
		return z, true
	}
}

// notOfURL reports characters that stand in no URI as they are (RFC 3986 §2).
func notOfURL(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"<>\^`+"`{|}", r) }
