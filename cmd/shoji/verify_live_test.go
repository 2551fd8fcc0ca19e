package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/audit"
	"github.com/shoji-dns/shoji/internal/dns"
)

// asker is who asks a crook, and how.
type asker struct {
	from      netip.AddrPort
	transport string
	nth       int64 // of all questions
}

// crook is a resolver that stands before an honest one and answers some questions in its own
// way: answer returns the reply, or the address of the resolver that is to give it.
type crook struct {
	t      *testing.T
	addr   netip.AddrPort
	answer func(a asker, q *dns.Message) (reply *dns.Message, from string)
	count  atomic.Int64
}

// newCrook listens on a free port of all loopback addresses until the test ends.
func newCrook(t *testing.T, answer func(a asker, q *dns.Message) (*dns.Message, string)) *crook {
	t.Helper()
	var udp *net.UDPConn
	var tcp *net.TCPListener
	for range 100 { // until a port is free for both
		var err error
		if udp, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
			t.Fatal(err)
		}
		if tcp, err = net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(udp.LocalAddr().(*net.UDPAddr).AddrPort())); err == nil {
			break
		}
		udp.Close()
	}
	if tcp == nil {
		t.Fatal("no port is free for UDP and TCP")
	}
	c := &crook{t: t, addr: tcp.Addr().(*net.TCPAddr).AddrPort(), answer: answer}
	t.Cleanup(func() { udp.Close(); tcp.Close() })
	go func() {
		buf := make([]byte, 65535)
		for {
			n, from, err := udp.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			query := bytes.Clone(buf[:n])
			go func() {
				if reply := c.handle(asker{from, "udp", c.count.Add(1)}, query); reply != nil {
					udp.WriteToUDPAddrPort(reply, from)
				}
			}()
		}
	}()
	go func() {
		for {
			conn, err := tcp.AcceptTCP()
			if err != nil {
				return
			}
			go c.connection(conn)
		}
	}()
	return c
}

func (c *crook) connection(conn *net.TCPConn) {
	defer conn.Close()
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return
	}
	query := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, query); err != nil {
		return
	}
	if reply := c.handle(asker{conn.RemoteAddr().(*net.TCPAddr).AddrPort(), "tcp", c.count.Add(1)}, query); reply != nil {
		conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
	}
}

// handle is the reply to a query; nil for none.
func (c *crook) handle(a asker, query []byte) []byte {
	var q dns.Message
	if q.Unpack(query) != nil || len(q.Question) != 1 {
		return nil
	}
	reply, from := c.answer(a, &q)
	if reply == nil && from == "" {
		return nil
	}
	if reply == nil {
		ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
		defer cancel()
		var err error
		if reply, err = exchangeOnce(ctx, a.transport, netip.MustParseAddrPort(from), query); err != nil {
			return nil
		}
	}
	reply.ID = q.ID
	b, err := reply.Append(nil)
	if err != nil {
		return nil
	}
	return b
}

// forged is a reply of a crook's own making, with one address and, where code is not 0, an
// error that explains it.
func forged(q *dns.Message, rcode dns.RCode, address string, code dns.ErrorCode, text string) *dns.Message {
	m := &dns.Message{Flags: dns.FlagQR | dns.FlagRD | dns.FlagRA | q.Flags&dns.FlagCD, RCode: rcode, Question: q.Question}
	if address != "" && q.Question[0].Type == dns.TypeA {
		a := netip.MustParseAddr(address).As4()
		m.Answer = []dns.RR{{Name: q.Question[0].Name, Type: dns.TypeA, Class: dns.ClassIN, TTL: 60, Data: a[:]}}
	}
	if q.EDNS != nil {
		if m.EDNS = (&dns.EDNS{UDPSize: 1232, DO: q.EDNS.DO}); code != 0 {
			m.EDNS.Options = []dns.Option{dns.ErrorOption(code, text)}
		}
	}
	return m
}

// exchangeOnce is the reply of a resolver to a query.
func exchangeOnce(ctx context.Context, network string, to netip.AddrPort, query []byte) (*dns.Message, error) {
	var a answered
	err := a.roundTrip(ctx, network, to, query)
	return a.reply, err
}

// passOn is what a resolver replies to a query over TCP; nil if nothing.
func passOn(t *testing.T, to string, q *dns.Message) *dns.Message {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	query, err := q.Append(nil)
	if err != nil {
		return nil
	}
	m, err := exchangeOnce(ctx, "tcp", netip.MustParseAddrPort(to), query)
	if err != nil {
		return nil
	}
	return m
}

