// Package config reads shoji's configuration file: YAML, strict, into structs.
//
// Every key has a default that works, so an absent or empty file is a valid
// configuration. An unknown key is an error that says where it stands and names
// the nearest key that exists. Only cmd imports this package: it hands each
// other package the small Config of its own.
package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/goccy/go-yaml"
)

// MaxFile bounds a configuration file, in octets.
const MaxFile = 1 << 20

// Config is the whole file.
type Config struct {
	// State is the folder of the log and the compiled list.
	State     string    `yaml:"state" json:"state,omitempty" jsonschema:"description=Folder of the log\\, its key and the compiled list. Default: the user's state folder."`
	Policy    string    `yaml:"policy" json:"policy,omitempty" jsonschema:"description=File with the definition of what is filtered\\, as shoji policy show --yaml prints one. Default: the one that ships with shoji."`
	Evidence  string    `yaml:"evidence" json:"evidence,omitempty" jsonschema:"description=Where evidence is kept: the path of an SQLite file\\, or a PostgreSQL database as postgres://USER@HOST/NAME. Default: evidence.db in the state folder."`
	Sources   []Source  `yaml:"sources" json:"sources,omitempty" jsonschema:"description=Where evidence comes from. Each is read again by its interval; what its claims are worth\\, the policy says."`
	Names     []string  `yaml:"names" json:"names,omitempty" jsonschema:"description=The resolver's own names. A listing of one of them\\, or of a name above one\\, is refused."`
	Listen    Listen    `yaml:"listen" json:"listen"`
	Encrypted Encrypted `yaml:"encrypted" json:"encrypted"`
	Resolve   Resolve   `yaml:"resolve" json:"resolve"`
	Cache     Cache     `yaml:"cache" json:"cache"`
	Sinkhole  Sinkhole  `yaml:"sinkhole" json:"sinkhole"`
	Transfer  Transfer  `yaml:"transfer" json:"transfer"`
	Log       Log       `yaml:"log" json:"log"`
	Metrics   Metrics   `yaml:"metrics" json:"metrics"`
	Follow    []Follow  `yaml:"follow" json:"follow,omitempty" jsonschema:"description=The public logs of operators\\, which say what is filtered here\\, eight at most: what any of them lists is filtered\\, and the first that lists it is named. Default: a log of one's own."`
	Desk      Desk      `yaml:"desk" json:"desk"`
	Reporting Reporting `yaml:"reporting" json:"reporting"`

	Forward   []Forwarder `yaml:"forward" json:"forward,omitempty" jsonschema:"description=Upstream resolvers. With any\\, questions are forwarded instead of being resolved from the root. Each is ADDRESS or ADDRESS:PORT (default port 53)\\, or an encrypted one: tls://ADDRESS#NAME\\, https://ADDRESS/PATH#NAME\\, h3://ADDRESS/PATH#NAME or quic://ADDRESS#NAME\\, where NAME is what its certificate must have (default: the address)\\, or an oblivious one through a proxy: odoh://ADDRESS/PATH#NAME via https://ADDRESS/PATH#NAME\\, with ?view=unfiltered behind the first path where it is shoji. Either all are encrypted or none."`
	Fallback  bool        `yaml:"forward_fallback" json:"forward_fallback,omitempty" jsonschema:"description=Resolve from the root\\, unencrypted\\, what the resolvers of forward fail to answer. Default: false."`
	ForwardCA string      `yaml:"forward_ca" json:"forward_ca,omitempty" jsonschema:"description=File with certificates (PEM) of who may sign those of encrypted resolvers. Default: whom the system trusts."`

	Identity    Identity    `yaml:"identity" json:"identity"`
	Information Information `yaml:"information" json:"information" jsonschema:"description=Where people find more: what RESINFO records (RFC 9606) of the resolver's own names and of resolver.arpa say beside what it can do\\, and what structured errors say."`
	Rebinding   Rebinding   `yaml:"rebinding" json:"rebinding"`
	DNS64       DNS64       `yaml:"dns64" json:"dns64"`
	LocalZones  []LocalZone `yaml:"local_zones" json:"local_zones,omitempty" jsonschema:"description=Zones that are answered from here\\, in both views and before the list is asked. Their answers are marked by AA."`
}

