package exchange

import (
	"context"
	"net"
	"os"
	"strconv"
	"syscall"
)

// udp makes its socket by system calls of its own: socket, bind, connect and
// send, without the name look-ups, options and address copies of package net.
// The socket then waits in the runtime's poller as a file.
func udp(ctx context.Context, s server, query []byte, accept func([]byte) bool) error {
	fd, err := openUDP(s)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "udp")
	defer f.Close()
	if err := f.SetReadDeadline(deadline(ctx)); err != nil {
		return err
	}
	defer onCancel(ctx, func() { f.SetReadDeadline(longPast) })()
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	buf := datagrams.Get().(*[maxDatagram]byte)
	defer datagrams.Put(buf)
	var failed error
	sent, left := false, maxDatagrams
	err = raw.Read(func(fd uintptr) bool {
		if !sent {
			// The poller is armed by now, so that no reply is missed by waiting
			// before the first read.
			sent = true
			_, failed = syscall.Write(int(fd), query)
			return failed != nil
		}
		for {
			n, _, err := syscall.Recvfrom(int(fd), buf[:], 0)
			switch {
			case err == syscall.EAGAIN:
				return false
			case err == syscall.EINTR:
				continue
			case err != nil:
				failed = err
				return true
			case n < maxDatagram && accept(buf[:n]):
				return true
			}
			if left--; left == 0 {
				failed = errTooMany
				return true
			}
		}
	})
	if err != nil {
		return err
	}
	return failed
}

// openUDP makes a non-blocking UDP socket on a random port, connected to s.
func openUDP(s server) (int, error) {
	family := syscall.AF_INET6
	if s.addr.Is4() {
		family = syscall.AF_INET
	}
	fd, err := syscall.Socket(family, syscall.SOCK_DGRAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := setUpUDP(fd, s); err != nil {
		syscall.Close(fd)
		return -1, err
	}
	return fd, nil
}

func setUpUDP(fd int, s server) error {
	if err := bindRandom(fd, s.addr.Is4()); err != nil {
		return err
	}
	if s.addr.Is4() {
		return syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(s.port), Addr: s.addr.As4()})
	}
	return syscall.Connect(fd, &syscall.SockaddrInet6{Port: int(s.port), Addr: s.addr.As16(), ZoneId: zoneID(s.addr.Zone())})
}

func bindRandom(fd int, v4 bool) error {
	for try := 0; ; try++ {
		port := int(randomPort())
		if try == bindTries {
			port = 0
		}
		var sa syscall.Sockaddr = &syscall.SockaddrInet6{Port: port}
		if v4 {
			sa = &syscall.SockaddrInet4{Port: port}
		}
		err := syscall.Bind(fd, sa)
		if err == nil || try == bindTries || err != syscall.EADDRINUSE && err != syscall.EACCES {
			return err
		}
	}
}

// zoneID is the index of a scoped address's interface; 0 where there is none.
func zoneID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	n, _ := strconv.ParseUint(zone, 10, 32)
	return uint32(n)
}
