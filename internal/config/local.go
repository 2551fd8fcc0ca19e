package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// LocalZone is one zone that is answered from the configuration.
type LocalZone struct {
	Name    string   `yaml:"name" json:"name" jsonschema:"required,description=The zone's name. The nearest zone above a name decides."`
	Kind    string   `yaml:"kind" json:"kind" jsonschema:"required,enum=static,enum=transparent,enum=typetransparent,enum=redirect,enum=refuse,enum=nxdomain,enum=nodefault,description=static: nothing but its records exists. transparent: names without records are resolved as usual. typetransparent: so are names with records of other types. redirect: every name has the records of the zone's own name. refuse: names without records are refused. nxdomain: no name exists. nodefault: all names are resolved as usual\\, whatever is built in for them (special-use names and the reverse zones of RFC 6303)."`
	Records []string `yaml:"records" json:"records,omitempty" jsonschema:"description=Records as in a zone file\\, such as printer.home.example. 3600 IN A 192.168.1.9. Relative names are relative to the zone. A CNAME may lead out of the zone: its target is resolved."`
}

// localKinds are the kinds of local zones.
var localKinds = []string{"static", "transparent", "typetransparent", "redirect", "refuse", "nxdomain", "nodefault"}

func (c *Config) checkLocalZones() error {
	for i, z := range c.LocalZones {
		switch {
		case z.Name == "":
			return fmt.Errorf("local_zones[%d]: no name", i)
		case !slices.Contains(localKinds, z.Kind):
			return fmt.Errorf("local_zones[%d] (%s): kind %q is none of %s", i, z.Name, z.Kind, strings.Join(localKinds, ", "))
		}
	}
	return nil
}

// Rebinding is the protection against public names with private addresses.
type Rebinding struct {
	Enabled  bool           `yaml:"enabled" json:"enabled,omitempty" jsonschema:"description=Withhold answers that lead a public name to an address of prefixes\\, in both views: what a web page could use to reach a device in its reader's network. Default: false\\, since some services rest on such names\\, and block lists of mail servers answer from 127.0.0.0/8."`
	Allow    []string       `yaml:"allow" json:"allow,omitempty" jsonschema:"description=Names that may lead there\\, with all below them. Zones of resolve.zones and of local_zones may anyway."`
	Prefixes []netip.Prefix `yaml:"prefixes" json:"prefixes,omitempty" jsonschema:"description=The addresses. Default: loopback\\, private\\, shared and link-local ones."`
}

// DNS64 makes AAAA records for networks of IPv6 alone.
type DNS64 struct {
	Prefix  netip.Prefix   `yaml:"prefix" json:"prefix,omitempty" jsonschema:"description=Prefix of the NAT64\\, such as 64:ff9b::/96. With one\\, names without AAAA records get some made of their A records (RFC 6147). Default: none."`
	Exclude []netip.Prefix `yaml:"exclude" json:"exclude,omitempty" jsonschema:"description=AAAA records that count as none. Default: ::ffff:0:0/96."`
	All     bool           `yaml:"synthesise_all" json:"synthesise_all,omitempty" jsonschema:"description=Make AAAA records of A records also where a name has its own. Default: false."`
}

// maxPrivatePrefixes is how many prefixes each address of an answer is compared with.
const maxPrivatePrefixes = 64

func (c *Config) checkAddresses() error {
	if n := len(c.Rebinding.Prefixes); n > maxPrivatePrefixes {
		return fmt.Errorf("rebinding.prefixes: %d are more than %d", n, maxPrivatePrefixes)
	}
	if n := len(c.DNS64.Exclude); n > maxPrivatePrefixes {
		return fmt.Errorf("dns64.exclude: %d are more than %d", n, maxPrivatePrefixes)
	}
	if d := c.DNS64; !d.Prefix.IsValid() && (len(d.Exclude) > 0 || d.All) {
		return errors.New("dns64: no prefix, without which nothing is made: add one, such as 64:ff9b::/96")
	}
	return nil
}

// Information is where people find more about the resolver.
type Information struct {
	URL    string `yaml:"url" json:"url,omitempty" jsonschema:"description=A page about the resolver (infourl). https:// only\\, as all of these."`
	Policy string `yaml:"policy" json:"policy,omitempty" jsonschema:"description=A page that says what is listed\\, and why (temp-policy)."`
	Log    string `yaml:"log" json:"log,omitempty" jsonschema:"description=The address of the public log of all listings (temp-log). Default: that of a log that is followed over https."`

	Contact       []string `yaml:"contact" json:"contact,omitempty" jsonschema:"description=Where wrong listings are reported: mailto: and tel: URIs. This and the keys below are told to clients that ask for structured errors of filtered names."`
	Justification string   `yaml:"justification" json:"justification,omitempty" jsonschema:"description=A sentence for people: why names are filtered here. Default: one that says that the name is known to command malware."`
	Organisation  string   `yaml:"organisation" json:"organisation,omitempty" jsonschema:"description=The name of who filters\\, and nothing else. Default: not told."`
	Language      string   `yaml:"language" json:"language,omitempty" jsonschema:"description=Language of justification and organisation\\, such as en or ja. Default: en."`
	Database      string   `yaml:"database" json:"database,omitempty" jsonschema:"description=The log's name in a registry of public databases of what is filtered (fdbs). Default: the log's own name."`
}

// Identity is what the server says about itself to who asks.
type Identity struct {
	NSID    string  `yaml:"nsid" json:"nsid,omitempty" jsonschema:"description=Which server of several this is\\, told with any reply to clients that ask for it (RFC 5001). At most 128 octets. Default: not told.,maxLength=128"`
	Server  string  `yaml:"id_server" json:"id_server,omitempty" jsonschema:"description=The text of id.server and hostname.bind in class CH (RFC 4892). Default: refused.,maxLength=255"`
	Version *string `yaml:"version" json:"version,omitempty" jsonschema:"description=The text of version.server and version.bind in class CH. Default: shoji. An empty one is refused.,maxLength=255"`
}

func (c *Config) checkIdentity() error {
	for _, k := range []struct {
		key, text string
		max       int
	}{{"nsid", c.Identity.NSID, 128}, {"id_server", c.Identity.Server, 255}, {"version", c.Identity.VersionText(), 255}} {
		if len(k.text) > k.max {
			return fmt.Errorf("identity.%s: %d octets are more than %d", k.key, len(k.text), k.max)
		}
	}
	return nil
}

// VersionText is what is told of the version.
func (i Identity) VersionText() string {
	if i.Version == nil {
		return "shoji"
	}
	return *i.Version
}
