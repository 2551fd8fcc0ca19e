package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/credential"
	"github.com/shoji-dns/shoji/internal/discovery"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/resolve"
	"github.com/shoji-dns/shoji/internal/serve"
)

// discoveryCmd prints what DHCP servers and routers tell clients of the encrypted addresses.
type discoveryCmd struct {
	settings
	JSON bool `help:"Print JSON for a machine." name:"json"`
}

// advertised is how one view is told of.
type advertised struct {
	View    string   `json:"view"`
	Records []string `json:"ddr"`        // SVCB records
	Named   []string `json:"named"`      // SVCB and HTTPS records of the view's name
	DHCPv4  string   `json:"dhcpv4_162"` // the option's value in hexadecimal
	DHCPv6  []string `json:"dhcpv6_144"` // the values of as many options
	Router  []string `json:"router_144"` // whole options of router advertisements
	ECH     bool     `json:"ech"`        // they tell of Encrypted Client Hello, by the key of now
}

// routerLifetime is how long a router's option holds, in seconds: three of the longest times
// between advertisements (RFC 4861 §6.2.1), as RFC 9463 §6.1 recommends.
const routerLifetime = 3 * 1800

func (c *discoveryCmd) Run(t terminal) error {
	conf, err := c.settings.load()
	if err != nil {
		return err
	}
	list, err := credential.PublishedECH(echFolder(conf))
	if err != nil {
		return err
	}
	if conf.Encrypted.Public() == "" {
		list = nil
	}
	var all []advertised
	for _, v := range []struct {
		name string
		face config.Face
	}{{filteredView, conf.Encrypted.Filtered}, {unfilteredView, conf.Encrypted.Unfiltered}} {
		ends, err := endpoints(conf.Encrypted, v.face, list)
		if err != nil {
			return err
		}
		if len(ends) == 0 {
			continue
		}
		a, err := advertise(v.name, ends)
		if err != nil {
			return err
		}
		all = append(all, a)
	}
	if len(all) == 0 {
		return usageError{errors.New("nothing to tell: give addresses in encrypted.dot, doh or doq, and names in encrypted.filtered.name and unfiltered.name")}
	}
	if c.JSON {
		enc := json.NewEncoder(t.out)
		enc.SetIndent("", "  ")
		return enc.Encode(all)
	}
	return printAdvertised(t, all)
}

func advertise(view string, ends []discovery.Endpoint) (advertised, error) {
	a := advertised{View: view, DHCPv4: hex.EncodeToString(discovery.DHCPv4(ends)), DHCPv6: []string{}, Router: []string{}}
	for i := range ends {
		a.ECH = a.ECH || len(ends[i].ECH) > 0
		a.Records = append(a.Records, ends[i].Record().String())
		named, err := ends[i].Named()
		if err != nil {
			return a, err
		}
		for _, r := range named {
			a.Named = append(a.Named, r.String())
		}
		if b, ok := ends[i].DHCPv6(); ok {
			a.DHCPv6 = append(a.DHCPv6, hex.EncodeToString(b))
		}
		if b, ok := ends[i].Advertisement(routerLifetime); ok {
			a.Router = append(a.Router, hex.EncodeToString(b))
		}
	}
	return a, nil
}

func printAdvertised(t terminal, all []advertised) error {
	var b strings.Builder
	for _, a := range all {
		fmt.Fprintf(&b, "%s\n  DDR, answered by this view on plain DNS (RFC 9462):\n", a.View)
		for _, r := range a.Records {
			fmt.Fprintf(&b, "    %s\n", r)
		}
		b.WriteString("  records of its name, answered by both views:\n")
		for _, r := range a.Named {
			fmt.Fprintf(&b, "    %s\n", r)
		}
		if a.DHCPv4 != "" {
			fmt.Fprintf(&b, "  DHCPv4 option 162 (RFC 9463):\n    %s\n", a.DHCPv4)
		}
		for _, o := range a.DHCPv6 {
			fmt.Fprintf(&b, "  DHCPv6 option 144:\n    %s\n", o)
		}
		for _, o := range a.Router {
			fmt.Fprintf(&b, "  router advertisement option 144, whole:\n    %s\n", o)
		}
		if a.ECH {
			b.WriteString("  They have the key of Encrypted Client Hello (ech) of now. Where they stay as they are, a client that comes\n  with a key which has gone is told the new one, for a round trip.\n")
		}
	}
	_, err := fmt.Fprint(t.out, b.String())
	return err
}

