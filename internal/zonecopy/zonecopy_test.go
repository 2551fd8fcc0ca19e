package zonecopy

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// primary is a server that transfers a zone.
type primary struct {
	records   []mdns.RR // the SOA first
	transfers int
	cut       bool // the end of a transfer is missing
}

func (p *primary) ServeDNS(w mdns.ResponseWriter, q *mdns.Msg) {
	m := new(mdns.Msg).SetReply(q)
	if q.Question[0].Qtype == mdns.TypeSOA {
		m.Answer = p.records[:1]
		_ = w.WriteMsg(m)
		return
	}
	p.transfers++
	m.Answer = p.records[:3]
	_ = w.WriteMsg(m)
	rest := new(mdns.Msg).SetReply(q)
	rest.Answer = p.records[3:]
	if !p.cut {
		rest.Answer = append(rest.Answer[:len(rest.Answer):len(rest.Answer)], p.records[0])
	}
	_ = w.WriteMsg(rest)
	w.Close()
}

func (p *primary) start(t *testing.T) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &mdns.Server{Listener: l, Handler: p}
	go func() { _ = s.ActivateAndServe() }()
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func foreignRecords(t *testing.T, text string) []mdns.RR {
	t.Helper()
	var out []mdns.RR
	p := mdns.NewZoneParser(strings.NewReader(text), ".", "")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		out = append(out, rr)
	}
	if p.Err() != nil {
		t.Fatal(p.Err())
	}
	return out
}

// A copy is transferred, kept over a restart, refreshed where the serial number is new,
// and not replaced by one that is cut or does not fit its digest.
func TestTransfer(t *testing.T) {
	p := &primary{records: foreignRecords(t, digested)}
	conf := Config{Zone: dns.MustName("Example"), From: []netip.AddrPort{p.start(t)}, Folder: t.TempDir()}
	k, err := Open(conf)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if k.Current(now) || k.Reply(conf.Zone, dns.TypeSOA, now) != nil {
		t.Error("an empty copy answers")
	}
	refresh := func() (failed int) {
		_, failed = k.refresh(t.Context(), 0)
		return failed
	}
	for range 2 {
		if failed := refresh(); failed != 0 || p.transfers != 1 {
			t.Fatalf("%d failed, %d transfers", failed, p.transfers)
		}
	}
	has := func(serial uint32) {
		t.Helper()
		m := k.Reply(conf.Zone, dns.TypeSOA, now)
		if m == nil || soaField(m.Answer[0], soaSerial) != serial {
			t.Fatalf("reply %+v", m)
		}
	}
	has(2018031900)
	if k, err = Open(conf); err != nil {
		t.Fatal(err)
	}
	has(2018031900)
	next := foreignRecords(t, strings.ReplaceAll(digested, "2018031900", "2018031901"))
	p.records = next
	if refresh() != 1 {
		t.Error("took what does not fit its digest")
	}
	p.records, p.cut = append(next[:3:3], next[4:]...), true // without ZONEMD
	if refresh() != 1 {
		t.Error("took half a zone")
	}
	has(2018031900)
	p.cut = false
	if refresh() != 0 {
		t.Error("did not take the new edition")
	}
	has(2018031901)
	if k.Current(now.Add(8 * 24 * time.Hour)) {
		t.Error("answers after its expire time")
	}
	old := now.Add(-8 * 24 * time.Hour)
	if err := os.Chtimes(k.kept(), old, old); err != nil {
		t.Fatal(err)
	}
	if k, err = Open(conf); err != nil || k.Current(now) {
		t.Errorf("an old copy answers after a restart (%v)", err)
	}
	p.records = foreignRecords(t, digested) // older; but then the copy had expired
	if refresh() != 0 {
		t.Error("an expired copy was not replaced")
	}
}

