package doq

import (
	"fmt"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// TestLifetimeHidesTheTTL: no lifetime is longer than the TTL, and all have one length in Huffman's code.
func TestLifetimeHidesTheTTL(t *testing.T) {
	want := hpack.HuffmanEncodeLength("max-age=0000000000")
	for ttl, digits := range map[uint32]string{
		0: "0000000000", 1: "0000000001", 10: "0000000010", 60: "0000000022", 300: "0000000222", 129: "0000000122",
		3599: "0000002222", 86400: "0000022222", 2147483647: "2122222222", 4294967295: "2222222222", 2019: "0000002012",
	} {
		got := lifetime(ttl)
		if got != "max-age="+digits || hpack.HuffmanEncodeLength(got) != want {
			t.Errorf("%d: %s of %d octets, want %s of %d", ttl, got, hpack.HuffmanEncodeLength(got), digits, want)
		}
		if asked := fmt.Sprintf("max-age=%010d", ttl); got > asked {
			t.Errorf("%s is longer than %s", got, asked)
		}
	}
}