// leadsTo is the IPv4 address that a reply ends with; "" for none.
func leadsTo(m *dns.Message) string {
	if m == nil || len(m.Answer) == 0 || m.Answer[len(m.Answer)-1].Type != dns.TypeA {
		return ""
	}
	return netip.AddrFrom4([4]byte(m.Answer[len(m.Answer)-1].Data)).String()
}

// elsewhere is an honest resolver's filtered reply with another address than the sinkhole's;
// nil where it does not lead there, or to is "".
func elsewhere(t *testing.T, honest string, q *dns.Message, to func() string) *dns.Message {
	m := passOn(t, honest, q)
	if leadsTo(m) != "127.83.72.1" {
		return nil
	}
	address := to()
	if address == "" {
		return nil
	}
	m.Answer[0].Data = netip.MustParseAddr(address).AsSlice()
	return m
}

// asks reports whether a query is about a name.
func asks(q *dns.Message, name string) bool { return q.Question[0].Name.Equal(dns.MustName(name)) }

// verdict is what verify --json says.
type verdict struct {
	Verdict   string
	Error     string
	Checks    []*audit.Check
	Resolvers *audit.Asked
}

// has reports whether there is a code; one that ends in a space is of any subject.
func (v *verdict) has(code string) bool {
	return slices.ContainsFunc(v.codes(), func(found string) bool {
		return found == code || strings.HasSuffix(code, " ") && strings.HasPrefix(found, code)
	})
}

// codes are what a check found, each once, as "check code subject".
func (v *verdict) codes() []string {
	var out []string
	seen := map[string]bool{}
	for _, c := range v.Checks {
		for _, f := range c.Findings {
			text := c.Name + " " + f.Code + " " + strings.Fields(f.Subject + " -")[0]
			if !seen[text] {
				seen[text] = true
				out = append(out, text)
			}
		}
	}
	return out
}

func (v *verdict) details() string {
	var out strings.Builder
	for _, c := range v.Checks {
		for _, f := range c.Findings {
			fmt.Fprintf(&out, "%s %s %s: %s\n", c.Name, f.Code, f.Subject, f.Detail)
		}
	}
	return out.String()
}

// verifyLive audits the lab with a resolver in place of its filtered view.
func verifyLive(t *testing.T, l *lab, flags ...string) *verdict {
	t.Helper()
	args := append([]string{"verify", l.log, "--json", "--lab", "--memory", t.TempDir(), "--over", "0s", "--lag", "1s", "--questions", "200"}, flags...)
	out, status := shoji(t, "", args...)
	var v verdict
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("%v: %v in %s", args, err, out)
	}
	if want := map[string]int{"verified": exitOK, "fault": exitFailure, "unchecked": exitUnchecked}[v.Verdict]; status != want {
		t.Errorf("status %d with verdict %s", status, v.Verdict)
	}
	return &v
}

// customers are three who ask.
var customers = []string{"--source", "127.0.0.1", "--source", "127.0.0.2", "--source", "127.0.0.3"}

// An honest resolver is verified, over IPv4 and IPv6, from several addresses, and over TLS.
func TestHonestResolver(t *testing.T) {
	t.Parallel()
	l := startLabWith(t, "encrypted: {dot: ['127.0.0.1:0'], filtered: {name: dns1.example}, unfiltered: {name: dns2.example}}\n")
	private := addresses(l.banner, "TLS")
	if len(private) == 0 {
		t.Fatal(l.banner)
	}
	v := verifyLive(t, l, append([]string{
		"--resolver", l.filtered[0], "--resolver", l.filtered[1], "--unfiltered", l.unfiltered[0], "--source", "::1", "--contact-malware",
		"--resolver", "tls://" + private[0] + "#dns1.example", "--unfiltered", "tls://" + private[0] + "#dns2.example",
		"--ca", filepath.Join(l.state, "tls", "self-signed.pem"),
		"--name", "www.shop.test", "--name", "c2.evil.test", "--name", "cdn.shop.test", "--name", "far.shop.test", "--name", "nothing.bank.test", "--rounds", "2",
	}, customers...)...)
	if v.Verdict != "verified" || len(v.codes()) != 0 {
		t.Errorf("%s %s: %s", v.Verdict, v.Error, v.details())
	}
	a := v.Resolvers
	if a.Questions < 200 || a.Listed < 5 || a.Signed < 20 || a.Lists != 1 || len(a.Delivery) != 0 || !slices.Contains(a.Ways, "tls") {
		t.Errorf("%+v", a)
	}
}

