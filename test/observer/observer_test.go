package main

import (
	"context"
	"crypto/ecdh"
	cryptorand "crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/shoji-dns/shoji/internal/ech"
)

// sessions makes examples of noise, with a difference between the views in one feature.
func sessions(n int, difference float64, rng *rand.Rand) (out []example) {
	for i := range n {
		e := example{make([]float64, wide), i%2 == 0}
		for f := range e.x {
			e.x[f] = rng.NormFloat64()
		}
		if e.filtered {
			e.x[5] += difference
		}
		out = append(out, e)
	}
	return out
}

// TestClassifier: what differs is found, by what it differs in; what does not differ is not.
func TestClassifier(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct {
		difference, low, high float64
	}{{8, 0.95, 1}, {1, 0.2, 0.45}, {0, -0.1, 0.1}} {
		r := summarise(way{name: "test"}, sessions(1000, c.difference, rng), rng)
		if r.Advantage < c.low || r.Advantage > c.high || r.Low > r.Advantage || r.High < r.Advantage {
			t.Errorf("difference %v: %+v", c.difference, r)
		}
		if (c.difference > 0) != (r.Tell == "octets in") || (c.difference > 0) == r.hidden() {
			t.Errorf("difference %v: hidden %t, looked at %s", c.difference, r.hidden(), r.Tell)
		}
	}
}

// TestJudge: a test that saw nothing where nothing is hidden fails.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		r      result
		strict bool
		fails  bool
	}{
		{result{Low: 0.9}, false, false}, {result{Low: 0.1}, false, true},
		{result{Protected: true, Low: -0.01}, true, false}, {result{Protected: true, Low: 0.01}, true, true},
		{result{Protected: true, Low: 0.01}, false, false}, {result{Protected: true, Low: 0.5}, false, true},
	} {
		if err := judge([]result{c.r}, c.strict); (err != nil) != c.fails {
			t.Errorf("%+v, strict %t: %v", c.r, c.strict, err)
		}
	}
}

// frame is an Ethernet frame with UDP in it.
func frame(out bool, payload string) []byte {
	f := make([]byte, 14+20+8, 14+20+8+len(payload))
	f[12], f[13] = 8, 0
	ip := f[14:]
	ip[0], ip[9] = 0x45, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(28+len(payload)))
	client, server := netip.MustParseAddr(clientSide).As4(), netip.MustParseAddr("198.18.77.1").As4()
	if !out {
		client, server = server, client
	}
	copy(ip[12:], client[:])
	copy(ip[16:], server[:])
	ports := []uint16{40000, 53}
	if !out {
		ports = []uint16{53, 40000}
	}
	binary.BigEndian.PutUint16(ip[20:], ports[0])
	binary.BigEndian.PutUint16(ip[22:], ports[1])
	return append(f, payload...)
}

func TestFeatures(t *testing.T) {
	t0 := time.Unix(100, 0)
	ask, ok1 := read(frame(true, "for dns1.example"), t0)
	reply, ok2 := read(frame(false, "four"), t0.Add(time.Second))
	if !ok1 || !ok2 || !ask.out || reply.out || ask.server != netip.MustParseAddrPort("198.18.77.1:53") || reply.server != ask.server || ask.client != 40000 {
		t.Fatalf("%+v %+v", ask, reply)
	}
	f := seen{ask, reply}.features()
	for i, want := range map[int]float64{1: 1, 2: 1, 3: 1, 4: 16, 5: 4, 10: 1, 11: 1, 12: 1, 13: 1, 14: 1, sums: 16, sums + 1: 4, sums + head + 1: 1, sums + 2*head + 1: 2} {
		if f[i] != want {
			t.Errorf("%s: %v, want %v", featureName(i), f[i], want)
		}
	}
	for _, bad := range [][]byte{nil, frame(true, "")[:30], append(frame(true, "")[:14], 0x60)} {
		if p, ok := read(bad, t0); ok {
			t.Errorf("%x is read as %+v", bad, p)
		}
	}
}

func TestPaddedQueries(t *testing.T) {
	for _, q := range append(browsing{}.ordinary(), browsing{}.session(rand.New(rand.NewPCG(1, 1)))...) {
		m, err := message(1, q, true)
		if err != nil || len(m)%128 != 0 {
			t.Errorf("%s: %d octets, %v", q.name, len(m), err)
		}
	}
}

// TestQUICNames: the name in a QUIC client's first packets is read where it is said, however they are
// cut, and is not where it is encrypted.
func TestQUICNames(t *testing.T) {
	private, err := ecdh.X25519().GenerateKey(cryptorand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := ech.New(1, private.PublicKey(), "dns1.example", 12)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name           string
		list           []byte
		filtered, twin bool
	}{{"dns1.example", nil, true, false}, {"dns2.example", nil, false, true}, {"dns2.example", ech.List(hidden.Bytes()), true, false}} {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ctx, cancel := context.WithCancel(t.Context())
		go quic.DialAddr(ctx, conn.LocalAddr().String(), &tls.Config{ServerName: c.name, NextProtos: []string{"doq"}, EncryptedClientHelloConfigList: c.list}, nil)
		var s seen
		for filtered, twin := false, false; !filtered && !twin; filtered, twin = named(s.greetings()[1]) {
			b := make([]byte, 2000)
			n, err := conn.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			if s = append(s, packet{client: 1, out: true, initial: b[:n]}); len(s) > 100 {
				t.Fatalf("%s: no name in 100 packets", c.name)
			}
		}
		cancel()
		if filtered, twin := named(s.greetings()[1]); filtered != c.filtered || twin != c.twin {
			t.Errorf("%s, encrypted %t: filtered %t, twin %t", c.name, c.list != nil, filtered, twin)
		}
	}
}

// FuzzInitial: nothing panics, and what is read lies in a ClientHello.
func FuzzInitial(f *testing.F) {
	f.Add([]byte{0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x14, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3})
	f.Add([]byte{6, 0, 2, 1, 1, 0, 2, 1, 0, 0, 0, 6, 0x40, 0x10, 1, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		seen{{initial: b}, {initial: b}}.greetings()
		for _, f := range cryptoFrames(b) {
			if f.at+len(f.data) > maxHello || len(f.data) > len(b) {
				t.Fatalf("%d octets at %d", len(f.data), f.at)
			}
		}
	})
}

func FuzzFrame(f *testing.F) {
	f.Add(frame(true, "x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := read(b, time.Time{}); ok {
			if p.payload < 0 || p.payload > len(b) {
				t.Errorf("%d octets of payload in %d", p.payload, len(b))
			}
			seen{p, p}.features()
		}
	})
}