// Listen says where queries are taken, and from whom.
type Listen struct {
	Filtered   []Socket       `yaml:"filtered" json:"filtered,omitempty" jsonschema:"description=Addresses of the filtered view (UDP and TCP)\\, ADDRESS:PORT. Default: 127.0.0.1:5300 and [::1]:5300."`
	Unfiltered []Socket       `yaml:"unfiltered" json:"unfiltered,omitempty" jsonschema:"description=Addresses of the unfiltered twin. Default: 127.0.0.1:5301 and [::1]:5301."`
	Allow      []netip.Prefix `yaml:"allow" json:"allow,omitempty" jsonschema:"description=Prefixes that may ask. Others get REFUSED. Default: loopback\\, private and link-local ranges."`
	Balancers  []netip.Prefix `yaml:"balancers" json:"balancers,omitempty" jsonschema:"description=Prefixes of load balancers that stand before all addresses\\, encrypted ones too\\, and say whom they speak for by PROXY protocol v2 (dnsdist: useProxyProtocol=true): before each TCP or TLS connection\\, and in each UDP packet. Access\\, rates and cookies then go by the client. A balancer that sends no header is not served\\, nor anybody else that sends one. Not over QUIC. Default: none."`
	Workers    int            `yaml:"workers" json:"workers,omitempty" jsonschema:"description=UDP sockets read in parallel for each address. Default: one a processor.,minimum=0,maximum=1024"`
	RateLimit  int            `yaml:"rate_limit" json:"rate_limit,omitempty" jsonschema:"description=Queries a second that each source prefix (an IPv4 /24\\, an IPv6 /56) may send over UDP. Over it clients are told to prove their address\\, by TCP or a DNS cookie\\, or get no reply. Default: 0\\, no limit.,minimum=0,maximum=1000000"`
	Cookies    Secrets        `yaml:"cookie_secret" json:"cookie_secret,omitempty" jsonschema:"description=Key of DNS cookies (RFC 9018) for servers that share an address: 32 hexadecimal digits\\, or several such with a comma between them\\, of which the first makes cookies and all are known. Default: a random one\\, replaced every day."`
}

// Resolve says how questions are answered when memory does not.
type Resolve struct {
	RootHints    []Hint    `yaml:"root_hints" json:"root_hints,omitempty" jsonschema:"description=Root servers to prime from. Default: the built-in ones."`
	TrustAnchors *[]string `yaml:"trust_anchors" json:"trust_anchors,omitempty" jsonschema:"description=DS or DNSKEY records as in a zone file\\, of any zone. Default: the root's built-in ones. An empty list turns validation off."`
	Insecure     []string  `yaml:"negative_trust_anchors" json:"negative_trust_anchors,omitempty" jsonschema:"description=Zones taken for unsigned\\, names below them included (RFC 7646)."`
	Minimisation string    `yaml:"qname_minimisation" json:"qname_minimisation,omitempty" jsonschema:"enum=relaxed,enum=strict,enum=off,description=RFC 9156. relaxed (default) falls back to the full name where a server is broken; strict does not; off sends full names."`
	IPv4         *bool     `yaml:"ipv4" json:"ipv4,omitempty" jsonschema:"description=Ask servers over IPv4. Default: true."`
	IPv6         *bool     `yaml:"ipv6" json:"ipv6,omitempty" jsonschema:"description=Ask servers over IPv6. Default: true."`
	Rollover     *bool     `yaml:"trust_anchor_rollover" json:"trust_anchor_rollover,omitempty" jsonschema:"description=Follow the roll-over of keys at trust anchors (RFC 5011)\\, with the state in the state folder. Default: true for the built-in anchors\\, false for configured ones."`
	Signalling   *bool     `yaml:"trust_anchor_signaling" json:"trust_anchor_signaling,omitempty" jsonschema:"description=Tell the servers of zones with trust anchors which of their keys are trusted (RFC 8145). Default: true."`
	Sentinel     *bool     `yaml:"sentinel" json:"sentinel,omitempty" jsonschema:"description=Let users find out by names such as root-key-sentinel-is-ta-20326.example which keys of the root are trusted (RFC 8509). Default: true."`
	Aggressive   *bool     `yaml:"aggressive_nsec" json:"aggressive_nsec,omitempty" jsonschema:"description=Answer for names that do not exist from proofs that other answers brought along (RFC 8198). Default: true."`
	SHA1         bool      `yaml:"sha1" json:"sha1,omitempty" jsonschema:"description=Verify signatures of RSASHA1 and RSASHA1-NSEC3-SHA1 (algorithms 5 and 7)\\, which RFC 9905 forbids. Default: false; zones signed by nothing else are insecure."`
	Iterations   uint16    `yaml:"nsec3_iterations" json:"nsec3_iterations,omitempty" jsonschema:"description=The most NSEC3 iterations that are computed: zones with more are insecure (RFC 9276). Default: 50.,minimum=1,maximum=150"`
	Validation   Moment    `yaml:"validation_time" json:"validation_time,omitempty" jsonschema:"description=The time by which the validity of signatures is judged\\, in place of the clock: as in RFC 3339\\, in Unix seconds\\, or as YYYYMMDDHHmmSS in UTC. -1 accepts signatures at any time. For replayed traffic."`
	Zones        []Zone    `yaml:"zones" json:"zones,omitempty" jsonschema:"description=Stub and forward zones: names at and below each are asked of its servers\\, those of the deepest one where one lies in another."`
	Copies       []Copy    `yaml:"copies" json:"copies,omitempty" jsonschema:"description=Local copies of zones\\, such as the root (RFC 8806). Each answers in place of its zone's servers\\, which are asked where it is missing or expired."`
	Loopback     bool      `yaml:"loopback" json:"loopback,omitempty" jsonschema:"description=Let any delegation lead to servers on loopback addresses. Default: only what root hints or a zone's servers on such addresses lead to."`
	Cookies      *bool     `yaml:"cookies" json:"cookies,omitempty" jsonschema:"description=Send DNS cookies to servers (RFC 7873)\\, and hold their replies to them. Default: true."`
}

