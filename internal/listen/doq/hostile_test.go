package doq

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/listen"
	"github.com/shoji-dns/shoji/internal/rogue"
)

// rogueTo shakes hands with a server, to break the rules afterwards.
func rogueTo(t *testing.T, to netip.AddrPort, protocol string, cfg rogue.Config) *rogue.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cfg.Security = &tls.Config{ServerName: "one.example", InsecureSkipVerify: true, NextProtos: []string{protocol}}
	c, err := rogue.Dial(ctx, cfg, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// until waits for something that a client sees.
func until(t *testing.T, c *rogue.Conn, what string, seen func(rogue.Seen) bool) {
	t.Helper()
	for end := time.Now().Add(patience); !seen(c.Seen()); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%s: not seen: %+v", what, c.Seen())
		}
	}
}

// A client that keeps to the rules is answered, so that what befalls one which does not is for
// what it does.
func TestRogueThatBehaves(t *testing.T) {
	s, _ := start(t, nil)
	c := rogueTo(t, s.DoQAddrs()[0], "doq", rogue.Config{})
	c.Send(rogue.Stream(nil, 0, frame(packet(t, 0, "hit.example", nil)), true))
	until(t, c, "a reply", func(s rogue.Seen) bool {
		b := s.Data[0]
		return len(b) > 2 && len(b) == 2+int(binary.BigEndian.Uint16(b))
	})
}

// still asserts that others are answered, and that what one client made the server keep is little.
func still(t *testing.T, s *Server, what string, before uint64) {
	t.Helper()
	c, err := dial(t, s.DoQAddrs()[0], "one.example")
	if err != nil {
		t.Fatalf("%s: others cannot connect: %v", what, err)
	}
	if b, err := send(t, c, frame(packet(t, 0, "hit.example", nil))); err != nil || len(b) < 14 {
		t.Errorf("%s: others are not answered: %d octets, %v", what, len(b), err)
	}
	const most = 8 << 20
	if after := inUse(); after > before+most && !raceDetector {
		t.Errorf("%s: %d octets are kept, %d before", what, after, before)
	}
}

func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// What a client does to a connection of its own costs that connection at most; code is that of
// its end (RFC 9000 §20.1), 0 where it may go on. It acknowledges nothing, so that what the server
// has to say waits.
func TestFramesOfStrangers(t *testing.T) {
	const packets = 5000
	for what, c := range map[string]struct {
		code uint64
		one  func(out []byte, i uint64) []byte
	}{
		"connection IDs retired (CVE-2024-22189)": {0, func(out []byte, i uint64) []byte { return rogue.NewID(out, i+1, i+1) }},
		"path challenges (CVE-2023-49295)": {0, func(out []byte, i uint64) []byte {
			return binary.BigEndian.AppendUint64(append(out, rogue.FrameChallenge), i)
		}},
		"pings":                           {0, func(out []byte, _ uint64) []byte { return append(out, rogue.FramePing) }},
		"acknowledged before it was sent": {0x0a, func(out []byte, i uint64) []byte { return rogue.Acknowledge(out, 100_000+i) }},
		"CRYPTO beyond the buffer": {0x0d, func(out []byte, i uint64) []byte {
			return append(rogue.Numbers(out, rogue.FrameCrypto, i*100+1, 1), 'x')
		}},
		"streams beyond the limit": {0x04, func(out []byte, i uint64) []byte { return rogue.Stream(out, 4*(i+maxStreams), []byte("x"), false) }},
		"more than the window": {0x03, func(out []byte, i uint64) []byte {
			return append(rogue.Numbers(out, rogue.FrameStream|6, 0, lastWindow+i, 1), 'x')
		}},
		"a stream in pieces with holes": {0x01, func(out []byte, i uint64) []byte {
			return append(rogue.Numbers(out, rogue.FrameStream|6, 0, 1+2*i, 1), 'x')
		}},
		"streams opened and reset": {0, func(out []byte, i uint64) []byte {
			return rogue.Numbers(rogue.Stream(out, 4*(i%maxStreams), []byte("x"), false), rogue.FrameReset, 4*(i%maxStreams), 0, 1)
		}},
	} {
		t.Run(what, func(t *testing.T) {
			s, _ := start(t, nil)
			r := rogueTo(t, s.DoQAddrs()[0], "doq", rogue.Config{Mute: true})
			before, i := inUse(), uint64(0)
			for n := 0; n < packets && r.Seen().Closed == nil; n++ {
				var out []byte
				for len(out) < 1100 {
					out = c.one(out, i)
					i++
				}
				if err := r.Send(out); err != nil {
					break
				}
			}
			if c.code != 0 {
				until(t, r, "the end", func(s rogue.Seen) bool { return s.Closed != nil })
			}
			got := r.Seen()
			if closed := got.Closed; closed != nil && (closed.App || closed.Code != c.code) || closed == nil && c.code != 0 {
				t.Errorf("closed %+v, want code %#x", closed, c.code)
			}
			still(t, s, what, before)
			if sent := int(i) * len(c.one(nil, i)); got.Octets > sent/2+64<<10 { // what is sent again while nothing is acknowledged, beside
				t.Errorf("%d octets came back for %d", got.Octets, sent)
			}
		})
	}
}

