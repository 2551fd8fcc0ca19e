package serve

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/shoji-dns/shoji/internal/dns"
)

// LocalKind is how the names of a local zone are answered that have no local data, and
// whether data is looked at.
type LocalKind uint8

// The kinds, by the names that Unbound gave them.
const (
	// LocalStatic: nothing but the local data exists.
	LocalStatic LocalKind = iota
	// LocalTransparent: names without local data are resolved as usual.
	LocalTransparent
	// LocalTypeTransparent: so are names with local data of other types.
	LocalTypeTransparent
	// LocalRedirect: the zone and every name below has the data of the zone's own name.
	LocalRedirect
	// LocalRefuse: names without local data are refused.
	LocalRefuse
	// LocalNXDomain: neither the zone nor a name below it exists.
	LocalNXDomain
	// LocalNoDefault: the zone and every name below are resolved as usual, whatever is built
	// in for them.
	LocalNoDefault
)

// localKinds are the kinds' names in a configuration.
var localKinds = [...]string{"static", "transparent", "typetransparent", "redirect", "refuse", "nxdomain", "nodefault"}

func (k LocalKind) String() string { return localKinds[k] }

// ParseLocalKind reads the name of a kind.
func ParseLocalKind(s string) (LocalKind, error) {
	if k := slices.Index(localKinds[:], s); k >= 0 {
		return LocalKind(k), nil
	}
	return 0, fmt.Errorf("%q is none of %s", s, strings.Join(localKinds[:], ", "))
}

// LocalZone is a zone that is answered from here. Records are in class IN, at its name or
// below. Its SOA is that of Records, or else one is synthesised (RFC 6303 §3). An owner's
// first label may be an asterisk (RFC 4592), but not below a redirect.
type LocalZone struct {
	Name    dns.Name
	Kind    LocalKind
	Records []dns.RR
}

// The most local data that is taken. They bound what a mistake in a configuration costs: a
// zone takes about 200 octets and a record 150.
const (
	maxLocalZones   = 100_000
	maxLocalRecords = 1_000_000
	// maxLocalSet is the longest RRset in octets: what of a message (65535, RFC 1035 §4.2.2)
	// the question, an alias and EDNS leave.
	maxLocalSet = 64_000
)

// LocalConfig is what Local is made of.
type LocalConfig struct {
	// Zones are the operator's. One that has the name of a built-in zone replaces it.
	Zones []LocalZone
	// Lab lets test. be resolved like other names.
	Lab bool
	// Ordinary are further names to resolve like others, with all below them, even where they
	// are special-use or lie below such: private zones for which servers are configured.
	Ordinary []dns.Name
	// DNS64 has the names of RFC 8880 answered that a resolver with NAT64 answers; nil does not.
	DNS64 *DNS64
	// Information is what the resolver tells about itself; nil is nothing.
	Information *Information
	// Own are records of the resolver's own names, beside what else there is of them, here or
	// on the Internet. What Zones say of an owner and type stands.
	Own []dns.RR
}

// Local are the zones that are answered from here: those for special-use names, and the
// operator's. It does not change. Both views share it.
type Local struct {
	zones   map[string]*localZone // by name
	lengths [dns.MaxName + 1]bool // of the zones' names
	tails   [tailBits / 64]uint64 // the zones' tails
	short   bool                  // a zone's name is shorter than a tail
}

// localZone is one zone, ready to be answered from.
type localZone struct {
	name    dns.Name
	kind    LocalKind
	builtIn bool
	// parent: a query for the zone's DS is the parent's to answer (RFC 4035 §3.1.4.1).
	parent bool
	soa    []byte // RDATA; nil where it is synthesised
	soaTTL uint32
	nodes  map[string]*localNode // by name: owners, and empty non-terminals
}

// localNode is the data of a name, none for an empty non-terminal.
type localNode struct{ sets []localSet }

// localSet is an RRset, twice: as records, and as they are written in a reply, each with a
// pointer to the question as its owner.
type localSet struct {
	rtype dns.Type
	rrs   []dns.RR
	wire  []byte
}

// NewLocal makes the local zones ready. An error names the zone and the record.
func NewLocal(cfg LocalConfig) (*Local, error) {
	l := &Local{zones: make(map[string]*localZone)}
	if len(cfg.Zones) > maxLocalZones {
		return nil, fmt.Errorf("%d local zones are more than %d", len(cfg.Zones), maxLocalZones)
	}
	zones := defaultZones(cfg)
	own := make(map[dns.Name]bool)
	records := 0
	for _, z := range cfg.Zones {
		z.Name = z.Name.Canonical()
		if own[z.Name] {
			return nil, fmt.Errorf("local zone %s is there twice", z.Name)
		}
		own[z.Name] = true
		zones[z.Name] = z
		if records += len(z.Records); records > maxLocalRecords {
			return nil, fmt.Errorf("local zone %s: more than %d local records", z.Name, maxLocalRecords)
		}
	}
	if err := cfg.Information.inform(zones); err != nil {
		return nil, fmt.Errorf("information: %w", err)
	}
	join(zones, cfg.Own)
	for _, name := range slices.Sorted(maps.Keys(zones)) {
		if err := l.add(zones[name], !own[name]); err != nil {
			return nil, fmt.Errorf("local zone %s: %w", name, err)
		}
	}
	for _, z := range l.zones {
		z.parent = z.parent && l.enclosing(z.name) == nil
		for name := range z.nodes {
			if _, nearest := l.search([]byte(name)); nearest != z {
				return nil, fmt.Errorf("local zone %s: %s lies in another local zone, below this one: write its records there", z.name, dns.Name(name))
			}
		}
	}
	return l, nil
}

