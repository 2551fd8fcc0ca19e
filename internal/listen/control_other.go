//go:build !linux && !darwin

package listen

// control is empty: routing picks the address that a reply leaves from.
type control struct {
	data [0]byte
	len  int
}

func (c *control) toReply() bool { return true }

func (c *control) oob() []byte { return nil }
