package curate

import (
	"fmt"
	"io/fs"
	"syscall"
)

// identity is what tells a file and its content from others: the device, the
// inode, its length, and when content and inode last changed. The last one is the
// system's own and cannot be set.
func identity(info fs.FileInfo) (string, bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", false
	}
	return fmt.Sprintf("%d %d %d %d %d", s.Dev, s.Ino, s.Size, s.Mtim.Nano(), s.Ctim.Nano()), true
}
