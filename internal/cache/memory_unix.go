//go:build linux || darwin

package cache

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// memory owns words that the garbage collector neither scans nor counts. It gives
// them back when nothing refers to it any more.
type memory struct{ words []uint64 }

// newMemory maps n words, all zero. The system backs a page on its first use, so an
// empty cache costs nothing.
func newMemory(n uint64) (*memory, error) {
	b, err := unix.Mmap(-1, 0, int(n*wordBytes), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("cache: %d octets of memory: %w", n*wordBytes, err)
	}
	m := &memory{words: unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(b))), n)}
	runtime.AddCleanup(m, func(b []byte) { unix.Munmap(b) }, b)
	return m, nil
}
