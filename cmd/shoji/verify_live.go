package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/internal/audit"
	"github.com/shoji-dns/shoji/internal/cache"
	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/exchange"
	"github.com/shoji-dns/shoji/internal/resolve"
	"github.com/shoji-dns/shoji/internal/simnet"
	"github.com/shoji-dns/shoji/internal/upstream"
)

// liveFlags say which resolvers are held against the log, and how they are asked.
type liveFlags struct {
	Resolver   []string      `help:"A filtered resolver to ask as well; encrypted, as tls://ADDRESS#NAME, https://ADDRESS/dns-query#NAME, h3:// or quic://. Repeatable." placeholder:"ADDRESS[:PORT]|URL" group:"Resolvers"`
	Unfiltered []string      `help:"Its unfiltered twin. Repeatable." placeholder:"ADDRESS[:PORT]|URL" group:"Resolvers"`
	Name       []string      `help:"A name to ask for beside the samples, in many ways. Repeatable." placeholder:"NAME" group:"Resolvers"`
	Source     []netip.Addr  `help:"An address of this machine to ask from. Repeatable. Default: those of the interface that leads there." placeholder:"ADDRESS" group:"Resolvers"`
	Questions  int           `help:"How many questions to ask at most in a round." default:"400" group:"Resolvers"`
	Over       time.Duration `help:"How long a round takes: the questions are spread over it at random." default:"2m" group:"Resolvers"`
	Rounds     int           `help:"How many rounds." default:"1" group:"Resolvers"`
	Lag        time.Duration `help:"How long a resolver may take to follow a new list." default:"1m" group:"Resolvers"`
	Contact    bool          `name:"contact-malware" help:"Ask also where a question reaches servers of malware: for listed names at the twin." group:"Resolvers"`
	CA         string        `help:"File of certificates, in PEM, of who may sign those of encrypted resolvers. Default: whom the system trusts." type:"path" placeholder:"FILE" group:"Resolvers"`
	Lab        bool          `help:"The resolvers are those of shoji serve --lab: recurse over the same Internet in the process." group:"Resolvers"`
	Seed       uint64        `help:"The lab's seed." default:"1" group:"Resolvers"`
}

// otherLogsText is which other logs the resolvers filter by, and what to do about them.
func otherLogsText(a *audit.Asked, w map[string]string) string {
	logs := slices.Sorted(maps.Keys(a.OtherLogs))
	if len(logs) == 0 {
		return ""
	}
	var b strings.Builder
	for _, log := range logs[:min(len(logs), audit.MaxShown)] {
		fmt.Fprintf(&b, "  "+w["other-log"]+"\n", a.OtherLogs[log], printable(log))
	}
	if more := len(logs) - audit.MaxShown; more > 0 {
		fmt.Fprintf(&b, "  "+w["more"]+"\n", more)
	}
	return b.String() + "  " + w["other-logs"] + "\n"
}

// asked reports whether resolvers are to be asked.
func (c *liveFlags) asked() bool { return len(c.Resolver)+len(c.Unfiltered) > 0 }

// auditorMemory is the size of the own recursion's cache, in octets.
const auditorMemory = 16 << 20

// encryptedPatience is how long an encrypted resolver is waited for, its handshake included.
const encryptedPatience = 10 * time.Second

// live is how resolvers are asked.
func (c *liveFlags) live() (*audit.LiveConfig, error) {
	switch {
	case c.Rounds < 1 || c.Rounds > audit.MaxRounds:
		return nil, fmt.Errorf("--rounds %d is not between 1 and %d", c.Rounds, audit.MaxRounds)
	case c.Questions < audit.MinQuestions || c.Questions > audit.MaxQuestions/c.Rounds:
		return nil, fmt.Errorf("--questions %d is not between %d and %d, for %d rounds", c.Questions, audit.MinQuestions, audit.MaxQuestions/c.Rounds, c.Rounds)
	case c.Over < 0 || c.Lag < 0:
		return nil, fmt.Errorf("--over %s or --lag %s is negative", c.Over, c.Lag)
	}
	out := &audit.LiveConfig{
		Transports: audit.Plain(), Sources: c.Source, Popular: audit.Popular(), Questions: c.Questions, Rounds: c.Rounds, Over: c.Over,
		Contact: c.Contact, Lag: c.Lag,
	}
	private := map[audit.Server]upstream.Resolver{}
	for _, view := range []struct {
		at         []string
		unfiltered bool
	}{{c.Resolver, false}, {c.Unfiltered, true}} {
		for _, text := range view.at {
			server := audit.Server{Unfiltered: view.unfiltered}
			var err error
			if upstream.Encrypted(text) {
				r, err := upstream.Parse(text)
				if err != nil {
					return nil, err
				}
				server.Addr, server.Encrypted = r.Addr, r.Transport
				private[server] = r
			} else if server.Addr, err = parseServer(text); err != nil {
				return nil, err
			}
			out.Servers = append(out.Servers, server)
		}
	}
	for _, text := range c.Name {
		n, err := dns.ParseName(text)
		if err != nil || n == dns.Root {
			return nil, fmt.Errorf("--name %q is no domain name to ask for: %w", text, err)
		}
		out.Names = append(out.Names, n)
	}
	if len(out.Sources) == 0 {
		var err error
		if out.Sources, err = ownAddresses(out.Servers); err != nil {
			return nil, err
		}
	}
	return out, c.recursion(out, private)
}