// Over TLS, what should filter does not, and the twin does.
func TestCrookOverTLS(t *testing.T) {
	t.Parallel()
	l := startLabWith(t, "encrypted: {dot: ['127.0.0.1:0'], filtered: {name: dns1.example}, unfiltered: {name: dns2.example}}\n")
	private, ca := addresses(l.banner, "TLS"), filepath.Join(l.state, "tls", "self-signed.pem")
	v := verifyLive(t, l, "--resolver", "tls://"+private[0]+"#dns2.example", "--unfiltered", "tls://"+private[0]+"#dns1.example", "--ca", ca)
	got := strings.Join(v.codes(), "\n")
	if v.Verdict != "fault" || !strings.Contains(got, "filtered not-filtered ") || !strings.Contains(got, "twin rewritten ") {
		t.Errorf("%s: %s", v.Verdict, v.details())
	}
	if v := verifyLive(t, l, "--resolver", "tls://"+private[0]+"#other.example", "--ca", ca); v.Verdict != "unchecked" || !strings.Contains(v.details(), "certificate") {
		t.Errorf("another's certificate: %s: %s", v.Verdict, v.details())
	}
}

// What an operator does whose resolver is not what the log says, and what shows it. Each is
// told by a rule for the filtered view; "" from a rule is the honest answer.
func TestCrooks(t *testing.T) {
	l := startLab(t)
	honest, twin := l.filtered[0], l.unfiltered[0]
	cites := ask(t, honest, "c2.evil.test").Errors[0].Text // a log entry that is in force
	is := func(address string) func(asker) bool {
		return func(a asker) bool { return a.from.Addr().Unmap() == netip.MustParseAddr(address) }
	}
	spare := func(when func(a asker, q *dns.Message) bool) func(asker, *dns.Message) (*dns.Message, string) {
		return func(a asker, q *dns.Message) (*dns.Message, string) {
			if asks(q, "c2.evil.test") && when(a, q) {
				return nil, twin
			}
			return nil, honest
		}
	}
	against := func(name string, forge func(q *dns.Message) *dns.Message) func(asker, *dns.Message) (*dns.Message, string) {
		return func(_ asker, q *dns.Message) (*dns.Message, string) {
			if asks(q, name) {
				return forge(q), ""
			}
			return nil, honest
		}
	}
	for name, tc := range map[string]struct {
		answer func(asker, *dns.Message) (*dns.Message, string)
		name   string   // that the customer asks for beside the samples
		want   []string // of codes
		detail string
	}{
		"filters a name that no entry lists, and cites another": {
			against("www.shop.test", func(q *dns.Message) *dns.Message {
				return forged(q, dns.RCodeSuccess, "127.83.72.1", dns.EDEForgedAnswer, cites)
			}), "www.shop.test", []string{"answered filtered-unlisted www.shop.test"}, "which lists *.c2.evil.test"},
		"filters a name that no entry lists, and cites one that there is not": {
			against("www.shop.test", func(q *dns.Message) *dns.Message {
				return forged(q, dns.RCodeSuccess, "127.83.72.1", dns.EDEBlocked, "log entry 4711")
			}), "www.shop.test", []string{"answered filtered-unlisted www.shop.test"}, "it names log entry 4711, which cannot be read"},
		"filters a name that no entry lists, and cites nothing": {
			against("www.bank.test", func(q *dns.Message) *dns.Message {
				return forged(q, dns.RCodeSuccess, "127.83.72.1", dns.EDEBlocked, "our list")
			}), "www.bank.test", []string{"answered filtered-unlisted www.bank.test"}, "it names no log entry"},
		"leads a signed name elsewhere": {
			against("www.bank.test", func(q *dns.Message) *dns.Message { return forged(q, dns.RCodeSuccess, "198.51.100.7", 0, "") }),
			"www.bank.test", []string{"answered altered www.bank.test"}, "DNSSEC proves that alone"},
		"denies a signed name": {
			against("www.bank.test", func(q *dns.Message) *dns.Message { return forged(q, dns.RCodeNameError, "", 0, "") }),
			"www.bank.test", []string{"answered altered www.bank.test"}, "the answer is NXDOMAIN"},
		"leads an unsigned name to the sinkhole without a word": {
			against("www.shop.test", func(q *dns.Message) *dns.Message { return forged(q, dns.RCodeSuccess, "127.83.72.1", 0, "") }),
			"www.shop.test", []string{"answered filtered-unlisted www.shop.test"}, "as filtered names do"},
		"leads an unsigned name elsewhere": {
			against("www.shop.test", func(q *dns.Message) *dns.Message { return forged(q, dns.RCodeSuccess, "198.51.100.7", 0, "") }),
			"www.shop.test", []string{"answered unexplained www.shop.test"}, "the answer is 198.51.100.7; this machine's recursion finds 192.0.2.10"},
		"denies an unsigned name": {
			against("www.shop.test", func(q *dns.Message) *dns.Message { return forged(q, dns.RCodeNameError, "", 0, "") }),
			"www.shop.test", []string{"answered denied www.shop.test"}, "the answer is NXDOMAIN"},
		"fails for a name": {
			against("www.shop.test", func(q *dns.Message) *dns.Message { return forged(q, dns.RCodeServerFailure, "", 0, "") }),
			"www.shop.test", []string{"answered failed www.shop.test"}, "the answer is SERVFAIL"},
		"does not answer for a name": {
			func(_ asker, q *dns.Message) (*dns.Message, string) {
				if asks(q, "www.shop.test") {
					return forged(q, dns.RCodeRefused, "", 0, ""), ""
				}
				return nil, honest
			}, "www.shop.test", []string{"answered refused www.shop.test"}, "REFUSED"},
		"cites another entry than the one that lists": {
			against("c2.evil.test", func(q *dns.Message) *dns.Message {
				return forged(q, dns.RCodeSuccess, "127.83.72.1", dns.EDEForgedAnswer, "log entry 1")
			}), "c2.evil.test", []string{"filtered wrong-citation c2.evil.test"}, "the answer names 1"},
		"shows the original beside": {
			against("c2.evil.test", func(q *dns.Message) *dns.Message {
				m := forged(q, dns.RCodeSuccess, "127.83.72.1", dns.EDEForgedAnswer, cites)
				m.Additional = forged(q, 0, "192.0.2.66", 0, "").Answer
				return m
			}), "c2.evil.test", []string{"filtered beside c2.evil.test"}, "192.0.2.66"},
		"filters nothing": {
			func(asker, *dns.Message) (*dns.Message, string) { return nil, twin }, "c2.evil.test", []string{"filtered not-filtered "}, "log entry"}, // of many names, some of which are shown
		"spares one customer a name, by address": {
			spare(func(a asker, _ *dns.Message) bool { return is("127.0.0.2")(a) }), "c2.evil.test",
			[]string{"filtered not-filtered c2.evil.test", "uniform differs-by c2.evil.test"}, "those from 127.0.0.2"},
		"spares one customer a name, by port": {
			spare(func(a asker, _ *dns.Message) bool { return a.from.Port() >= 32768 }), "c2.evil.test",
			[]string{"filtered not-filtered c2.evil.test", "uniform differs-by c2.evil.test"}, " answers: "}, // by ports, unless one question was put from both sides of the line
		"spares one customer a name, by EDNS": {
			spare(func(_ asker, q *dns.Message) bool { return q.EDNS != nil && q.EDNS.DO && q.Flags&dns.FlagCD == 0 }), "c2.evil.test",
			[]string{"filtered not-filtered c2.evil.test", "uniform differs-by c2.evil.test"}, "those asked with DO"},
		"spares one customer a name, by transport": {
			spare(func(a asker, _ *dns.Message) bool { return a.transport == "tcp" }), "c2.evil.test",
			[]string{"filtered not-filtered c2.evil.test", "uniform differs-by c2.evil.test"}, "those over TCP"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrook(t, tc.answer)
			v := verifyLive(t, l, append([]string{"--resolver", c.addr.String(), "--unfiltered", twin, "--name", tc.name, "--contact-malware"}, customers...)...)
			want := "fault"
			if strings.Contains(tc.want[0], "unexplained") || strings.Contains(tc.want[0], "failed") || strings.Contains(tc.want[0], "refused") {
				want = "unchecked"
			}
			for _, code := range tc.want {
				if !v.has(code) {
					t.Errorf("not found: %s among\n%s", code, strings.Join(v.codes(), "\n"))
				}
			}
			if v.Verdict != want || !strings.Contains(v.details(), tc.detail) {
				t.Errorf("%s, want %s and %q:\n%s", v.Verdict, want, tc.detail, v.details())
			}
		})
	}
}

