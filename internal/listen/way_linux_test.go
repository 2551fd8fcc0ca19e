package listen

import (
	"crypto/tls"
	"net/netip"
	"testing"
	"time"
)

// While encrypted connections keep the processors, nobody comes to a plain socket: those who shake
// hands, read queries and open oblivious ones answer what waits there.
func TestEncryptedConnectionsMakeWay(t *testing.T) {
	plain, err := Listen(Config{Handler: new(labHandler), Workers: 1, Addrs: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close() // whose own goroutines never come
	cfg, key := targeted(t)
	cfg.Beside = []*Server{plain}
	s := serveSecure(t, cfg)
	udp := dial(t, "udp", "", plain.Addrs()[0])
	id := uint16(0)
	waits := func(what string, work func()) {
		t.Helper()
		const queries = 3 * batch
		first := id
		for range queries {
			udp.Write(packet(t, id, "hit.example", true))
			id++
		}
		plain.udp[0].(*worker).seen.Store(-int64(time.Hour)) // long ago
		work()
		heard := make(map[uint16]bool)
		for range queries {
			heard[unpack(t, next(t, udp)).ID] = true
		}
		if len(heard) != queries || !heard[first] {
			t.Errorf("%s: %d of %d replies", what, len(heard), queries)
		}
	}
	var c *tls.Conn
	waits("a handshake", func() {
		c = tls.Client(dial(t, "tcp", "", s.DoTAddrs()[0]), clientTLS("one.example"))
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
	})
	waits("a handshake that fails", func() {
		conn := dial(t, "tcp", "", s.DoTAddrs()[0])
		conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	})
	waits("queries over TLS", func() {
		for i := range 2 * wayQueries {
			c.Write(frame(packet(t, uint16(i), "hit.example", true)))
		}
	})
	web := webClient(t, s.DoHAddrs()[0], nil)
	waits("queries over HTTPS", func() {
		fetch(t, web, "POST", s.DoHAddrs()[0], "/dns-query", packet(t, 0, "hit.example", true))
	})
	waits("an oblivious query", func() {
		sealed, _, err := key.Seal(packet(t, 0, "hit.example", true))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.unseal(0, sealed); err != nil {
			t.Fatal(err)
		}
	})
	waits("an oblivious query that does not open", func() {
		sealed, _, err := key.Seal(packet(t, 0, "hit.example", true))
		if err != nil {
			t.Fatal(err)
		}
		sealed[len(sealed)-1] ^= 1
		if _, _, err := s.unseal(0, sealed); err == nil {
			t.Error("it opens")
		}
	})
	plain.stopping.Store(true) // nothing is read any more
	fetch(t, web, "POST", s.DoHAddrs()[0], "/dns-query", packet(t, 0, "hit.example", true))
}

// Who reads a plain socket for others may lose the processor in the midst of it, and get it back after
// thousands had theirs: after wayLease, his place and his buffers hold up nobody.
func TestWhoIsStoppedHoldsUpNobody(t *testing.T) {
	plain, err := Listen(Config{Handler: new(labHandler), Workers: 1, Addrs: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close() // whose own goroutines never come
	s, err := Listen(Config{Handler: new(labHandler), Addrs: plain.cfg.Addrs, Beside: []*Server{plain}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := plain.udp[0].(*worker)
	for range maxSpares - 1 {
		if w.spare() == nil { // and nobody gives it back
			t.Fatal("no buffers")
		}
	}
	udp := dial(t, "udp", "", plain.Addrs()[0])
	began := func(ago time.Duration) {
		for i := range s.way.places {
			s.way.places[i].Store(int64(time.Since(s.way.born) - ago))
		}
		w.seen.Store(-int64(time.Hour))
		udp.Write(packet(t, 1, "hit.example", true))
		s.MakeWay()
	}
	s.way.born = time.Now().Add(-time.Hour)
	began(0)
	if n := plain.Stats().Hits; n != 0 {
		t.Errorf("%d were answered beside whom the places are for", n)
	}
	began(2 * wayLease)
	for range 2 {
		next(t, udp)
	}
	if w.spare() == nil || w.spare() != nil {
		t.Errorf("buffers were not given back, or there are more than %d", maxSpares)
	}
	began(2 * wayLease) // nobody can
}
