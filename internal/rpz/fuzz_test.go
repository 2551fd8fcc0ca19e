package rpz

import (
	"net/netip"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
)

// FuzzRequest sends a server what strangers can send it: whatever that is, the reply is
// well-formed, of few messages, and never the zone where only the key opens it.
func FuzzRequest(f *testing.F) {
	w := newWorld()
	w.change("+a.test", "+*.b.test")
	z, open := serveWorld(f, w, Sinkhole)
	z.take(f.Context(), w.publish())
	k := testKey(f, "key.test", "hmac-sha256")
	closed, err := Listen(ServerConfig{Zone: z, Keys: []*Key{k}, Allow: []Grant{{From: netip.MustParsePrefix("::/0"), Key: k}, {From: netip.MustParsePrefix("0.0.0.0/0"), Key: k}}})
	if err != nil {
		f.Fatal(err)
	}
	for _, typ := range []uint16{mdns.TypeAXFR, mdns.TypeIXFR, mdns.TypeSOA, mdns.TypeTSIG} {
		m := new(mdns.Msg)
		m.SetQuestion(testOrigin, typ)
		if typ == mdns.TypeIXFR {
			m.SetIxfr(testOrigin, 1, ".", ".")
		}
		raw, _ := m.Pack()
		f.Add(raw)
		m.SetEdns0(1232, false)
		m.SetTsig("key.test.", mdns.HmacSHA256, 300, time.Now().Unix())
		raw, _, _ = mdns.TsigGenerate(m, testSecret, "", false)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > MaxRequest {
			return
		}
		for _, s := range []*Server{open, closed} {
			for _, stream := range []bool{true, false} {
				sent := 0
				x := &exchange{stream: stream, turn: s.turn, done: func() { <-s.turns }, write: func(b []byte) error {
					var r mdns.Msg
					if err := r.Unpack(b); err != nil {
						t.Fatalf("reply: %v", err)
					}
					if sent++; s == closed && len(r.Answer) > 0 && (r.IsTsig() == nil || r.IsTsig().MACSize == 0) {
						t.Fatalf("the zone without a key: %v", &r)
					}
					if !stream && len(b) > maxDatagram+len(raw) {
						t.Fatalf("%d octets for %d", len(b), len(raw))
					}
					return nil
				}}
				_ = s.answer(t.Context(), raw, netip.MustParseAddr("192.0.2.1"), x)
				if sent > 1 {
					t.Fatalf("%d messages", sent)
				}
			}
		}
	})
}