// An operator cites the right entry, and leads the name elsewhere than to the sinkhole.
func TestCrookWithoutSinkhole(t *testing.T) {
	l := startLab(t)
	honest, twin := l.filtered[0], l.unfiltered[0]
	for name, tc := range map[string]struct {
		to     func(a asker, q *dns.Message) string // "": to the sinkhole
		want   string
		detail string
	}{
		"keeps the real address": {func(_ asker, q *dns.Message) string { return leadsTo(passOn(t, twin, q)) },
			"filtered not-filtered c2.evil.test", "leads to 192.0.2.66 all the same"},
		"an address for each name": {func(_ asker, q *dns.Message) string { return fmt.Sprintf("198.51.100.%d", len(q.Question[0].Name)) },
			"filtered other-sinkhole c2.evil.test", "others to 198.51.100."},
		"another over TCP": {func(a asker, _ *dns.Message) string { return map[string]string{"tcp": "198.51.100.9"}[a.transport] },
			"uniform differs-by c2.evil.test", "those over "},
		"another each time": {func(a asker, _ *dns.Message) string { return fmt.Sprintf("198.51.100.%d", a.nth%250) },
			"uniform differs-by c2.evil.test", "others to 198.51.100."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrook(t, func(a asker, q *dns.Message) (*dns.Message, string) {
				return elsewhere(t, honest, q, func() string { return tc.to(a, q) }), honest
			})
			v := verifyLive(t, l, append([]string{"--resolver", c.addr.String(), "--unfiltered", twin, "--name", "c2.evil.test", "--contact-malware"}, customers...)...)
			got := strings.Join(v.codes(), "\n")
			if v.Verdict != "fault" || !strings.Contains(got, tc.want) || strings.Contains(got, "twin ") || !strings.Contains(v.details(), tc.detail) {
				t.Errorf("%s, want %s and %q:\n%s", v.Verdict, tc.want, tc.detail, v.details())
			}
			if len(v.Resolvers.Sinkholes) == 0 && name != "keeps the real address" {
				t.Error("the addresses are not told")
			}
		})
	}
}

