package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/simnet"
)

// Servers and their addresses, all in the network namespace. 198.18.0.0/15 is for such
// tests (RFC 2544), and so is 2001:db8::/32 (RFC 3849).
const (
	serverRoot = "root"
	serverTLD  = "tld"
	serverLeaf = "leaf"
	serverLame = "lame"

	addrRoot   = "198.18.2.1"
	addrTLD    = "198.18.2.2"
	addrTLD6   = "2001:db8:2::2"
	addrLeaf   = "198.18.2.3"
	addrLeaf6  = "2001:db8:2::3"
	addrLame   = "198.18.2.5"
	addrClosed = "198.18.2.6"
)

// rootServer is the name of the one root server.
const rootServer = "ns.root-servers.gg."

func leafAddrs() []string { return []string{addrLeaf, addrLeaf6} }

// addresses are where each server listens.
func addresses() map[string][]string {
	return map[string][]string{
		serverRoot: {addrRoot}, serverTLD: {addrTLD, addrTLD6},
		serverLeaf: leafAddrs(), serverLame: {addrLame},
	}
}

// zone is one zone of the tree.
type zone struct {
	kind
	origin string
	up     *zone // nil for the root
	below  []*zone
}

// tree is the Internet of the comparison: the root, top-level domains, zones of all
// kinds below these, and zones below some of these.
type tree struct {
	zones  []*zone // parents first
	byName map[string]*zone
	signed *simnet.Tree
	at     time.Time // around which the signatures are valid
}

// makeTree plans and signs the tree below some top-level domains. It is a function of
// them, the seed and the day.
func makeTree(seed uint64, now time.Time, tops []top) (*tree, error) {
	const day = 24 * time.Hour
	now = now.UTC().Truncate(day)
	t := plan(tops)
	t.at = now
	specs := make([]simnet.Spec, len(t.zones))
	for i, z := range t.zones {
		specs[i] = simnet.Spec{Origin: z.origin, Text: t.text(z, i), NoDS: z.noDS}
		if z.sign != nil {
			s := &simnet.Signing{Inception: now.Add(-validity), Expiration: now.Add(validity)}
			z.sign(s)
			specs[i].Signing = s
		}
	}
	var err error
	t.signed, err = simnet.Build(seed, specs...)
	return t, err
}

// validity is how long signatures are valid before and after the time of the tree.
const validity = 5 * 24 * time.Hour

// plan lays the zones out.
func plan(tops []top) *tree {
	t := &tree{byName: make(map[string]*zone)}
	root := t.add(nil, kind{name: "", sign: algorithm(dns.ECDSAP256SHA256), host: serverRoot})
	for _, top := range tops {
		tld := t.add(root, top.kind)
		for i, k := range kinds() {
			if i%top.stride != 0 {
				continue
			}
			if k.host == "" {
				k.host = serverLeaf
			}
			z := t.add(tld, k)
			if !slices.Contains(fertile, k.name) {
				continue
			}
			for _, c := range children() {
				c.host = z.host
				t.add(z, c)
			}
		}
	}
	return t
}

func (t *tree) add(up *zone, k kind) *zone {
	z := &zone{kind: k, origin: ".", up: up}
	if up != nil {
		z.origin = k.name + "." + strings.TrimPrefix(up.origin, ".")
		up.below = append(up.below, z)
	}
	t.zones = append(t.zones, z)
	t.byName[z.origin] = z
	return z
}

// zoneOf is the zone that a name lies in.
func (t *tree) zoneOf(name string) *zone {
	name = dns.CanonicalName(name)
	for {
		if z := t.byName[name]; z != nil {
			return z
		}
		i, end := dns.NextLabel(name, 0)
		if end {
			return t.byName["."]
		}
		name = name[i:]
	}
}

// nameServers are the NS records of a zone, with the addresses of those within it.
func (z *zone) nameServers() []nameServer {
	switch {
	case z.up == nil:
		return []nameServer{{name: rootServer, glue: []string{addrRoot}}}
	case z.servers != nil:
		return z.servers(z.origin)
	}
	return []nameServer{{name: "ns." + z.origin, glue: addresses()[z.host]}}
}

// records writes the zone's file, as edited by its kind.
func (t *tree) records(z *zone) (string, error) {
	var b strings.Builder
	for _, line := range t.signed.Zone(z.origin).Records() {
		if z.edit != nil {
			rr, err := dns.NewRR(line)
			if err != nil {
				return "", fmt.Errorf("%s: %w", line, err)
			}
			if rr = z.edit(z.origin, rr); rr == nil {
				continue
			}
			line = rr.String()
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String(), nil
}

// anchor is the root's trust anchor, a DS record in presentation form.
func (t *tree) anchor() (string, error) {
	a, err := t.signed.Anchor(".")
	if err != nil {
		return "", err
	}
	return a.DS[0].String(), nil
}
