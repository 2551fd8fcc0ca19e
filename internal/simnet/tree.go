package simnet

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Spec describes one zone for Build.
type Spec struct {
	Origin  string
	Text    string   // master-file text (RFC 1035 §5.1), relative to Origin
	Signing *Signing // nil: unsigned
	NoDS    bool     // signed, and yet the parent has no DS for it: an island (RFC 4033 §2)
}

// Tree is a set of zones that hang together: each signed zone's DS stands in its
// parent, if the parent is in the Tree and itself signed.
type Tree struct {
	zones map[string]*Zone
}

// Build parses and signs zones. All keys derive from the seed: the same seed and
// the same specs give the same zones to the last signature.
func Build(seed uint64, specs ...Spec) (*Tree, error) {
	t := &Tree{zones: map[string]*Zone{}}
	for _, spec := range specs {
		z, err := parseZone(spec.Origin, spec.Text)
		if err != nil {
			return nil, err
		}
		if t.zones[z.origin] != nil {
			return nil, fmt.Errorf("zone %s is there twice", z.origin)
		}
		if spec.Signing != nil {
			s := *spec.Signing
			z.signing = &s
			if z.keys, err = makeKeys(seed, z.origin, z.signing); err != nil {
				return nil, err
			}
		}
		z.hasDS = spec.Signing != nil && !spec.NoDS
		t.zones[z.origin] = z
	}
	for _, z := range t.zones {
		if err := t.delegate(z); err != nil {
			return nil, err
		}
	}
	for _, z := range t.zones {
		z.shape()
		if z.signing != nil {
			if err := z.sign(); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

// delegate puts the zone's DS into its parent.
func (t *Tree) delegate(z *Zone) error {
	up := t.parent(z.origin)
	if up == nil || !z.hasDS {
		return nil
	}
	if z.hasDS = up.signing != nil; !z.hasDS {
		return nil
	}
	ds, err := z.ds()
	if err != nil {
		return err
	}
	return up.add(ds)
}

// Zone is the zone of that origin, or nil.
func (t *Tree) Zone(origin string) *Zone { return t.zones[dns.CanonicalName(origin)] }

// Zones are all zones, in canonical order of their names.
func (t *Tree) Zones() []*Zone {
	out := make([]*Zone, 0, len(t.zones))
	for _, z := range t.zones {
		out = append(out, z)
	}
	slices.SortFunc(out, func(a, b *Zone) int { return strings.Compare(sortKey(a.origin), sortKey(b.origin)) })
	return out
}

// parent is the zone above the cut at origin, or nil.
func (t *Tree) parent(origin string) *Zone {
	if origin == "." {
		return nil
	}
	return enclosing(t.zones, parent(origin))
}

// enclosing is the zone that a name is in: the deepest one whose origin the name
// equals or ends in.
func enclosing(zones map[string]*Zone, name string) *Zone {
	for {
		if z := zones[name]; z != nil {
			return z
		}
		if name == "." {
			return nil
		}
		name = parent(name)
	}
}
