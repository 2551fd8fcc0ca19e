package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"syscall"
)

// socketBuffer is how many octets the kernel may hold for each UDP socket, each
// way: some 5,000 queries, 20 ms of work for one core. The kernel may grant less.
const socketBuffer = 4 << 20

// lastPrivilegedPort is the highest port that needs rights on Unix systems.
const lastPrivilegedPort = 1023

// openUDP opens one UDP socket. With share, other sockets of ours may have the same address.
func openUDP(addr netip.AddrPort, share bool) (*net.UDPConn, error) {
	o := udpOptions{v6: addr.Addr().Is6(), wildcard: addr.Addr().IsUnspecified(), share: share}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = o.set(fd) }); cerr != nil {
			return cerr
		}
		return err
	}}
	c, err := config.ListenPacket(context.Background(), network("udp", addr), addr.String())
	if err != nil {
		return nil, Explain("UDP", addr, err)
	}
	return c.(*net.UDPConn), nil
}

func listenTCP(addr netip.AddrPort) (*net.TCPListener, error) {
	config := net.ListenConfig{KeepAlive: -1} // silent connections end anyway
	l, err := config.Listen(context.Background(), network("tcp", addr), addr.String())
	if err != nil {
		return nil, Explain("TCP", addr, err)
	}
	return l.(*net.TCPListener), nil
}

// network is the name that package net has for one address family of a protocol;
// an IPv6 socket then takes IPv6 alone.
func network(protocol string, addr netip.AddrPort) string {
	if addr.Addr().Is6() {
		return protocol + "6"
	}
	return protocol + "4"
}

// udpOptions say how a UDP socket is set up before it is bound.
type udpOptions struct{ v6, wildcard, share bool }

// Explain says of an error which address it is about and what can be done. It is for the
// sockets of other transports too.
func Explain(protocol string, addr netip.AddrPort, err error) error {
	advice := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		advice = fmt.Sprintf("another program has this port: stop it, or choose another port (on Linux `ss -lpn 'sport = :%d'` names it)", addr.Port())
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		advice = "no interface of this machine has this address"
	case errors.Is(err, fs.ErrPermission) && addr.Port() <= lastPrivilegedPort:
		advice = "ports below 1024 need a right: on Linux `setcap cap_net_bind_service=+ep` on the program grants it, or choose a port from 1024 up"
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // the operation and the address are said here
	}
	if advice == "" {
		return fmt.Errorf("listen on %s over %s: %w", addr, protocol, err)
	}
	return fmt.Errorf("listen on %s over %s: %w: %s", addr, protocol, err, advice)
}
