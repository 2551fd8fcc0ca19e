package simnet_test

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// A root with one delegation, signed, and one question put to its server.
func Example() {
	signing := &simnet.Signing{
		Inception:  time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		Expiration: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC),
	}
	tree, err := simnet.Build(1,
		simnet.Spec{Origin: ".", Text: "test. NS ns.test.\nns.test. A 198.18.0.53", Signing: signing},
		simnet.Spec{Origin: "test.", Text: "@ NS ns\nns A 198.18.0.53\nwww A 192.0.2.1", Signing: signing})
	if err != nil {
		fmt.Println(err)
		return
	}
	in := simnet.New(1)
	root := netip.MustParseAddr("198.18.0.1")
	in.Serve([]*simnet.Zone{tree.Zone(".")}, root)
	in.SetFaults(simnet.Faults{Latency: time.Millisecond, Duplicate: 1})

	query := []byte("\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x04test\x00\x00\x01\x00\x01")
	err = in.Exchange(context.Background(), root, 53, false, query, func(reply []byte) bool {
		var m dns.Message
		if err := m.Unpack(reply); err != nil {
			return false // not for us: wait for the next one
		}
		fmt.Println(m.RCode, len(m.Answer), m.Authority[0], m.Additional[0])
		return true
	})
	truth, _ := tree.Truth("www.test", "A", signing.Inception.Add(time.Hour))
	fmt.Println(err, truth.RCode, truth.Status, in.Queries())
	// Output:
	// NOERROR 0 test.	300	IN	NS	ns.test. ns.test.	300	IN	A	198.18.0.53
	// <nil> NOERROR secure 1
}
