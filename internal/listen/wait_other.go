//go:build !unix

package listen

import "net"

// waiter is how c is read.
func (r *records) waiter(net.Conn) func() error { return r.readPlain }
