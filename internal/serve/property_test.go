package serve

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	foreign "github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
)

var (
	someNames    = []string{"a.example", "evil.example", "c2.evil.example", "b.test-zone.example", "net", "x.y.net", "cdn.shop.example"}
	someAddrs    = []string{"192.0.2.1", "192.0.2.200", "203.0.113.9", "2001:db8::1", "2001:db8:bad::9"}
	someSubjects = []string{"*.evil.example", "evil.example", "c2.evil.example", "*.net", "a.example", "cdn.shop.example",
		"192.0.2.0/24", "192.0.2.200/32", "203.0.113.0/24", "2001:db8:bad::/48"}
)

// isListed says the same as a list, from the words that it was made of.
func isListed(subjects []string, names []string, addrs []netip.Addr) bool {
	return slices.ContainsFunc(subjects, func(s string) bool {
		if p, err := netip.ParsePrefix(s); err == nil {
			return slices.ContainsFunc(addrs, p.Contains)
		}
		below, subtree := strings.CutPrefix(s, "*.")
		return slices.ContainsFunc(names, func(n string) bool { return n == below || subtree && strings.HasSuffix(n, "."+below) })
	})
}

// drawAnswer draws an answer to a question, as zone file lines, with what it leads to.
func drawAnswer(t *rapid.T, name string) (lines []string, names []string, addrs []netip.Addr) {
	owner := name
	for range rapid.IntRange(0, 3).Draw(t, "chain") {
		next := rapid.SampledFrom(someNames).Draw(t, "target")
		kind := rapid.SampledFrom([]string{"CNAME", "DNAME", "HTTPS", "MX"}).Draw(t, "kind")
		switch kind {
		case "HTTPS":
			addr := rapid.SampledFrom(someAddrs[:3]).Draw(t, "hint")
			lines = append(lines, fmt.Sprintf("%s. 60 IN HTTPS 1 %s. ipv4hint=%s", owner, next, addr))
			addrs = append(addrs, netip.MustParseAddr(addr))
			names = append(names, next)
		case "MX": // leads nowhere that a client goes by itself
			lines = append(lines, fmt.Sprintf("%s. 60 IN MX 1 %s.", owner, next))
		default:
			lines = append(lines, fmt.Sprintf("%s. 60 IN %s %s.", owner, kind, next))
			names = append(names, next)
		}
		owner = next
	}
	for _, addr := range rapid.SliceOfN(rapid.SampledFrom(someAddrs), 0, 4).Draw(t, "addresses") {
		typ := "A"
		if strings.Contains(addr, ":") {
			typ = "AAAA"
		}
		lines = append(lines, fmt.Sprintf("%s. 60 IN %s %s", owner, typ, addr))
		addrs = append(addrs, netip.MustParseAddr(addr))
	}
	return lines, names, addrs
}

// For any list and any answer: what is listed is filtered and nothing of the original is
// left; what is not is the twin's reply; and the twin's is what the Internet said.
func TestAnyListAnyAnswer(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		subjects := rapid.SliceOfNDistinct(rapid.SampledFrom(someSubjects), 0, 5, rapid.ID[string]).Draw(rt, "list")
		v := newViews(t, subjects...)
		for range 6 {
			name := rapid.SampledFrom(someNames).Draw(rt, "name")
			typ := rapid.SampledFrom([]string{"A", "AAAA", "HTTPS", "TXT"}).Draw(rt, "type")
			flags := rapid.SampledFrom([]string{"edns tcp", "do tcp", "do cd tcp"}).Draw(rt, "flags")
			key := name + ". " + strings.ToLower(typ)
			lines, names, addrs := drawAnswer(rt, name)
			if p, known := v.answers[key]; known { // the Internet has said something else already
				lines, names, addrs = nil, nil, nil
				for _, r := range p.Answer {
					lines = append(lines, r.String())
				}
				a := answer.New(p)
				for n := range a.Targets() {
					names = append(names, strings.TrimSuffix(n.String(), "."))
				}
				addrs = slices.Collect(a.Addrs())
			} else {
				p := answer.Parts{TTL: time.Minute}
				for _, l := range lines {
					p.Answer = append(p.Answer, record(t, l))
				}
				v.answers[key] = p
			}
			question := name + " " + typ + " " + flags
			filtered, twin := ask(t, v.filtered, question), ask(t, v.twin, question)
			f, u := NewEven(v.filtered, v.twin)
			checkEven(rt, f, v.filtered, parse(t, question))
			checkEven(rt, u, v.twin, parse(t, question))
			checkOriginal(rt, v.answers[key], twin)
			if !isListed(subjects, append(names, name), addrs) {
				if !bytes.Equal(filtered, twin) {
					rt.Fatalf("%s is not listed by %q:\n%s\nand\n%s", question, subjects, show(t, filtered), show(t, twin))
				}
				continue
			}
			checkSynthetic(rt, question, filtered, lines)
		}
	})
}

