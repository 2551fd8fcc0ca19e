package sinkhole

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"time"
)

const (
	// familyOctets are what a family is told by: the first ones, since what follows
	// often holds a time, a number or a name of the sender's.
	familyOctets = 16
	// maxFamilies and maxHours are told apart: files may hold anything.
	maxFamilies = 1 << 16
	maxHours    = 24 * 366 * 2
	maxNetworks = 1 << 16
)

// Report is what the segments of a folder add up to.
type Report struct {
	From     time.Time `json:"from,omitzero"` // of what was counted; zero: nothing was
	To       time.Time `json:"to,omitzero"`
	Segments int       `json:"segments"`
	Octets   int64     `json:"octets"`         // of the segments
	Torn     []string  `json:"torn,omitempty"` // segments whose end is torn or damaged
	Captures uint64    `json:"captures"`
	Evicted  uint64    `json:"evicted"` // connections ended for others
	Dropped  uint64    `json:"dropped"` // captures lost because the disk was slow or refused

	Ports       []Port   `json:"ports"`    // most connections first
	Families    []Family `json:"families"` // most captures first
	OtherFamily uint64   `json:"captures_of_other_families"`
	Hours       []Hour   `json:"hours"` // with any connection, in order
	Days        []Day    `json:"days"`

	Networks []Network `json:"networks,omitempty"` // where they were kept, most captures first
}

// Network is how many captures came from one.
type Network struct {
	Prefix   netip.Prefix `json:"prefix"`
	Captures uint64       `json:"captures"`
}

// Port is what came to one.
type Port struct {
	Transport   string `json:"transport"` // tcp or udp
	Port        uint16 `json:"port"`
	Connections uint64 `json:"connections"` // or datagrams
	Octets      uint64 `json:"octets"`
	Captures    uint64 `json:"captures"`
}

// Family is captures that begin with the same octets.
type Family struct {
	Digest   string    `json:"digest"` // SHA-256 of the first octets
	First    string    `json:"first"`  // these octets, in hexadecimal
	Captures uint64    `json:"captures"`
	Ports    []uint16  `json:"ports"` // the first few
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
}

// Hour is how many connections and datagrams one had.
type Hour struct {
	Start       time.Time `json:"start"`
	Connections uint64    `json:"connections"`
}

// Day is about how many distinct sources one had, by the run that saw most.
type Day struct {
	Day     string `json:"day"`
	Sources uint64 `json:"sources"`
}

// tally is a report in the making.
type tally struct {
	Report
	ports    map[[2]uint16]*Port
	families map[string]*Family
	hours    map[int64]uint64
	days     map[string]uint64
	networks map[netip.Prefix]uint64
}

// ReadReport adds up the segments of a folder.
func ReadReport(dir string) (*Report, error) {
	t := tally{ports: map[[2]uint16]*Port{}, families: map[string]*Family{}, hours: map[int64]uint64{}, days: map[string]uint64{}, networks: map[netip.Prefix]uint64{}}
	err := readAll(dir, visitor{t.capture, t.count, t.total}, func(s segment, err error) {
		t.Segments++
		t.Octets += s.size
		if err != nil {
			t.Torn = append(t.Torn, s.path)
		}
	})
	if err != nil {
		return nil, err
	}
	return t.report(), nil
}

// readAll reads the segments of a folder, oldest first, and tells done of each, and
// whether its end is torn: that of the one being written may be.
func readAll(dir string, v visitor, done func(segment, error)) error {
	all, err := segments(dir)
	if err != nil {
		return fmt.Errorf("sinkhole: captures: %w", err)
	}
	for _, s := range all {
		err := readFile(s.path, v)
		if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			continue
		}
		if err != nil && !errors.Is(err, errTorn) && !errors.Is(err, errNotSegment) {
			return fmt.Errorf("sinkhole: captures: %s: %w", s.path, err)
		}
		done(s, err)
	}
	return nil
}

func readFile(path string, v visitor) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = readSegment(bufio.NewReaderSize(f, 1<<16), v)
	return err
}