// An operator spares one customer a name in the evening: the rounds of an audit that is long
// enough show it.
func TestCrookByTimeOfDay(t *testing.T) {
	t.Parallel()
	l := startLab(t)
	var evening atomic.Bool
	c := newCrook(t, func(a asker, q *dns.Message) (*dns.Message, string) {
		if a.nth > 250 {
			evening.Store(true)
		}
		if asks(q, "c2.evil.test") && evening.Load() {
			return nil, l.unfiltered[0]
		}
		return nil, l.filtered[0]
	})
	v := verifyLive(t, l, "--resolver", c.addr.String(), "--name", "c2.evil.test", "--rounds", "4", "--contact-malware")
	if v.Verdict != "fault" || !strings.Contains(v.details(), "those after ") {
		t.Errorf("%s: %s", v.Verdict, v.details())
	}
	evening.Store(false)
	c.count.Store(0)
	if v := verifyLive(t, l, "--resolver", c.addr.String(), "--name", "c2.evil.test"); v.Verdict != "verified" {
		t.Errorf("in the morning, when none can tell: %s: %s", v.Verdict, v.details())
	}
}

// The unfiltered twin filters.
func TestCrookWithTwin(t *testing.T) {
	t.Parallel()
	l := startLab(t)
	c := newCrook(t, func(_ asker, q *dns.Message) (*dns.Message, string) {
		if name := q.Question[0].Name; name.IsSubdomainOf(dns.MustName("evil.test")) || name.IsSubdomainOf(dns.MustName("canary.example")) {
			return nil, l.filtered[0]
		}
		if asks(q, "www.rsa.test") {
			return forged(q, dns.RCodeSuccess, "198.51.100.7", 0, ""), ""
		}
		return nil, l.unfiltered[0]
	})
	v := verifyLive(t, l, "--resolver", l.filtered[0], "--unfiltered", c.addr.String())
	if got := strings.Join(v.codes(), "\n"); v.Verdict != "fault" || !strings.Contains(got, "twin rewritten ") {
		t.Errorf("%s: %s", v.Verdict, v.details())
	}
	v = verifyLive(t, l, "--unfiltered", c.addr.String(), "--name", "www.rsa.test")
	if got := strings.Join(v.codes(), "\n"); v.Verdict != "fault" || !strings.Contains(got, "twin altered www.rsa.test") {
		t.Errorf("%s: %s", v.Verdict, v.details())
	}
}

