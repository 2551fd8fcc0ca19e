package serve

import (
	"bytes"
	"context"
	"crypto"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	foreign "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/cache"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/forger"
)

// start is the time at which tests begin.
var start = time.Unix(1_800_000_000, 0)

// internet says what the Internet says, and remembers like a resolver.
type internet struct {
	t       testing.TB
	cache   *cache.Cache
	answers map[string]answer.Parts // by "name type", in lower case
	asked   atomic.Int64
}

func (n *internet) Resolve(ctx context.Context, name dns.Name, t dns.Type) *answer.Answer {
	n.asked.Add(1)
	p, ok := n.answers[strings.ToLower(fmt.Sprintf("%s %s", name, t))]
	if !ok {
		p = answer.Parts{RCode: dns.RCodeServerFailure, TTL: 5 * time.Second,
			HasError: true, ErrorCode: dns.EDENoReachableAuthority, ErrorText: "nobody at home"}
	}
	p.Name, p.Type, p.Born = name, t, start
	a := answer.New(p)
	n.cache.Put(a, start)
	return a
}

// zone reads the Internet's answers from zone file lines. An empty line ends an answer, and
// the first line of each is its question: "name type [rcode] [ad|bogus]".
func (n *internet) zone(text string) {
	n.t.Helper()
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		lines := strings.Split(strings.TrimSpace(block), "\n")
		question := strings.Fields(lines[0])
		p := answer.Parts{TTL: time.Minute}
		for _, word := range question[2:] {
			switch word {
			case "NXDOMAIN":
				p.RCode = dns.RCodeNameError
			case "ad":
				p.Status = secure(n.t)
			case "bogus":
				p.Status = bogus(n.t)
			}
		}
		for _, line := range lines[1:] {
			r := record(n.t, line)
			switch {
			case r.Type == dns.TypeSOA && question[1] != "SOA", r.Type == dns.TypeNSEC, r.Type == dns.TypeRRSIG && len(p.Authority) > 0:
				p.Authority = append(p.Authority, r)
			default:
				p.Answer = append(p.Answer, r)
			}
		}
		n.answers[strings.ToLower(question[0]+". "+question[1])] = p
	}
}

