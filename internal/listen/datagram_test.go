package listen

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// errorOf is the response code of a reply and its Extended DNS Error.
func errorOf(m *dns.Message) string {
	code, text, ok := m.EDNS.Error()
	if !ok {
		return m.RCode.String()
	}
	return fmt.Sprintf("%v %v %q", m.RCode, code, text)
}

// oddPackets are queries that no handler sees, and what becomes of them; "" is silence.
func oddPackets(t testing.TB) []struct {
	what, want string
	packet     []byte
} {
	change := func(edit func(b []byte) []byte) []byte { return edit(packet(t, 9, "hit.example", true)) }
	return []struct {
		what, want string
		packet     []byte
	}{
		{"nothing", "", nil},
		{"half a header", "", make([]byte, 11)},
		{"a reply", "", change(func(b []byte) []byte { b[2] |= 0x80; return b })},
		{"a cut question", "FORMERR", change(func(b []byte) []byte { return b[:14] })},
		{"garbage behind", "FORMERR", change(func(b []byte) []byte { return append(b, 1) })},
		{"two questions", "FORMERR", change(func(b []byte) []byte { b[5] = 2; return b })},
		{"an update", "NOTIMP", change(func(b []byte) []byte { b[2] |= 5 << 3; return b })},
		{"EDNS version 1", "BADVERS", change(func(b []byte) []byte { b[len(b)-5] = 1; return b })},
		{"more than is read", "FORMERR", change(func(b []byte) []byte { return append(b, make([]byte, 4000)...) })},
	}
}

// Both ways to read UDP answer every packet alike, and leave the same ones unanswered.
func TestPathsAgree(t *testing.T) {
	queries := oddPackets(t)
	for _, name := range []string{"hit.example", "hiT.eXample", "miss.example"} {
		for _, edns := range []bool{false, true} {
			queries = append(queries, struct {
				what, want string
				packet     []byte
			}{name, "NOERROR", packet(t, 9, name, edns)})
		}
	}
	replies := make(map[string][]byte)
	for path, open := range paths() {
		s := start(t, open, Config{Workers: 1})
		c := dial(t, "udp", "", s.Addrs()[0])
		for i, q := range queries {
			if _, err := c.Write(q.packet); err != nil {
				t.Fatal(err)
			}
			var reply []byte
			if q.want != "" {
				reply = next(t, c)
				if got := errorOf(unpack(t, reply)); got != q.want {
					t.Errorf("%s, %s: %s, want %s", path, q.what, got, q.want)
				}
			}
			// One reader answers in order: a reply to the query above would come first.
			end := ask(t, c, packet(t, 1000, "hit.end", false))
			if id := binary.BigEndian.Uint16(end); id != 1000 {
				t.Fatalf("%s, %s: an unwanted reply % x", path, q.what, end)
			}
			key := fmt.Sprint(i)
			if other, ok := replies[key]; ok && !bytes.Equal(other, reply) {
				t.Errorf("%s: % x on one path, % x on the other", q.what, other, reply)
			}
			replies[key] = reply
		}
	}
}

func TestIgnoredPorts(t *testing.T) {
	for path, open := range paths() {
		t.Run(path, func(t *testing.T) {
			own, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				t.Fatal(err)
			}
			defer own.Close()
			port := own.LocalAddr().(*net.UDPAddr).AddrPort().Port()
			s := start(t, open, Config{Workers: 1, IgnorePorts: []uint16{port}})
			own.WriteToUDPAddrPort(packet(t, 1, "hit.example", false), s.Addrs()[0])
			ask(t, dial(t, "udp", "", s.Addrs()[0]), packet(t, 2, "hit.example", false))
			if n := s.Stats(); n.Ignored != 1 || n.Hits != 1 {
				t.Errorf("%+v", n)
			}
		})
	}
}

func TestSourcesOutsideOfAllow(t *testing.T) {
	for path, open := range paths() {
		t.Run(path, func(t *testing.T) {
			s := start(t, open, Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}})
			to := s.Addrs()[0]
			m := unpack(t, ask(t, dial(t, "udp", "127.0.0.1", to), packet(t, 5, "hit.example", true)))
			if got := errorOf(m); got != `REFUSED Prohibited ""` || len(m.Answer) != 0 {
				t.Errorf("%s, %+v", got, m)
			}
			c := dial(t, "tcp", "127.0.0.1", to)
			c.Write(frame(packet(t, 5, "hit.example", true)))
			if n, err := c.Read(make([]byte, 1)); !ended(err) {
				t.Errorf("TCP: %d, %v", n, err)
			}
			ask(t, dial(t, "udp", "127.0.0.2", to), packet(t, 5, "hit.example", true))
			if n := s.Stats(); n.Refused != 2 || n.Hits != 1 {
				t.Errorf("%+v", n)
			}
		})
	}
}