// An operator who knows the auditor's address answers it honestly: none can tell from there,
// and anyone else can.
func TestCrookWhoKnowsTheAuditor(t *testing.T) {
	t.Parallel()
	l := startLab(t)
	c := newCrook(t, func(a asker, q *dns.Message) (*dns.Message, string) {
		if a.from.Addr().Unmap() != netip.MustParseAddr("127.0.0.1") && asks(q, "www.bank.test") {
			return forged(q, dns.RCodeNameError, "", 0, ""), ""
		}
		return nil, l.filtered[0]
	})
	if v := verifyLive(t, l, "--resolver", c.addr.String(), "--name", "www.bank.test", "--source", "127.0.0.1"); v.Verdict != "verified" {
		t.Errorf("from the auditor's address: %s: %s", v.Verdict, v.details())
	}
	if v := verifyLive(t, l, "--resolver", c.addr.String(), "--name", "www.bank.test", "--source", "127.0.0.2"); v.Verdict != "fault" {
		t.Errorf("from another: %s: %s", v.Verdict, v.details())
	}
}

// A resolver answers by an old list, and the log has gone on.
func TestCrookWithOldList(t *testing.T) {
	t.Parallel()
	old := startLab(t)
	copied := filepath.Join(t.TempDir(), "state")
	if err := os.CopyFS(copied, os.DirFS(old.state)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(copied, "key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, status := shoji(t, "newly.evil.test\n", "list", "import", "-", "--source", "test", "--kind", "c2", "--state", copied); status != exitOK {
		t.Fatal(out)
	}
	if out, status := shoji(t, "", "list", "remove", "exact.evil.test", "--reason", "a test", "--state", copied); status != exitOK {
		t.Fatal(out)
	}
	current := startLab(t, "--state", copied)
	live := func(resolver string) *verdict {
		return verifyLive(t, current, "--resolver", resolver, "--unfiltered", current.unfiltered[0], "--lag", "0s", "--name", "newly.evil.test", "--name", "exact.evil.test")
	}
	if v := live(current.filtered[0]); v.Verdict != "verified" {
		t.Errorf("the current list: %s: %s", v.Verdict, v.details())
	}
	v := live(old.filtered[0])
	got := strings.Join(v.codes(), "\n")
	if v.Verdict != "fault" || !strings.Contains(got, "filtered not-filtered newly.evil.test") ||
		!strings.Contains(got, "answered filtered-unlisted exact.evil.test") {
		t.Errorf("%s: %s", v.Verdict, v.details())
	}
}

// A list comes into force while resolvers are asked: no false alarm, whichever of the two a
// question met.
func TestListChangesMeanwhile(t *testing.T) {
	t.Parallel()
	l := startLab(t)
	change := make(chan bool, 1)
	var done atomic.Bool
	c := newCrook(t, func(a asker, q *dns.Message) (*dns.Message, string) {
		if a.nth == 60 {
			change <- true
		}
		return nil, l.filtered[0]
	})
	go func() {
		<-change
		for _, args := range [][]string{
			{"list", "import", "-", "--source", "test", "--kind", "c2", "--state", l.state},
			{"list", "remove", "exact.evil.test", "--reason", "a test", "--state", l.state},
		} {
			if status := run(context.WithoutCancel(t.Context()), args, terminal{strings.NewReader("www.shop.test\nwww.bank.test\n*.rsa.test\n"), io.Discard, io.Discard}); status != exitOK {
				t.Errorf("%v: status %d", args, status)
			}
		}
		done.Store(true)
	}()
	v := verifyLive(t, l, "--resolver", c.addr.String(), "--unfiltered", l.unfiltered[0], "--lag", "5s", "--over", "1s",
		"--name", "www.shop.test", "--name", "www.bank.test", "--name", "exact.evil.test", "--contact-malware", "--rounds", "3")
	if v.Verdict != "verified" || !done.Load() {
		t.Errorf("%s: %s", v.Verdict, v.details())
	}
	if v.Resolvers.Lists < 2 {
		t.Errorf("the list did not change: %+v", v.Resolvers)
	}
}
