package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// capture reads the packets of one interface.
type capture struct {
	fd int

	mu      sync.Mutex
	current seen
	done    chan struct{}
}

// openCapture begins to read.
func openCapture(name string) (*capture, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("-interface: %w", err)
	}
	all := uint16(unix.ETH_P_ALL)<<8 | uint16(unix.ETH_P_ALL)>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		return nil, fmt.Errorf("packets cannot be captured here: %w", err)
	}
	c := &capture{fd: fd, done: make(chan struct{})}
	err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: i.Index})
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	}
	if err == nil { // so that the reader can be told to end
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 200_000})
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	go c.read()
	return c, nil
}

func (c *capture) read() {
	defer unix.Close(c.fd)
	frame, control := make([]byte, 1<<16), make([]byte, 128)
	for {
		n, m, _, _, err := unix.Recvmsg(c.fd, frame, control, 0)
		select {
		case <-c.done:
			return
		default:
		}
		if err != nil {
			continue
		}
		if p, ok := read(frame[:n], stamp(control[:m])); ok {
			c.mu.Lock()
			c.current = append(c.current, p)
			c.mu.Unlock()
		}
	}
}

// stamp is when the kernel saw a packet.
func stamp(control []byte) time.Time {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Now()
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) == 16 { // two numbers of 64 bits
			return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
		}
	}
	return time.Now()
}

// start begins a session: what came before is not its own.
func (c *capture) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = nil
}

// stop ends a session, once what ends its connections is there.
func (c *capture) stop() seen {
	time.Sleep(settle)
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.current
	c.current = nil
	return out
}

func (c *capture) close() { close(c.done) }
