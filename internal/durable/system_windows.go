package durable

import "golang.org/x/sys/windows"

// rename replaces to and returns once the move is flushed to the disk.
func (system) rename(from, to string) error {
	f, err := windows.UTF16PtrFromString(from)
	if err != nil {
		return err
	}
	t, err := windows.UTF16PtrFromString(to)
	if err != nil {
		return err
	}
	return windows.MoveFileEx(f, t, windows.MOVEFILE_REPLACE_EXISTING|windows.MOVEFILE_WRITE_THROUGH)
}

// syncFolder does nothing: Windows cannot flush a folder, and the write-through
// of rename is what there is.
func (system) syncFolder(string) error { return nil }
