package config

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Sinkhole is where filtered names lead, and what is run there.
type Sinkhole struct {
	IPv4 netip.Addr `yaml:"ipv4" json:"ipv4,omitempty" jsonschema:"description=Address given for a filtered name's A. Default: 127.83.72.1\\, which leads nowhere."`
	IPv6 netip.Addr `yaml:"ipv6" json:"ipv6,omitempty" jsonschema:"description=Address given for a filtered name's AAAA. Default: ::1."`
	TTL  Duration   `yaml:"ttl" json:"ttl,omitempty" jsonschema:"description=TTL of a filtered answer. Default: 10s. Short\\, so that a delisting is felt at once."`
	Run  Run        `yaml:"run" json:"run" jsonschema:"description=The sinkhole as a process of its own beside the resolver\\, started again when it ends. Without an address none is run: shoji sinkhole runs one alone\\, here or on another machine."`
}

// Run is a sinkhole that serve runs.
type Run struct {
	Listen   []Socket `yaml:"listen" json:"listen,omitempty" jsonschema:"description=Addresses where connections are accepted\\, ADDRESS:PORT. Port 80 sends a page for people\\, 443 is closed at once\\, others say nothing. Default: none."`
	UDP      []Socket `yaml:"udp" json:"udp,omitempty" jsonschema:"description=Addresses where datagrams are taken; none is answered."`
	User     string   `yaml:"user" json:"user,omitempty" jsonschema:"description=User and group that it goes on as when its sockets are open\\, by number\\, as UID:GID. Default: those of the resolver\\, and 65534:65534 where that is root."`
	Dir      string   `yaml:"dir" json:"dir,omitempty" jsonschema:"description=Folder of what it captures. Default: captures in the state folder."`
	Disk     Size     `yaml:"disk" json:"disk,omitempty" jsonschema:"description=The most that captures may take; the oldest go first. Default: 1GiB."`
	Retain   Duration `yaml:"retain" json:"retain,omitempty" jsonschema:"description=How long captures are kept; at least a day. Default: 720h."`
	Networks string   `yaml:"networks" json:"networks,omitempty" jsonschema:"description=By what law the networks are kept that connections come from (the first 24 bits of an IPv4 address\\, 48 of an IPv6 address)\\, in a sentence for the public: the desk shows it. Default: none are kept."`
}

func defaultSinkhole() Sinkhole {
	return Sinkhole{
		IPv4: netip.MustParseAddr("127.83.72.1"), IPv6: netip.IPv6Loopback(), TTL: Duration(10 * time.Second),
		Run: Run{Disk: 1 << 30, Retain: Duration(30 * 24 * time.Hour)},
	}
}

// maxBasis is how long the sentence of networks may be, in octets.
const maxBasis = 1000

func (s *Sinkhole) check() error {
	if a := s.IPv4; a.IsValid() && !a.Is4() {
		return fmt.Errorf("sinkhole.ipv4: %s is not an IPv4 address", a)
	}
	if a := s.IPv6; a.IsValid() && (!a.Is6() || a.Is4In6() || a.Zone() != "") {
		return fmt.Errorf("sinkhole.ipv6: %s is no IPv6 address that can stand in an AAAA record", a)
	}
	switch r := &s.Run; {
	case len(r.Networks) > maxBasis:
		return fmt.Errorf("sinkhole.run.networks: %d octets, more than %d", len(r.Networks), maxBasis)
	case time.Duration(r.Retain) < 24*time.Hour:
		return fmt.Errorf("sinkhole.run.retain: %s is less than 24h", time.Duration(r.Retain))
	case r.Disk < 32<<20:
		return errors.New("sinkhole.run.disk: less than 32MiB")
	}
	return nil
}