// What is over the rate is cut to "ask over TCP" or dropped. It is never answered otherwise.
func TestRateLimit(t *testing.T) {
	s := newServer(Config{Handler: hits{}, RateLimit: 10, Addrs: []netip.AddrPort{{}}})
	query := packet(t, 77, "hit.example", true)
	want := labReplyTo(t, query)
	ask := func(from string) string {
		var q dns.Query
		var tl tally
		reply, o := s.datagram(&q, query, netip.MustParseAddrPort(from), time.Now(), nil, &tl)
		if o == silent {
			return "dropped"
		}
		if bytes.Equal(reply, want) {
			return "answered"
		}
		m := unpack(t, reply)
		if m.ID != 77 || !m.Flags.Has(dns.FlagQR|dns.FlagTC) || m.RCode != dns.RCodeSuccess || len(m.Question) != 1 || len(m.Answer)+len(m.Authority) != 0 {
			t.Errorf("%+v", m)
		}
		return "truncated"
	}
	count := make(map[string]int)
	for range 200 {
		count[ask("10.9.8.7:5353")]++
	}
	// The clock runs, so a few more than the burst may pass.
	if count["answered"] < 10 || count["answered"] > 150 {
		t.Errorf("%v of 200", count)
	}
	if d := count["dropped"] - count["truncated"]; d < -1 || d > 1 || count["dropped"] == 0 {
		t.Errorf("%v of 200", count)
	}
	if got := ask("10.9.9.7:5353"); got != "answered" {
		t.Errorf("another prefix: %s", got)
	}
	for range 100 {
		if got := ask("127.0.0.1:5353"); got != "answered" {
			t.Fatalf("loopback: %s", got)
		}
	}
}

// labReplyTo is what the handlers of these tests answer to a packet.
func labReplyTo(t testing.TB, packet []byte) []byte {
	t.Helper()
	var q dns.Query
	if err := q.Parse(packet); err != nil {
		t.Fatal(err)
	}
	return labReply(&q, nil)
}

func TestLimiterRefills(t *testing.T) {
	l := newLimiter(100)
	a := netip.MustParseAddr("2001:db8:1:2::1")
	passes := func(a netip.Addr, now time.Duration) (n int) {
		for l.takeAt(a, uint64(now/time.Microsecond)) == limitPass {
			n++
		}
		return n
	}
	for _, step := range []struct {
		at   time.Duration
		from string
		want int
	}{
		{0, "2001:db8:1:2::1", 100},
		{0, "2001:db8:1:fe::7", 0},    // the same /56
		{0, "2001:db8:1:102::1", 100}, // another
		{500 * time.Millisecond, "2001:db8:1:2::1", 50},
		{time.Hour, "2001:db8:1:2::1", 100},
		{(limitTimeMask - 1<<21) * time.Microsecond, "2001:db8:1:2::1", 100},
		{0, "2001:db8:1:2::1", 100}, // the clock has wrapped
	} {
		if got := passes(netip.MustParseAddr(step.from), step.at); got != step.want {
			t.Errorf("%v, %s: %d, want %d", step.at, step.from, got, step.want)
		}
	}
	if got := testing.AllocsPerRun(100, func() { l.take(a, time.Now()) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// Where more prefixes ask than the table has places, none is limited that has not asked.
func TestLimiterOverfull(t *testing.T) {
	l := newLimiter(2)
	for i := range 4 * limiterPlaces {
		a := netip.AddrFrom4([4]byte{byte(i >> 16), byte(i >> 8), byte(i), 1})
		if l.takeAt(a, 1) != limitPass {
			t.Fatalf("prefix %d is limited", i)
		}
	}
}

// A packet of any kind is answered by one reply to it, or not at all.
func FuzzDatagram(f *testing.F) {
	for _, odd := range oddPackets(f) {
		f.Add(odd.packet, uint16(53), true)
	}
	f.Add(packet(f, 1, "hit.example", true), uint16(1053), true)
	f.Add(packet(f, 1, "hit.example", false), uint16(0), false)
	s := newServer(Config{Handler: hits{}, Addrs: []netip.AddrPort{{}}})
	f.Fuzz(func(t *testing.T, b []byte, port uint16, local bool) {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), port)
		if !local {
			from = netip.AddrPortFrom(netip.MustParseAddr("2001:db8::1"), port)
		}
		var q dns.Query
		var tl tally
		reply, o := s.datagram(&q, b, from, time.Now(), nil, &tl)
		if o == silent {
			if len(reply) != 0 {
				t.Fatalf("silent, with a reply: % x", reply)
			}
			return
		}
		if port == 0 || len(b) < 12 || b[2]&0x80 != 0 {
			t.Fatalf("% x is not to be answered", b)
		}
		if len(reply) < 12 || len(reply) > MaxUDPReply || reply[2]&0x80 == 0 || !bytes.Equal(reply[:2], b[:2]) {
			t.Fatalf("reply % x", reply)
		}
		unpack(t, reply)
		if !local && len(reply) > len(b)+64 {
			t.Fatalf("%d octets of refusal to %d", len(reply), len(b))
		}
	})
}
