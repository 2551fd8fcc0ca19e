package listen

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// labHandler answers names whose first label begins with "hit" from memory, with
// an address made of the name, and everything else through Miss. Names that
// begin with "hold" wait there until release is closed.
type labHandler struct {
	release chan struct{}
	entered chan string // gets each held name, where it is not nil
}

func (h *labHandler) Hit(q *dns.Query, out []byte) ([]byte, bool) {
	if !bytes.HasPrefix(q.Name()[1:], []byte("hit")) {
		return out, false
	}
	return labReply(q, out), true
}

func (h *labHandler) Miss(ctx context.Context, q *dns.Query, out []byte) []byte {
	if name := string(q.Name()[1:]); strings.HasPrefix(name, "hold") {
		if h.entered != nil {
			h.entered <- name
		}
		select {
		case <-h.release:
		case <-ctx.Done():
			return dns.AppendError(out, q, dns.RCodeServerFailure)
		}
	}
	return labReply(q, out)
}

// labReply appends a reply with one A record that is a function of the name.
func labReply(q *dns.Query, out []byte) []byte {
	var sum byte
	for _, c := range q.Name() {
		sum = sum*31 + c
	}
	var b dns.Builder
	b.Reset(out, q.MaxReply)
	b.Header(q.ID, q.ReplyFlags())
	b.Question(q.RawName(), q.Type, q.Class)
	b.RawRR(dns.SectionAnswer, q.RawName(), dns.TypeA, dns.ClassIN, 60, []byte{192, 0, 2, sum})
	if q.HasEDNS {
		b.OPT(dns.DefaultUDPSize, dns.RCodeSuccess, q.DO)
		b.ReplyOptions(q)
	}
	return b.Bytes()
}

// packet is a query for the address of name.
func packet(t testing.TB, id uint16, name string, edns bool) []byte {
	t.Helper()
	m := dns.Message{ID: id, Flags: dns.FlagRD, Question: []dns.Question{{Name: dns.MustName(name), Type: dns.TypeA, Class: dns.ClassIN}}}
	if edns {
		m.EDNS = &dns.EDNS{UDPSize: 4096}
	}
	b, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unpack(t testing.TB, b []byte) *dns.Message {
	t.Helper()
	m := new(dns.Message)
	if err := m.Unpack(b); err != nil {
		t.Fatalf("reply % x: %v", b, err)
	}
	return m
}

// paths are the two ways to read UDP, which behave alike.
func paths() map[string]opener {
	return map[string]opener{"native": newReaders, "portable": newPortable}
}

// start serves cfg, on 127.0.0.1 and a free port where it names none, until the test ends.
func start(t testing.TB, open opener, cfg Config) *Server {
	t.Helper()
	if cfg.Addrs == nil {
		cfg.Addrs = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	}
	if cfg.Handler == nil {
		cfg.Handler = new(labHandler)
	}
	s, err := listen(cfg, open)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// patience is how long a test waits for what must come. It is a limit for broken
// code alone: nothing is concluded from how long anything took.
const patience = 20 * time.Second

// dial opens a client socket from a local address ("" for any) to a server's.
func dial(t testing.TB, network, from string, to netip.AddrPort) net.Conn {
	t.Helper()
	d := net.Dialer{}
	if from != "" {
		ip := netip.MustParseAddr(from)
		if network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0))
		} else {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, 0))
		}
	}
	c, err := d.Dial(network, to.String())
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c
}

// ask sends one packet over a UDP client and returns the next reply.
func ask(t testing.TB, c net.Conn, query []byte) []byte {
	t.Helper()
	if _, err := c.Write(query); err != nil {
		t.Fatal(err)
	}
	return next(t, c)
}

func next(t testing.TB, c net.Conn) []byte {
	t.Helper()
	b := make([]byte, 65535)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// frame is a message as TCP carries it.
func frame(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

// nextFrame reads one message from a TCP connection.
func nextFrame(t testing.TB, c io.Reader) []byte {
	t.Helper()
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAnswersOverEveryTransport(t *testing.T) {
	for path, open := range paths() {
		for _, addr := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"} {
			t.Run(path+" "+addr, func(t *testing.T) {
				at := netip.MustParseAddrPort(addr)
				s := start(t, open, Config{Addrs: []netip.AddrPort{at}, Workers: 3})
				to := s.Addrs()[0]
				if to.Addr().IsUnspecified() {
					loopback := netip.MustParseAddr("127.0.0.1")
					if to.Addr().Is6() {
						loopback = netip.IPv6Loopback()
					}
					to = netip.AddrPortFrom(loopback, to.Port())
				}
				udp, tcp := dial(t, "udp", "", to), dial(t, "tcp", "", to)
				for i, name := range []string{"hit.example", "miss.example", "hIt.Example"} {
					query := packet(t, uint16(i), name, true)
					over := ask(t, udp, query)
					tcp.Write(frame(query))
					if stream := nextFrame(t, tcp); !bytes.Equal(over, stream) {
						t.Errorf("%s: UDP % x, TCP % x", name, over, stream)
					}
					m := unpack(t, over)
					if m.ID != uint16(i) || len(m.Answer) != 1 || !m.Flags.Has(dns.FlagQR) {
						t.Errorf("%s: %+v", name, m)
					}
				}
			})
		}
	}
}

// A wildcard socket answers from the address that was asked: a connected client
// takes no reply from another, and neither would a stub resolver.
func TestRepliesLeaveFromTheAskedAddress(t *testing.T) {
	for path, open := range paths() {
		t.Run(path, func(t *testing.T) {
			s := start(t, open, Config{Addrs: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:0")}})
			for _, asked := range []string{"127.0.0.2", "127.0.0.1", "127.77.0.9"} {
				to := netip.AddrPortFrom(netip.MustParseAddr(asked), s.Addrs()[0].Port())
				c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(patience))
				for _, name := range []string{"hit.example", "miss.example"} {
					if _, err := c.WriteToUDPAddrPort(packet(t, 1, name, false), to); err != nil {
						t.Fatal(err)
					}
					_, from, err := c.ReadFromUDPAddrPort(make([]byte, 512))
					if err != nil || from != to {
						t.Errorf("asked %v for %s, answered by %v, %v", to, name, from, err)
					}
				}
			}
		})
	}
}

// The same question has the same answer for every client, but for the ID.
func TestUniformity(t *testing.T) {
	var want sync.Map // query → reply
	for path, open := range paths() {
		s := start(t, open, Config{Workers: 2})
		for client := range 40 {
			from := fmt.Sprintf("127.%d.%d.%d", client%7, client%251, client+1)
			c := dial(t, "udp", from, s.Addrs()[0])
			for i, name := range []string{"hit.example", "miss.example"} {
				for _, edns := range []bool{false, true} {
					reply := ask(t, c, packet(t, uint16(client), name, edns))
					if id := binary.BigEndian.Uint16(reply); id != uint16(client) {
						t.Fatalf("ID %d, want %d", id, client)
					}
					first, _ := want.LoadOrStore([2]any{i, edns}, reply[2:])
					if !bytes.Equal(first.([]byte), reply[2:]) {
						t.Errorf("%s from %s, %s: % x, others got % x", name, from, path, reply[2:], first)
					}
				}
			}
		}
	}
}
