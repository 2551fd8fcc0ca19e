package serve

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	foreign "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// offering is a query for a name's A records that offers a size; 0 is no EDNS at all.
func offering(t *testing.T, name string, size uint16) *dns.Query {
	t.Helper()
	m := new(foreign.Msg)
	m.SetQuestion(name, foreign.TypeA)
	if size > 0 {
		m.SetEdns0(size, false)
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	q := new(dns.Query)
	if err := q.Parse(b); err != nil {
		t.Fatal(err)
	}
	return q
}

// A reply over UDP is no longer than what the client takes, nor than what every path takes
// whole (1232 octets), whatever the client offers. What does not fit is never sent in part:
// TC says that there is more (RFC 2181 §9). Fresh and stale answers keep to that alike.
func TestRepliesFit(t *testing.T) {
	const fixed = 12 + len("\x01n\x07example\x00") + 4 // octets of header and question, but for digits
	v := newViews(t)
	refresher := NewRefresher(new(stuck))
	defer refresher.Close()
	v.twin.cfg.Refresher, v.twin.cfg.Stale = refresher, Stale{MaxAge: time.Hour, AnswerTTL: DefaultAnswerTTL}
	counts := []int{0, 1, 28, 29, 30, 31, 35, 74, 75, 76, 90}
	for _, n := range counts {
		p := v.answers[""]
		p.TTL = time.Minute
		name := fmt.Sprintf("n%d.example.", n)
		for i := range n {
			p.Answer = append(p.Answer, record(t, fmt.Sprintf("%s 60 IN A 192.0.2.%d", name, i)))
		}
		v.answers[name+" a"] = p
		v.twin.Miss(context.Background(), offering(t, name, 0), nil)
	}
	for _, age := range []time.Duration{0, 2 * time.Minute} {
		v.now = start.Add(age)
		for _, n := range counts {
			name := fmt.Sprintf("n%d.example.", n)
			for _, size := range []uint16{0, 1, 512, 513, 600, 1231, 1232, 1233, 4096, 65535} {
				q := offering(t, name, size)
				reply, ok := v.twin.Hit(q, nil)
				if !ok {
					t.Fatalf("%s: not in memory", name)
				}
				takes, whole := 512, fixed+len(fmt.Sprint(n))+n*16 // each record has 16 octets
				if size > 0 {
					takes, whole = min(max(int(size), 512), 1232), whole+11
				}
				m := new(foreign.Msg)
				if err := m.Unpack(reply); err != nil {
					t.Fatal(err)
				}
				switch {
				case len(reply) > takes:
					t.Errorf("%d records, %d offered: %d octets", n, size, len(reply))
				case m.Truncated != (whole > takes):
					t.Errorf("%d records, %d offered, %d octets in all: TC is %t", n, size, whole, m.Truncated)
				case m.Truncated && len(m.Answer) != 0, !m.Truncated && len(m.Answer) != n:
					t.Errorf("%d records, %d offered: %d came, TC is %t", n, size, len(m.Answer), m.Truncated)
				}
			}
		}
	}
}

// Replies are minimal: what a server adds to an answer, its name servers and their
// addresses, goes no further.
func TestRepliesAreMinimal(t *testing.T) {
	inShop(t, rfc8767, func(s *shop, v *Server) {
		plain := *s.zone.Load()
		talkative := simnet.Handler(func(q simnet.Query) []simnet.Reply {
			replies := plain(q)
			for i := range replies {
				m := new(foreign.Msg)
				if err := m.Unpack(replies[i].Bytes); err != nil {
					s.Error(err)
					continue
				}
				for _, text := range []string{"shop. 1000 NS ns.shop.", "ns.shop. 1000 A 192.0.2.2"} {
					rr, err := foreign.NewRR(text)
					if err != nil {
						s.Error(err)
					}
					if strings.Contains(text, "NS") {
						m.Ns = append(m.Ns, rr)
					} else {
						m.Extra = append(m.Extra, rr)
					}
				}
				replies[i].Bytes, _ = m.Pack()
			}
			return replies
		})
		s.zone.Store(&talkative)
		s.ask(v, askWWW, freshWWW)
		s.ask(v, askWWW, freshWWW)
	})
}
