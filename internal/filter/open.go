package filter

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
)

// Open maps the list in a file. It reads the header and no more, so that a list
// of any size is open at once. The file must not be changed while it is open.
func Open(path string) (*List, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if size := info.Size(); !info.Mode().IsRegular() || size < headerSize || size != int64(int(size)) {
		return nil, fmt.Errorf("%s: %w", path, damaged("%d octets", size))
	}
	data, err := mapFile(f, int(info.Size()))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	l, err := parse(data)
	if err != nil {
		unmapFile(data)
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	adviseFile(l)
	runtime.AddCleanup(l, func(data []byte) { go drop(data) }, data)
	return l, nil
}

// drop ends a mapping, first slice by slice: to give up a mapping of a hundred
// megabytes at once takes milliseconds in which a goroutine keeps its processor
// from all others.
func drop(data []byte) {
	for at := 0; at+slice < len(data); at += slice {
		if !forgetFile(data[at : at+slice]) {
			break
		}
		time.Sleep(slicePause)
	}
	unmapFile(data)
}

// slicePause is how long drop leaves the processor to others: the shortest that
// makes the scheduler look at the network.
const slicePause = 100 * time.Microsecond

// parse makes a list of a file's octets, which it keeps.
func parse(data []byte) (*List, error) {
	l := &List{data: data}
	if err := l.decode(data, uint64(len(data))); err != nil {
		return nil, err
	}
	for i, p := range []*[]byte{&l.table, &l.blocks, &l.prefix, &l.names} {
		r := l.regions[i]
		*p = data[r.off : r.off+r.len : r.off+r.len]
	}
	groups, ok := readGroups(l.prefix)
	if !ok {
		return nil, damaged("the groups of prefixes")
	}
	l.groups = groups
	if r := l.regions[regionSealed]; r.len > 0 {
		if l.sealed, ok = readSealed(data[r.off : r.off+r.len]); !ok {
			return nil, damaged("the commitments")
		}
	}
	return l, nil
}

// slice is how much of a file is summed or unmapped in one go by whoever pauses
// in between: some tenths of a millisecond's work.
const slice = 256 << 10

// Sum is the digest of a list's file, read from the file and not from a mapping,
// so that it makes nothing resident. Between slices of the file it calls pause,
// where that is not nil: a server that has one processor for all it does lets
// its queries pass there.
func Sum(path string, pause func()) (Digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return Digest{}, err
	}
	defer f.Close()
	h := sha256.New()
	buf := make([]byte, slice)
	for {
		n, err := io.ReadFull(f, buf)
		h.Write(buf[:n])
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return Digest(h.Sum(nil)), nil
		}
		if err != nil {
			return Digest{}, err
		}
		if pause != nil {
			pause()
		}
	}
}
