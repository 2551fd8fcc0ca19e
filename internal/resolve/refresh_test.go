package resolve

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// A refresh takes nothing from memory that ends before the answer to be renewed: the name is
// asked for anew although memory has it, and at the servers that the parent names now, so a
// zone that moved is followed. What lasts longer is used.
func TestRefreshFollowsAZoneThatMoved(t *testing.T) {
	for _, c := range []struct {
		name  string
		ahead time.Duration
		want  string
		asked []string // whom
	}{
		{"memory suffices", 0, "198.51.100.1", nil},
		{"the answer ends", 31 * time.Second, "203.0.113.1", []string{shopAddr}},
		{"the delegation ends too", 331 * time.Second, "203.0.113.9", []string{testAddr, "192.0.2.30"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := standard()
				short := strings.ReplaceAll(testZone, "shop.test. 3600", "shop.test. 600")
				n.serve(testAddr, short)
				l := newLab(t, n)
				l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeSuccess, "www.shop.test. A 198.51.100.1")
				n.serve(shopAddr, strings.ReplaceAll(shopZone, "198.51.100.1", "203.0.113.1"))
				n.serve(testAddr, strings.ReplaceAll(short, "192.0.2.3", "192.0.2.30"))
				n.serve("192.0.2.30", strings.ReplaceAll(shopZone, "198.51.100.1", "203.0.113.9"))
				time.Sleep(270 * time.Second)
				n.forget()
				a := l.r.Refresh(t.Context(), dns.MustName("WWW.shop.test"), dns.TypeA, c.ahead)
				l.want(a, dns.RCodeSuccess, "www.shop.test. A "+c.want)
				var asked []string
				for _, q := range n.queries() {
					asked = append(asked, q.server)
				}
				if strings.Join(asked, " ") != strings.Join(c.asked, " ") {
					t.Errorf("asked %v", n.queries())
				}
				l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeSuccess, "www.shop.test. A "+c.want)
			})
		})
	}
}

// Who resolves and who refreshes the same question at a time share the work.
func TestRefreshAndResolveShareTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := standard()
		l := newLab(t, n)
		l.ask("www.shop.test", dns.TypeA)
		time.Sleep(301 * time.Second)
		n.forget()
		for range 10 {
			go l.r.Refresh(t.Context(), dns.MustName("www.shop.test"), dns.TypeA, time.Second)
			go l.ask("www.shop.test", dns.TypeA)
		}
		synctest.Wait()
		if got := len(n.queries()); got != 1 {
			t.Errorf("%d queries", got)
		}
	})
}
