package simnet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	wire "github.com/shoji-dns/shoji/internal/dns"
)

// labNow is the moment that the tests' labs are made at.
var labNow = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// ask puts one question to one server, over TCP too if UDP says so. The reply
// must be a message to miekg/dns and to our own parser alike.
func ask(t *testing.T, in *Internet, addr netip.Addr, name string, qtype uint16, do bool) (*dns.Msg, error) {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(name, qtype)
	q.RecursionDesired = false
	q.SetEdns0(1232, do)
	packet, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	for _, tcp := range []bool{false, true} {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		var m *dns.Msg
		err = in.Exchange(ctx, addr, 53, tcp, packet, func(reply []byte) bool {
			m = new(dns.Msg)
			if err := m.Unpack(reply); err != nil {
				t.Errorf("%s %s: reply: %v", name, dns.Type(qtype), err)
			}
			var ours wire.Message
			if err := ours.Unpack(reply); err != nil {
				t.Errorf("%s %s: our parser: %v", name, dns.Type(qtype), err)
			}
			return m.Id == q.Id
		})
		cancel()
		if err != nil {
			return nil, err
		}
		if !m.Truncated {
			return m, nil
		}
	}
	return nil, errors.New("truncated over TCP")
}

// walker resolves from the root hints, one server after another: a resolver of
// the plainest kind, that shares no code with Truth.
type walker struct {
	t     *testing.T
	in    *Internet
	depth int
}

func (w *walker) resolve(name string, qtype uint16) ([]dns.RR, int, error) {
	if w.depth++; w.depth > 12 {
		return nil, 0, errors.New("too deep")
	}
	defer func() { w.depth-- }()
	var servers []netip.Addr
	for _, h := range LabHints() {
		servers = append(servers, h.Addrs...)
	}
	zone := "."
	for range 12 {
		m := w.first(servers, name, qtype)
		if m == nil {
			return nil, 0, fmt.Errorf("%s: no server of %s answers", name, zone)
		}
		if m.Authoritative {
			return w.follow(m, name, qtype)
		}
		if len(m.Ns) == 0 || m.Ns[0].Header().Rrtype != dns.TypeNS {
			return nil, 0, fmt.Errorf("%s: neither answer nor referral:\n%v", name, m)
		}
		if below := m.Ns[0].Header().Name; !dns.IsSubDomain(zone, below) || below == zone {
			return nil, 0, fmt.Errorf("%s: referral from %s to %s", name, zone, below)
		}
		zone, servers = m.Ns[0].Header().Name, w.addresses(m)
	}
	return nil, 0, errors.New("too many referrals")
}

// first is the first usable reply of any of the servers.
func (w *walker) first(servers []netip.Addr, name string, qtype uint16) *dns.Msg {
	for _, addr := range servers {
		m, err := ask(w.t, w.in, addr, name, qtype, false)
		if err == nil && (m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError) {
			return m
		}
	}
	return nil
}

func (w *walker) addresses(m *dns.Msg) []netip.Addr {
	var out []netip.Addr
	for _, rr := range m.Ns {
		ns, ok := rr.(*dns.NS)
		if !ok {
			continue
		}
		glue := addrsOf(slices.DeleteFunc(slices.Clone(m.Extra), func(rr dns.RR) bool {
			return !strings.EqualFold(rr.Header().Name, ns.Ns)
		}))
		if len(glue) == 0 {
			if rrs, _, err := w.resolve(ns.Ns, dns.TypeA); err == nil {
				glue = addrsOf(rrs)
			}
		}
		out = append(out, glue...)
	}
	return out
}

func addrsOf(rrs []dns.RR) []netip.Addr {
	var out []netip.Addr
	for _, rr := range rrs {
		switch rr := rr.(type) {
		case *dns.A:
			a, _ := netip.AddrFromSlice(rr.A.To4())
			out = append(out, a)
		case *dns.AAAA:
			a, _ := netip.AddrFromSlice(rr.AAAA)
			out = append(out, a)
		}
	}
	return out
}

