package ech

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"net"
	"slices"
	"strings"
	"testing"
)

func key(t testing.TB) *ecdh.PrivateKey {
	t.Helper()
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestWhatIsMadeIsRead: a configuration comes back as it was written, between others.
func TestWhatIsMadeIsRead(t *testing.T) {
	k := key(t)
	c, err := New(7, k.PublicKey(), "dns.example", 12)
	if err != nil {
		t.Fatal(err)
	}
	future := []byte{0xfe, 0x0e, 0, 3, 1, 2, 3}
	all, err := Usable(List(future, c.Bytes(), future))
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	got := all[0]
	if got.ID != 7 || got.PublicName != "dns.example" || got.LongestName != 12 || !bytes.Equal(got.PublicKey, k.PublicKey().Bytes()) ||
		!slices.Equal(got.Suites, []Suite{{1, 1}, {1, 3}}) || !bytes.Equal(got.Bytes(), c.Bytes()) {
		t.Errorf("%+v", got)
	}
	text := Text(List(c.Bytes()))
	if list, err := ParseText(text); err != nil || !bytes.Equal(list, List(c.Bytes())) {
		t.Errorf("%s: %x, %v", text, list, err)
	}
}

// TestForeign reads what another implementation has made: the example of RFC 9849's working
// group, as Go's own tests of crypto/tls have it, and what a web server publishes.
func TestForeign(t *testing.T) {
	list, err := hex.DecodeString("0045fe0d0041590020002092a01233db2218518ccbbbbc24df20686af417b37388de6460e94011974777090004000100010012636c6f7564666c6172652d6563682e636f6d0000")
	if err != nil {
		t.Fatal(err)
	}
	all, err := Usable(list)
	if err != nil || len(all) != 1 || all[0].ID != 0x59 || all[0].PublicName != "cloudflare-ech.com" || all[0].LongestName != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestHandshake: TLS itself takes what is made here, and hides the name.
func TestHandshake(t *testing.T) {
	k := key(t)
	c, err := New(1, k.PublicKey(), "dns.example", 12)
	if err != nil {
		t.Fatal(err)
	}
	client, server := net.Pipe()
	defer client.Close()
	inner := make(chan string, 1)
	go tls.Server(server, &tls.Config{
		EncryptedClientHelloKeys: []tls.EncryptedClientHelloKey{{Config: c.Bytes(), PrivateKey: k.Bytes()}},
		GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			inner <- h.ServerName
			return nil, context.Canceled
		},
	}).Handshake()
	tls.Client(client, &tls.Config{ServerName: "dns2.example", EncryptedClientHelloConfigList: List(c.Bytes())}).Handshake()
	if name := <-inner; name != "dns2.example" {
		t.Errorf("the server reads %q", name)
	}
}

func TestBadListsAreRefused(t *testing.T) {
	c, err := New(1, key(t).PublicKey(), "dns.example", 12)
	if err != nil {
		t.Fatal(err)
	}
	good := List(c.Bytes())
	// change is the list with some octets overwritten.
	change := func(at int, with ...byte) []byte {
		out := slices.Clone(good)
		copy(out[at:], with)
		return out
	}
	p := c
	p.PublicName = "dns"
	for want, list := range map[string][]byte{
		"does not fit":         append(slices.Clone(good), 0),
		"it is empty":          {0, 0},
		"at octet 2 is cut":    change(4, 0xff),
		"do not fit":           change(9, 0xff),
		"mandatory extension":  extended(c, 0x80, 0x01, 0, 0),
		"extensions are cut":   extended(c, 0x00, 0x01, 0, 9),
		"twice":                extended(c, 0, 1, 0, 0, 0, 1, 0, 0),
		"X25519":               change(7, 0x00, 0x10),
		"one label":            List(p.append(nil)),
		"version that is know": {0, 5, 1, 2, 0, 1, 9},
	} {
		if _, err := Usable(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	for _, text := range []string{"", "!", strings.Repeat("A", maxTextualConfig+1), "AAAA"} {
		if list, err := ParseText(text); err == nil {
			t.Errorf("%.8q is read as %x", text, list)
		}
	}
}

// extended is a list of one configuration with extensions.
func extended(c Config, extensions ...byte) []byte {
	raw := c.append(nil)
	raw = append(raw[:len(raw)-2], 0, byte(len(extensions)))
	raw = append(raw, extensions...)
	raw[3] = byte(len(raw) - headerLen)
	return List(raw)
}

func TestPublicNames(t *testing.T) {
	for name, good := range map[string]bool{
		"dns.example": true, "a-b.c9": true, "xn--zckzah.example": true, "dns": false, "": false, "dns..example": false, "192.0.2.1": false,
		"a.0x1f": false, "-a.example": false, "a_b.example": false, "dns.example.": false, strings.Repeat("a", 64) + ".example": false,
		strings.Repeat("abcdefg.", 32) + "example": false,
	} {
		if err := CheckName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// What is wrong with a public name is said in words that mend it.
func TestPublicNamesAreExplained(t *testing.T) {
	for name, want := range map[string]string{"dns.example.": "ends with a dot", "": "is empty", "例え.example": "ASCII", "192.0.2.1": "IPv4", "dns": "one label"} {
		if err := CheckName(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, and not that it %s", name, err, want)
		}
	}
}

// FuzzParse: nothing panics, and what is read is written as it was.
func FuzzParse(f *testing.F) {
	c, err := New(1, key(f).PublicKey(), "dns.example", 12)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(List(c.Bytes()))
	f.Add(List(c.Bytes(), []byte{1, 2, 0, 1, 9}, c.Bytes()))
	f.Add(extended(c, 0, 1, 0, 0))
	f.Fuzz(func(t *testing.T, list []byte) {
		all, err := Parse(list)
		if err != nil {
			return
		}
		for _, c := range all {
			again, err := Parse(List(c.Bytes()))
			if err != nil || len(again) != 1 || again[0].ID != c.ID || again[0].PublicName != c.PublicName || !slices.Equal(again[0].Suites, c.Suites) {
				t.Fatalf("%+v is read again as %+v, %v", c, again, err)
			}
		}
		if _, err := Usable(list); err != nil {
			return
		}
		// What is usable here, TLS can use.
		client, server := net.Pipe()
		server.Close()
		err = tls.Client(client, &tls.Config{ServerName: "a.example", EncryptedClientHelloConfigList: list}).Handshake()
		if err == nil || strings.Contains(err.Error(), "ECH") || strings.Contains(err.Error(), "EncryptedClientHello") {
			t.Fatalf("TLS refuses it: %v", err)
		}
	})
}
