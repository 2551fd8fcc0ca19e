package doq

import (
	"bytes"
	"crypto/tls"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/shoji-dns/shoji/internal/listen"
	"github.com/shoji-dns/shoji/internal/listen/doh"
)

// A connection on which nothing comes but what keeps QUIC's or HTTP/3's own time from ending, ends.
func TestPingsAreNoQueries(t *testing.T) {
	s, _ := start(t, func(c *listen.Config) {
		c.IdleTimeout, c.Secure.Relay, c.Secure.RelayPath = time.Second, echo{}, "/proxy"
	})
	for what, c := range map[string]struct {
		to       netip.AddrPort
		protocol string
		ask      func(*testing.T, *quic.Conn)
	}{
		"doq": {s.DoQAddrs()[0], "doq", begin}, "h3": {s.DoHAddrs()[0], http3.NextProtoH3, begin},
		"a reply that is not read": {s.DoHAddrs()[0], http3.NextProtoH3, func(t *testing.T, c *quic.Conn) {
			r, err := http.NewRequest("POST", "https://one.example/proxy", bytes.NewReader(make([]byte, 8000)))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", doh.TypeOblivious)
			go new(http3.Transport).NewClientConn(c).RoundTrip(r)
		}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			security := &tls.Config{ServerName: "one.example", InsecureSkipVerify: true, NextProtos: []string{c.protocol}}
			conn, err := quic.DialAddr(t.Context(), c.to.String(), security, &quic.Config{KeepAlivePeriod: s.cfg.IdleTimeout / 10, InitialStreamReceiveWindow: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.CloseWithError(0, "")
			c.ask(t, conn)
			select {
			case <-conn.Context().Done():
			case <-time.After(patience):
				t.Error("kept")
			}
		})
	}
}

// begin sends the first octet of what never comes.
func begin(t *testing.T, c *quic.Conn) {
	if stream, err := c.OpenStream(); err != nil {
		t.Error(err)
	} else if _, err := stream.Write([]byte{1}); err != nil {
		t.Error(err)
	}
}

// The time begins with the last reply, and does not end while a query is under way.
func TestQueriesUnderWayAreNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const after = 10 * time.Second
		ended := make(chan time.Duration, 2)
		began := time.Now()
		i := newIdle(after, func() { ended <- time.Since(began) })
		time.Sleep(after - 1)
		first, second := i.query(), i.query()
		time.Sleep(2 * after)
		first()
		time.Sleep(2 * after)
		second()
		time.Sleep(after - 1)
		i.query()()
		if len(ended) > 0 {
			t.Fatalf("ended after %v", <-ended)
		}
		if d := <-ended; d != 7*after-2 {
			t.Errorf("ended after %v", d)
		}
	})
}