// follow goes on where a chain of aliases leaves the zone.
func (w *walker) follow(m *dns.Msg, name string, qtype uint16) ([]dns.RR, int, error) {
	target, aliases := name, 0
	for _, rr := range m.Answer {
		if c, ok := rr.(*dns.CNAME); ok {
			target = c.Target
			aliases++
		}
		if rr.Header().Rrtype == qtype {
			return m.Answer, m.Rcode, nil
		}
	}
	if target == name && aliases > 0 {
		return nil, 0, errors.New("aliases in a circle")
	}
	if target == name || m.Rcode == dns.RcodeNameError {
		return m.Answer, m.Rcode, nil
	}
	more, rcode, err := w.resolve(target, qtype)
	return append(m.Answer, more...), rcode, err
}

// listed tells whether the lab's list decides an answer.
func listed(name string, answer []dns.RR) bool {
	names, addrs := []string{name}, addrsOf(answer)
	for _, rr := range answer {
		switch rr := rr.(type) {
		case *dns.CNAME:
			names = append(names, rr.Target)
		case *dns.HTTPS:
			for _, kv := range rr.Value {
				if hint, ok := kv.(*dns.SVCBIPv4Hint); ok {
					for _, ip := range hint.Hint {
						a, _ := netip.AddrFromSlice(ip.To4())
						addrs = append(addrs, a)
					}
				}
			}
		}
	}
	for _, s := range LabList() {
		for _, n := range names {
			n = strings.TrimSuffix(dns.CanonicalName(n), ".")
			if s.Name != "" && (n == s.Name || s.Scope == "subtree" && strings.HasSuffix(n, "."+s.Name)) {
				return true
			}
		}
		for _, a := range addrs {
			if s.Scope == "prefix" && s.Prefix.Contains(a) {
				return true
			}
		}
	}
	return false
}

// TestTries keeps the tour of the lab true: over the network, and in what Truth says.
func TestTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := Lab(7, labNow)
		for _, try := range LabTries() {
			name := dns.Fqdn(try.Name)
			w := &walker{t: t, in: in}
			rrs, rcode, err := w.resolve(name, dns.StringToType[try.Type])
			text := ""
			for _, rr := range rrs {
				text += rr.String() + "\n"
			}
			truth, terr := in.Tree().Truth(name, try.Type, labNow)
			if terr != nil {
				t.Fatal(terr)
			}
			if try.Status == "" {
				if err == nil {
					t.Errorf("%s %s: answered, and none can: %s", try.Name, try.Type, text)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s %s: %v", try.Name, try.Type, err)
				continue
			}
			if truth.Status != try.Status {
				t.Errorf("%s %s: truth is %s, not %s", try.Name, try.Type, truth.Status, try.Status)
			}
			if got := dns.RcodeToString[rcode]; got != truth.RCode || try.Status != "bogus" && got != try.RCode {
				t.Errorf("%s %s: %s; truth %s; table %s", try.Name, try.Type, got, truth.RCode, try.RCode)
			}
			if try.Status != "bogus" && (!strings.Contains(text, try.Has) || (try.Has == "") != (text == "")) {
				t.Errorf("%s %s: no %q in:\n%s", try.Name, try.Type, try.Has, text)
			}
			if got := strings.Split(strings.TrimSuffix(text, "\n"), "\n"); len(rrs) != len(truth.Answer) || text != "" && !slices.Equal(got, truth.Answer) {
				t.Errorf("%s %s: the network says\n%v\nthe truth is\n%v", try.Name, try.Type, got, truth.Answer)
			}
			if listed(name, rrs) != try.Listed {
				t.Errorf("%s %s: listed is %v", try.Name, try.Type, !try.Listed)
			}
		}
	})
}

