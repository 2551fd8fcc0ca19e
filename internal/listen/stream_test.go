package listen

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// A hundred queries go out on one connection. The first forty wait for the
// network, and the others overtake them (RFC 7766 §6.2.1.1).
func TestPipelinedRepliesOvertake(t *testing.T) {
	h := &labHandler{release: make(chan struct{})}
	s := start(t, newReaders, Config{Handler: h})
	c := dial(t, "tcp", "", s.Addrs()[0])
	var all []byte
	for id := range uint16(100) {
		name := []string{"hold.example", "miss.example", "hit.example"}[min(id/40, 2)]
		all = append(all, frame(packet(t, id, name, true))...)
	}
	if _, err := c.Write(all); err != nil {
		t.Fatal(err)
	}
	seen := make(map[uint16]bool)
	for n := range 100 {
		if n == 60 {
			close(h.release)
		}
		m := unpack(t, nextFrame(t, c))
		if seen[m.ID] || len(m.Answer) != 1 {
			t.Fatalf("reply %d: %+v", n, m)
		}
		if n < 60 && m.ID < 40 {
			t.Fatalf("query %d was answered before it was let go", m.ID)
		}
		seen[m.ID] = true
	}
}

// More queries than may be under way are read as places become free.
func TestPipelineIsBounded(t *testing.T) {
	h := &labHandler{release: make(chan struct{}), entered: make(chan string, 3*maxPipeline)}
	s := start(t, newReaders, Config{Handler: h})
	c := dial(t, "tcp", "", s.Addrs()[0])
	var all []byte
	for id := range uint16(2 * maxPipeline) {
		all = append(all, frame(packet(t, id, "hold.example", false))...)
	}
	if _, err := c.Write(all); err != nil {
		t.Fatal(err)
	}
	for range maxPipeline {
		<-h.entered
	}
	if n := s.Stats().Misses; n > maxPipeline {
		t.Errorf("%d queries under way", n)
	}
	close(h.release)
	for range 2 * maxPipeline {
		nextFrame(t, c)
	}
}

// A client that has said all it wanted closes its own side, and still gets what it asked for.
func TestHalfClosedConnection(t *testing.T) {
	h := &labHandler{release: make(chan struct{}), entered: make(chan string, 1)}
	s := start(t, newReaders, Config{Handler: h})
	c := dial(t, "tcp", "", s.Addrs()[0]).(*net.TCPConn)
	c.Write(slices.Concat(frame(packet(t, 1, "hold.example", false)), frame(packet(t, 2, "hit.example", false))))
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if m := unpack(t, nextFrame(t, c)); m.ID != 2 {
		t.Fatalf("%+v", m)
	}
	<-h.entered
	close(h.release)
	if m := unpack(t, nextFrame(t, c)); m.ID != 1 {
		t.Fatalf("%+v", m)
	}
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the last reply: %d, %v", n, err)
	}
}

// What cannot be a query ends the connection.
func TestStreamRefusesGarbage(t *testing.T) {
	s := start(t, newReaders, Config{})
	reply := packet(t, 1, "hit.example", false)
	reply[2] |= 0x80
	for what, b := range map[string][]byte{"an empty message": {0, 0}, "a short one": {0, 3, 1, 2, 3}, "a reply": frame(reply)} {
		c := dial(t, "tcp", "", s.Addrs()[0])
		c.Write(b)
		if n, err := c.Read(make([]byte, 1)); !ended(err) {
			t.Errorf("%s: %d, %v", what, n, err)
		}
	}
}

// ended reports whether the other side closed, with or without unread data.
func ended(err error) bool {
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// A long query arrives in parts, and its buffer is given back.
func TestLongQuery(t *testing.T) {
	s := start(t, newReaders, Config{})
	c := dial(t, "tcp", "", s.Addrs()[0])
	m := dns.Message{ID: 7, Question: []dns.Question{{Name: dns.MustName("hit.example"), Type: dns.TypeA, Class: dns.ClassIN}},
		EDNS: &dns.EDNS{UDPSize: 1232, Options: []dns.Option{{Code: dns.OptionPadding, Data: make([]byte, 60000)}}}}
	b, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c.Write(frame(b))
		if m := unpack(t, nextFrame(t, c)); m.ID != 7 || len(m.Answer) != 1 {
			t.Fatalf("%+v", m)
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	s := start(t, newReaders, Config{MaxConns: 8})
	to := s.Addrs()[0]
	works := func(c net.Conn) bool {
		c.Write(frame(packet(t, 1, "hit.example", false)))
		_, err := io.ReadFull(c, make([]byte, 2))
		return err == nil
	}
	var first []net.Conn
	for _, from := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"} {
		for range 2 {
			c := dial(t, "tcp", from, to)
			if !works(c) {
				t.Fatalf("%s: no reply", from)
			}
			first = append(first, c)
		}
		if from == "127.0.0.1" && works(dial(t, "tcp", from, to)) {
			t.Errorf("%s: a third connection where one source may have 2", from)
		}
	}
	if works(dial(t, "tcp", "127.0.0.5", to)) {
		t.Error("a ninth connection")
	}
	if n := s.Stats().NoPlace; n != 2 {
		t.Errorf("%d connections without a place, want 2", n)
	}
	first[0].Close()
	for !works(dial(t, "tcp", "127.0.0.6", to)) { // until the server has seen the close
	}
}

// pipe serves one end of a connection in the bubble and returns the other.
func pipe(t *testing.T, h Handler) net.Conn {
	s := newServer(Config{Handler: h, Addrs: []netip.AddrPort{{}}})
	s.misses.ctx = t.Context()
	client, server := net.Pipe()
	st := newStream(s, server, netip.IPv6Loopback())
	s.conns.add(st, netip.MustParseAddr("192.0.2.1"))
	go st.serve()
	return client
}

func TestSilentConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := pipe(t, new(labHandler))
		began := time.Now()
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Fatal(err)
		}
		if d := time.Since(began); d != DefaultIdleTimeout {
			t.Errorf("closed after %v", d)
		}
	})
}