// Zone is one stub or forward zone.
type Zone struct {
	Name    string    `yaml:"name" json:"name" jsonschema:"required,description=The zone. A private zone below a signed one has to be among resolve.negative_trust_anchors too\\, or its answers are bogus."`
	Kind    string    `yaml:"kind" json:"kind" jsonschema:"required,enum=stub,enum=forward,description=stub: its servers are authoritative for the zone. forward: its servers resolve."`
	Servers []Address `yaml:"servers" json:"servers,omitempty" jsonschema:"description=Servers as ADDRESS or ADDRESS:PORT (default port 53). At most 20\\, with hosts."`
	Hosts   []string  `yaml:"hosts" json:"hosts,omitempty" jsonschema:"description=Servers by name\\, at port 53. Their addresses are looked up like any other."`
	First   bool      `yaml:"first" json:"first,omitempty" jsonschema:"description=Where its servers fail\\, resolve as if the zone was not configured. Default: false."`
	TCP     bool      `yaml:"tcp" json:"tcp,omitempty" jsonschema:"description=Ask its servers over TCP only. Default: false."`
	Prime   bool      `yaml:"prime" json:"prime,omitempty" jsonschema:"description=Stub zones: ask its servers for the zone's NS records\\, and then the servers that these name. Default: false."`
}

// Copy is a local copy of a zone.
type Copy struct {
	Zone string    `yaml:"zone" json:"zone" jsonschema:"required,description=The zone; . is the root."`
	File string    `yaml:"file" json:"file,omitempty" jsonschema:"description=Zone file\\, read again when it changes. It does not expire."`
	From []Address `yaml:"transfer_from" json:"transfer_from,omitempty" jsonschema:"description=Servers to transfer it from by AXFR\\, as ADDRESS or ADDRESS:PORT\\, in place of a file. The copy is kept in the state folder\\, refreshed by the zone's SOA record\\, and checked by its ZONEMD record (RFC 8976) and trust anchor where it has them."`
}

