//go:build !linux && !darwin

package listen

// set prepares a socket: there is nothing to set.
func (o udpOptions) set(uintptr) error { return nil }
