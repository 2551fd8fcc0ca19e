package main

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/listen"
	"github.com/shoji-dns/shoji/internal/resolve"
	"github.com/shoji-dns/shoji/internal/serve"
	"github.com/shoji-dns/shoji/internal/zonefile"
)

// sockets is how a view's queries are taken.
func sockets(conf config.Config, h listen.Handler, at []netip.AddrPort) listen.Config {
	c := listen.Config{
		Handler: h, Addrs: at, Workers: conf.Listen.Workers, Allow: conf.Listen.Allow, Balancers: conf.Listen.Balancers,
		RateLimit: conf.Listen.RateLimit, NSID: conf.Identity.NSID,
	}
	for _, s := range conf.Listen.Cookies {
		c.CookieSecrets = append(c.CookieSecrets, s)
	}
	return c
}

// ownAnswers is what both views say that is not the Internet's: local data, what the server
// says about itself, and how addresses are changed on the way out. But for which encrypted
// addresses a view tells of: that is the face's. list is what is told of Encrypted Client Hello.
func ownAnswers(conf config.Config, served []resolve.Zone, lab bool, face config.Face, list []byte) (serve.Config, error) {
	d, err := dns64(conf)
	if err != nil {
		return serve.Config{}, err
	}
	l, err := local(conf, served, d, lab, face, list)
	if err != nil {
		return serve.Config{}, err
	}
	r, err := rebinding(conf, served)
	return serve.Config{
		Local: l, Rebinding: r, DNS64: d, Identity: conf.Identity.Server, Version: conf.Identity.VersionText(),
	}, err
}

// local are the zones that are answered from the configuration, and those built in. The
// names of zones with servers of their own are resolved.
func local(conf config.Config, served []resolve.Zone, d *serve.DNS64, lab bool, face config.Face, list []byte) (*serve.Local, error) {
	c := serve.LocalConfig{Lab: lab, Ordinary: private(served), DNS64: d, Information: &serve.Information{
		Minimise: conf.Resolve.Minimisation != "off", URL: conf.Information.URL, Policy: conf.Information.Policy, Logs: publicLogs(conf),
	}}
	var err error
	if c.Information.Names, err = names("names", conf.Names); err != nil {
		return nil, err
	}
	for i, z := range conf.LocalZones {
		key := fmt.Sprintf("configuration: local_zones[%d]", i)
		name, err := dns.ParseName(z.Name)
		if err != nil {
			return nil, fmt.Errorf("%s.name: %q: %w", key, z.Name, err)
		}
		kind, err := serve.ParseLocalKind(z.Kind)
		if err != nil {
			return nil, fmt.Errorf("%s.kind: %w", key, err)
		}
		zone := serve.LocalZone{Name: name, Kind: kind}
		for j, text := range z.Records {
			r, err := zonefile.Record(text, name)
			if err != nil {
				return nil, fmt.Errorf("%s.records[%d]: %q: %w", key, j, text, err)
			}
			zone.Records = append(zone.Records, r)
		}
		c.Zones = append(c.Zones, zone)
	}
	if zone, ok, err := designated(conf, face, list); err != nil {
		return nil, err
	} else if ok {
		c.Zones = append(c.Zones, zone)
	}
	if c.Own, err = named(conf.Encrypted, list); err != nil {
		return nil, err
	}
	l, err := serve.NewLocal(c)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return l, nil
}

// publicLogs are the addresses of the logs that RESINFO names.
func publicLogs(conf config.Config) []string {
	if conf.Information.Log != "" {
		return []string{conf.Information.Log}
	}
	var out []string
	for _, f := range conf.Follow {
		if strings.HasPrefix(f.Log, "https://") {
			out = append(out, f.Log)
		}
	}
	return out
}

// dns64 is the making of AAAA records; nil where none is configured.
func dns64(conf config.Config) (*serve.DNS64, error) {
	c := conf.DNS64
	if !c.Prefix.IsValid() {
		return nil, nil
	}
	d := &serve.DNS64{Prefix: c.Prefix, Exclude: c.Exclude, All: c.All}
	if err := d.Check(); err != nil {
		return nil, fmt.Errorf("configuration: dns64.prefix: %w", err)
	}
	return d, nil
}

// rebinding is the protection against public names with private addresses; nil where it is
// off. Zones with servers of their own are not public.
func rebinding(conf config.Config, served []resolve.Zone) (*serve.Rebinding, error) {
	allow, err := names("rebinding.allow", conf.Rebinding.Allow)
	if err != nil || !conf.Rebinding.Enabled {
		return nil, err
	}
	return &serve.Rebinding{Prefixes: conf.Rebinding.Prefixes, Allow: append(allow, private(served)...)}, nil
}