// defaultZones are the built-in zones, but for those that are switched off.
func defaultZones(cfg LocalConfig) map[dns.Name]LocalZone {
	zones := make(map[dns.Name]LocalZone)
	for _, z := range builtIn() {
		zones[z.Name] = z
	}
	if cfg.DNS64 != nil {
		for _, z := range cfg.DNS64.zones() {
			zones[z.Name] = z
		}
	}
	off := cfg.Ordinary
	for _, z := range cfg.Zones {
		if z.Kind == LocalNoDefault {
			off = append(off[:len(off):len(off)], z.Name)
		}
	}
	if cfg.Lab {
		off = append(off[:len(off):len(off)], dns.MustName("test"))
	}
	for _, n := range off {
		n = n.Canonical()
		maps.DeleteFunc(zones, func(name dns.Name, _ LocalZone) bool { return name.IsSubdomainOf(n) })
		zones[n] = LocalZone{Name: n, Kind: LocalNoDefault}
	}
	return zones
}

// enclosing is the zone, if any, that a name's parent is answered from.
func (l *Local) enclosing(name dns.Name) *localZone {
	for name != dns.Root {
		name = name.Parent()
		if z := l.zones[string(name)]; z != nil {
			if z.kind == LocalNoDefault {
				return nil
			}
			return z
		}
	}
	return nil
}

// add takes a zone in.
func (l *Local) add(z LocalZone, builtIn bool) error {
	zone := &localZone{name: z.Name, kind: z.Kind, builtIn: builtIn, soaTTL: localTTL, nodes: make(map[string]*localNode)}
	switch z.Kind {
	case LocalNXDomain, LocalNoDefault:
		if len(z.Records) > 0 {
			return fmt.Errorf("a zone of kind %s has no records: remove them, or make it static", z.Kind)
		}
	case LocalStatic, LocalTransparent, LocalTypeTransparent:
		zone.nodes[string(z.Name)] = new(localNode)
		zone.parent = !builtIn || endsInArpa(z.Name)
	}
	if z.Name == dns.MustName("resolver.arpa") {
		zone.parent = builtIn
	}
	l.zones[string(z.Name)] = zone
	l.lengths[len(z.Name)] = true
	l.addTail(z.Name)
	for _, r := range z.Records {
		r.Name = r.Name.Canonical()
		if err := zone.add(r); err != nil {
			return fmt.Errorf("%s: %w", r, err)
		}
	}
	return nil
}

// add takes a record in, and the empty non-terminals above it.
func (zone *localZone) add(r dns.RR) error {
	switch {
	case r.Class != dns.ClassIN:
		return fmt.Errorf("its class is not IN")
	case !r.Name.IsSubdomainOf(zone.name):
		return fmt.Errorf("its name is not in the zone")
	case zone.kind == LocalRedirect && r.Name != zone.name:
		return fmt.Errorf("a redirect has records at its own name alone: all names below have them too")
	case r.Type == 0 || r.Type.IsMeta():
		return fmt.Errorf("no record can have this type")
	case r.Type == dns.TypeDNAME:
		return fmt.Errorf("a local DNAME is not followed: use a zone of kind redirect with a CNAME")
	case r.Type == dns.TypeRRSIG, r.Type == dns.TypeNSEC, r.Type == dns.TypeNSEC3:
		return fmt.Errorf("local data is not signed")
	case len(r.Data) > 65535:
		return fmt.Errorf("its data is too long")
	}
	for name := r.Name; zone.nodes[string(name)] == nil; name = name.Parent() {
		zone.nodes[string(name)] = new(localNode)
		if name == zone.name {
			break
		}
	}
	if r.Type == dns.TypeSOA && r.Name == zone.name {
		if len(r.Data) < 4 || zone.soa != nil {
			return fmt.Errorf("a zone has one SOA")
		}
		// The TTL of a negative answer: RFC 2308 §5.
		zone.soa, zone.soaTTL = r.Data, min(r.TTL, binary.BigEndian.Uint32(r.Data[len(r.Data)-4:]))
	}
	return zone.nodes[string(r.Name)].add(r)
}

