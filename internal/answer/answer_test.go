package answer

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// https is the RDATA of an HTTPS record in service mode for target with one IPv4 hint (RFC 9460 §2.2, §7.3).
func https(target dns.Name, hint netip.Addr) []byte {
	data := append([]byte{0, 1}, target...)
	data = append(data, 0, 4, 0, 4)
	return append(data, hint.AsSlice()...)
}

func TestWhereAnAnswerLeads(t *testing.T) {
	www, cdn, svc := dns.MustName("www.shop.test"), dns.MustName("cdn.shop.test"), dns.MustName("svc.shop.test")
	hint := netip.MustParseAddr("203.0.113.80")
	born := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	a := New(Parts{
		Name: dns.MustName("WWW.Shop.Test"), Type: dns.TypeHTTPS, Born: born, TTL: time.Minute,
		Answer: []dns.RR{
			{Name: www, Type: dns.TypeCNAME, Class: dns.ClassIN, Data: []byte(cdn)},
			{Name: cdn, Type: dns.TypeHTTPS, Class: dns.ClassIN, Data: https(svc, hint)},
			{Name: cdn, Type: dns.TypeA, Class: dns.ClassIN, Data: []byte{192, 0, 2, 1}},
			{Name: cdn, Type: dns.TypeMX, Class: dns.ClassIN, Data: append([]byte{0, 1}, www...)},
		},
		Authority: []dns.RR{{Name: cdn, Type: dns.TypeA, Class: dns.ClassIN, Data: []byte{192, 0, 2, 2}}},
	})
	if a.Name() != www {
		t.Errorf("the question's name is %q and not canonical", a.Name())
	}
	if got := slices.Collect(a.Targets()); !slices.Equal(got, []dns.Name{cdn, svc}) {
		t.Errorf("it leads to %v", got)
	}
	if got := slices.Collect(a.Addrs()); !slices.Equal(got, []netip.Addr{hint, netip.MustParseAddr("192.0.2.1")}) {
		t.Errorf("it leads to %v", got)
	}
	if !a.Expires().Equal(born.Add(time.Minute)) || !a.Status().IsIndeterminate() {
		t.Errorf("it expires at %v with status %v", a.Expires(), a.Status())
	}
	if _, _, ok := a.Error(); ok {
		t.Error("it has an error that nobody gave")
	}
}
