package listen

import (
	"net"

	"golang.org/x/sys/unix"
)

// acknowledge has the kernel say at once what it has received. A client that sends a request
// in two parts, and the second not before it knows of the first (RFC 896), would else wait for
// the kernel's patience, 40 ms.
func acknowledge(c net.Conn) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := t.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
	}
}
