package resolve

import (
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// replicaOf is a copy that answers as a server does.
type replicaOf struct {
	answer  func(q []byte) []byte
	current bool
	asked   int
}

func (k *replicaOf) Current(time.Time) bool { return k.current }

func (k *replicaOf) Reply(name dns.Name, t dns.Type, now time.Time) *dns.Message {
	if k.asked++; !k.current {
		return nil
	}
	q := new(mdns.Msg).SetQuestion(name.String(), uint16(t))
	q.RecursionDesired = false
	q.SetEdns0(4096, true)
	wire, err := q.Pack()
	if err != nil {
		panic(err)
	}
	m := new(dns.Message)
	if m.Unpack(k.answer(wire)) != nil {
		return nil
	}
	return m
}

func copyOf(h simnet.Handler) *replicaOf {
	return &replicaOf{current: true, answer: func(q []byte) []byte { return h(simnet.Query{Bytes: q, TCP: true})[0].Bytes }}
}

// With a copy of the root no root server is asked; without, when it has expired, they are.
func TestCopyOfTheRoot(t *testing.T) {
	story(t, func(t *testing.T) {
		in, c := signedLab(t, simnet.Signing{}, honest)
		root := in.Server(c.Hints[0].Addrs[0])
		k := copyOf(rootOf(t))
		c.Copies = []Copy{{dns.Root, k}}
		r := New(c)
		for _, name := range []string{"www.bank.test", "nothing.example", "."} {
			if a := r.Resolve(t.Context(), dns.MustName(name), dns.TypeNS); !a.Status().IsSecure() {
				t.Errorf("%s: %s %s", name, a.Status(), a.Status().Reason())
			}
		}
		if root.Queries() != 0 || k.asked == 0 {
			t.Errorf("%d queries to the root server, %d to the copy", root.Queries(), k.asked)
		}
		k.current = false
		if a := r.Resolve(t.Context(), dns.MustName("nothing.invalid"), dns.TypeA); !a.Status().IsSecure() || root.Queries() == 0 {
			t.Errorf("expired: %s, %d queries to the root server", a.Status(), root.Queries())
		}
	})
}

func rootOf(t *testing.T) simnet.Handler {
	t.Helper()
	tree := signedTree(t, simnet.Signing{})
	return simnet.Authoritative(tree.Zone("."))
}

// What a copy says wrongly is bogus, and asked of the zone's servers.
func TestCopyThatWasChanged(t *testing.T) {
	story(t, func(t *testing.T) {
		_, c := signedLab(t, simnet.Signing{}, honest)
		tree := signedTree(t, simnet.Signing{})
		k := copyOf(forging(simnet.Authoritative(tree.Zone("bank.test."))))
		c.Copies = []Copy{{dns.MustName("bank.test"), k}}
		a := New(c).Resolve(t.Context(), dns.MustName("www.bank.test"), dns.TypeA)
		if !a.Status().IsSecure() || k.asked == 0 {
			t.Errorf("%s %s", a.Status(), a.Status().Reason())
		}
	})
}

// Zones below a copy's that cannot be resolved are not tried a second time.
func TestCopyDoesNotDoubleFailures(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		delete(n.servers, at(shopAddr)[0].Addr)
		count := func(change ...func(*Config)) int {
			l := newLab(t, n, change...)
			n.forget()
			l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeServerFailure)
			return n.count(func(a asked) bool { return a.server == shopAddr })
		}
		h := authority(rootZone)
		k := &replicaOf{current: true, answer: func(q []byte) []byte {
			m := new(mdns.Msg)
			if err := m.Unpack(q); err != nil {
				t.Fatal(err)
			}
			b, err := h(m, true)[0].Pack()
			if err != nil {
				t.Fatal(err)
			}
			return b
		}}
		without, with := count(), count(func(c *Config) { c.Copies = []Copy{{dns.Root, k}} })
		if with > without {
			t.Errorf("%d queries with a copy, %d without", with, without)
		}
	})
}
