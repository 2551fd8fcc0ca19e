package resolve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// bare sends an error without the question, over UDP alone unless tcp is set.
func bare(rcode int, tcp bool, otherwise handler) handler {
	return func(q *mdns.Msg, overTCP bool) []*mdns.Msg {
		if overTCP && !tcp {
			return otherwise(q, overTCP)
		}
		m := new(mdns.Msg)
		m.Id, m.Rcode = bareReply, rcode
		return []*mdns.Msg{m}
	}
}

// Some servers leave the question out of errors. Nobody waits for more of them, and
// nothing is believed for it: the question goes over TCP.
func TestErrorsWithoutTheQuestion(t *testing.T) {
	story(t, func(t *testing.T) {
		for _, rcode := range []int{mdns.RcodeServerFailure, mdns.RcodeRefused} {
			n := standard()
			n.handle(shopAddr, bare(rcode, false, authority(shopZone)))
			l := newLab(t, n)
			start := time.Now()
			l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeSuccess, "www.shop.test. A 198.51.100.1")
			n.handle(shopAddr, bare(rcode, true, nil))
			l.want(l.ask("a.b.c.shop.test", dns.TypeA), dns.RCodeServerFailure)
			if waited := time.Since(start); waited > 0 {
				t.Errorf("waited %v", waited)
			}
		}
	})
}

// A zone's only server is away for a few seconds. The zone is back within a
// second of its return, however long it was put aside for.
func TestAZoneIsBackSoonAfterItsOnlyServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := standard()
		n.handle(shopAddr, func(*mdns.Msg, bool) []*mdns.Msg { return nil })
		l := newLab(t, n)
		server := l.r.server(netip.MustParseAddr(shopAddr), domainPort)
		for i := 0; time.Until(server.down) < maxDown/2; i++ {
			l.ask(fmt.Sprintf("n%d.shop.test", i), dns.TypeA)
			time.Sleep(time.Second)
		}
		n.serve(shopAddr, shopZone)
		time.Sleep(time.Second)
		l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeSuccess, "www.shop.test. A 198.51.100.1")
	})
}

// The parent's glue for a name server in another zone is out of date: the address is
// looked up.
func TestStaleGlueIsLookedUpAgain(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		h := authority(testZone + "bank.test. 3600 NS www.shop.test.\n")
		n.handle(testAddr, func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			out := h(q, tcp)
			for _, m := range out {
				if len(m.Ns) > 0 && m.Ns[0].Header().Name == "bank.test." {
					m.Extra = append(m.Extra, rr("www.shop.test. 300 A 203.0.113.66"))
				}
			}
			return out
		})
		n.serve("198.51.100.1", "bank.test. 300 SOA ns h. 1 1 1 1 60\nwww.bank.test. 300 A 198.51.100.7\n")
		l := newLab(t, n)
		l.want(l.ask("www.bank.test", dns.TypeA), dns.RCodeSuccess, "www.bank.test. A 198.51.100.7")
	})
}

// intercepted is a Network on the way of whose replies somebody sits.
type intercepted struct {
	Network
	change func(addr netip.Addr, reply []byte) []byte
}

func (n intercepted) Exchange(ctx context.Context, addr netip.Addr, port uint16, tcp bool, query []byte, accept func([]byte) bool) error {
	return n.Network.Exchange(ctx, addr, port, tcp, query, func(reply []byte) bool { return accept(n.change(addr, reply)) })
}

// A forged priming reply names the forger's servers. The root's keys tell it from a
// true one, and the hints serve.
func TestForgedPrimingReply(t *testing.T) {
	story(t, func(t *testing.T) {
		in, c := signedLab(t, simnet.Signing{}, honest)
		const forger = "203.0.113.66"
		in.Handle(func(simnet.Query) []simnet.Reply { return nil }, netip.MustParseAddr(forger))
		first := true
		c.Network = intercepted{in, func(addr netip.Addr, reply []byte) []byte {
			if addr.String() != rootAddr || !first {
				return reply
			}
			first = false
			return bytes.ReplaceAll(reply, []byte{192, 0, 2, 1}, netip.MustParseAddr(forger).AsSlice())
		}}
		a := New(c).Resolve(t.Context(), dns.MustName("www.bank.test"), dns.TypeA)
		if !a.Status().IsSecure() {
			t.Errorf("%s %s", a.RCode(), a.Status())
		}
	})
}

// ownError is an error of the machine's own making.
type ownError struct{ error }

func (ownError) Local() bool { return true }

// Where the machine runs out of sockets for a while, no server is put aside for it.
func TestServersAreNotBlamedForOwnErrors(t *testing.T) {
	story(t, func(t *testing.T) {
		full := true
		n := standard()
		l := newLab(t, n, func(c *Config) { c.Network = failing{n, &full} })
		for i := range 20 {
			l.want(l.ask(fmt.Sprintf("n%d.shop.test", i), dns.TypeA), dns.RCodeServerFailure)
		}
		if s := l.r.server(netip.MustParseAddr(rootAddr), domainPort); s.silent != 0 || l.r.families.silent[0].Load() != 0 {
			t.Errorf("%d of the machine's errors are held against the server", s.silent)
		}
		full = false
		l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeSuccess, "www.shop.test. A 198.51.100.1")
	})
}

// failing is a Network that has no sockets while full is set.
type failing struct {
	Network
	full *bool
}

func (n failing) Exchange(ctx context.Context, addr netip.Addr, port uint16, tcp bool, query []byte, accept func([]byte) bool) error {
	if *n.full {
		return ownError{errors.New("too many open files")}
	}
	return n.Network.Exchange(ctx, addr, port, tcp, query, accept)
}