// checkOriginal demands that a reply holds the answer's records.
func checkOriginal(t *rapid.T, p answer.Parts, reply []byte) {
	var m dns.Message
	if err := m.Unpack(reply); err != nil {
		t.Fatal(err)
	}
	if len(m.Answer) != len(p.Answer) {
		t.Fatalf("%d records of %d", len(m.Answer), len(p.Answer))
	}
	for i, r := range m.Answer {
		if r.String() != p.Answer[i].String() {
			t.Fatalf("record %d: %v, not %v", i, r, p.Answer[i])
		}
	}
}

// checkSynthetic demands that a reply holds nothing but what a filtered answer is made of.
func checkSynthetic(t *rapid.T, question string, reply []byte, original []string) {
	var m foreign.Msg
	if err := m.Unpack(reply); err != nil {
		t.Fatal(err)
	}
	asked := m.Question[0].Name
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		fine := rr.Header().Name == asked && rr.Header().Ttl == 10
		switch rr := rr.(type) {
		case *foreign.A:
			fine = fine && rr.A.String() == "198.51.100.1"
		case *foreign.AAAA:
			fine = fine && rr.AAAA.String() == "2001:db8::1"
		case *foreign.SOA:
			fine = fine && rr.Ns == asked && rr.Mbox == "nobody.invalid."
		default:
			fine = false
		}
		if !fine {
			t.Fatalf("%s: %v in a filtered answer (%q)", question, rr, original)
		}
	}
	opt := m.IsEdns0()
	if len(m.Answer)+len(m.Ns) != 1 || len(m.Extra) != 1 || len(opt.Option) != 1 || m.AuthenticatedData {
		t.Fatalf("%s: %v", question, &m)
	}
	ede := opt.Option[0].(*foreign.EDNS0_EDE)
	want := dns.EDEBlocked
	if len(m.Answer) == 1 {
		want = dns.EDEForgedAnswer
	}
	if ede.InfoCode != uint16(want) || !strings.HasPrefix(ede.ExtraText, "log entry ") {
		t.Fatalf("%s: %v", question, ede)
	}
}

func FuzzReply(f *testing.F) {
	for _, question := range []string{
		"www.shop.example A", "c2.evil.example AAAA do", "cdn.shop.example A edns cd", "nothing.bank.example A do ad",
		"localhost ANY", "1.0.0.127.in-addr.arpa PTR", "version.bind TXT ch edns", "unknown.example MX tcp", "www.bank.example A norecurse",
	} {
		b, _ := packet(f, question)
		f.Add(b, uint16(512))
	}
	v := newViews(f, listings...)
	v.zone(world)
	f.Fuzz(func(t *testing.T, b []byte, most uint16) {
		var q dns.Query
		if q.Parse(b) != nil {
			return
		}
		q.MaxReply = max(q.MaxReply, int(most))
		for _, s := range []*Server{v.filtered, v.twin} {
			var miss, hit []byte
			same := false
			for range 3 { // a TTL may count down between the two; what differs always is a fault
				miss = s.Miss(context.Background(), &q, nil)
				var ok bool
				hit, ok = s.Hit(&q, nil)
				if same = ok && bytes.Equal(hit, miss); same {
					break
				}
			}
			if !same {
				t.Fatalf("Hit\n%x\nMiss\n%x", hit, miss)
			}
			var m dns.Message
			if err := m.Unpack(hit); err != nil {
				t.Fatalf("%v in %x", err, hit)
			}
			var theirs foreign.Msg
			if err := theirs.Unpack(hit); err != nil {
				t.Fatalf("%v in %x", err, hit)
			}
			asked := m.Question[0]
			if m.ID != q.ID || string(asked.Name) != string(q.RawName()) || asked.Type != q.Type || asked.Class != q.Class {
				t.Fatalf("a reply to another question: %+v", m)
			}
			if len(hit) > q.MaxReply || (m.EDNS != nil) != q.HasEDNS || m.Flags.Has(dns.FlagAA|dns.FlagAD) || !m.Flags.Has(dns.FlagQR|dns.FlagRA) {
				t.Fatalf("%d octets for %d, %+v", len(hit), q.MaxReply, m)
			}
		}
	})
}
