//go:build !linux

package sinkhole

import (
	"net"
	"net/netip"
)

// Confine says that this system has nothing here to confine a process with.
func Confine(string) (holds []string, err error) {
	return []string{"none on this system: run it on Linux, or in a virtual machine of its own"}, nil
}

// destination is the address and port that a connection was made to.
func destination(c *net.TCPConn) netip.AddrPort { return c.LocalAddr().(*net.TCPAddr).AddrPort() }

// connectionLimit is how many connections may be open.
func connectionLimit() int { return MaxConnections }
