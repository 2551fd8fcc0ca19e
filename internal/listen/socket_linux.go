package listen

import "golang.org/x/sys/unix"

// set prepares a socket. What only improves it may fail: an old kernel has not
// all, and a container may forbid some.
func (o udpOptions) set(handle uintptr) error {
	fd := int(handle)
	if o.share {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return err
		}
	}
	for _, b := range [][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, b[0], socketBuffer) != nil {
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, b[1], socketBuffer)
		}
	}
	// A forged ICMP "too big" must not make replies fragment (RFC 9715 §3.1, R1).
	if o.v6 {
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_OMIT)
	} else {
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT)
	}
	if !o.wildcard {
		return nil
	}
	return wantControl(fd, o.v6)
}
