package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/resolve"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// labFlags choose and dial the lab.
type labFlags struct {
	Lab       bool    `help:"Resolve over an Internet in the process instead of the real one." group:"Lab"`
	Seed      uint64  `help:"What chance and keys in the lab derive from." default:"1" group:"Lab"`
	Loss      float64 `help:"Share of datagrams that do not arrive, 0 to 1." group:"Lab"`
	Duplicate float64 `help:"Share of datagrams that arrive twice." group:"Lab"`
	Reorder   float64 `help:"Share of replies that are held back." group:"Lab"`
	Truncate  float64 `help:"Share of replies over UDP that are cut." group:"Lab"`
	Spoof     float64 `help:"Share of queries that draw forged replies." group:"Lab"`
}

// dialled reports whether a fault was asked for.
func (f labFlags) dialled() bool {
	return f.Loss != 0 || f.Duplicate != 0 || f.Reorder != 0 || f.Truncate != 0 || f.Spoof != 0
}

// open makes the lab. Its state lies in a folder of its own that goes with it,
// unless one was named.
func (f labFlags) open(conf *config.Config, named bool) (*surroundings, error) {
	for name, share := range map[string]float64{"loss": f.Loss, "duplicate": f.Duplicate, "reorder": f.Reorder, "truncate": f.Truncate, "spoof": f.Spoof} {
		if !(share >= 0 && share <= 1) {
			return nil, usageError{fmt.Errorf("--%s %v is not between 0 and 1", name, share)}
		}
	}
	s := &surroundings{lab: true, tries: []string{"filtered c2.evil.test", "unfiltered c2.evil.test", "filtered www.shop.test"}}
	if !named {
		dir, err := os.MkdirTemp("", "shoji-lab-")
		if err != nil {
			return nil, err
		}
		conf.State, s.cleanup = dir, func() { os.RemoveAll(dir) }
	}
	in := simnet.Lab(f.Seed, time.Now())
	faults := in.Faults()
	faults.Loss, faults.Duplicate, faults.Reorder, faults.Truncate, faults.Spoof = f.Loss, f.Duplicate, f.Reorder, f.Truncate, f.Spoof
	in.SetFaults(faults)
	s.network = in
	for _, h := range simnet.LabHints() {
		s.hints = append(s.hints, resolve.Hint{Name: dns.MustName(h.Name), Addrs: h.Addrs})
	}
	root, err := simnet.LabAnchor(f.Seed)
	if err != nil {
		return nil, err
	}
	var anchor strings.Builder
	for _, ds := range root.DS {
		fmt.Fprintln(&anchor, ds)
	}
	if s.anchors, err = dnssec.ParseAnchors(anchor.String()); err != nil {
		return nil, err
	}
	s.seed = starterList()
	for _, l := range simnet.LabList() {
		subject := curate.Subject{Prefix: l.Prefix, Scope: feed.Scope(l.Scope)}
		if l.Name != "" {
			subject.Name = dns.MustName(l.Name)
		}
		s.seed = append(s.seed, subject)
	}
	conf.Forward, conf.Fallback, conf.ForwardCA, conf.Resolve.Zones = nil, false, "", nil
	return s, nil
}

// starterList is what a new log lists: canaries, so that anyone can see
// filtering work. Their names are reserved by RFC 2606, the address by RFC 5737.
func starterList() []curate.Subject {
	var out []curate.Subject
	for _, text := range []string{"c2.canary.example", "*.botnet.canary.example", "198.51.100.66"} {
		s, err := curate.ParseSubject(text)
		if err != nil {
			panic("starter list: " + err.Error()) // constants
		}
		out = append(out, s)
	}
	return out
}
