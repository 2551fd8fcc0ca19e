package listen

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// recorder takes the replies to misses.
type recorder struct {
	mu      sync.Mutex
	replies map[string]int // by what is answered and to whom
	octets  int
	done    chan struct{} // gets one for each
}

func (r *recorder) reply(m *miss, message []byte) {
	r.mu.Lock()
	r.replies[m.from.Addr().String()]++
	r.octets += len(message)
	r.mu.Unlock()
	r.done <- struct{}{}
}

// DNSBomb: from a forged source come questions that wait for one slow server, so that all
// replies leave in one burst. What waits is bounded for each source; the others are told so at
// once. Whoever is not of that source, or proves its address, finds places.
func TestBurstsAreBounded(t *testing.T) {
	const max = 64 // places for those under way, and as many in the queue
	h := &labHandler{release: make(chan struct{})}
	s := newServer(Config{Handler: h, MaxMisses: max, Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, Addrs: []netip.AddrPort{{}}})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.misses.ctx = ctx
	got := &recorder{replies: make(map[string]int), done: make(chan struct{}, 4*max)}
	send := func(from string, query []byte) string {
		var q dns.Query
		var tl tally
		source := netip.AddrPortFrom(netip.MustParseAddr(from), 5353)
		reply, o := s.datagram(&q, query, source, time.Now(), nil, &tl)
		if o >= needed {
			reply, o = s.submitDatagram(&q, got, source, source.Addr(), new(control), o, nil, &tl)
		}
		if o == silent {
			return "waits"
		}
		return errorOf(unpack(t, reply))
	}
	count := make(map[string]int)
	for i := range 1000 {
		count[send(fmt.Sprintf("203.0.113.%d", i%200), packet(t, uint16(i), fmt.Sprintf("hold%d.example", i), true))]++
	}
	const told = `SERVFAIL Other Error "too many questions of one network under way"`
	if count["waits"] != 2*max/forgeableShare || count[told] != 1000-2*max/forgeableShare {
		t.Errorf("of a forged source: %v", count)
	}
	if what := send("203.0.113.1", cookiePacket(t, "hit.example", []byte("12345678"))); what != "NOERROR" {
		t.Errorf("from memory: %s", what)
	}
	q := withCookie(t, "3132333435363738", time.Now())
	s.cookies.check(q, netip.MustParseAddr("203.0.113.1"))
	if what := send("203.0.113.1", cookiePacket(t, "hold.example", append([]byte("12345678"), q.Reply.Cookie[:]...))); what != "waits" {
		t.Errorf("the same source with a valid cookie: %s", what)
	}
	if what := send("198.51.100.1", packet(t, 1, "hold.example", true)); what != "waits" {
		t.Errorf("another source: %s", what)
	}
	close(h.release)
	if t.Failed() {
		return
	}
	for range 2*max/forgeableShare + 2 {
		<-got.done
	}
	s.misses.wait()
	if len(s.misses.sources) != 0 {
		t.Errorf("places are still taken: %v", s.misses.sources)
	}
	if what := send("203.0.113.1", packet(t, 1, "miss.example", true)); what != "waits" {
		t.Errorf("afterwards: %s", what)
	}
	<-got.done
}