// ownAddresses are this machine's addresses from which servers can be asked: those of the
// interfaces by which the system itself would ask them. Nothing is sent.
func ownAddresses(servers []audit.Server) ([]netip.Addr, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, s := range servers {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.Addr))
		if err != nil {
			continue // no way there: asking will say so
		}
		own := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		conn.Close()
		for _, i := range interfaces {
			if all := addressesOf(i); slices.Contains(all, own) {
				out = append(out, all...)
			}
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out), nil
}

// addressesOf are an interface's addresses that are not of its link alone.
func addressesOf(i net.Interface) []netip.Addr {
	all, err := i.Addrs()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok && !addr.Unmap().IsLinkLocalUnicast() {
				out = append(out, addr.Unmap())
			}
		}
	}
	return out
}

// recursion is the auditor's own: from the root of the Internet, or of the lab.
func (c *liveFlags) recursion(to *audit.LiveConfig, private map[audit.Server]upstream.Resolver) error {
	conf := config.Default()
	around := &surroundings{network: exchange.New()}
	var err error
	if around.anchors, err = anchors(conf); err != nil {
		return err
	}
	if c.Lab {
		if around, err = (labFlags{Seed: c.Seed}).open(&conf, true); err != nil {
			return err
		}
		to.Popular = nil
		seen := map[dns.Name]bool{}
		for _, try := range simnet.LabTries() {
			if name := dns.MustName(try.Name); !try.Listed && try.Status != "" && !seen[name] {
				seen[name] = true
				to.Popular = append(to.Popular, name)
			}
		}
	}
	open := func(network resolve.Network, zones ...resolve.Zone) (*resolve.Resolver, error) {
		memory, err := cache.New(cache.Config{Bytes: auditorMemory})
		if err != nil {
			return nil, err
		}
		return resolve.New(resolve.Config{
			Network: network, Memory: memory, Hints: around.hints, Anchors: around.anchors, Zones: zones,
			Validation: validation(conf), TTLs: ttls(conf.Cache),
		}), nil
	}
	if to.Recursion, err = open(around.network); err != nil {
		return err
	}
	roots, err := certificates(c.CA)
	if err != nil {
		return fmt.Errorf("--ca: %w", err)
	}
	to.Encrypted = func(ctx context.Context, r audit.Route, query []byte) (reply []byte, err error) {
		ctx, cancel := context.WithTimeout(ctx, encryptedPatience)
		defer cancel()
		err = upstream.Ask(ctx, private[r.Server], roots, query, func(b []byte) bool {
			reply = bytes.Clone(b)
			return true
		})
		return reply, err
	}
	var mu sync.Mutex
	behind := map[audit.Server]audit.Recursion{}
	to.Through = func(s audit.Server) audit.Recursion {
		mu.Lock()
		defer mu.Unlock()
		if behind[s] == nil {
			zone := resolve.Zone{Name: dns.Root, Forward: true, Servers: []resolve.Upstream{{Addr: s.Addr.Addr(), Port: s.Addr.Port()}}}
			var network resolve.Network = exchange.New()
			if zone.Encrypted = s.Encrypted != ""; zone.Encrypted {
				if network, err = upstream.New(upstream.Config{Plain: exchange.New(), Resolvers: []upstream.Resolver{private[s]}, Roots: roots}); err != nil {
					return to.Recursion
				}
			}
			r, err := open(network, zone)
			if err != nil { // no memory is left
				return to.Recursion
			}
			behind[s] = r
		}
		return behind[s]
	}
	return nil
}
