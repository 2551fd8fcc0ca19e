package scenario

import (
	"fmt"
	"net/netip"
	"strings"

	wire "github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/resolve"
	"github.com/shoji-dns/shoji/internal/serve"
	"github.com/shoji-dns/shoji/internal/zonefile"
)

// usual are special-use names that stories of Deckard's use like others.
var usual = []string{"test", "local", "invalid", "onion", "home.arpa", "localhost", "10.in-addr.arpa", "168.192.in-addr.arpa",
	"127.in-addr.arpa", "2.0.192.in-addr.arpa", "100.51.198.in-addr.arpa", "113.0.203.in-addr.arpa", "8.b.d.0.1.0.0.2.ip6.arpa"}

// local are the zones that the story has answered from its configuration. Names of zones with
// servers of their own are resolved.
func (s *Scenario) local(served []resolve.Zone) (*serve.Local, error) {
	c := serve.LocalConfig{}
	for _, z := range served {
		if z.Name != wire.Root {
			c.Ordinary = append(c.Ordinary, z.Name)
		}
	}
	at := make(map[string]*serve.LocalZone)
	if s.Dialect == Deckard {
		for _, n := range usual {
			at[n+"."] = &serve.LocalZone{Name: wire.MustName(n), Kind: serve.LocalNoDefault}
		}
	}
	for _, v := range s.every("local-zone") {
		if err := localZone(at, v); err != nil {
			return nil, err
		}
	}
	for _, v := range s.every("local-data") {
		if err := localData(at, v); err != nil {
			return nil, unreadable(err.Error())
		}
	}
	for _, z := range at {
		c.Zones = append(c.Zones, *z)
	}
	l, err := serve.NewLocal(c)
	if err != nil {
		return nil, skipped(err.Error())
	}
	return l, nil
}

// localZone reads "name kind".
func localZone(at map[string]*serve.LocalZone, text string) error {
	w := strings.Fields(strings.NewReplacer(`"`, " ", "'", " ").Replace(text))
	if len(w) < 2 {
		return unreadable("local-zone " + text)
	}
	name, err := wire.ParseName(w[0])
	if err != nil {
		return unreadable(fmt.Sprintf("local-zone %s: %v", text, err))
	}
	kind := strings.TrimPrefix(w[1], "always_")
	switch w[1] {
	case "inform":
		kind = "transparent"
	case "always_transparent":
		kind = "nodefault"
	}
	k, err := serve.ParseLocalKind(kind)
	if err != nil {
		return skipped("local zone of kind " + w[1])
	}
	at[name.Canonical().String()] = &serve.LocalZone{Name: name, Kind: k}
	return nil
}

// localData reads a record. Where no zone holds it, it makes one: everything else of its name's
// zone is resolved.
func localData(at map[string]*serve.LocalZone, text string) error {
	rr, err := zonefile.Record(text, wire.Root)
	if err != nil {
		return fmt.Errorf("local-data %s: %w", text, err)
	}
	for n := rr.Name.Canonical(); ; n = n.Parent() {
		if z := at[n.String()]; z != nil {
			z.Records = append(z.Records, rr)
			return nil
		}
		if n == wire.Root {
			break
		}
	}
	at[rr.Name.Canonical().String()] = &serve.LocalZone{Name: rr.Name, Kind: serve.LocalTransparent, Records: []wire.RR{rr}}
	return nil
}

// addresses reads what is made of addresses, and which are withheld.
func (s *Scenario) addresses() (d *serve.DNS64, r *serve.Rebinding, err error) {
	prefix := s.last("dns64-prefix")
	if p, ok := s.features()["dns64_prefix"]; ok {
		prefix = p + "/96"
	} else if !strings.Contains(s.last("module-config"), "dns64") {
		prefix = ""
	}
	if prefix != "" {
		d = &serve.DNS64{All: isYes(s.last("dns64-synthall"), false)}
		if d.Prefix, err = netip.ParsePrefix(prefix); err != nil {
			return nil, nil, unreadable(err.Error())
		}
		d.Prefix = d.Prefix.Masked()
		if err := d.Check(); err != nil {
			return nil, nil, skipped(err.Error())
		}
	}
	if len(s.every("dns64-ignore-aaaa")) > 0 {
		return nil, nil, skipped("DNS64 that differs by name")
	}
	for _, text := range s.every("private-address") {
		if r == nil {
			r = new(serve.Rebinding)
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, nil, unreadable(err.Error())
		}
		r.Prefixes = append(r.Prefixes, p.Masked())
	}
	if r != nil {
		if r.Allow, err = names(s.every("private-domain")); err != nil {
			return nil, nil, unreadable(err.Error())
		}
	}
	return d, r, nil
}
