package resolve

import (
	"context"
	"errors"
	"net/netip"
	"testing"
)

// refuser answers every query with REFUSED, as a network does that keeps port 53 to itself.
type refuser struct{}

func (refuser) Exchange(_ context.Context, _ netip.Addr, _ uint16, _ bool, query []byte, accept func([]byte) bool) error {
	reply := append([]byte(nil), query...)
	reply[2] |= 0x80 // QR
	reply[3] = reply[3]&0xf0 | 5
	if !accept(reply) {
		return context.DeadlineExceeded
	}
	return nil
}

func TestPrimeTellsRootServersFromAnotherAnswerer(t *testing.T) {
	r := New(Config{Network: refuser{}, Memory: newMemory()})
	if err := r.Prime(t.Context()); !errors.Is(err, errUnprimed) {
		t.Errorf("error %v", err)
	}
}
