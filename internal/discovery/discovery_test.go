package discovery

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	miekg "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

func endpoint() Endpoint {
	return Endpoint{
		Priority: 1, Target: dns.MustName("d.example"), ALPN: []string{"h2", "h3"}, Port: 443, Path: "/dns-query",
		Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
	}
}

// A record reads, to another implementation, as what it was made of.
func TestRecord(t *testing.T) {
	e := endpoint()
	var b dns.Builder
	b.Reset(nil, 512)
	r := e.Record()
	b.Add(dns.SectionAnswer, &r)
	var m miekg.Msg
	if err := m.Unpack(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	got := m.Answer[0].String()
	for _, want := range []string{"_dns.resolver.arpa.", "SVCB\t1 d.example.", `alpn="h2,h3"`, `port="443"`, `ipv4hint="192.0.2.1"`, `ipv6hint="2001:db8::1"`, `dohpath="/dns-query{?dns}"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s: no %s", got, want)
		}
	}
}

// TestNamed: who knows the name finds the endpoint, in another implementation's words, and an HTTPS
// record is where a browser looks for it.
func TestNamed(t *testing.T) {
	for port, owner := range map[uint16]string{443: "d.example.", 8443: "_8443._https.d.example."} {
		e := endpoint()
		e.Port, e.ECH = port, []byte{0, 1, 2}
		records, err := e.Named()
		if err != nil {
			t.Fatal(err)
		}
		var b dns.Builder
		b.Reset(nil, 512)
		for i := range records {
			b.Add(dns.SectionAnswer, &records[i])
			if list, ok := ECH(records[i]); !ok || string(list) != string(e.ECH) {
				t.Errorf("%s: %x, %t", records[i], list, ok)
			}
		}
		var m miekg.Msg
		if err := m.Unpack(b.Bytes()); err != nil || len(m.Answer) != 2 {
			t.Fatal(err)
		}
		for i, want := range []string{`_dns.d.example.	3600	IN	SVCB	1 d.example. `, owner + `	3600	IN	HTTPS	1 d.example. `} {
			got := m.Answer[i].String()
			if !strings.HasPrefix(got, want) || !strings.Contains(got, ` ech="AAEC"`) || strings.Contains(got, "dohpath") != (i == 0) {
				t.Errorf("port %d: %s, want %s", port, got, want)
			}
		}
	}
	e := endpoint()
	e.Target = dns.MustName(strings.Repeat("abcdefg.", 31) + "abc")
	if _, err := e.Named(); err == nil {
		t.Error("a name of 255 octets has one below it")
	}
}

// FuzzECH: what is found stands in the record, and nothing panics.
func FuzzECH(f *testing.F) {
	e := endpoint()
	e.ECH = []byte{0, 1, 2}
	f.Add(e.Record().Data)
	f.Add([]byte{0, 1, 0, 0, 5, 0, 1, 9})
	f.Add([]byte{0, 1, 0, 0, 5, 0, 1, 9, 0, 4, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		list, ok := ECH(dns.RR{Type: dns.TypeHTTPS, Data: data})
		if !ok && list != nil || !bytes.Contains(data, list) {
			t.Fatalf("%x, %t of %x", list, ok, data)
		}
		if _, again := ECH(dns.RR{Type: dns.TypeA, Data: data}); again {
			t.Fatal("an address tells of it")
		}
	})
}

// The options, octet by octet, as RFC 9463's figures lay them out.
func TestOptions(t *testing.T) {
	e := endpoint()
	e.ALPN, e.Path, e.Port = []string{"dot"}, "", 853
	const name, params = "01640765" + "78616d706c6500", "0001000403646f74" + "000300020355"
	const addr6 = "20010db8000000000000000000000001"
	if got, want := hex.EncodeToString(DHCPv4([]Endpoint{e})), "0021"+"0001"+"0b"+name+"04c0000201"+params; got != want {
		t.Errorf("DHCPv4 %s, want %s", got, want)
	}
	got, ok := e.DHCPv6()
	if want := "0001" + "000b" + name + "0010" + addr6 + params; !ok || hex.EncodeToString(got) != want {
		t.Errorf("DHCPv6 %x, want %s", got, want)
	}
	got, ok = e.Advertisement(1800)
	if want := "9007" + "0001" + "00000708" + "000b" + name + "0010" + addr6 + "000e" + params; !ok || !strings.HasPrefix(hex.EncodeToString(got), want) || len(got) != 7*8 {
		t.Errorf("advertisement %x, want %s", got, want)
	}
	e.Addrs = nil
	if _, ok := e.DHCPv6(); ok || DHCPv4([]Endpoint{e}) != nil {
		t.Error("options without addresses")
	}
}

func TestCheck(t *testing.T) {
	for want, change := range map[string]func(*Endpoint){
		"alias": func(e *Endpoint) { e.Priority = 0 }, "certificate": func(e *Endpoint) { e.Target = dns.Root },
		"transport": func(e *Endpoint) { e.ALPN = nil }, "port": func(e *Endpoint) { e.Port = 0 },
	} {
		e := endpoint()
		change(&e)
		if err := e.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
