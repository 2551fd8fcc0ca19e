//go:build unix

package listen

import (
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// waiter is how c is read: it takes a buffer only when there is something for it.
func (r *records) waiter(c net.Conn) func() error {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return r.readPlain
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return r.readPlain
	}
	w := &waiter{r: r, raw: raw}
	w.try = w.read
	return w.wait
}

// waiter reads a connection for r.
type waiter struct {
	r   *records
	raw syscall.RawConn
	try func(fd uintptr) bool
	err error
}

func (w *waiter) wait() error {
	w.err = nil
	if err := w.raw.Read(w.try); err != nil {
		return err
	}
	return w.err
}

// read reports false where there is nothing to read yet.
func (w *waiter) read(fd uintptr) bool {
	r := w.r
	r.in = r.ahead.Get().(*[maxRecord]byte)
	n, err := unix.Read(int(fd), r.in[:])
	for err == unix.EINTR {
		n, err = unix.Read(int(fd), r.in[:])
	}
	if n > 0 {
		r.have = n
		return true
	}
	r.release()
	if err == unix.EAGAIN {
		return false
	}
	if w.err = err; err == nil {
		w.err = io.EOF
	}
	return true
}
