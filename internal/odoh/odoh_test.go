package odoh

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/binary"
	"errors"
	"testing"
)

func newKey(t testing.TB) *Key {
	t.Helper()
	k, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A query and its reply come through, in every suite; what is seen of them has one length for messages of one
// block.
func TestRoundTrip(t *testing.T) {
	for _, curve := range []ecdh.Curve{ecdh.X25519(), ecdh.P256(), ecdh.P384(), ecdh.P521()} {
		for kdf := uint16(1); kdf <= 3; kdf++ {
			for aead := uint16(1); aead <= 2; aead++ {
				private, err := hpke.DHKEM(curve).GenerateKey()
				if err != nil {
					t.Fatal(err)
				}
				k, err := keyOf(private, kdf, aead)
				if err != nil {
					t.Fatal(err)
				}
				trip(t, Keys{newKey(t), k}, 1)
			}
		}
	}
}

// trip sends messages of several lengths through the key of a place.
func trip(t *testing.T, ks Keys, at int) {
	t.Helper()
	c, err := ParseConfigs(ks[at:].Configs())
	if err != nil {
		t.Fatal(err)
	}
	lengths := make(map[[2]int][2]int)
	for _, n := range [][2]int{{1, 1}, {33, 200}, {128, 468}, {129, 469}, {MaxMessage, MaxMessage}} {
		query, reply := bytes.Repeat([]byte{7}, n[0]), bytes.Repeat([]byte{9}, n[1])
		sealed, asked, err := c.Seal(query)
		if err != nil {
			t.Fatal(err)
		}
		o, err := ks.Open(sealed)
		if err != nil || !bytes.Equal(o.Message, query) {
			t.Fatalf("a query of %d octets: %v", n[0], err)
		}
		back, err := o.Seal(reply)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := asked.Open(back); err != nil || !bytes.Equal(got, reply) {
			t.Fatalf("a reply of %d octets: %v", n[1], err)
		}
		blocks := [2]int{(n[0] + QueryBlock - 1) / QueryBlock, (n[1] + ReplyBlock - 1) / ReplyBlock}
		seen := [2]int{len(sealed), len(back)}
		if before, ok := lengths[blocks]; ok && before != seen {
			t.Errorf("%v octets: %v are seen, and %v for others of as many blocks", n, seen, before)
		}
		lengths[blocks] = seen
	}
}

// A key that was written is read as the same key.
func TestKeyIsKept(t *testing.T) {
	k := newKey(t)
	b, err := k.Bytes()
	if err != nil || len(b) != 32 {
		t.Fatalf("%d octets, %v", len(b), err)
	}
	again, err := ParseKey(b)
	if err != nil || !bytes.Equal(Keys{k}.Configs(), Keys{again}.Configs()) {
		t.Fatalf("another key: %v", err)
	}
	for _, bad := range [][]byte{nil, b[1:], append(b, 0)} {
		if _, err := ParseKey(bad); err == nil {
			t.Errorf("%d octets are a key", len(bad))
		}
	}
}

// A stale or foreign key is told from a message that does not decrypt; nothing cut, changed or
// of the wrong kind is opened.
func TestBadQueries(t *testing.T) {
	k, other := newKey(t), newKey(t)
	sealed, _, err := k.Seal([]byte("a query"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (Keys{other}).Open(sealed); !errors.Is(err, ErrKey) {
		t.Errorf("another key: %v", err)
	}
	if _, err := (Keys{}).Open(sealed); !errors.Is(err, ErrKey) {
		t.Errorf("no key: %v", err)
	}
	renamed := bytes.Clone(sealed) // the right name with a ciphertext for another key
	copy(renamed[3:], other.id)
	if _, err := (Keys{other}).Open(renamed); !errors.Is(err, ErrMessage) {
		t.Errorf("a ciphertext for another key: %v", err)
	}
	for n := range sealed {
		if _, err := (Keys{k}).Open(sealed[:n]); err == nil {
			t.Errorf("cut to %d octets", n)
		}
		flipped := bytes.Clone(sealed)
		flipped[n] ^= 1
		if _, err := (Keys{k}).Open(flipped); err == nil {
			t.Errorf("octet %d changed", n)
		}
	}
	if _, err := (Keys{k}).Open(append(bytes.Clone(sealed), 0)); err == nil {
		t.Error("an octet more")
	}
	zero := bytes.Clone(sealed) // a point that leads to a secret of zeros (RFC 9180 §7.1.4)
	clear(zero[1+2+32+2:][:32])
	if _, err := (Keys{k}).Open(zero); !errors.Is(err, ErrMessage) {
		t.Errorf("a point of low order: %v", err)
	}
	for _, message := range [][]byte{nil, make([]byte, MaxMessage+1)} {
		if _, _, err := k.Seal(message); !errors.Is(err, ErrLength) {
			t.Errorf("%d octets: %v", len(message), err)
		}
	}
}

// A reply is for the one query that it answers: not for another, not for the same one
// encrypted again, and not with anything changed. A replayed query gets a reply that only who asked can read.
func TestBadReplies(t *testing.T) {
	k := newKey(t)
	sealed, asked, err := k.Seal([]byte("a query"))
	if err != nil {
		t.Fatal(err)
	}
	_, twin, err := k.Seal([]byte("a query"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := Keys{k}.Open(sealed)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := o.Seal([]byte("a reply"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := twin.Open(reply); !errors.Is(err, ErrMessage) {
		t.Errorf("the reply to another query: %v", err)
	}
	for n := range reply {
		flipped := bytes.Clone(reply)
		flipped[n] ^= 1
		for _, bad := range [][]byte{reply[:n], flipped} {
			if _, err := asked.Open(bad); !errors.Is(err, ErrMessage) {
				t.Errorf("octet %d: %v", n, err)
			}
		}
	}
	if _, err := asked.Open(sealed); !errors.Is(err, ErrMessage) {
		t.Errorf("the query itself: %v", err)
	}
	again, err := Keys{k}.Open(sealed)
	if err != nil {
		t.Fatal(err)
	}
	second, err := again.Seal([]byte("a reply"))
	if err != nil || bytes.Equal(second, reply) {
		t.Errorf("a replay gets the same octets: %v", err)
	}
	if _, err := o.Seal(make([]byte, MaxMessage+1)); !errors.Is(err, ErrLength) {
		t.Errorf("a reply too long: %v", err)
	}
}

// Padding that is not zeros is refused, at both ends (RFC 9230 §6.1).
func TestPaddingIsZeros(t *testing.T) {
	for text, want := range map[string]bool{
		"\x00\x01x\x00\x00": true, "\x00\x01x\x00\x02\x00\x00": true, "\x00\x01x\x00\x02\x00\x01": false,
		"\x00\x00\x00\x00": false, "\x00\x01x": false, "\x00\x01x\x00\x01": false, "\x00\x01x\x00\x00\x00": false, "": false,
	} {
		if _, ok := cutPlain([]byte(text)); ok != want {
			t.Errorf("%q: %t", text, ok)
		}
	}
}

// Of what a target publishes the first that is understood is taken.
func TestParseConfigs(t *testing.T) {
	k := newKey(t)
	good := k.contents
	config := func(version uint16, contents []byte) []byte {
		return appendField(binary.BigEndian.AppendUint16(nil, version), contents)
	}
	with := func(kem, kdf, aead byte) []byte {
		c := bytes.Clone(good)
		c[1], c[3], c[5] = kem, kdf, aead
		return c
	}
	unknown := bytes.Join([][]byte{config(2, []byte("?")), config(1, with(0x21, 1, 1)), config(1, with(0x20, 9, 1)), config(1, with(0x20, 1, 3)), config(1, nil), config(1, good[:20])}, nil)
	for what, c := range map[string]struct {
		b  []byte
		ok bool
	}{
		"one":                 {appendField(nil, config(1, good)), true},
		"after unknown ones":  {appendField(nil, append(bytes.Clone(unknown), config(1, good)...)), true},
		"unknown ones":        {appendField(nil, unknown), false},
		"nothing":             {nil, false},
		"an empty list":       {[]byte{0, 0}, false},
		"an octet more":       {append(appendField(nil, config(1, good)), 0), false},
		"a list cut off":      {appendField(nil, config(1, good))[:20], false},
		"a config cut off":    {appendField(nil, config(1, good)[:20]), false},
		"octets after a key":  {appendField(nil, config(1, append(bytes.Clone(good), 0))), false},
		"more than looked at": {appendField(nil, append(bytes.Repeat(config(2, nil), maxConfigs), config(1, good)...)), false},
	} {
		got, err := ParseConfigs(c.b)
		if (err == nil) != c.ok || c.ok && !bytes.Equal(got.id, k.id) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzConfigs(f *testing.F) {
	f.Add(Keys{newKey(f)}.Configs())
	f.Add([]byte{0, 4, 0, 1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseConfigs(b)
		if err != nil {
			return
		}
		if sealed, _, err := c.Seal([]byte("?")); err == nil && len(sealed) < QueryBlock {
			t.Errorf("%d octets", len(sealed))
		}
	})
}

func FuzzOpen(f *testing.F) {
	k := newKey(f)
	sealed, asked, err := k.Seal([]byte("a query"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte{1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := Keys{k}.Open(b)
		if err == nil && !bytes.Equal(b, sealed) {
			t.Errorf("opened: %x", o.Message)
		}
		if m, err := asked.Open(b); err == nil {
			t.Errorf("a reply: %x", m)
		}
	})
}

// FuzzPlain reads what is inside, which whoever knows the public key can write.
func FuzzPlain(f *testing.F) {
	f.Add(plain([]byte("a query"), QueryBlock))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := cutPlain(b); ok && (len(m) == 0 || len(m) > len(b)-2*lengthLen) {
			t.Errorf("%d octets of %d", len(m), len(b))
		}
	})
}
