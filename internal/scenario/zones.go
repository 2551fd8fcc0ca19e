package scenario

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// seed is what keys of a story's own zones derive from.
const seed = 20260701

// Signatures of a story's own zones hold from a day before it begins to a month after.
const (
	signedBefore = 24 * time.Hour
	signedFor    = 30 * 24 * time.Hour
)

// build makes and signs the story's own zones: servers by address, and the anchors that its
// configuration names.
func (s *Scenario) build(now time.Time) (map[netip.Addr]simnet.Handler, []dnssec.Anchor, error) {
	var specs []simnet.Spec
	for i := range s.Zones {
		spec, err := s.Zones[i].spec(now)
		if err != nil {
			return nil, nil, fmt.Errorf("line %d: zone %s: %w", s.Zones[i].Line, s.Zones[i].Name, err)
		}
		specs = append(specs, spec)
	}
	tree, err := simnet.Build(seed, specs...)
	if err != nil {
		return nil, nil, err
	}
	at := make(map[netip.Addr][]*simnet.Zone)
	for _, z := range s.Zones {
		for _, text := range z.Addrs {
			a, err := netip.ParseAddr(text)
			if err != nil {
				return nil, nil, err
			}
			at[a] = append(at[a], tree.Zone(z.Name))
		}
	}
	servers := make(map[netip.Addr]simnet.Handler)
	for a, zones := range at {
		servers[a] = simnet.Authoritative(zones...)
	}
	anchors, err := s.ownAnchors(tree)
	return servers, anchors, err
}

func (s *Scenario) ownAnchors(tree *simnet.Tree) ([]dnssec.Anchor, error) {
	var out []dnssec.Anchor
	for _, name := range s.every("anchor") {
		a, err := tree.Anchor(name)
		if err != nil {
			return nil, err
		}
		if len(a.DS) == 0 {
			return nil, fmt.Errorf("anchor: no signed zone %s", name)
		}
		for _, ds := range a.DS {
			parsed, err := dnssec.ParseAnchors(ds.String())
			if err != nil {
				return nil, err
			}
			out = append(out, parsed...)
		}
	}
	return out, nil
}

// spec turns a zone's options into what package simnet signs by.
func (z *Zone) spec(now time.Time) (simnet.Spec, error) {
	spec := simnet.Spec{Origin: z.Name, Text: z.Text}
	signing := &simnet.Signing{Inception: now.Add(-signedBefore), Expiration: now.Add(signedFor)}
	for _, o := range z.Options {
		key, val, _ := strings.Cut(o, "=")
		number, err := strconv.ParseUint("0"+val, 10, 16)
		if err != nil {
			return spec, fmt.Errorf("option %s: %w", o, err)
		}
		spec.Signing = signing
		switch key {
		case "signed":
		case "nsec3", "optout", "iterations":
			if signing.NSEC3 == nil {
				signing.NSEC3 = new(simnet.NSEC3)
			}
			signing.NSEC3.OptOut = signing.NSEC3.OptOut || key == "optout"
			signing.NSEC3.Iterations = max(signing.NSEC3.Iterations, uint16(number))
		case "expired":
			signing.Inception, signing.Expiration = now.Add(-signedFor), now.Add(-signedBefore)
		case "island":
			spec.NoDS = true
		case "broken":
			signing.Break |= simnet.BreakSignatures
		case "brokenkey":
			signing.Break |= simnet.BreakKeySignatures
		case "brokendenial":
			signing.Break |= simnet.BreakDenial
		case "alg":
			signing.Algorithm = uint8(number)
		case "digest":
			signing.Digest = uint8(number)
		default:
			return spec, fmt.Errorf("no option %s", o)
		}
	}
	return spec, nil
}
