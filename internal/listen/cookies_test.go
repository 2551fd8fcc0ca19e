package listen

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// The published test values: key 00 01 … 0f, message 00 01 … of each length.
func TestSipHash(t *testing.T) {
	var key [16]byte
	var message [15]byte
	for i := range key {
		key[i] = byte(i)
	}
	for i := range message {
		message[i] = byte(i)
	}
	for n, want := range map[int]uint64{0: 0x726fdb47dd0e0e31, 1: 0x74f839c593dc67fd, 8: 0x93f5f5799a932462, 15: 0xa129ca6149be45e5} {
		if got := sipHash(&key, message[:n]); got != want {
			t.Errorf("%d octets: %x, want %x", n, got, want)
		}
	}
}

// withCookie is a parsed query that came at a time with a COOKIE option, in hexadecimal.
func withCookie(t testing.TB, cookie string, at time.Time) *dns.Query {
	t.Helper()
	data, err := hex.DecodeString(cookie)
	if err != nil {
		t.Fatal(err)
	}
	q := new(dns.Query)
	if err := q.Parse(cookiePacket(t, "hit.example", data)); err != nil {
		t.Fatal(err)
	}
	q.Received = at
	return q
}

func cookiePacket(t testing.TB, name string, cookie []byte) []byte {
	t.Helper()
	m := dns.Message{ID: 77, Flags: dns.FlagRD, Question: []dns.Question{{Name: dns.MustName(name), Type: dns.TypeA, Class: dns.ClassIN}},
		EDNS: &dns.EDNS{UDPSize: 1232, Options: []dns.Option{{Code: dns.OptionCookie, Data: cookie}}}}
	b, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func secret(t testing.TB, text string) (s CookieSecret) {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil || copy(s[:], b) != len(s) {
		t.Fatal(text)
	}
	return s
}

// The test vectors of RFC 9018, Appendix A.
func TestCookiesOfRFC9018(t *testing.T) {
	const old, current = "dd3bdf9344b678b185a6f5cb60fca715", "445536bcd2513298075a5d379663c962"
	for _, c := range []struct {
		what, client, came, want, from string
		at                             int64
		secrets                        []string
		valid                          bool
	}{
		{"A.1 a new client", "2464c4abcf10c957", "", "010000005cf79f111f8130c3eee29480", "198.51.100.100", 1559731985, []string{"e5e973e5a6b2a43f48e7dc849e37bfcf"}, false},
		{"A.2 comes again after 40 minutes", "2464c4abcf10c957", "010000005cf79f111f8130c3eee29480", "010000005cf7a871d4a564a1442aca77", "198.51.100.100", 1559734385, []string{"e5e973e5a6b2a43f48e7dc849e37bfcf"}, true},
		{"A.3 an old cookie", "fc93fc62807ddb86", "01abcdef5cf78f71a314227b6679ebf5", "010000005cf7a9acf73a7810aca2381e", "203.0.113.203", 1559734700, []string{"e5e973e5a6b2a43f48e7dc849e37bfcf"}, false},
		{"A.3, while it was young", "fc93fc62807ddb86", "01abcdef5cf78f71a314227b6679ebf5", "01abcdef5cf78f71a314227b6679ebf5", "203.0.113.203", 1559728000, []string{"e5e973e5a6b2a43f48e7dc849e37bfcf"}, true},
		{"A.4 IPv6, and a new secret", "22681ab97d52c298", "010000005cf7c57926556bd0934c72f8", "010000005cf7c609a6bb79d16625507a", "2001:db8:220:1:59de:d0f4:8769:82b8", 1559741961, []string{current, old}, true},
	} {
		var given []CookieSecret
		for _, s := range c.secrets {
			given = append(given, secret(t, s))
		}
		q := withCookie(t, c.client+c.came, time.Unix(c.at, 0))
		valid := newCookies(given).check(q, netip.MustParseAddr(c.from))
		if got := hex.EncodeToString(q.Reply.Cookie[:]); got != c.want || valid != c.valid || !q.Reply.HasCookie {
			t.Errorf("%s: cookie %s, valid %t, want %s, %t", c.what, got, valid, c.want, c.valid)
		}
	}
}

// A cookie is good for the client that got it, for its time, and stays as it is while young.
func TestCookieValidity(t *testing.T) {
	c := newCookies(nil)
	start := time.Now()
	home, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	q := withCookie(t, "0102030405060708", start)
	c.check(q, home)
	got := hex.EncodeToString(q.Reply.Cookie[:])
	for _, k := range []struct {
		what, client, cookie string
		from                 netip.Addr
		after                time.Duration
		valid, kept          bool
	}{
		{"at once", "0102030405060708", got, home, 0, true, true},
		{"IPv4-mapped", "0102030405060708", got, netip.MustParseAddr("::ffff:192.0.2.1"), 0, true, true},
		{"half an hour later", "0102030405060708", got, home, 30 * time.Minute, true, true},
		{"a little later", "0102030405060708", got, home, 31 * time.Minute, true, false},
		{"an hour later", "0102030405060708", got, home, time.Hour, true, false},
		{"over an hour later", "0102030405060708", got, home, time.Hour + 2*time.Second, false, false},
		{"from the future", "0102030405060708", got, home, -4 * time.Minute, true, true},
		{"from the far future", "0102030405060708", got, home, -6 * time.Minute, false, false},
		{"another address", "0102030405060708", got, other, time.Second, false, false},
		{"another client cookie", "0102030405060709", got, home, time.Second, false, false},
		{"another version", "0102030405060708", "02" + got[2:], home, time.Second, false, false},
		{"shorter", "0102030405060708", got[:30], home, time.Second, false, false},
		{"longer", "0102030405060708", got + "00", home, time.Second, false, false},
	} {
		q := withCookie(t, k.client+k.cookie, start.Add(k.after))
		valid := c.check(q, k.from)
		if kept := hex.EncodeToString(q.Reply.Cookie[:]) == got; valid != k.valid || kept != k.kept {
			t.Errorf("%s: valid %t, kept %t; want %t, %t", k.what, valid, kept, k.valid, k.kept)
		}
	}
}

// A random secret is replaced after a day. What it minted lives on for its hour.
func TestSecretsRoll(t *testing.T) {
	c := newCookies(nil)
	late := time.Now().Add(secretLife - time.Minute)
	home := netip.MustParseAddr("2001:db8::1")
	q := withCookie(t, "0102030405060708", late)
	c.check(q, home)
	came := "0102030405060708" + hex.EncodeToString(q.Reply.Cookie[:])
	first := c.secrets.Load().mint
	q = withCookie(t, came, late.Add(5*time.Minute))
	if valid := c.check(q, home); !valid || c.secrets.Load().mint == first || hex.EncodeToString(q.Reply.Cookie[:]) == came[16:] {
		t.Errorf("valid %t after the secret was replaced, new cookie %x", valid, q.Reply.Cookie)
	}
	if stamp := binary.BigEndian.Uint32(q.Reply.Cookie[4:]); stamp != uint32(late.Add(5*time.Minute).Unix()) {
		t.Errorf("the new cookie's time is %d", stamp)
	}
}

func TestCookiesAllocateNothing(t *testing.T) {
	c := newCookies(nil)
	q := withCookie(t, "010203040506070801000000000000000000000000000000", time.Now())
	if n := testing.AllocsPerRun(100, func() { c.check(q, netip.IPv6Loopback()) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// cookieOf is the server cookie in a reply, and how the reply looks without it.
func cookieOf(t testing.TB, reply []byte) (server []byte, m *dns.Message) {
	t.Helper()
	m = unpack(t, reply)
	data, _ := m.EDNS.Option(dns.OptionCookie)
	if len(data) != 8+dns.ServerCookieLen || string(data[:8]) != "12345678" {
		t.Fatalf("COOKIE %x in %+v", data, m)
	}
	m.EDNS.Options = slices.DeleteFunc(m.EDNS.Options, func(o dns.Option) bool { return o.Code == dns.OptionCookie })
	if len(m.EDNS.Options) == 0 {
		m.EDNS.Options = nil
	}
	return data[8:], m
}

// A client gets its cookie with every kind of reply, over UDP and TCP, from memory and from
// the network. What is answered is the same with and without one.
func TestCookiesOnTheWire(t *testing.T) {
	for path, open := range paths() {
		s := start(t, open, Config{CookieSecrets: []CookieSecret{{1}}})
		udp, tcp := dial(t, "udp", "", s.Addrs()[0]), dial(t, "tcp", "", s.Addrs()[0])
		for _, name := range []string{"hit.example", "miss.example"} {
			var server []byte
			for range 2 { // first without a server cookie, then with the one that came
				query := cookiePacket(t, name, append([]byte("12345678"), server...))
				plain := withoutCookie(t, query)
				for transport, exchange := range map[string]func([]byte) []byte{
					"UDP": func(b []byte) []byte { return ask(t, udp, b) },
					"TCP": func(b []byte) []byte { tcp.Write(frame(b)); return nextFrame(t, tcp) },
				} {
					got, m := cookieOf(t, exchange(query))
					if want := unpack(t, exchange(plain)); !reflect.DeepEqual(m, want) {
						t.Errorf("%s, %s, %s: %+v, without a cookie %+v", path, transport, name, m, want)
					}
					server = got
				}
			}
			if !newCookies([]CookieSecret{{1}}).check(withCookie(t, hex.EncodeToString(append([]byte("12345678"), server...)), time.Now()), netip.MustParseAddr("127.0.0.1")) {
				t.Errorf("%s: %x is not the client's", path, server)
			}
		}
	}
}

// withoutCookie is the same query without its COOKIE option.
func withoutCookie(t testing.TB, query []byte) []byte {
	t.Helper()
	m := unpack(t, query)
	m.EDNS.Options = nil
	b, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Over the rate of its prefix, who shows a valid cookie is answered, who has only its own
// gets one with BADCOOKIE, and nobody else's luck changes.
func TestCookiesPassTheRateLimit(t *testing.T) {
	s := newServer(Config{Handler: hits{}, RateLimit: 10, Addrs: []netip.AddrPort{{}}})
	now := time.Now()
	send := func(query []byte) (string, []byte) {
		var q dns.Query
		var tl tally
		reply, o := s.datagram(&q, query, netip.MustParseAddrPort("10.9.8.7:5353"), now, nil, &tl)
		if o == silent {
			return "dropped", nil
		}
		m := unpack(t, reply)
		if len(reply) > len(query)+dns.ServerCookieLen+64 {
			t.Errorf("%d octets in reply to %d", len(reply), len(query))
		}
		return fmt.Sprint(m.RCode, " ", m.Flags.Has(dns.FlagTC)), reply
	}
	_, reply := send(cookiePacket(t, "hit.example", []byte("12345678")))
	server, _ := cookieOf(t, reply)
	count := make(map[string]int)
	for range 50 {
		what, _ := send(packet(t, 1, "hit.example", true))
		count["none: "+what]++
		what, _ = send(packet(t, 2, "hit.example", false)) // five a round: every second one is dropped
		count["none: "+what]++
		what, _ = send(cookiePacket(t, "hit.example", []byte("12345678")))
		count["own: "+what]++
		what, _ = send(cookiePacket(t, "hit.example", append([]byte("12345678"), server...)))
		count["both: "+what]++
		what, _ = send(cookiePacket(t, "hit.example", append([]byte("12345679"), server...)))
		count["forged: "+what]++
	}
	if count["both: NOERROR false"] != 50 {
		t.Errorf("a valid cookie was held up: %v", count)
	}
	for _, what := range []string{"none: dropped", "none: NOERROR true", "own: dropped", "own: BADCOOKIE false", "forged: dropped", "forged: BADCOOKIE false"} {
		if count[what] == 0 {
			t.Errorf("never %q: %v", what, count)
		}
	}
	if n := count["none: NOERROR false"] + count["own: NOERROR false"] + count["forged: NOERROR false"]; n > 10 {
		t.Errorf("%d of 200 were answered over a rate of 10", n)
	}
}

// Who asks is told how long a TCP connection may be silent, and which server answers; over
// UDP the former means nothing.
func TestKeepaliveAndNSID(t *testing.T) {
	m := dns.Message{ID: 1, Flags: dns.FlagRD, Question: []dns.Question{{Name: dns.MustName("hit.example"), Type: dns.TypeA, Class: dns.ClassIN}},
		EDNS: &dns.EDNS{UDPSize: 1232, Options: []dns.Option{{Code: dns.OptionKeepalive}, {Code: dns.OptionNSID}, {Code: 65001, Data: []byte("unknown")}}}}
	query, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, newReaders, Config{NSID: "node 7", IdleTimeout: 9 * time.Second})
	options := func(reply []byte) string { return fmt.Sprintf("%v", unpack(t, reply).EDNS.Options) }
	if got, want := options(ask(t, dial(t, "udp", "", s.Addrs()[0]), query)), fmt.Sprintf("%v", []dns.Option{{Code: dns.OptionNSID, Data: []byte("node 7")}}); got != want {
		t.Errorf("over UDP %s, want %s", got, want)
	}
	tcp := dial(t, "tcp", "", s.Addrs()[0])
	tcp.Write(frame(query))
	want := fmt.Sprintf("%v", []dns.Option{{Code: dns.OptionKeepalive, Data: []byte{0, 90}}, {Code: dns.OptionNSID, Data: []byte("node 7")}})
	if got := options(nextFrame(t, tcp)); got != want {
		t.Errorf("over TCP %s, want %s", got, want)
	}
	if got := unpack(t, ask(t, dial(t, "udp", "", s.Addrs()[0]), packet(t, 1, "hit.example", true))).EDNS.Options; len(got) != 0 {
		t.Errorf("unasked: %v", got)
	}
}

// Whatever a cookie holds, the reply carries one that is valid, and an answer is an answer.
func FuzzCookie(f *testing.F) {
	f.Add([]byte("12345678"))
	f.Add([]byte("12345678\x01\x00\x00\x00\x5c\xf7\x9f\x11abcdefgh"))
	f.Add([]byte("1234"))
	c := newCookies(nil)
	home := netip.MustParseAddr("192.0.2.1")
	f.Fuzz(func(t *testing.T, data []byte) {
		var q dns.Query
		if len(data) > 100 || q.Parse(cookiePacket(t, "hit.example", data)) != nil {
			return
		}
		q.Received = time.Unix(1_800_000_000, 0)
		if c.check(&q, home) {
			t.Fatalf("guessed %x", data)
		}
		again := withCookie(t, hex.EncodeToString(q.ClientCookie[:])+hex.EncodeToString(q.Reply.Cookie[:]), q.Received)
		if !c.check(again, home) {
			t.Fatalf("%x was minted and is not valid", q.Reply.Cookie)
		}
	})
}
