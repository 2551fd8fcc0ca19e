//go:build !linux

package listen

import "net/netip"

func newReaders(s *Server, addr netip.AddrPort) ([]udpReader, error) {
	return newPortable(s, addr)
}
