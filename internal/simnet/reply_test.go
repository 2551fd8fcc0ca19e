package simnet

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"

	wire "github.com/shoji-dns/shoji/internal/dns"
)

// put gives a server's behaviour one message and returns the parsed reply.
func put(t *testing.T, a *authority, f *Faults, tcp bool, change func(*dns.Msg)) (*dns.Msg, int) {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion("www.shop.test.", dns.TypeA)
	change(q)
	packet, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	b := a.reply(packet, tcp, f)
	if b == nil {
		return nil, 0
	}
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil {
		t.Fatalf("%v: %x", err, b)
	}
	if m.Id != q.Id || !m.Response {
		t.Errorf("not a reply to the query: %v", m)
	}
	return m, len(b)
}

// shopServer has the zones shop.test., bank.test. and test.
func shopServer(t *testing.T) *authority {
	t.Helper()
	tree := Lab(7, labNow).Tree()
	a := &authority{zones: map[string]*Zone{}}
	for _, origin := range []string{"test.", "shop.test.", "bank.test."} {
		a.zones[origin] = tree.Zone(origin)
	}
	return a
}

func TestHeaderAndEDNS(t *testing.T) {
	a := shopServer(t)
	ednsWith := func(size uint16, version uint8) func(*dns.Msg) {
		return func(m *dns.Msg) {
			m.SetEdns0(size, true)
			m.IsEdns0().SetVersion(version)
		}
	}
	for _, c := range []struct {
		what   string
		change func(*dns.Msg)
		faults Faults
		rcode  int
		edns   bool
		silent bool
	}{
		{what: "plain", change: func(*dns.Msg) {}},
		{what: "EDNS", change: ednsWith(1232, 0), edns: true},
		{what: "EDNS version 1", change: ednsWith(1232, 1), rcode: dns.RcodeBadVers, edns: true},
		{what: "EDNS ignored", change: ednsWith(1232, 0), faults: Faults{EDNS: EDNSIgnored}},
		{what: "EDNS dropped", change: ednsWith(1232, 0), faults: Faults{EDNS: EDNSDropped}, silent: true},
		{what: "EDNS refused", change: ednsWith(1232, 0), faults: Faults{EDNS: EDNSFormErr}, rcode: dns.RcodeFormatError},
		{what: "no EDNS to drop", change: func(*dns.Msg) {}, faults: Faults{EDNS: EDNSDropped}},
		{what: "two OPT", change: func(m *dns.Msg) { m.SetEdns0(1232, false); m.SetEdns0(1232, false) }, rcode: dns.RcodeFormatError, edns: true},
		{what: "NOTIFY", change: func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }, rcode: dns.RcodeNotImplemented},
		{what: "no question", change: func(m *dns.Msg) { m.Question = nil }, rcode: dns.RcodeFormatError},
		{what: "a reply", change: func(m *dns.Msg) { m.Response = true }, silent: true},
		{what: "AXFR", change: func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAXFR }, rcode: dns.RcodeRefused},
		{what: "CH", change: func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, rcode: dns.RcodeRefused},
		{what: "elsewhere", change: func(m *dns.Msg) { m.Question[0].Name = "a.example." }, rcode: dns.RcodeRefused},
		{what: "lame: REFUSED", change: func(*dns.Msg) {}, faults: Faults{Lame: LameRefused}, rcode: dns.RcodeRefused},
		{what: "lame: SERVFAIL", change: func(*dns.Msg) {}, faults: Faults{Lame: LameServFail}, rcode: dns.RcodeServerFailure},
		{what: "empty non-terminal", change: func(m *dns.Msg) { m.Question[0].Name = "b.c.shop.test." }},
		{what: "empty non-terminal, broken", change: func(m *dns.Msg) { m.Question[0].Name = "b.c.shop.test." }, faults: Faults{BrokenENT: true}, rcode: dns.RcodeNameError},
	} {
		m, _ := put(t, a, &c.faults, false, c.change)
		if (m == nil) != c.silent {
			t.Errorf("%s: %v", c.what, m)
			continue
		}
		if m != nil && (m.Rcode != c.rcode || (m.IsEdns0() != nil) != c.edns) {
			t.Errorf("%s: %v", c.what, m)
		}
	}
}

func TestLameUpward(t *testing.T) {
	for _, kind := range []Lameness{LameUpward, LameSilence} {
		m, _ := put(t, shopServer(t), &Faults{Lame: kind}, false, func(*dns.Msg) {})
		if m.Authoritative || m.Rcode != dns.RcodeSuccess || len(m.Answer) != 0 || (len(m.Ns) == 1) != (kind == LameUpward) {
			t.Errorf("%v: %v", kind, m)
		}
	}
}

// TestSize: no datagram is longer than the query allows or than 1232 octets, and
// what does not fit comes over TCP.
func TestSize(t *testing.T) {
	a := shopServer(t)
	for _, size := range []uint16{0, 100, 512, 1000, 1232, 1400, 4096} {
		limit := min(max(int(size), 512), 1232)
		for _, name := range []string{"big.shop.test.", "bank.test.", "nothing.bank.test.", "nothing.test.", "shop.test."} {
			ask := func(m *dns.Msg) {
				m.SetQuestion(name, dns.TypeANY)
				if size > 0 {
					m.SetEdns0(size, true)
				}
			}
			udp, n := put(t, a, &Faults{}, false, ask)
			if n > limit || udp.Truncated && len(udp.Answer)+len(udp.Ns) > 0 {
				t.Errorf("%s at %d: %d octets: %v", name, size, n, udp)
			}
			tcp, m := put(t, a, &Faults{}, true, ask)
			if tcp.Truncated || udp.Truncated != (m > limit) {
				t.Errorf("%s at %d: truncated %v, and over TCP it has %d octets", name, size, udp.Truncated, m)
			}
		}
	}
}