// add takes a record of the node in. What is there already is left out (RFC 2181 §5), and
// TTLs that differ become the least (§5.2).
func (n *localNode) add(r dns.RR) error {
	alias := r.Type == dns.TypeCNAME
	var set *localSet
	for i := range n.sets {
		switch known := &n.sets[i]; {
		case known.rtype == r.Type:
			set = known
		case alias != (known.rtype == dns.TypeCNAME):
			return fmt.Errorf("a CNAME is beside other data (RFC 2181 §10.1)")
		}
	}
	if set == nil {
		n.sets = append(n.sets, localSet{rtype: r.Type})
		set = &n.sets[len(n.sets)-1]
	}
	for _, known := range set.rrs {
		if string(known.Data) == string(r.Data) {
			return nil
		}
	}
	if alias && len(set.rrs) > 0 {
		return fmt.Errorf("a name has one CNAME (RFC 2181 §10.1)")
	}
	set.rrs = append(set.rrs, r)
	for i := range set.rrs {
		set.rrs[i].TTL = min(set.rrs[i].TTL, r.TTL, set.rrs[0].TTL)
	}
	set.wire = set.wire[:0]
	for _, rr := range set.rrs {
		set.wire = appendRecord(set.wire, toQuestion, rr.Type, rr.Class, rr.TTL, len(rr.Data))
		set.wire = append(set.wire, rr.Data...)
	}
	if len(set.wire) > maxLocalSet {
		return fmt.Errorf("the records of this name and type are longer than %d octets together", maxLocalSet)
	}
	return nil
}

// set is the RRset of a type, or nil.
func (n *localNode) set(t dns.Type) *localSet {
	for i := range n.sets {
		if n.sets[i].rtype == t {
			return &n.sets[i]
		}
	}
	return nil
}

// A tail is the four octets before a name's root. The zones' tails are kept as a set of bits,
// which tells nearly all other names at once.
const (
	tailLen  = 4
	tailBits = 1024
)

// tailBit is where a name's tail is in the set. The name is long enough.
func tailBit(name []byte) (word int, bit uint64) {
	const golden = 0x9E3779B1 // 2^32 / golden ratio
	h := binary.BigEndian.Uint32(name[len(name)-1-tailLen:]) * golden >> 22
	return int(h / 64), 1 << (h % 64)
}

func (l *Local) addTail(name dns.Name) {
	if len(name) < 1+tailLen {
		l.short = true
		return
	}
	word, bit := tailBit([]byte(name))
	l.tails[word] |= bit
}

// find finds the zone that name, in lower case, is or lies below, the nearest one, and where
// in name it begins; nil where name is resolved as usual.
func (l *Local) find(name []byte) (at int, zone *localZone) {
	if len(name) > tailLen && !l.short {
		if word, bit := tailBit(name); l.tails[word]&bit == 0 {
			return 0, nil
		}
	}
	return l.search(name)
}

// search looks name and every name above it up, name itself first: those at least that
// are as long as a zone's name, which spares reverse names of IPv6 most of their labels.
//
//go:noinline
func (l *Local) search(name []byte) (at int, zone *localZone) {
	for at < len(name) {
		if l.lengths[len(name)-at] {
			if zone = l.zones[string(name[at:])]; zone != nil {
				if zone.kind == LocalNoDefault {
					return 0, nil
				}
				return at, zone
			}
		}
		at += int(name[at]) + 1
	}
	return 0, nil
}

// node is the data of a name: its own, or that of the wildcard that covers it (RFC 4592
// §3.3.1); nil where there is none. at is where in name the zone begins.
func (zone *localZone) node(name []byte, at int) *localNode {
	if zone.kind == LocalRedirect {
		return zone.nodes[string(name[at:])]
	}
	if node := zone.nodes[string(name)]; node != nil {
		return node
	}
	for off := 0; off < at; {
		off += int(name[off]) + 1
		if zone.nodes[string(name[off:])] == nil {
			continue
		}
		var room [dns.MaxName + 2]byte // the closest encloser is name[off:]
		return zone.nodes[string(append(append(room[:0], "\x01*"...), name[off:]...))]
	}
	return nil
}

// localVerdict is what a local zone makes of a question.
type localVerdict uint8

const (
	localResolve localVerdict = iota // as usual
	localData
	localAlias // a CNAME
	localNoData
	localAbsent
	localRefused
)

// decide says how the zone that begins at an offset of name, in lower case, answers, and
// from what.
func (zone *localZone) decide(name []byte, t dns.Type, at int) (localVerdict, *localSet) {
	if zone.kind == LocalNXDomain {
		return localAbsent, nil
	}
	node := zone.node(name, at)
	if node != nil {
		if set := node.set(t); set != nil {
			return localData, set
		}
		if set := node.set(dns.TypeCNAME); set != nil {
			return localAlias, set
		}
	}
	hasData := node != nil && len(node.sets) > 0
	switch zone.kind {
	case LocalStatic:
		if node == nil {
			return localAbsent, nil
		}
	case LocalTransparent:
		if !hasData {
			return localResolve, nil
		}
	case LocalTypeTransparent:
		if !hasData || t != dns.TypeANY {
			return localResolve, nil
		}
	case LocalRefuse:
		if !hasData {
			return localRefused, nil
		}
	}
	return localNoData, nil
}