// A client that sends an octet now and then does not hold a place for longer than
// a query may take, and one that is slow but in time is answered.
func TestSlowWriterIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		query := frame(packet(t, 1, "hit.example", false))
		for _, pause := range []time.Duration{50 * time.Millisecond, time.Second} {
			c := pipe(t, new(labHandler))
			var wg sync.WaitGroup
			wg.Go(func() {
				for i := range query {
					if _, err := c.Write(query[i : i+1]); err != nil {
						return
					}
					time.Sleep(pause)
				}
			})
			_, err := io.ReadFull(c, make([]byte, 2))
			if inTime := pause*time.Duration(len(query)) < messageTimeout; inTime != (err == nil) {
				t.Errorf("an octet every %v: %v", pause, err)
			}
			c.Close()
			wg.Wait()
		}
	})
}

// A client that asks and never reads is cut off, and the pool is free again.
func TestClientThatDoesNotReadIsCut(t *testing.T) {
	for _, name := range []string{"miss.example", "hit.example"} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(Config{Handler: new(labHandler), Addrs: []netip.AddrPort{{}}})
			s.misses.ctx = t.Context()
			client, server := net.Pipe()
			st := newStream(s, server, netip.IPv6Loopback())
			done := make(chan struct{})
			go func() { st.serve(); close(done) }()
			client.Write(frame(packet(t, 1, name, false)))
			<-done
			s.misses.wait()
			if n, err := client.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("%s: %d, %v", name, n, err)
			}
		})
	}
}

// A client that waits for a slow reply is not idle.
func TestWaitingClientIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &labHandler{release: make(chan struct{})}
		c := pipe(t, h)
		c.Write(frame(packet(t, 3, "hold.example", false)))
		time.Sleep(5 * DefaultIdleTimeout / 2)
		close(h.release)
		if m := unpack(t, nextFrame(t, c)); m.ID != 3 {
			t.Errorf("%+v", m)
		}
		c.Close()
	})
}

func TestIdleTimeShrinksAsPlacesFill(t *testing.T) {
	c := newConns(4)
	for i, want := range []time.Duration{8, 8, 8, 1, 1} {
		if got := c.idle(8); got != want {
			t.Errorf("%d open: %d, want %d", i, got, want)
		}
		c.add(new(stream), netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
	}
}

// memory is a connection that reads given parts and keeps what is written.
type memory struct {
	net.Conn
	parts   [][]byte
	written []byte
}

func (m *memory) Read(b []byte) (int, error) {
	if len(m.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(b, m.parts[0])
	if m.parts[0] = m.parts[0][n:]; len(m.parts[0]) == 0 {
		m.parts = m.parts[1:]
	}
	return n, nil
}

func (m *memory) Write(b []byte) (int, error) {
	m.written = append(m.written, b...)
	return len(b), nil
}

func (m *memory) Close() error                     { return nil }
func (m *memory) SetReadDeadline(time.Time) error  { return nil }
func (m *memory) SetWriteDeadline(time.Time) error { return nil }

// hits answers every query inline.
type hits struct{}

func (hits) Hit(q *dns.Query, out []byte) ([]byte, bool)             { return labReply(q, out), true }
func (hits) Miss(_ context.Context, q *dns.Query, out []byte) []byte { return out }

// However a stream is cut into reads, the replies are the same whole messages.
func FuzzStream(f *testing.F) {
	one := frame(packet(f, 1, "hit.example", true))
	f.Add(one, 1)
	f.Add(slices.Concat(one, one, one), 7)
	f.Add(append(slices.Clone(one), 0, 5, 1, 2), 3)
	f.Add([]byte{0, 12, 0, 1, 0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 2)
	f.Add([]byte{0xff, 0xff}, 1)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		s := newServer(Config{Handler: hits{}, MaxMisses: 1, Addrs: []netip.AddrPort{{}}})
		whole := &memory{parts: [][]byte{b}}
		newStream(s, whole, netip.IPv6Loopback()).serve()
		parts := &memory{parts: slices.Collect(slices.Chunk(b, 1+max(0, cut)%64))}
		newStream(s, parts, netip.IPv6Loopback()).serve()
		if !slices.Equal(whole.written, parts.written) {
			t.Fatalf("in one: % x\nin parts: % x", whole.written, parts.written)
		}
		for rest := whole.written; len(rest) > 0; {
			n := int(binary.BigEndian.Uint16(rest))
			if n < 12 || rest[2+2]&0x80 == 0 {
				t.Fatalf("not a reply: % x", rest)
			}
			rest = rest[2+n:]
		}
	})
}
