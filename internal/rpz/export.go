package rpz

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"strings"

	mdns "github.com/miekg/dns"
)

// Left is what a zone file lacks because the zone cannot have it.
type Left struct {
	Owners int
	First  []string // the first of them, each with its reason
}

// WriteFile writes the zone of a list as a zone file (RFC 1035 §5), for resolvers that read
// policy zones from files.
func (c Content) WriteFile(w io.Writer, list List) (Left, error) {
	if err := c.Check(); err != nil {
		return Left{}, err
	}
	out := bufio.NewWriterSize(w, 64<<10)
	origin := c.Origin.String()
	fmt.Fprintf(out, "$ORIGIN %s\n$TTL %d\n", origin, c.seconds())
	soa := c.soa(list.Epoch()).(*mdns.SOA)
	fmt.Fprintf(out, "@ SOA %s %s %d %d %d %d %d\n@ NS %s\n", soa.Ns, soa.Mbox, soa.Serial, soa.Refresh, soa.Retry, soa.Expire, soa.Minttl, apexServer)
	rdata := map[int][]string{}
	for bits, t := range kinds {
		rdata[bits] = c.rdata(t)
	}
	var f left
	var failed error
	err := triggers(list, func(t trigger) bool {
		if c.unfit(t) != "" {
			f.note(&c, t)
			return true
		}
		owner := t.owner()
		for _, data := range rdata[t.prefix.Addr().BitLen()] {
			if _, failed = out.WriteString(owner + data); failed != nil {
				return false
			}
		}
		return true
	})
	if err == nil {
		err = failed
	}
	if err == nil {
		err = out.Flush()
	}
	return Left{Owners: f.count, First: f.shown}, err
}

// kinds are triggers of each kind, by the length of their addresses.
var kinds = map[int]trigger{
	0:   {},
	32:  {prefix: netip.PrefixFrom(netip.IPv4Unspecified(), 0)},
	128: {prefix: netip.PrefixFrom(netip.IPv6Unspecified(), 0)},
}

// rdata is what follows the owner of such a trigger in each of its lines.
func (c *Content) rdata(t trigger) []string {
	var out []string
	for _, rr := range c.policy(nil, t, ".") {
		data := strings.TrimPrefix(rr.String(), rr.Header().String())
		out = append(out, fmt.Sprintf(" %s %s\n", mdns.TypeToString[rr.Header().Rrtype], data))
	}
	return out
}