// TestPriming: the root's NS come with all their addresses (RFC 9609 §4.2).
func TestPriming(t *testing.T) {
	a := &authority{zones: map[string]*Zone{".": Lab(7, labNow).Tree().Zone(".")}}
	m, _ := put(t, a, &Faults{}, false, func(m *dns.Msg) { m.SetQuestion(".", dns.TypeNS) })
	if len(m.Answer) != 2 || len(addrsOf(m.Extra)) != 4 {
		t.Errorf("%v", m)
	}
	for _, h := range LabHints() {
		for _, addr := range h.Addrs {
			if !strings.Contains(fmt.Sprint(addrsOf(m.Extra)), addr.String()) {
				t.Errorf("%s %v is a hint and no root server", h.Name, addr)
			}
		}
	}
}

// TestLetterCase: owner names take the question's case, and a DNAME keeps that of
// the part it does not replace.
func TestLetterCase(t *testing.T) {
	a := shopServer(t)
	for name, want := range map[string]string{
		"WwW.ShOp.TeSt.":     "WwW.ShOp.TeSt.",
		"AnY.BoX.sHoP.tEsT.": "AnY.BoX.sHoP.tEsT.",
	} {
		m, _ := put(t, a, &Faults{}, false, func(m *dns.Msg) { m.SetQuestion(name, dns.TypeA) })
		if m.Question[0].Name != name || m.Answer[0].Header().Name != want {
			t.Errorf("%v", m)
		}
	}
	m, _ := put(t, a, &Faults{}, false, func(m *dns.Msg) { m.SetQuestion("WwW.oLd.ShOp.TeSt.", dns.TypeA) })
	if len(m.Answer) != 3 || m.Answer[1].Header().Name != "WwW.oLd.ShOp.TeSt." || m.Answer[1].(*dns.CNAME).Target != "WwW.shop.test." {
		t.Errorf("%v", m)
	}
}

// TestDS: the DS of a zone is asked of the parent, where the server has both, and
// the child says there is none of its own.
func TestDS(t *testing.T) {
	a := shopServer(t)
	m, _ := put(t, a, &Faults{}, false, func(m *dns.Msg) { m.SetQuestion("bank.test.", dns.TypeDS) })
	if len(m.Answer) != 1 || !m.Authoritative {
		t.Errorf("%v", m)
	}
	delete(a.zones, "test.")
	m, _ = put(t, a, &Faults{}, false, func(m *dns.Msg) { m.SetQuestion("bank.test.", dns.TypeDS) })
	if len(m.Answer) != 0 || !m.Authoritative || len(m.Ns) != 1 || m.Ns[0].Header().Name != "bank.test." {
		t.Errorf("%v", m)
	}
}

// TestTooLong: a DNAME that makes a name too long is YXDOMAIN (RFC 6672 §2.2).
func TestTooLong(t *testing.T) {
	tree, err := Build(1, Spec{Origin: "z.", Text: "a DNAME " + strings.Repeat("long-label.", 12) + "z."})
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{zones: map[string]*Zone{"z.": tree.Zone("z")}}
	m, _ := put(t, a, &Faults{}, false, func(m *dns.Msg) { m.SetQuestion(strings.Repeat("another-label.", 12)+"a.z.", dns.TypeA) })
	if m.Rcode != dns.RcodeYXDomain || len(m.Answer) != 1 {
		t.Errorf("%v", m)
	}
}

// FuzzReply gives a server arbitrary packets: it must not panic, must reply only
// to queries, with the query's ID, and its replies must be messages, to miekg/dns
// and to our own parser, of the length that the transport allows.
func FuzzReply(f *testing.F) {
	in := Lab(7, labNow)
	a := &authority{zones: map[string]*Zone{}}
	for _, z := range in.Tree().Zones() {
		a.zones[z.origin] = z
	}
	for _, try := range LabTries() {
		q := new(dns.Msg)
		q.SetQuestion(dns.Fqdn(try.Name), dns.StringToType[try.Type])
		q.SetEdns0(4096, true)
		b, err := q.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, false)
	}
	f.Add([]byte{}, true)
	f.Add(make([]byte, headerSize), true)
	f.Add(bytes.Repeat([]byte{0xc0, 0x0c}, 20), false)
	f.Add(append([]byte("\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"), "\xc0\x0c\x00\x01\x00\x01"...), false)
	f.Fuzz(func(t *testing.T, packet []byte, tcp bool) {
		readQuestion(packet).String()
		newDice(1, hostA, tcp, readQuestion(packet), 0).forgery(packet)
		truncated(packet)
		b := a.reply(packet, tcp, &Faults{})
		if b == nil {
			return
		}
		limit := minUDP
		var q dns.Msg
		if err := q.Unpack(packet); err == nil && q.IsEdns0() != nil {
			limit = min(max(minUDP, int(q.IsEdns0().UDPSize())), maxUDP)
		}
		if !tcp && len(b) > limit {
			t.Errorf("%d octets, %d allowed", len(b), limit)
		}
		if len(packet) < headerSize || !bytes.Equal(b[:2], packet[:2]) || packet[2]&0x80 != 0 {
			t.Errorf("a reply to %x: %x", packet, b)
		}
		var m dns.Msg
		if err := m.Unpack(b); err != nil {
			t.Errorf("reply %x: %v", b, err)
		}
		var ours wire.Message
		if err := ours.Unpack(b); err != nil {
			t.Errorf("reply %x: our parser: %v", b, err)
		}
	})
}
