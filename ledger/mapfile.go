package ledger

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// Map is a map's file on this machine. What it hands out was verified by the map's root; any
// number of goroutines may read it. It is a Source of the map's head and pages.
type Map struct {
	file   io.ReaderAt
	head   MapHead
	root   Digest
	counts []uint64
	trees  []tlog.Hash
	starts []int64       // where each page's records begin in the file, and where the last one's end
	levels [][]tlog.Hash // of the tree of pages, from the leaves up to the root
}

// OpenMap opens a file of size octets that MapBuilder wrote. It reads and verifies all but
// the records, which are verified when they are read.
func OpenMap(file io.ReaderAt, size int64) (*Map, error) {
	m := &Map{file: file}
	var fixed [mapFileFixed]byte
	if _, err := file.ReadAt(fixed[:], 0); err != nil {
		return nil, fmt.Errorf("no map's file: %w", err)
	}
	length := int64(binary.BigEndian.Uint32(fixed[12:]))
	if string(fixed[:8]) != mapFileMagic || binary.BigEndian.Uint32(fixed[8:]) != mapFileVersion || length > maxMapHead {
		return nil, fmt.Errorf("no map's file of version %d", mapFileVersion)
	}
	text := make([]byte, length)
	if _, err := file.ReadAt(text, mapFileFixed); err != nil {
		return nil, fmt.Errorf("the map's file is cut short: %w", err)
	}
	head, err := ParseMapHead(text)
	if err != nil {
		return nil, err
	}
	m.head, m.root = *head, head.Root()
	at := mapFileFixed + length
	pages := head.Pages()
	if want := at + int64(pages)*mapEntryOctets + int64(head.Count)*recordOctets; size != want {
		return nil, fmt.Errorf("the map's file has %d octets and should have %d", size, want)
	}
	directory := make([]byte, pages*mapEntryOctets)
	if _, err := file.ReadAt(directory, at); err != nil {
		return nil, fmt.Errorf("the map's file is cut short: %w", err)
	}
	return m, m.readDirectory(directory, at+int64(len(directory)))
}

// readDirectory reads what the file says of its pages, whose records begin at at.
func (m *Map) readDirectory(b []byte, at int64) error {
	total := uint64(0)
	for ; len(b) > 0; b = b[mapEntryOctets:] {
		count := binary.BigEndian.Uint64(b)
		if count > m.head.Count-total {
			return fmt.Errorf("the map's file has more records than the %d of its head", m.head.Count)
		}
		total += count
		m.counts = append(m.counts, count)
		m.trees = append(m.trees, tlog.Hash(b[8:]))
		m.starts = append(m.starts, at)
		at += int64(count) * recordOctets
	}
	m.starts = append(m.starts, at)
	m.levels = levelsOf(pageLeaves(m.counts, m.trees))
	if total != m.head.Count || m.levels[len(m.levels)-1][0] != m.head.Tree {
		return fmt.Errorf("the map's file: %w", errNotOfMap)
	}
	return nil
}

// Head is the map's head.
func (m *Map) Head() *MapHead {
	h := m.head
	return &h
}

// Root is the map's root.
func (m *Map) Root() Digest { return m.root }

// records reads and verifies the records of a page.
func (m *Map) records(page int) ([]byte, error) { return m.read(page, new(pageWork)) }

// read is records, which are good until w is used again.
func (m *Map) read(page int, w *pageWork) ([]byte, error) {
	octets := int(m.starts[page+1] - m.starts[page])
	w.records = slices.Grow(w.records[:0], octets)[:octets]
	b := w.records
	if _, err := m.file.ReadAt(b, m.starts[page]); err != nil && len(b) > 0 {
		return nil, err
	}
	p := MapPage{head: &m.head, page: page, records: b}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("page %d of the map's file: %w", page, err)
	}
	if w.tree(b) != m.trees[page] {
		return nil, fmt.Errorf("page %d of the map's file: %w", page, errNotOfMap)
	}
	return b, nil
}

// Page is a page as it is served, for OpenPage.
func (m *Map) Page(page int) ([]byte, error) {
	if page < 0 || page >= m.head.Pages() {
		return nil, fmt.Errorf("page %d: %w", page, fs.ErrNotExist)
	}
	b, err := m.records(page)
	if err != nil {
		return nil, err
	}
	return append(pathIn(m.levels, page), b...), nil
}

// Check reads and verifies all pages. It calls pause before each.
func (m *Map) Check(pause func()) error {
	var w pageWork
	for page := range m.head.Pages() {
		pause()
		if _, err := m.read(page, &w); err != nil {
			return err
		}
	}
	return nil
}

// Read implements Source, for the paths of the map itself.
func (m *Map) Read(_ context.Context, path string, limit int64) ([]byte, error) {
	root, page, ok := ParseMapPath(path)
	if !ok || root != m.root {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	b := m.head.Text()
	if page >= 0 {
		var err error
		if b, err = m.Page(page); err != nil {
			return nil, err
		}
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s: more than %d octets", path, limit)
	}
	return b, nil
}
