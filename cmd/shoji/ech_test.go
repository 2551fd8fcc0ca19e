package main

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/credential"
	"github.com/shoji-dns/shoji/internal/discovery"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/serve"
)

// TestNewKeyIsTold: when a key is made while serve runs, both views tell of it at once, and of
// all else as before.
func TestNewKeyIsTold(t *testing.T) {
	conf, err := config.Parse([]byte("encrypted: {dot: ['192.0.2.1:853'], doh: ['192.0.2.1:443'], filtered: {name: dns1.example}, unfiltered: {name: dns2.example}}"))
	if err != nil {
		t.Fatal(err)
	}
	conf.State = t.TempDir()
	n := &node{conf: conf, log: slog.New(slog.DiscardHandler), around: &surroundings{}}
	if err := n.openECH(); err != nil {
		t.Fatal(err)
	}
	own, err := ownAnswers(conf, nil, false, conf.Encrypted.Unfiltered, n.echList())
	if err != nil {
		t.Fatal(err)
	}
	n.filtered, n.unfiltered = serve.New(serve.Config{Local: own.Local}), serve.New(serve.Config{Local: own.Local})
	other, err := credential.OpenECH(credential.ECHConfig{Folder: t.TempDir(), PublicName: "dns1.example", Every: 1, Old: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]byte{n.echList(), other.List()} {
		if err := n.tell(nil, list); err != nil {
			t.Fatal(err)
		}
		for i, s := range []*serve.Server{n.filtered, n.unfiltered} {
			for _, q := range []struct {
				name  string
				t     dns.Type
				count int
			}{{discovery.Name, dns.TypeSVCB, 2}, {"_dns.dns1.example", dns.TypeSVCB, 2}, {"_dns.dns2.example", dns.TypeSVCB, 2}, {"dns1.example", dns.TypeHTTPS, 1}, {"dns2.example", dns.TypeHTTPS, 1}} {
				m := hit(t, s, q.name, q.t)
				if len(m.Answer) != q.count {
					t.Errorf("view %d, %s: %v", i, q.name, m.Answer)
				}
				for _, r := range m.Answer {
					if told, ok := discovery.ECH(r); !ok || !bytes.Equal(told, list) {
						t.Errorf("view %d: %s tells %x", i, r, told)
					}
				}
			}
		}
	}
}

// hit asks a view from memory.
func hit(t *testing.T, s *serve.Server, name string, rtype dns.Type) dns.Message {
	t.Helper()
	packet, err := (&dns.Message{Flags: dns.FlagRD, Question: []dns.Question{{Name: dns.MustName(name), Type: rtype, Class: dns.ClassIN}}}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	var q dns.Query
	if err := q.Parse(packet); err != nil {
		t.Fatal(err)
	}
	q.MaxReply = 65535
	out, ok := s.Hit(&q, nil)
	var m dns.Message
	if err := m.Unpack(out); !ok || err != nil {
		t.Fatalf("%s: %t, %v", name, ok, err)
	}
	return m
}