// TestLabAddresses: nothing in the lab points at an address that somebody may have.
func TestLabAddresses(t *testing.T) {
	plan := []netip.Prefix{}
	for _, p := range []string{"198.18.0.0/15", "192.0.2.0/24", "203.0.113.0/24", "2001:db8::/32"} {
		plan = append(plan, netip.MustParsePrefix(p))
	}
	in := Lab(7, labNow)
	check := func(what string, a netip.Addr) {
		if !slices.ContainsFunc(plan, func(p netip.Prefix) bool { return p.Contains(a) }) {
			t.Errorf("%s: %v", what, a)
		}
	}
	for a := range in.servers {
		check("server", a)
	}
	for _, z := range in.Tree().Zones() {
		for _, n := range z.nodes {
			for _, set := range n.sets {
				for _, a := range addrsOf(set.rrs) {
					check(n.name, a)
				}
			}
		}
	}
}

// TestDelegations: what the parent says of a cut is what the child says of itself,
// and each name server's address is one where the zone is served.
func TestDelegations(t *testing.T) {
	in := Lab(7, labNow)
	for _, z := range in.Tree().Zones() {
		up := in.Tree().parent(z.origin)
		if up == nil {
			continue
		}
		cut := up.nodes[z.origin]
		if cut == nil || !cut.cut {
			t.Errorf("%s is not delegated", z.origin)
			continue
		}
		names := func(n *node) (out []string) {
			for _, rr := range n.of(dns.TypeNS).rrs {
				out = append(out, rr.(*dns.NS).Ns)
			}
			slices.Sort(out)
			return out
		}
		if a, b := names(cut), names(z.apex()); !slices.Equal(a, b) {
			t.Errorf("%s: NS %v at the parent, %v at the apex", z.origin, a, b)
		}
		for _, ns := range names(cut) {
			for _, qtype := range []string{"A", "AAAA"} {
				truth, err := in.Tree().Truth(ns, qtype, labNow)
				if err != nil {
					t.Fatal(err)
				}
				for _, line := range truth.Answer {
					addr := netip.MustParseAddr(line[strings.LastIndexByte(line, '\t')+1:])
					if s := in.Server(addr); s == nil || s.zones.zones[z.origin] == nil {
						t.Errorf("%s: %s at %v does not have the zone", z.origin, ns, addr)
					}
				}
			}
		}
	}
}

func TestLabAnchor(t *testing.T) {
	in := Lab(7, labNow)
	a, err := in.Tree().Anchor(".")
	if err != nil {
		t.Fatal(err)
	}
	b, err := LabAnchor(7)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(a) != fmt.Sprint(b) || len(a.DS) != 1 || len(a.DNSKEY) != 1 {
		t.Errorf("anchor %v, LabAnchor %v", a, b)
	}
	if a.DS[0].Type != wire.TypeDS || a.DNSKEY[0].Type != wire.TypeDNSKEY || a.DS[0].Name != wire.Root {
		t.Errorf("anchor %v", a)
	}
	rr, err := dns.NewRR(a.DS[0].String())
	if err != nil || !strings.EqualFold(in.Tree().Zone(".").keys.ksk.rr.ToDS(dns.SHA256).Digest, rr.(*dns.DS).Digest) {
		t.Errorf("DS in text is %v, %v", rr, err)
	}
	if c, err := LabAnchor(8); err != nil || fmt.Sprint(c) == fmt.Sprint(a) {
		t.Errorf("another seed, the same key: %v", err)
	}
}

// TestSameSeed: a lab is the same to the last signature.
func TestSameSeed(t *testing.T) {
	dump := func(seed uint64) string {
		var b strings.Builder
		for _, z := range Lab(seed, labNow).Tree().Zones() {
			b.WriteString(strings.Join(z.Records(), "\n"))
		}
		return b.String()
	}
	if first, second := dump(7), dump(7); first != second {
		t.Error("two labs of one seed differ")
	}
	if dump(7) == dump(8) {
		t.Error("two labs of two seeds do not differ")
	}
}
