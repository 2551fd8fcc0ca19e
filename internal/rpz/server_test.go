package rpz

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
)

const testSecret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

func testKey(t testing.TB, name, algorithm string) *Key {
	t.Helper()
	k, err := NewKey(name, algorithm, testSecret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// listenWorld is a running server of a zone with n names.
func listenWorld(t *testing.T, n int, cfg ServerConfig) (*Server, string) {
	t.Helper()
	w := newWorld()
	for i := range n {
		w.change(fmt.Sprintf("+n%d.test", i))
	}
	z, err := New(Config{Content: content(Sinkhole), Walk: w.walk})
	if err != nil {
		t.Fatal(err)
	}
	z.take(t.Context(), w.publish())
	cfg.Zone, cfg.Listen = z, []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	s, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, s.Addrs()[0].String()
}

// axfr transfers the zone as another implementation does, and counts what came.
func axfr(server, key, algorithm, secret string) (messages, records int, err error) {
	m := new(mdns.Msg)
	m.SetAxfr(testOrigin)
	tr := &mdns.Transfer{DialTimeout: time.Minute, ReadTimeout: time.Minute, WriteTimeout: time.Minute}
	if key != "" {
		m.SetTsig(key, algorithm, 300, time.Now().Unix())
		tr.TsigSecret = map[string]string{key: secret}
	}
	envelopes, err := tr.In(m, server)
	if err != nil {
		return 0, 0, err
	}
	for e := range envelopes {
		if e.Error != nil {
			err = e.Error
			continue
		}
		messages++
		records += len(e.RR)
	}
	return messages, records, err
}

// A zone of many messages, each of them signed.
func TestSignedTransfer(t *testing.T) {
	for _, algorithm := range []string{mdns.HmacSHA256, mdns.HmacSHA512} {
		k := testKey(t, "Key.test", strings.TrimSuffix(algorithm, "."))
		_, at := listenWorld(t, 3000, ServerConfig{Keys: []*Key{k}, Allow: []Grant{{From: netip.MustParsePrefix("127.0.0.0/8"), Key: k}}})
		messages, records, err := axfr(at, "key.test.", algorithm, testSecret)
		if err != nil || messages < 4 || records != 3+2*3000 {
			t.Errorf("%s: %d messages, %d records, %v", algorithm, messages, records, err)
		}
	}
}

// Who has not the key, or is not at an address that may ask, gets nothing.
func TestAccess(t *testing.T) {
	k, other := testKey(t, "key.test", "hmac-sha256"), testKey(t, "other.test", "hmac-sha256")
	local := netip.MustParsePrefix("127.0.0.0/8")
	wrong := base64.StdEncoding.EncodeToString([]byte("not the secret, but as long as it"))
	const closed = "EOF|reset|broken pipe|aborted" // as the moment and the system have it
	for _, c := range []struct {
		what                   string
		grants                 []Grant
		key, algorithm, secret string
		want                   string // of the error; "": none
	}{
		{"unsigned, no key needed", []Grant{{From: local}}, "", "", "", ""},
		{"signed, no key needed", []Grant{{From: local}}, "key.test.", mdns.HmacSHA256, testSecret, ""},
		{"another key's grant beside it", []Grant{{From: local, Key: other}, {From: local, Key: k}}, "key.test.", mdns.HmacSHA256, testSecret, ""},
		{"unsigned, key needed", []Grant{{From: local, Key: k}}, "", "", "", "bad xfr rcode: 5"},
		{"another key", []Grant{{From: local, Key: other}}, "key.test.", mdns.HmacSHA256, testSecret, "bad xfr rcode: 5"},
		{"wrong secret", []Grant{{From: local}}, "key.test.", mdns.HmacSHA256, wrong, "bad"},
		{"unknown key", []Grant{{From: local}}, "unknown.test.", mdns.HmacSHA256, testSecret, "bad"},
		{"the key's other algorithm", []Grant{{From: local}}, "key.test.", mdns.HmacSHA512, testSecret, "bad"},
		{"another prefix", []Grant{{From: netip.MustParsePrefix("192.0.2.0/24")}}, "", "", "", closed},
		{"nobody", nil, "key.test.", mdns.HmacSHA256, testSecret, closed},
	} {
		_, at := listenWorld(t, 1, ServerConfig{Keys: []*Key{k, other}, Allow: c.grants})
		_, records, err := axfr(at, c.key, c.algorithm, c.secret)
		switch {
		case c.want == "":
			if err != nil || records != 5 {
				t.Errorf("%s: %d records, %v", c.what, records, err)
			}
		case err == nil || records != 0 || !regexp.MustCompile(c.want).MatchString(err.Error()):
			t.Errorf("%s: %d records, %v", c.what, records, err)
		}
	}
}

// What a request with a bad signature is told (RFC 8945 §5.2).
func TestSignatureErrors(t *testing.T) {
	k := testKey(t, "key.test", "hmac-sha256")
	_, at := listenWorld(t, 1, ServerConfig{Keys: []*Key{k}, Allow: everybody})
	for _, c := range []struct {
		key, secret string
		ago         time.Duration
		want        uint16
	}{
		{"key.test.", testSecret, time.Hour, mdns.RcodeBadTime},
		{"other.test.", testSecret, 0, mdns.RcodeBadKey},
		{"key.test.", base64.StdEncoding.EncodeToString([]byte("some other secret")), 0, mdns.RcodeBadSig},
	} {
		m := new(mdns.Msg)
		m.SetQuestion(testOrigin, mdns.TypeSOA)
		m.SetTsig(c.key, mdns.HmacSHA256, 300, time.Now().Add(-c.ago).Unix())
		raw, _, err := mdns.TsigGenerate(m, c.secret, "", false)
		if err != nil {
			t.Fatal(err)
		}
		r := overUDP(t, at, raw)
		if sig := r.IsTsig(); r.Rcode != mdns.RcodeNotAuth || len(r.Answer) != 0 || sig == nil || sig.Error != c.want || (sig.MACSize != 0) != (c.want == mdns.RcodeBadTime) {
			t.Errorf("%d: %v", c.want, r)
		}
	}
}

// overUDP asks over UDP.
func overUDP(t *testing.T, at string, raw []byte) *mdns.Msg {
	t.Helper()
	c, err := net.Dial("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := c.Write(raw); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 65535)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	r := new(mdns.Msg)
	if err := r.Unpack(buf[:n]); err != nil {
		t.Fatal(err)
	}
	return r
}

// An address can hold only so many connections, and gets new ones when it ends old ones.
func TestConnectionsAreBounded(t *testing.T) {
	_, at := listenWorld(t, 1, ServerConfig{Allow: everybody})
	dial := func() net.Conn {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(time.Minute))
		t.Cleanup(func() { c.Close() })
		return c
	}
	var held []net.Conn
	for range MaxConnectionsEach {
		held = append(held, dial())
	}
	if _, err := dial().Read(make([]byte, 1)); err == nil {
		t.Error("one more connection was taken")
	}
	for _, c := range held {
		c.Close()
	}
	for {
		if _, records, err := axfr(at, "", "", ""); err == nil && records == 5 {
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("no connection is taken again")
		}
	}
}

// A request that is longer than any can be ends the connection before it is read.
func TestLongRequest(t *testing.T) {
	_, at := listenWorld(t, 1, ServerConfig{Allow: everybody})
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	c.Write([]byte{0xff, 0xff, 0})
	if b, err := io.ReadAll(c); len(b) > 0 {
		t.Errorf("%d octets, %v", len(b), err)
	}
}

// One who does not read its transfer keeps one turn and no more: others get theirs, until
// all turns are kept, and then they wait.
func TestOneWhoDoesNotRead(t *testing.T) {
	w := newWorld()
	w.change("+a.test")
	z, s := serveWorld(t, w, Sinkhole)
	z.take(t.Context(), w.publish())
	m := new(mdns.Msg)
	m.SetAxfr(testOrigin)
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	release, ended := make(chan struct{}), make(chan error)
	stuck := func() {
		writing := make(chan struct{})
		go func() {
			ended <- s.answer(t.Context(), raw, netip.MustParseAddr("127.0.0.1"), &exchange{stream: true, turn: s.turn, done: func() { <-s.turns }, write: func([]byte) error {
				close(writing)
				<-release
				return net.ErrClosed
			}})
		}()
		<-writing
	}
	for range MaxTransfers - 1 {
		stuck()
		if rrs := records(t, ask(t, s, true, m)); len(rrs) != 5 {
			t.Errorf("the other one: %v", rrs)
		}
	}
	stuck()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = s.answer(ctx, raw, netip.MustParseAddr("127.0.0.1"), &exchange{stream: true, turn: s.turn, done: func() { <-s.turns }, write: func([]byte) error {
		t.Error("one transfer too many")
		return nil
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	close(release)
	for range MaxTransfers {
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a stuck one ended with %v", err)
		}
	}
	if rrs := records(t, ask(t, s, true, m)); len(rrs) != 5 {
		t.Errorf("when all have ended: %v", rrs)
	}
}

// A secondary is told of a new list, by a signed message, and its confirmation is told from
// what others send.
func TestNotify(t *testing.T) {
	k := testKey(t, "key.test", "hmac-sha256")
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	u.SetDeadline(time.Now().Add(time.Minute))
	w := newWorld()
	w.change("+a.test")
	z, err := New(Config{Content: content(Sinkhole), Walk: w.walk, Notify: []Secondary{{To: u.LocalAddr().(*net.UDPAddr).AddrPort(), Key: k}}})
	if err != nil {
		t.Fatal(err)
	}
	z.take(t.Context(), w.publish())
	told := make(chan error)
	go func() { told <- z.notifyOnce(t.Context(), &z.cfg.Notify[0], z.now.Load()) }()
	buf := make([]byte, 65535)
	n, from, err := u.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	var m mdns.Msg
	if err := m.Unpack(buf[:n]); err != nil {
		t.Fatal(err)
	}
	mac := m.IsTsig().MAC
	if err := mdns.TsigVerify(buf[:n], testSecret, "", false); err != nil || m.Opcode != mdns.OpcodeNotify || !m.Authoritative || m.Answer[0].(*mdns.SOA).Serial != 1 {
		t.Fatalf("%v: %v", err, m)
	}
	reply := func(secret string, rcode int) {
		r := new(mdns.Msg)
		r.SetRcode(&m, rcode)
		if secret != "" {
			r.SetTsig("key.test.", mdns.HmacSHA256, 300, time.Now().Unix())
			raw, _, err := mdns.TsigGenerate(r, secret, mac, false)
			if err != nil {
				t.Fatal(err)
			}
			u.WriteTo(raw, from)
			return
		}
		raw, _ := r.Pack()
		u.WriteTo(raw, from)
	}
	u.WriteTo([]byte("noise"), from)
	reply("", mdns.RcodeSuccess)
	reply(base64.StdEncoding.EncodeToString([]byte("guessed")), mdns.RcodeSuccess)
	reply(testSecret, mdns.RcodeRefused)
	if err := <-told; err == nil || !strings.Contains(err.Error(), "REFUSED") {
		t.Errorf("it ended with %v", err)
	}
}

// Keys that cannot be used are refused without telling their secret.
func TestKeys(t *testing.T) {
	for _, c := range [][3]string{
		{"key.test", "hmac-md5", testSecret}, {"key.test", "hmac-sha256", "no base64!"}, {"key.test", "hmac-sha256", "c2hvcnQ="},
		{".", "hmac-sha256", testSecret}, {"a..b", "hmac-sha256", testSecret},
	} {
		if _, err := NewKey(c[0], c[1], c[2]); err == nil || strings.Contains(err.Error(), c[2]) {
			t.Errorf("%v: %v", c, err)
		}
	}
	k := testKey(t, "key.test", "HMAC-SHA512.")
	if k.Name() != "key.test." {
		t.Error(k.Name())
	}
	if _, err := Listen(ServerConfig{Keys: []*Key{k, k}}); err == nil {
		t.Error("two keys of one name are taken")
	}
}