// endpoints are the ways to a view by its name: one for each transport and port. A view without a
// name has none, and neither has a port that is yet to be picked. list is what is told of Encrypted
// Client Hello.
func endpoints(c config.Encrypted, face config.Face, list []byte) ([]discovery.Endpoint, error) {
	if face.Name == "" {
		return nil, nil
	}
	target, err := dns.ParseName(face.Name)
	if err != nil {
		return nil, fmt.Errorf("configuration: encrypted: %q: %w", face.Name, err)
	}
	var out []discovery.Endpoint
	for _, t := range []struct {
		alpn []string
		at   []config.Socket
		path string
	}{{[]string{"h2", "h3"}, c.DoH, face.Path}, {[]string{"dot"}, c.DoT, ""}, {[]string{"doq"}, c.DoQ, ""}} {
		var ports []uint16
		for _, a := range t.at {
			if a.Port() != 0 && !slices.Contains(ports, a.Port()) {
				ports = append(ports, a.Port())
			}
		}
		for _, port := range ports {
			e := discovery.Endpoint{Priority: uint16(len(out) + 1), Target: target.Canonical(), ALPN: t.alpn, Port: port, Path: t.path, ECH: list}
			for _, a := range t.at {
				if a.Port() == port && !a.Addr().IsUnspecified() {
					e.Addrs = append(e.Addrs, netip.Addr(a.Addr()))
				}
			}
			if err := e.Check(); err != nil {
				return nil, fmt.Errorf("configuration: encrypted: %w", err)
			}
			out = append(out, e)
		}
	}
	return out, nil
}

// designated is the zone by which a view on plain DNS tells of its encrypted addresses; ok is
// false where it has none, or where an operator has written that zone.
func designated(conf config.Config, face config.Face, list []byte) (zone serve.LocalZone, ok bool, err error) {
	ends, err := endpoints(conf.Encrypted, face, list)
	if err != nil || len(ends) == 0 {
		return zone, false, err
	}
	zone = serve.LocalZone{Name: dns.MustName(discovery.Name), Kind: serve.LocalStatic}
	for _, z := range conf.LocalZones {
		if name, err := dns.ParseName(z.Name); err == nil && name.Equal(zone.Name) {
			return zone, false, nil
		}
	}
	for i := range ends {
		zone.Records = append(zone.Records, ends[i].Record())
	}
	return zone, true, nil
}

// named are the records of both views' names, by which who knows a name finds its encrypted
// addresses.
func named(c config.Encrypted, list []byte) (out []dns.RR, err error) {
	for _, face := range []config.Face{c.Filtered, c.Unfiltered} {
		ends, err := endpoints(c, face, list)
		if err != nil {
			return nil, err
		}
		for i := range ends {
			records, err := ends[i].Named()
			if err != nil {
				return nil, fmt.Errorf("configuration: encrypted: %w", err)
			}
			out = append(out, records...)
		}
	}
	return out, nil
}

// telling are the local zones of the filtered view: those of its twin, but for which encrypted
// addresses they tell of.
func (n *node) telling(twin *serve.Local, served []resolve.Zone) (*serve.Local, error) {
	c := n.conf.Encrypted
	if c.Filtered.Name == c.Unfiltered.Name { // neither has one
		return twin, nil
	}
	own, err := ownAnswers(n.conf, served, n.around.lab, c.Filtered, n.echList())
	return own.Local, err
}
