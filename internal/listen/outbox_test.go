package listen

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
)

// A slow server comes back, and all that waited for it becomes ready at once, more than one
// batch: every client gets the replies to its own questions, over IPv4 and IPv6, from the
// address that it asked, and nothing of another's.
func TestRepliesThatBecomeReadyTogether(t *testing.T) {
	const clients, each = 5, 30
	for path, open := range paths() {
		for _, addr := range []string{"127.0.0.1", "0.0.0.0", "::1", "::"} {
			t.Run(path+" "+addr, func(t *testing.T) {
				h := &labHandler{release: make(chan struct{}), entered: make(chan string, clients*each)}
				s := start(t, open, Config{Handler: h, Workers: 1, Addrs: []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(addr), 0)}})
				to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), s.Addrs()[0].Port())
				if s.Addrs()[0].Addr().Is6() {
					to = netip.AddrPortFrom(netip.IPv6Loopback(), to.Port())
				}
				var conns []net.Conn
				for c := range clients {
					conns = append(conns, dial(t, "udp", "", to))
					for i := range each {
						conns[c].Write(packet(t, uint16(c*each+i), heldName(c, i), i%2 == 0))
					}
				}
				for range clients * each {
					<-h.entered
				}
				close(h.release)
				for c, conn := range conns {
					heard := make(map[dns.Name]bool)
					for range each {
						m := unpack(t, next(t, conn))
						i := int(m.ID) - c*each
						if i < 0 || i >= each || m.Question[0].Name != dns.MustName(heldName(c, i)) {
							t.Fatalf("client %d got %d %v", c, m.ID, m.Question)
						}
						heard[m.Question[0].Name] = true
					}
					if len(heard) != each {
						t.Errorf("client %d got replies to %d of its %d questions", c, len(heard), each)
					}
				}
			})
		}
	}
}

// heldName is question i of a client; the names have several lengths, and so have the replies.
func heldName(client, i int) string {
	return fmt.Sprintf("hold%d.%0*d.example", client, 2+i%3, i)
}
