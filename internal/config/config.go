// Package config reads shoji's configuration file: YAML, strict, into structs.
//
// Every key has a default that works, so an absent or empty file is a valid
// configuration. An unknown key is an error that says where it stands and names
// the nearest key that exists. Only cmd imports this package: it hands each
// other package the small Config of its own.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/goccy/go-yaml"
)

// MaxFile bounds a configuration file, in octets.
const MaxFile = 1 << 20

// Config is the whole file.
type Config struct {
	// State is the folder of the log and the compiled list.
	State     string    `yaml:"state" json:"state,omitempty" jsonschema:"description=Folder of the log\\, its key and the compiled list. Default: the user's state folder."`
	Names     []string  `yaml:"names" json:"names,omitempty" jsonschema:"description=The resolver's own names. A listing of one of them\\, or of a name above one\\, is refused."`
	Listen    Listen    `yaml:"listen" json:"listen"`
	Resolve   Resolve   `yaml:"resolve" json:"resolve"`
	Cache     Cache     `yaml:"cache" json:"cache"`
	Sinkhole  Sinkhole  `yaml:"sinkhole" json:"sinkhole"`
	Forward   []Address `yaml:"forward" json:"forward,omitempty" jsonschema:"description=Upstream resolvers as ADDRESS or ADDRESS:PORT (default port 53). With any\\, questions are forwarded instead of being resolved from the root."`
	Reporting Reporting `yaml:"reporting" json:"reporting"`
}

// Listen says where queries are taken, and from whom.
type Listen struct {
	Filtered   []Socket       `yaml:"filtered" json:"filtered,omitempty" jsonschema:"description=Addresses of the filtered view (UDP and TCP)\\, ADDRESS:PORT. Default: 127.0.0.1:5300 and [::1]:5300."`
	Unfiltered []Socket       `yaml:"unfiltered" json:"unfiltered,omitempty" jsonschema:"description=Addresses of the unfiltered twin. Default: 127.0.0.1:5301 and [::1]:5301."`
	Allow      []netip.Prefix `yaml:"allow" json:"allow,omitempty" jsonschema:"description=Prefixes that may ask. Others get REFUSED. Default: loopback\\, private and link-local ranges."`
	Workers    int            `yaml:"workers" json:"workers,omitempty" jsonschema:"description=UDP sockets read in parallel for each address. Default: one a processor.,minimum=0,maximum=1024"`
}

// Resolve says how questions are answered when memory does not.
type Resolve struct {
	RootHints    []Hint    `yaml:"root_hints" json:"root_hints,omitempty" jsonschema:"description=Root servers to prime from. Default: the built-in ones."`
	TrustAnchors *[]string `yaml:"trust_anchors" json:"trust_anchors,omitempty" jsonschema:"description=DS or DNSKEY records as in a zone file\\, of any zone. Default: the root's built-in ones. An empty list turns validation off."`
	Insecure     []string  `yaml:"negative_trust_anchors" json:"negative_trust_anchors,omitempty" jsonschema:"description=Zones taken for unsigned\\, names below them included (RFC 7646)."`
	Minimisation string    `yaml:"qname_minimisation" json:"qname_minimisation,omitempty" jsonschema:"enum=relaxed,enum=strict,enum=off,description=RFC 9156. relaxed (default) falls back to the full name where a server is broken; strict does not; off sends full names."`
	IPv4         *bool     `yaml:"ipv4" json:"ipv4,omitempty" jsonschema:"description=Ask servers over IPv4. Default: true."`
	IPv6         *bool     `yaml:"ipv6" json:"ipv6,omitempty" jsonschema:"description=Ask servers over IPv6. Default: true."`
	Timeout      Duration  `yaml:"timeout" json:"timeout,omitempty" jsonschema:"description=Longest time for one question\\, such as 8s."`
}

// Hint is one root server.
type Hint struct {
	Name string     `yaml:"name" json:"name" jsonschema:"required"`
	Addr netip.Addr `yaml:"addr" json:"addr" jsonschema:"required"`
}

// Cache bounds the memory of answers.
type Cache struct {
	Size Size `yaml:"size" json:"size,omitempty" jsonschema:"description=Memory for answers\\, index included\\, such as 64MiB (default)."`
}

// Sinkhole is where filtered names lead.
type Sinkhole struct {
	IPv4 netip.Addr `yaml:"ipv4" json:"ipv4,omitempty" jsonschema:"description=Address given for a filtered name's A. Default: 127.83.72.1\\, which leads nowhere."`
	IPv6 netip.Addr `yaml:"ipv6" json:"ipv6,omitempty" jsonschema:"description=Address given for a filtered name's AAAA. Default: ::1."`
	TTL  Duration   `yaml:"ttl" json:"ttl,omitempty" jsonschema:"description=TTL of a filtered answer. Default: 10s. Short\\, so that a delisting is felt at once."`
}

// Reporting is what the process says of itself.
type Reporting struct {
	Level string `yaml:"level" json:"level,omitempty" jsonschema:"enum=debug,enum=info,enum=warn,enum=error,description=Least level of log lines. Default: info. No level logs queries or clients."`
}

