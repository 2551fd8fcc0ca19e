package rogue

import (
	"bytes"
	"testing"
)

func TestNumbers(t *testing.T) {
	for _, n := range []uint64{0, 63, 64, 16383, 16384, 1<<30 - 1, 1 << 30, 1<<62 - 1} {
		got, rest, ok := readNumber(append(AppendNumber(nil, n), 7))
		if !ok || got != n || !bytes.Equal(rest, []byte{7}) {
			t.Errorf("%d: %d, % x, %t", n, got, rest, ok)
		}
	}
}

// What is protected is read again, and not if an octet was changed.
func TestPackets(t *testing.T) {
	client, _, err := initialKeys([]byte("12345678"))
	if err != nil {
		t.Fatal(err)
	}
	header := longHeader(kindInitial, []byte("12345678"), []byte("abcdefgh"), nil, 20)
	packet := client.protect(nil, header, 7, bytes.Repeat([]byte{1}, 20))
	changed := bytes.Clone(packet)
	changed[len(changed)-1] ^= 1
	frames, number, err := client.open(packet, len(header))
	if err != nil || number != 7 || len(frames) != 20 {
		t.Errorf("%v, number %d, %d octets", err, number, len(frames))
	}
	if _, _, err := client.open(changed, len(header)); err == nil {
		t.Error("a packet that was changed is read")
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(Stream(nil, 4, []byte("data"), true))
	f.Add(NewID(nil, 3, 2))
	f.Add(Acknowledge(cryptoFrame([]byte("hello")), 9))
	f.Add(Numbers(nil, FrameClose, 10, 0, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		octets := 0
		parseFrames(b, func(f frame) { octets += len(f.data) })
		if octets > len(b) {
			t.Fatalf("%d octets of data in %d", octets, len(b))
		}
	})
}