// Hint is one root server.
type Hint struct {
	Name string     `yaml:"name" json:"name" jsonschema:"required"`
	Addr netip.Addr `yaml:"addr" json:"addr" jsonschema:"required"`
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
		Encrypted: defaultEncrypted(),
		Resolve:   Resolve{Minimisation: "relaxed", IPv4: &on, IPv6: &on, Cookies: &on, Signalling: &on, Sentinel: &on, Aggressive: &on},
		Cache:     defaultCache(),
		Sinkhole:  defaultSinkhole(),
		Transfer:  defaultTransfer(),
		Log:       defaultLog(),
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
func Parse(b []byte) (_ Config, err error) {
	defer func() { // the YAML library panics on some tags
		if p := recover(); p != nil {
			err = fmt.Errorf("the file is no YAML that can be read: %v", p)
		}
	}()
	c := Default()
	if err := checkText(b); err != nil {
		return Config{}, err
	}
	in := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict())
	err = in.Decode(&c)
	if errors.Is(err, io.EOF) {
		return Default(), nil // nothing but comments
	}
	if err != nil {
		return Config{}, explain(err)
	}
	if err := in.Decode(new(any)); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("a second document follows the first, behind ---: one file holds one configuration")
	}
	for _, on := range []**bool{
		&c.Cache.Prefetch, &c.Cache.Stale.Enabled, &c.Resolve.IPv4, &c.Resolve.IPv6, &c.Resolve.Cookies,
		&c.Resolve.Signalling, &c.Resolve.Sentinel, &c.Resolve.Aggressive,
	} {
		if *on == nil { // a key without a value
			*on = new(true)
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
	if c.State == "" {
		return errors.New("state: no folder: name one, or leave the key out")
	}
	if err := c.Listen.check(); err != nil {
		return err
	}
	for i, h := range c.Resolve.RootHints {
		if !h.Addr.IsValid() {
			return fmt.Errorf("resolve.root_hints[%d] (%s): no address in addr", i, h.Name)
		}
	}
	if !*c.Resolve.IPv4 && !*c.Resolve.IPv6 {
		return errors.New("resolve: ipv4 and ipv6 are both off, so no server can be asked")
	}
	if err := c.checkZones(); err != nil {
		return err
	}
	if err := cmp.Or(c.Sinkhole.check(), c.Encrypted.check(&c.Listen), c.checkLocalZones(), c.checkAddresses(), c.checkIdentity(), c.Transfer.check(), c.Log.check(), c.checkFollow(), c.Desk.check()); err != nil {
		return err
	}
	if len(c.Forward) == 0 && (c.Fallback || c.ForwardCA != "") {
		return errors.New("forward_fallback and forward_ca: there is nothing in forward that they could be for")
	}
	return c.checkNumbers()
}

// maxZoneServers is how many servers of one zone the resolver uses.
const maxZoneServers = 20

func (c *Config) checkZones() error {
	for i, k := range c.Resolve.Copies {
		if k.Zone == "" {
			return fmt.Errorf("resolve.copies[%d]: no zone", i)
		}
		if (k.File == "") == (len(k.From) == 0) {
			return fmt.Errorf("resolve.copies[%d] (%s): give a file, or servers in transfer_from: one of the two", i, k.Zone)
		}
	}
	for i, z := range c.Resolve.Zones {
		at := fmt.Sprintf("resolve.zones[%d] (%s)", i, z.Name)
		switch n := len(z.Servers) + len(z.Hosts); {
		case z.Name == "":
			return fmt.Errorf("%s: no name", at)
		case z.Kind != "stub" && z.Kind != "forward":
			return fmt.Errorf("%s: kind %q is neither stub nor forward", at, z.Kind)
		case n == 0:
			return fmt.Errorf("%s: no servers: give addresses in servers, or names in hosts", at)
		case n > maxZoneServers:
			return fmt.Errorf("%s: %d servers, of which at most %d are used", at, n, maxZoneServers)
		case z.Prime && z.Kind != "stub":
			return fmt.Errorf("%s: prime is for stub zones", at)
		}
	}
	return nil
}

func (c *Config) checkNumbers() error {
	if n := c.Resolve.Iterations; n > 150 {
		return fmt.Errorf("resolve.nsec3_iterations: %d is more than 150", n)
	}
	if w := c.Listen.Workers; w < 0 || w > 1024 {
		return fmt.Errorf("listen.workers: %d is not between 0 and 1024", w)
	}
	if r := c.Listen.RateLimit; r < 0 || r > 1_000_000 {
		return fmt.Errorf("listen.rate_limit: %d is not between 0 and 1000000", r)
	}
	if t := time.Duration(c.Sinkhole.TTL); t < 0 || t > time.Hour {
		return fmt.Errorf("sinkhole.ttl: %s is not between 0s and 1h", t)
	}
	return c.Cache.check()
}
