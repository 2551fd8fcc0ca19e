//go:build !race

package dnssec

import (
	"testing"

	foreign "github.com/miekg/dns"
)

// The race detector has sync.Pool forget at random, so this is not run under it.

// The package's own part of a verification allocates nothing.
func TestVerifyRRsetAllocations(t *testing.T) {
	k := newKey(t, "example.", foreign.ED25519, 256)
	v, keys := New(Config{}), k.keys(t)
	keys.keys[0].public = null{}
	rrs := k.signed(t, "WWW.example. 300 IN MX 10 Mail.example.", "www.example. 300 IN MX 5 Mail.example.")
	w := new(Work)
	if n := testing.AllocsPerRun(1000, func() {
		w.verifications.Store(0)
		if r := v.VerifyRRset(keys, rrs[:2], rrs, testNow, w); !r.Status.IsSecure() {
			t.Fatal(r.Status)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
