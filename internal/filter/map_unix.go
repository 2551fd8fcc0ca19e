//go:build unix

package filter

import (
	"os"

	"golang.org/x/sys/unix"
)

// mapFile maps a file for reading. Its pages are the operating system's cache of
// the file: they are shared between processes and can be dropped at any time.
func mapFile(f *os.File, size int) ([]byte, error) {
	data, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return data, nil
}

// unmapFile ends a mapping. It is called once, when nothing refers to data any more.
func unmapFile(data []byte) { _ = unix.Munmap(data) }

// forgetFile gives up the pages of a part of a mapping that begins at a page.
func forgetFile(data []byte) bool { return unix.Madvise(data, unix.MADV_DONTNEED) == nil }

// adviseFile asks for the region that every query reads before the first one
// does, and for the others to be read page by page. That the system does not
// heed advice is no fault.
func adviseFile(l *List) {
	_ = unix.Madvise(l.data, unix.MADV_RANDOM)
	page := os.Getpagesize()
	r := l.regions[regionTable]
	if end := (int(r.off+r.len) + page - 1) / page * page; end <= len(l.data) {
		_ = unix.Madvise(l.data[:end], unix.MADV_WILLNEED)
	}
}
