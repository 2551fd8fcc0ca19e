package listen

// set prepares a socket.
func (o udpOptions) set(handle uintptr) error {
	if !o.wildcard {
		return nil
	}
	return wantControl(int(handle), o.v6)
}