// record reads a zone file line. The parser is a foreign one.
func record(t testing.TB, line string) dns.RR {
	t.Helper()
	rr, err := foreign.NewRR(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	wire := make([]byte, 70000)
	m := foreign.Msg{Answer: []foreign.RR{rr}}
	wire, err = m.PackBuffer(wire)
	if err != nil {
		t.Fatal(err)
	}
	var ours dns.Message
	if err := ours.Unpack(wire); err != nil {
		t.Fatal(err)
	}
	return ours.Answer[0]
}

// bogus and secure are made by package dnssec, which alone can: from a chain that lacks its
// keys, and from a key set that signs itself.
func bogus(t testing.TB) answer.Status {
	t.Helper()
	_, status := dnssec.New(dnssec.Config{}).VerifyKeys("\x00", nil, nil, start, new(dnssec.Work))
	if !status.IsBogus() {
		t.Fatal(status)
	}
	return status
}

func secure(t testing.TB) answer.Status {
	t.Helper()
	key := &foreign.DNSKEY{Hdr: foreign.RR_Header{Name: ".", Rrtype: foreign.TypeDNSKEY, Class: foreign.ClassINET, Ttl: 60},
		Flags: 257, Protocol: 3, Algorithm: foreign.ED25519}
	private, err := key.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	sig := &foreign.RRSIG{Algorithm: key.Algorithm, KeyTag: key.KeyTag(), SignerName: ".",
		Inception: uint32(start.Unix() - 60), Expiration: uint32(start.Unix() + 3600)}
	if err := sig.Sign(private.(crypto.Signer), []foreign.RR{key}); err != nil {
		t.Fatal(err)
	}
	ds := record(t, key.ToDS(foreign.SHA256).String())
	parsed, _ := dnssec.ParseDS(ds.Data)
	_, status := dnssec.New(dnssec.Config{}).VerifyKeys("\x00", []dnssec.DS{parsed},
		[]dns.RR{record(t, key.String()), record(t, sig.String())}, start, new(dnssec.Work))
	if !status.IsSecure() {
		t.Fatal(status, status.Reason())
	}
	return status
}

// views are the filtered view and its unfiltered twin over one cache and one Internet.
type views struct {
	*internet
	filtered, twin *Server
	live           *filter.Live
	now            time.Time
}

// live holds a list of the given subjects, which are the log's entries 0, 1, …
func live(t testing.TB, subjects ...string) *filter.Live {
	t.Helper()
	v := new(filter.Live)
	v.Swap(listOf(t, subjects...))
	return v
}

func listOf(t testing.TB, subjects ...string) *filter.List {
	t.Helper()
	return forger.ListOf(t.TempDir(), subjects...)
}

func newViews(t testing.TB, subjects ...string) *views {
	t.Helper()
	c, err := cache.New(cache.Config{Bytes: cache.MinBytes})
	if err != nil {
		t.Fatal(err)
	}
	v := &views{internet: &internet{t: t, cache: c, answers: map[string]answer.Parts{}}, live: live(t, subjects...), now: start}
	cfg := Config{
		Cache: c, Resolver: v.internet, Now: func() time.Time { return v.now },
		Sinkhole4: netip.MustParseAddr("198.51.100.1"), Sinkhole6: netip.MustParseAddr("2001:db8::1"),
		Identity: "here", Version: "shoji 1",
	}
	v.twin = New(cfg)
	cfg.Live = v.live
	v.filtered = New(cfg)
	return v
}

// packet is a query: "name type" and any of ad, cd, do, edns, tcp, norecurse, ch.
func packet(t testing.TB, text string) (packet []byte, tcp bool) {
	t.Helper()
	words := strings.Fields(text)
	m := new(foreign.Msg)
	typ, ok := foreign.StringToType[words[1]]
	if !ok {
		fmt.Sscanf(words[1], "TYPE%d", &typ)
	}
	m.SetQuestion(foreign.Fqdn(words[0]), typ)
	m.Id = 4711
	for _, w := range words[2:] {
		switch w {
		case "ad":
			m.AuthenticatedData = true
		case "cd":
			m.CheckingDisabled = true
		case "plain":
		case "edns":
			m.SetEdns0(1232, false)
		case "do":
			m.SetEdns0(1232, true)
		case "sde":
			opt := m.SetEdns0(1232, false).IsEdns0()
			opt.Option = append(opt.Option, &foreign.EDNS0_LOCAL{Code: dns.OptionStructuredError})
		case "small":
			m.IsEdns0().SetUDPSize(512)
		case "tcp":
			tcp = true
		case "norecurse":
			m.RecursionDesired = false
		case "ch":
			m.Question[0].Qclass = foreign.ClassCHAOS
		case "hs":
			m.Question[0].Qclass = foreign.ClassHESIOD
		default:
			t.Fatalf("%q: what is %q?", text, w)
		}
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b, tcp
}

func parse(t testing.TB, text string) *dns.Query {
	t.Helper()
	b, tcp := packet(t, text)
	q := new(dns.Query)
	if err := q.Parse(b); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if tcp {
		q.MaxReply = 65535
	}
	return q
}

// ask is what a client gets. A reply from memory must be the one that Miss gives.
func ask(t testing.TB, s *Server, text string) []byte {
	t.Helper()
	q := parse(t, text)
	hit, ok := s.Hit(q, []byte("before"))
	if !ok && len(hit) != 6 {
		t.Errorf("%q: Hit reports false and leaves %d octets", text, len(hit)-6)
	}
	miss := s.Miss(context.Background(), q, []byte("before"))
	if ok && !bytes.Equal(hit, miss) {
		t.Errorf("%q: Hit says\n%s\nMiss says\n%s", text, show(t, hit[6:]), show(t, miss[6:]))
	}
	if !bytes.HasPrefix(miss, []byte("before")) {
		t.Errorf("%q: what was in the buffer is lost", text)
	}
	return miss[6:]
}

// show is a reply in text, read by a foreign parser: the response code and flags, then
// each section's records, then what EDNS says.
func show(t testing.TB, reply []byte) string {
	t.Helper()
	var m foreign.Msg
	if err := m.Unpack(reply); err != nil {
		t.Fatalf("%v in reply %x", err, reply)
	}
	var ours dns.Message
	if err := ours.Unpack(reply); err != nil {
		t.Fatalf("%v in reply %x", err, reply)
	}
	lines := []string{foreign.RcodeToString[m.Rcode]}
	for _, f := range []struct {
		set  bool
		name string
	}{{m.Authoritative, "aa"}, {m.Truncated, "tc"}, {m.AuthenticatedData, "ad"}, {m.CheckingDisabled, "cd"}} {
		if f.set {
			lines[0] += " " + f.name
		}
	}
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		lines = append(lines, strings.ReplaceAll(rr.String(), "\t", " "))
	}
	for _, rr := range m.Extra {
		opt, ok := rr.(*foreign.OPT)
		if !ok {
			t.Errorf("additional record %v", rr)
			continue
		}
		line := fmt.Sprintf("EDNS %d", opt.UDPSize())
		if opt.Do() {
			line += " do"
		}
		for _, o := range opt.Option {
			e := o.(*foreign.EDNS0_EDE)
			line += fmt.Sprintf(", %s: %s", foreign.ExtendedErrorCodeToString[e.InfoCode], e.ExtraText)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// expect compares a reply with lines of text.
func expect(t testing.TB, s *Server, question, want string) {
	t.Helper()
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSpace(want), "\n") {
		lines = append(lines, strings.TrimSpace(line))
	}
	if got := show(t, ask(t, s, question)); got != strings.Join(lines, "\n") {
		t.Errorf("%s\ngot\n%s\nwant\n%s", question, got, strings.Join(lines, "\n"))
	}
}
