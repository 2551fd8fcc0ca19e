package listen

import (
	"context"
	"net/netip"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
)

// sizes answers with one TXT record as long as the transport takes, from memory where the
// name says so.
type sizes struct{}

func (sizes) Hit(q *dns.Query, out []byte) ([]byte, bool) {
	if string(q.Name()[1:4]) != "hit" {
		return out, false
	}
	return sizes{}.Miss(context.Background(), q, out), true
}

func (sizes) Miss(_ context.Context, q *dns.Query, out []byte) []byte {
	start := len(out)
	out = dns.AppendError(out, q, dns.RCodeSuccess)
	return append(out, make([]byte, start+q.MaxReply-len(out))...)
}

// However much a client offers, a reply over UDP has 1232 octets at most, and 512 at most
// where the client has no EDNS; over TCP it has what a length of two octets can say.
func TestRepliesHaveTheTransportsSize(t *testing.T) {
	for path, open := range paths() {
		s := start(t, open, Config{Workers: 1, Handler: sizes{}})
		for _, c := range []struct {
			network string
			edns    bool
			want    int
		}{{"udp", false, 512}, {"udp", true, MaxUDPReply}, {"tcp", true, 65535}, {"tcp", false, 65535}} {
			for _, name := range []string{"hit.example", "miss.example"} {
				conn := dial(t, c.network, "", netip.AddrPort(s.Addrs()[0]))
				got := 0
				if query := packet(t, 7, name, c.edns); c.network == "udp" {
					got = len(ask(t, conn, query))
				} else {
					if _, err := conn.Write(frame(query)); err != nil {
						t.Fatal(err)
					}
					got = len(nextFrame(t, conn))
				}
				if got != c.want {
					t.Errorf("%s, %s, EDNS %t, %s: %d octets, want %d", path, c.network, c.edns, name, got, c.want)
				}
			}
		}
	}
}
