package listen

import (
	"crypto/tls"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// While a challenge is under way an authority gets its answer from wherever it comes, also through a balancer. Nobody else
// gets anything by that, and what a challenge is for is over when it is.
func TestAuthoritiesComeFromAnywhere(t *testing.T) {
	own, answer := certificate(t), certificate(t)
	var challenged atomic.Bool
	cfg := secured(t)
	cfg.Allow, cfg.Balancers = []netip.Prefix{netip.MustParsePrefix("127.0.0.3/32")}, []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	cfg.Secure.Challenged = challenged.Load
	cfg.Secure.TLS = func() *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{own}, GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			if !slices.Equal(h.SupportedProtos, []string{protocolACME}) {
				return nil, nil
			}
			return &tls.Config{NextProtos: h.SupportedProtos, Certificates: []tls.Certificate{answer}}, nil
		}}
	}
	s := serveSecure(t, cfg)
	greet := func(c net.Conn, protocol string) (certificate string) {
		c.SetDeadline(time.Now().Add(patience))
		conn := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}})
		if conn.Handshake() != nil || len(conn.ConnectionState().PeerCertificates) == 0 {
			return ""
		}
		return string(conn.ConnectionState().PeerCertificates[0].Raw)
	}
	want := map[bool]string{true: string(answer.Certificate[0])}
	for _, under := range []bool{false, true, false} {
		challenged.Store(under)
		for range maxStrangers + 2 { // each gives its place back
			stranger, balanced := dial(t, "tcp", "127.0.0.1", s.DoHAddrs()[0]), dial(t, "tcp", "127.0.0.2", s.DoHAddrs()[0])
			balanced.Write(speaksFor("192.0.2.7", false))
			for what, c := range map[string]net.Conn{"direct": stranger, "through a balancer": balanced} {
				if got := greet(c, protocolACME); got != want[under] {
					t.Fatalf("under way %t, %s: %d octets of a certificate", under, what, len(got))
				}
				c.Close()
			}
			for s.conns.of(netip.MustParseAddr("127.0.0.1")) > 0 || s.conns.of(netip.MustParseAddr("192.0.2.7")) > 0 { // their ends are seen here too
				runtime.Gosched()
			}
		}
		for _, protocol := range []string{protocolHTTP, protocolDoT} {
			if greet(dial(t, "tcp", "127.0.0.1", s.DoHAddrs()[0]), protocol) != "" {
				t.Errorf("under way %t: a stranger's handshake for %s succeeds", under, protocol)
			}
		}
		if greet(dial(t, "tcp", "127.0.0.3", s.DoHAddrs()[0]), protocolHTTP) == "" {
			t.Errorf("under way %t: a client is not served", under)
		}
	}
}

// Strangers that say nothing have a few places, and no more.
func TestStrangersAreBounded(t *testing.T) {
	cfg := secured(t)
	cfg.Allow, cfg.Secure.Challenged = []netip.Prefix{netip.MustParsePrefix("127.0.0.3/32")}, func() bool { return true }
	s := newServer(cfg)
	taken := 0
	var all []*stream
	for range 2 * maxStrangers {
		st := &stream{from: netip.MustParseAddr("192.0.2.7")}
		if all = append(all, st); s.served(st, true) {
			taken++
		}
	}
	if taken != maxStrangers || s.served(&stream{from: netip.MustParseAddr("192.0.2.7")}, false) {
		t.Errorf("%d strangers", taken)
	}
	for _, st := range all {
		s.part(st)
	}
	one, other := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("192.0.2.8")
	for i := range maxOfStranger + 1 {
		st := &stream{from: one}
		if got := s.served(st, true); got != (i < maxOfStranger) {
			t.Errorf("connection %d of one stranger: %t", i, got)
		}
		s.conns.add(st, one)
		s.part(st)
	}
	if st := (&stream{from: other}); !s.served(st, true) {
		t.Error("one stranger keeps others out")
	} else {
		s.part(st)
	}
	if len(s.strangers) != 0 {
		t.Errorf("%d places are not given back", len(s.strangers))
	}
}