// family is what a capture is of.
func family(prefix []byte) []byte { return prefix[:min(len(prefix), familyOctets)] }

func (t *tally) capture(c *capture) {
	t.Captures++
	if p, ok := c.source(); ok {
		if _, known := t.networks[p]; known || len(t.networks) < maxNetworks {
			t.networks[p]++
		}
	}
	first := family(c.prefix)
	f := t.families[string(first)]
	if f == nil {
		if len(t.families) >= maxFamilies {
			t.OtherFamily++
			return
		}
		sum := sha256.Sum256(first)
		f = &Family{Digest: hex.EncodeToString(sum[:]), First: hex.EncodeToString(first), Since: c.at, Until: c.at}
		t.families[string(first)] = f
	}
	f.Captures++
	if c.at.Before(f.Since) {
		f.Since = c.at
	}
	if c.at.After(f.Until) {
		f.Until = c.at
	}
	const fewPorts = 8
	if len(f.Ports) < fewPorts && !slices.Contains(f.Ports, c.port) {
		f.Ports = append(f.Ports, c.port)
	}
}

func (t *tally) count(c portCount) {
	t.span(c.from, c.to)
	key := [2]uint16{uint16(c.transport), c.port} // bounded by 2 × 65536: see transport
	name, ok := transportName(c.transport)
	if !ok {
		return
	}
	p := t.ports[key]
	if p == nil {
		p = &Port{Transport: name, Port: c.port}
		t.ports[key] = p
	}
	p.Connections += uint64(c.seen)
	p.Octets += c.octets
	p.Captures += uint64(c.kept)
	hour := c.to.Unix() / 3600
	if _, known := t.hours[hour]; known || len(t.hours) < maxHours {
		t.hours[hour] += uint64(c.seen)
	}
}

func (t *tally) total(c total) {
	t.span(c.from, c.to)
	t.Evicted += c.evicted
	t.Dropped += c.dropped
	name := c.from.Format(time.DateOnly)
	if _, known := t.days[name]; known || len(t.days) < maxHours {
		t.days[name] = max(t.days[name], c.sources)
	}
}

func (t *tally) span(from, to time.Time) {
	if t.From.IsZero() || from.Before(t.From) {
		t.From = from
	}
	if to.After(t.To) {
		t.To = to
	}
}

// transportName is a transport in words.
func transportName(transport uint8) (string, bool) {
	switch transport {
	case tcp:
		return "tcp", true
	case udp:
		return "udp", true
	}
	return "", false
}

// report puts what was tallied in order.
func (t *tally) report() *Report {
	r := &t.Report
	r.Ports, r.Families, r.Hours, r.Days = []Port{}, []Family{}, []Hour{}, []Day{}
	for _, p := range t.ports {
		r.Ports = append(r.Ports, *p)
	}
	slices.SortFunc(r.Ports, func(a, b Port) int {
		return cmp.Or(cmp.Compare(b.Connections, a.Connections), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Transport, b.Transport))
	})
	for _, f := range t.families {
		slices.Sort(f.Ports)
		r.Families = append(r.Families, *f)
	}
	slices.SortFunc(r.Families, func(a, b Family) int {
		return cmp.Or(cmp.Compare(b.Captures, a.Captures), cmp.Compare(a.First, b.First))
	})
	for _, h := range slices.Sorted(maps.Keys(t.hours)) {
		r.Hours = append(r.Hours, Hour{time.Unix(h*3600, 0).UTC(), t.hours[h]})
	}
	for _, d := range slices.Sorted(maps.Keys(t.days)) {
		r.Days = append(r.Days, Day{d, t.days[d]})
	}
	for p, n := range t.networks {
		r.Networks = append(r.Networks, Network{p, n})
	}
	slices.SortFunc(r.Networks, func(a, b Network) int {
		return cmp.Or(cmp.Compare(b.Captures, a.Captures), a.Prefix.Addr().Compare(b.Prefix.Addr()))
	})
	return r
}