// A primary that accepts and says nothing costs its time, and no more.
func TestSilentPrimary(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if c, err := l.Accept(); err == nil {
			defer c.Close()
			_, _ = c.Read(make([]byte, 1))
			cancel()
			<-t.Context().Done()
		}
	}()
	var stream bytes.Buffer
	if _, err := transfer(ctx, l.Addr().(*net.TCPAddr).AddrPort(), dns.Root, &stream); err == nil {
		t.Error("a transfer out of nothing")
	}
}

func TestZoneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.zone")
	write := func(text string, age time.Duration) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-age)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	write("$TTL 60\ntest. SOA ns.test. h.test. 1 1 1 1 1\n", time.Hour)
	conf := Config{Zone: dns.MustName("test"), File: path}
	if _, err := Open(conf); err == nil || !strings.Contains(err.Error(), "no NS record") || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	write(sample, time.Minute)
	k, err := Open(conf)
	if err != nil {
		t.Fatal(err)
	}
	write(strings.Replace(sample, "host.test. 7", "host.test. 8", 1), time.Second)
	k.pollFile()
	write("test. SOA", 0)
	k.pollFile()
	if m := k.Reply(conf.Zone, dns.TypeSOA, time.Now().Add(10*365*24*time.Hour)); soaField(m.Answer[0], soaSerial) != 8 {
		t.Errorf("serial %d", soaField(m.Answer[0], soaSerial))
	}
	if k.Reply(dns.MustName("example"), dns.TypeA, time.Now()) != nil {
		t.Error("answers for a name outside of the zone")
	}
}

// With a trust anchor a copy has to verify.
func TestValidatedCopy(t *testing.T) {
	all, anchors := signedZone(t, simnet.Signing{})
	_, other := signedZone(t, simnet.Signing{Algorithm: 15})
	for what, c := range map[string]struct {
		anchors []dnssec.Anchor
		records []dns.RR
		fits    bool
	}{
		"its own anchor":    {anchors, all, true},
		"another's anchor":  {other, all, false},
		"a changed SOA":     {anchors, append(records(t, "test. 300 SOA ns.test. host.test. 9 1800 900 604800 60\n"), without(all, dns.TypeSOA)...), false},
		"no anchor at all":  {nil, all, true},
		"an added ZONEMD":   {anchors, append(records(t, "test. 300 ZONEMD 7 240 1 000102030405060708090a0b\n"), all...), false},
		"no keys in a copy": {anchors, without(all, dns.TypeDNSKEY), false},
	} {
		k := &Copy{conf: Config{Zone: dns.MustName("test"), Anchors: c.anchors}}
		if _, err := k.check(c.records, time.Now()); (err == nil) != c.fits {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func without(all []dns.RR, t dns.Type) (out []dns.RR) {
	for _, rr := range all {
		if rr.Type != t {
			out = append(out, rr)
		}
	}
	return out
}

func FuzzReadTransfer(f *testing.F) {
	frame := func(m *mdns.Msg) []byte {
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
	}
	soa, _ := mdns.NewRR("example. 86400 IN SOA ns1.example. admin.example. 2018031900 1800 900 604800 86400")
	ns, _ := mdns.NewRR("example. 86400 IN NS ns1.example.")
	m := &mdns.Msg{MsgHdr: mdns.MsgHdr{Response: true}, Answer: []mdns.RR{soa, ns, soa}}
	f.Add(frame(m))
	f.Add(append(frame(&mdns.Msg{MsgHdr: mdns.MsgHdr{Response: true}, Answer: []mdns.RR{soa}}), frame(m)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		zone := dns.MustName("example")
		all, err := readTransfer(bytes.NewReader(b), zone)
		if err != nil {
			return
		}
		if !isSOA(&all[0], zone) {
			t.Fatal("does not begin with a SOA record")
		}
		z, err := newZone(zone, all)
		if err != nil {
			return
		}
		for _, rr := range all {
			if rr.Name.IsSubdomainOf(zone) {
				z.reply(rr.Name.Canonical(), rr.Type)
				z.reply("\x01x"+rr.Name.Canonical(), dns.TypeA)
			}
		}
	})
}