// Default is the configuration of an empty file.
func Default() Config {
	on := true
	return Config{
		State: defaultState(),
		Listen: Listen{
			Filtered:   []Socket{loopback("127.0.0.1", 5300), loopback("::1", 5300)},
			Unfiltered: []Socket{loopback("127.0.0.1", 5301), loopback("::1", 5301)},
			Allow:      privateRanges(),
		},
		Resolve:   Resolve{Minimisation: "relaxed", IPv4: &on, IPv6: &on},
		Cache:     Cache{Size: 64 << 20},
		Sinkhole:  Sinkhole{IPv4: netip.MustParseAddr("127.83.72.1"), IPv6: netip.IPv6Loopback(), TTL: Duration(10 * time.Second)},
		Reporting: Reporting{Level: "info"},
	}
}

func loopback(addr string, port uint16) Socket {
	return Socket{netip.AddrPortFrom(netip.MustParseAddr(addr), port)}
}

// privateRanges are the ranges whose packets do not cross the Internet: RFC 1122
// §3.2.1.3, RFC 1918, RFC 3927, RFC 4193, RFC 4291, RFC 6598.
func privateRanges() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range []string{
		"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10",
		"::1/128", "fc00::/7", "fe80::/10",
	} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// defaultState is where a service (root on Unix) or a user keeps state: /var/lib
// by the FHS, $XDG_STATE_HOME by the XDG base directory specification, %LocalAppData% on Windows.
func defaultState() string {
	if runtime.GOOS == "windows" {
		if dir := os.Getenv("LocalAppData"); dir != "" {
			return filepath.Join(dir, "shoji")
		}
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "shoji")
	}
	if dir := os.Getenv("STATE_DIRECTORY"); filepath.IsAbs(dir) {
		return dir // systemd's StateDirectory=
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "state", "shoji")
	}
	return filepath.Join(string(filepath.Separator), "var", "lib", "shoji")
}

// Load reads the file at path over the defaults.
func Load(path string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	buf := make([]byte, MaxFile+1)
	n, err := readFull(f, buf)
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	if n > MaxFile {
		return Config{}, fmt.Errorf("configuration: %s is larger than %d octets", path, MaxFile)
	}
	c, err := Parse(buf[:n])
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %s: %w", path, err)
	}
	return c, nil
}

// Parse reads a configuration over the defaults. An error says line and column,
// and for an unknown key the nearest key that exists.
func Parse(b []byte) (Config, error) {
	c := Default()
	err := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict()).Decode(&c)
	if errors.Is(err, io.EOF) {
		return Default(), nil // nothing but comments
	}
	if err != nil {
		return Config{}, explain(err)
	}
	for _, family := range []**bool{&c.Resolve.IPv4, &c.Resolve.IPv6} {
		if *family == nil { // a key without a value
			*family = new(true)
		}
	}
	if err := c.check(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// check refuses what cannot work, naming the key.
func (c *Config) check() error {
	switch c.Resolve.Minimisation {
	case "relaxed", "strict", "off":
	default:
		return fmt.Errorf("resolve.qname_minimisation: %q is none of relaxed, strict, off", c.Resolve.Minimisation)
	}
	switch c.Reporting.Level {
	case "debug", "info", "warn", "error":
	default:
		return fmt.Errorf("reporting.level: %q is none of debug, info, warn, error", c.Reporting.Level)
	}
	for _, a := range c.Listen.Filtered {
		if a.Port() != 0 && slices.Contains(c.Listen.Unfiltered, a) {
			return fmt.Errorf("listen: both views have %s: a view is known by its address", a)
		}
	}
	if len(c.Listen.Filtered)+len(c.Listen.Unfiltered) == 0 {
		return errors.New("listen: neither view has an address")
	}
	if !*c.Resolve.IPv4 && !*c.Resolve.IPv6 {
		return errors.New("resolve: ipv4 and ipv6 are both off, so no server can be asked")
	}
	if a := c.Sinkhole.IPv4; a.IsValid() && !a.Is4() {
		return fmt.Errorf("sinkhole.ipv4: %s is not an IPv4 address", a)
	}
	if a := c.Sinkhole.IPv6; a.IsValid() && !a.Is6() {
		return fmt.Errorf("sinkhole.ipv6: %s is not an IPv6 address", a)
	}
	return c.checkNumbers()
}

func (c *Config) checkNumbers() error {
	if w := c.Listen.Workers; w < 0 || w > 1024 {
		return fmt.Errorf("listen.workers: %d is not between 0 and 1024", w)
	}
	if t := time.Duration(c.Sinkhole.TTL); t < 0 || t > time.Hour {
		return fmt.Errorf("sinkhole.ttl: %s is not between 0s and 1h", t)
	}
	if s := c.Cache.Size; s < 1<<20 || s > 1<<40 {
		return fmt.Errorf("cache.size: %d octets is not between 1MiB and 1TiB", s)
	}
	return nil
}
