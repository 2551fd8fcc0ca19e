//go:build !unix

package filter

import (
	"io"
	"os"
)

// mapFile reads a file whole: on this platform a list is held in memory.
func mapFile(f *os.File, size int) ([]byte, error) {
	data := make([]byte, size)
	_, err := io.ReadFull(f, data)
	return data, err
}

func unmapFile([]byte) {}

func forgetFile([]byte) bool { return false }

func adviseFile(*List) {}
