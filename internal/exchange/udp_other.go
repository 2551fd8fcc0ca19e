//go:build !linux

package exchange

import (
	"context"
	"net"
	"net/netip"
)

func udp(ctx context.Context, s server, query []byte, accept func([]byte) bool) error {
	c, err := dialUDP(s)
	if err != nil {
		return err
	}
	defer c.Close()
	return portableUDP(ctx, c, query, accept)
}

func dialUDP(s server) (*net.UDPConn, error) {
	network := "udp6"
	if s.addr.Is4() {
		network = "udp4"
	}
	remote := net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.addr, s.port))
	for try := 0; ; try++ {
		local := &net.UDPAddr{Port: int(randomPort())}
		if try == bindTries {
			local = nil
		}
		c, err := net.DialUDP(network, local, remote)
		if err == nil || local == nil {
			return c, err
		}
	}
}

func portableUDP(ctx context.Context, c *net.UDPConn, query []byte, accept func([]byte) bool) error {
	if err := c.SetDeadline(deadline(ctx)); err != nil {
		return err
	}
	stop := onCancel(ctx, func() { c.SetDeadline(longPast) })
	defer stop()
	if _, err := c.Write(query); err != nil {
		return err
	}
	buf := datagrams.Get().(*[maxDatagram]byte)
	defer datagrams.Put(buf)
	for range maxDatagrams {
		n, err := c.Read(buf[:])
		if err != nil {
			return err
		}
		if n < maxDatagram && accept(buf[:n]) {
			return nil
		}
	}
	return errTooMany
}
