//go:build unix

package sinkhole

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lock takes a folder for this process, until the file that it returns is closed or the process ends, however
// it does: flock(2) on the folder itself, so that nothing is left behind.
func lock(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case err == nil:
		return f, nil
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, errors.Join(ErrInUse, f.Close())
	default:
		return nil, errors.Join(fmt.Errorf("lock: %w", err), f.Close())
	}
}
