//go:build !windows

package durable

import (
	"errors"
	"os"
	"syscall"
)

func (system) rename(from, to string) error { return os.Rename(from, to) }

// syncFolder syncs a folder. A file system that has no such thing (EINVAL from
// some network and FUSE file systems) is taken at its word.
func (system) syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}
