package filter

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"runtime"
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
	runtime.AddCleanup(l, unmapFile, data)
	return l, nil
}

// parse makes a list of a file's octets, which it keeps.
func parse(data []byte) (*List, error) {
	l := &List{data: data}
	if err := l.decode(data, uint64(len(data))); err != nil {
		return nil, err
	}
	for i, p := range []*[]byte{&l.filter, &l.dir, &l.slots, &l.blocks, &l.prefix, &l.names} {
		r := l.regions[i]
		*p = data[r.off : r.off+r.len : r.off+r.len]
	}
	groups, ok := readGroups(l.prefix)
	if !ok {
		return nil, damaged("the groups of prefixes")
	}
	l.groups = groups
	return l, nil
}

// Sum is the digest of a list's file, read from the file and not from a mapping,
// so that it makes nothing resident.
func Sum(path string) (Digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return Digest{}, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return Digest{}, err
	}
	return Digest(h.Sum(nil)), nil
}
