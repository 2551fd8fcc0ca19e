package main

import (
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/resolve"
	"github.com/shoji-dns/shoji/internal/zonecopy"
)

// copied is a zone with a local copy.
type copied struct {
	zone     dns.Name
	zonecopy *zonecopy.Copy
}

// openCopies opens the local copies of zones. The lab has none.
func (n *node) openCopies() error {
	if n.around.lab {
		return nil
	}
	all, err := copies(n.conf, n.around.anchors)
	if err != nil {
		return err
	}
	for i, c := range all {
		c.Log = n.log
		k, err := zonecopy.Open(c)
		if err != nil {
			return fmt.Errorf("configuration: resolve.copies[%d]: %w", i, err)
		}
		n.copies = append(n.copies, copied{c.Zone, k})
	}
	return nil
}

// copies are the configured local copies.
func copies(conf config.Config, anchors []dnssec.Anchor) ([]zonecopy.Config, error) {
	var out []zonecopy.Config
	seen := make(map[dns.Name]bool)
	for i, c := range conf.Resolve.Copies {
		zone, err := dns.ParseName(c.Zone)
		if err != nil {
			return nil, fmt.Errorf("configuration: resolve.copies[%d].zone: %q: %w", i, c.Zone, err)
		}
		if seen[zone.Canonical()] {
			return nil, fmt.Errorf("configuration: resolve.copies[%d]: %s stands there twice: leave one of them out", i, c.Zone)
		}
		seen[zone.Canonical()] = true
		from := make([]netip.AddrPort, len(c.From))
		for i, a := range c.From {
			from[i] = a.AddrPort
		}
		out = append(out, zonecopy.Config{
			Zone: zone, File: c.File, From: from, Folder: filepath.Join(conf.State, "copies"),
			Anchors: anchors, Validation: validation(conf),
		})
	}
	return out, nil
}

// readable holds that the files are there and right that serve does not start without.
func readable(conf config.Config) error {
	trust, err := anchors(conf)
	if err != nil {
		return err
	}
	all, err := copies(conf, trust)
	if err != nil {
		return err
	}
	for i, c := range all {
		if c.File == "" {
			continue
		}
		if _, err := zonecopy.Open(c); err != nil {
			return fmt.Errorf("configuration: resolve.copies[%d]: %w", i, err)
		}
	}
	return nil
}

// replicas are the copies as the resolver takes them.
func (n *node) replicas() []resolve.Copy {
	var out []resolve.Copy
	for _, k := range n.copies {
		out = append(out, resolve.Copy{Zone: k.zone, From: k.zonecopy})
	}
	return out
}

// validation is how signatures are judged.
func validation(conf config.Config) dnssec.Config {
	return dnssec.Config{
		SHA1: conf.Resolve.SHA1, At: conf.Resolve.Validation.Time, AnyTime: conf.Resolve.Validation.Any,
		Iterations: conf.Resolve.Iterations,
	}
}

// zones are the configured stub and forward zones.
func zones(conf config.Config) ([]resolve.Zone, error) {
	var out []resolve.Zone
	seen := make(map[dns.Name]bool)
	for i, z := range conf.Resolve.Zones {
		key := fmt.Sprintf("resolve.zones[%d]", i)
		name, err := dns.ParseName(z.Name)
		if err != nil {
			return nil, fmt.Errorf("configuration: %s.name: %q: %w", key, z.Name, err)
		}
		if name == dns.Root && len(conf.Forward) > 0 {
			return nil, fmt.Errorf("configuration: %s: the root is forwarded already, by the key forward: leave one of them out", key)
		}
		if seen[name.Canonical()] {
			return nil, fmt.Errorf("configuration: %s: %s stands there twice: leave one of them out", key, z.Name)
		}
		seen[name.Canonical()] = true
		zone := resolve.Zone{Name: name, Forward: z.Kind == "forward", First: z.First, TCP: z.TCP, Prime: z.Prime}
		if zone.Hosts, err = names(key+".hosts", z.Hosts); err != nil {
			return nil, err
		}
		for _, a := range z.Servers {
			zone.Servers = append(zone.Servers, resolve.Upstream{Addr: a.Addr(), Port: a.Port()})
		}
		out = append(out, zone)
	}
	if len(conf.Forward) == 0 {
		return out, nil
	}
	root, err := forwardAll(conf)
	return append(out, root), err
}

// private are the zones whose names are resolved even where they are special-use:
// those that somebody has configured servers for. The root says nothing of them.
func private(zones []resolve.Zone) []dns.Name {
	var out []dns.Name
	for _, z := range zones {
		if z.Name != dns.Root {
			out = append(out, z.Name)
		}
	}
	return out
}
