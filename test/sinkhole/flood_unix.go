//go:build unix

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"syscall"
	"time"
)

// batch is how many connections are open at a time: fewer than a listener's backlog has places
// for, so that none of them waits for a second SYN.
const batch = 256

// flood makes connections as fast as one processor can: in batches, without goroutines and
// without polling, since over loopback a connection stands when connect returns. Each
// is read until the sinkhole closes it and then reset, which leaves nothing behind that would wait.
// It counts those of which the end was seen.
func (l *load) flood() (good int, err error) {
	to, err := netip.ParseAddrPort(l.to)
	if err != nil || !to.Addr().Is4() {
		return 0, fmt.Errorf("-to %s: an IPv4 address and a port, such as 127.0.0.1:443", l.to)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	request := []byte("GET / HTTP/1.1\r\nHost: c2.example\r\n\r\n")
	buffer := make([]byte, 16<<10)
	open := make([]int, 0, batch)
	for until := time.Now().Add(l.length); time.Now().Before(until); {
		open = open[:0]
		for range batch {
			fd, err := connect(to)
			if err != nil {
				return good, err
			}
			open = append(open, fd)
			if !l.silent {
				_, _ = syscall.Write(fd, request) // a port that closes at once does not take it
			}
		}
		for _, fd := range open {
			if ended(fd, buffer) {
				good++
			}
			syscall.Close(fd)
		}
	}
	return good, nil
}

// connect connects from some address of loopback.
func connect(to netip.AddrPort) (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return 0, err
	}
	from := &syscall.SockaddrInet4{Addr: [4]byte{127, byte(1 + rand.IntN(200)), byte(rand.IntN(250)), byte(1 + rand.IntN(250))}}
	wait := syscall.NsecToTimeval(int64(patience))
	err = errors.Join(
		syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1}),
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &wait),
		portLater(fd),
		syscall.Bind(fd, from),
		syscall.Connect(fd, &syscall.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}),
	)
	if err != nil {
		syscall.Close(fd)
	}
	return fd, err
}

// ended reads until the other side has closed, by a FIN or a RST.
func ended(fd int, buffer []byte) bool {
	for {
		n, err := syscall.Read(fd, buffer)
		switch {
		case err == syscall.EINTR:
		case err == syscall.ECONNRESET || err == nil && n == 0:
			return true
		case err != nil:
			return false
		}
	}
}
