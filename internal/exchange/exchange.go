// Package exchange carries DNS messages to servers over real sockets. It
// satisfies resolve.Network.
//
// UDP (RFC 5452 §9.2): every query leaves from a socket of its own, bound to a
// port drawn from crypto/rand and connected to the server, so that the kernel
// drops what comes from anywhere else and a port unreachable ends the wait. The
// socket is closed as soon as the caller has accepted a reply.
//
// TCP (RFC 7766): length-framed messages. A connection on which a reply was
// accepted is kept for a short while and used again for the next query to the
// same server; the number of kept connections is bounded, and so is that of open ones,
// of which slow servers could otherwise hold any number.
//
// An error of this machine's own, such as no file descriptor left, has a method Local that
// returns true: it says nothing of the server.
//
// The package looks into no message. It reads no configuration and keeps no
// state but the idle TCP connections.
package exchange

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// minPort is the lowest source port drawn: below are the system ports (RFC 6335 §6).
	minPort = 1024

	// bindTries is how many random ports are tried before the kernel is asked to
	// choose one.
	bindTries = 10

	// maxDatagram is the longest UDP reply read. The resolver offers 1232 octets;
	// some servers send more all the same.
	maxDatagram = 4096

	// maxDatagrams bounds the datagrams that one query hands to its caller, so
	// that a flood towards the open port ends in an error and not in work without
	// end until the deadline.
	maxDatagrams = 256

	// defaultTimeout ends an exchange whose context has no deadline.
	defaultTimeout = 10 * time.Second
)

var (
	errTooMany  = errors.New("exchange: too many replies, none accepted")
	errTooLong  = errors.New("exchange: query longer than 65535 octets")
	errFull     = errors.New("exchange: too many connections open")
	errNotReply = errors.New("exchange: connection closed before a reply was accepted")
)

// Network sends queries over the machine's network. It is safe for concurrent use.
type Network struct {
	idle idlePool
	open openConns
}

// New makes a Network.
func New() *Network {
	return &Network{idle: idlePool{conns: make(map[server][]*conn)}, open: openConns{to: make(map[server]int)}}
}

// Close closes the idle TCP connections. The Network may be used afterwards.
func (n *Network) Close() { n.idle.closeAll() }

type server struct {
	addr netip.Addr
	port uint16
}

// Exchange sends query to addr:port over UDP, or TCP where tcp is set, and hands
// accept every message that arrives from there until accept returns true (nil is
// returned) or ctx ends (its error is returned). A socket error, such as no route
// or a refused port, ends it at once. The bytes given to accept are valid only
// until it returns, and accept may write to them.
func (n *Network) Exchange(ctx context.Context, addr netip.Addr, port uint16, tcp bool, query []byte, accept func(reply []byte) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(query) > 0xffff {
		return errTooLong
	}
	s := server{addr.Unmap(), port}
	var err error
	if tcp {
		err = n.tcp(ctx, s, query, accept)
	} else {
		err = udp(ctx, s, query, accept)
	}
	if err == nil {
		return nil
	}
	return cause(ctx, err)
}

// localError is a failure that is not the server's.
type localError struct{ error }

// Local reports that the server has no part in the failure.
func (localError) Local() bool { return true }

func (e localError) Unwrap() error { return e.error }

// cause turns the time-out of a socket into the context's error, and marks what is this
// machine's own.
func cause(ctx context.Context, err error) error {
	for _, own := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, errFull} {
		if errors.Is(err, own) {
			return localError{err}
		}
	}
	if cerr := ctx.Err(); cerr != nil {
		return cerr
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}

func deadline(ctx context.Context) time.Time {
	if d, ok := ctx.Deadline(); ok {
		return d
	}
	return time.Now().Add(defaultTimeout)
}

// onCancel has f called when ctx ends. It is context.AfterFunc, without the channel
// and the bookkeeping where the context can do that itself.
func onCancel(ctx context.Context, f func()) (stop func() bool) {
	if a, ok := ctx.(interface{ AfterFunc(func()) func() bool }); ok {
		return a.AfterFunc(f)
	}
	if ctx.Done() == nil {
		return func() bool { return true }
	}
	return context.AfterFunc(ctx, f)
}

// longPast is a deadline that wakes every reader at once.
var longPast = time.Unix(1, 0)

var datagrams = sync.Pool{New: func() any { return new([maxDatagram]byte) }}