// A client that has not proved its address gets three times what it sent (RFC 9000 §8.1), and what the
// last packet has more, however long the server waits for it. Who sends what is no QUIC gets nothing, and of
// another version no more than he sent.
func TestNoAmplification(t *testing.T) {
	t.Parallel()
	hello, err := rogue.Hello(&tls.Config{ServerName: "one.example", InsecureSkipVerify: true, NextProtos: []string{"doq"}})
	if err != nil {
		t.Fatal(err)
	}
	junk := make([]byte, 1200)
	rand.Read(junk)
	junk[0] = 0x40 | junk[0]&0x3f
	version := bytes.Clone(hello)
	binary.BigEndian.PutUint32(version[1:], 0x1a2a3a4a)
	const longest = 1280 // of packets: quic-go's, without a search for more
	for what, c := range map[string]struct {
		datagram []byte
		most     int
		some     bool // something comes back
	}{"a first datagram": {hello, 3*len(hello) + longest - 1, true}, "no QUIC": {junk, 0, false}, "another version": {version, len(version), true}} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s, _ := start(t, nil)
			udp, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.DoQAddrs()[0]))
			if err != nil {
				t.Fatal(err)
			}
			defer udp.Close()
			udp.Write(c.datagram)
			total, b := 0, make([]byte, 2048)
			for begun := false; !begun || s.admitted.Load() > 0; { // until the server has given up
				udp.SetReadDeadline(time.Now().Add(handshakeTime / 8))
				n, err := udp.Read(b)
				begun = begun || n > 0 || err != nil
				total += n
			}
			if total > c.most || (total > 0) != c.some {
				t.Errorf("%d octets came back for %d", total, len(c.datagram))
			}
		})
	}
}

// A query that does not come to its end in time is given up, and the connection goes on.
func TestSlowStreams(t *testing.T) {
	t.Parallel()
	s, _ := start(t, nil)
	for what, query := range map[string][]byte{"a slow query": frame(packet(t, 0, "hit.example", nil))[:9], "a length and no query": {255, 255}} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := rogueTo(t, s.DoQAddrs()[0], "doq", rogue.Config{})
			r.Send(rogue.Stream(nil, 0, query, false))
			until(t, r, "a reset", func(s rogue.Seen) bool { return s.Frames[rogue.FrameReset] > 0 })
			if n := len(r.Seen().Data[0]); n > 0 {
				t.Errorf("%d octets of a reply", n)
			}
			r.Send(rogue.Stream(nil, 4, []byte{0}, true)) // a fault of the connection's, which is still there
			until(t, r, "the end", func(s rogue.Seen) bool {
				return s.Closed != nil && s.Closed.App && s.Closed.Code == uint64(protocolError)
			})
		})
	}
}

// Replies that a client does not read, for its window is an octet, keep their streams, of which it has
// maxStreams, and hold up nobody else.
func TestRepliesThatNobodyReads(t *testing.T) {
	const some = maxStreams / 5
	s, l := start(t, nil)
	r := rogueTo(t, s.DoQAddrs()[0], "doq", rogue.Config{Window: 1})
	before := inUse()
	for i := range uint64(some) {
		r.Send(rogue.Stream(nil, 4*i, frame(packet(t, 0, "hit.example", &dns.EDNS{UDPSize: 1232})), true))
		until(t, r, "the beginning of a reply", func(s rogue.Seen) bool { return len(s.Data[4*i]) > 0 }) // it would not be sent again
	}
	if got := r.Seen(); l.Stats().Hits != some || got.Frames[rogue.FrameMaxStreams] > 0 || got.Closed != nil {
		t.Errorf("%d queries are answered, %+v", l.Stats().Hits, got)
	}
	still(t, s, "replies that nobody reads", before)
}

// Header fields over HTTP/3 are bounded as they are decoded (CVE-2025-64702): two octets of a
// request can stand for a field of a hundred.
func TestFieldsThatExpand(t *testing.T) {
	s, _ := start(t, nil)
	r := rogueTo(t, s.DoHAddrs()[0], "h3", rogue.Config{})
	r.Send(rogue.Stream(nil, 2, []byte{0, 4, 0}, false)) // the control stream with empty SETTINGS (RFC 9114 §6.2.1)
	before := inUse()
	policy := []byte{0xff, 85 - 63} // content-security-policy, of the static table (RFC 9204 Appendix A)
	block := append([]byte{0, 0, 0xc0 | 17, 0xc0 | 23, 0xc0 | 1}, bytes.Repeat(policy, 400)...)
	request := append(rogue.Numbers(nil, 1, uint64(len(block))), block...)
	r.Send(rogue.Stream(nil, 0, request, true))
	until(t, r, "an end", func(s rogue.Seen) bool {
		return s.Closed != nil || s.Frames[rogue.FrameReset]+s.Frames[rogue.FrameStopSending] > 0 || len(s.Data[0]) > 0
	})
	if b := r.Seen().Data[0]; bytes.Contains(b, []byte("application/dns-message")) {
		t.Errorf("it was answered: %q", b)
	}
	still(t, s, "expanding fields", before)
}

// While QUIC keeps the processors, its packets have plain sockets read.
func TestQUICMakesWay(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("plain sockets are read by their own goroutines alone")
	}
	plain, err := listen.Listen(listen.Config{Handler: says{}, Workers: 1, Addrs: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close() // whose own goroutines never come
	s, _ := start(t, func(c *listen.Config) { c.Beside = []*listen.Server{plain} })
	udp, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(plain.Addrs()[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	udp.SetDeadline(time.Now().Add(patience))
	udp.Write(packet(t, 7, "hit.example", nil))
	rogueTo(t, s.DoQAddrs()[0], "doq", rogue.Config{})
	b := make([]byte, 512)
	if n, err := udp.Read(b); err != nil || n < 12 || binary.BigEndian.Uint16(b) != 7 {
		t.Errorf("%d octets, %v", n, err)
	}
}
