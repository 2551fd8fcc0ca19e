package ledger

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// MapBuilder gathers what a map is made of. The map is a function of what is listed alone,
// in whatever order it is added.
type MapBuilder struct {
	records []mapRecord
	last    string // the name group that was hashed last
	hash    group
}

// mapRecord is one subject. It compares as its octets do.
type mapRecord struct {
	hi, lo uint64 // the key
	entry  uint64 // with flags
}

// Flags of an entry number, which has 53 bits.
const (
	mapRemoved = 1 << 63 // the subject is not listed any more
	mapWide    = 1 << 62 // MapHead.Wide counts it
	mapEntry   = 1<<53 - 1
)

// Reserve makes room for n listings.
func (b *MapBuilder) Reserve(n int) { b.records = slices.Grow(b.records, n) }

// Add adds a listing.
func (b *MapBuilder) Add(l Listing) { b.put(l, l.Entry&mapEntry) }

// Remove notes that what l names is not listed any more, for Merge.
func (b *MapBuilder) Remove(l Listing) { b.put(l, mapRemoved) }

func (b *MapBuilder) put(l Listing, entry uint64) {
	if l.Scope == ScopePrefix {
		if prefixGroup(l.Prefix).Bits() == 0 {
			entry |= mapWide
		}
		b.push(prefixKeyOf(l.Prefix), entry)
		return
	}
	if parentName(l.Name) == "" {
		entry |= mapWide
	}
	d := Blind(Salt{}, l.Scope, l.Name)
	if g := nameGroup(l.Name); g != b.last || b.records == nil {
		b.last, b.hash = g, groupHash(g)
	}
	copy(d[:], b.hash[:])
	b.push(mapKeyOf(d), entry)
}

// AddCommitment adds a listing whose name is not told.
func (b *MapBuilder) AddCommitment(c Commitment) {
	b.push(mapKeyOf(c.Commitment), c.Entry&mapEntry)
}

// RemoveCommitment is Remove for a listing whose name is not told.
func (b *MapBuilder) RemoveCommitment(c Commitment) {
	b.push(mapKeyOf(c.Commitment), mapRemoved)
}

func (b *MapBuilder) push(k MapKey, entry uint64) {
	b.records = append(b.records, mapRecord{binary.BigEndian.Uint64(k[:]), binary.BigEndian.Uint64(k[8:]), entry})
}

func (r mapRecord) sameKey(o mapRecord) bool { return r.hi == o.hi && r.lo == o.lo }

func (r mapRecord) append(out []byte) []byte {
	out = binary.BigEndian.AppendUint64(out, r.hi)
	out = binary.BigEndian.AppendUint64(out, r.lo)
	return binary.BigEndian.AppendUint64(out, r.entry&mapEntry)
}

// sort sorts the records as a map of that many pages has them: by page, and then by key.
func (b *MapBuilder) sort(h *MapHead) {
	shift := maxPageBits - h.pageBits()
	slices.SortFunc(b.records, func(x, y mapRecord) int {
		if px, py := uint16(x.lo)>>shift, uint16(y.lo)>>shift; px != py {
			return int(px) - int(py)
		}
		return cmp.Or(cmp.Compare(x.hi, y.hi), cmp.Compare(x.lo, y.lo), cmp.Compare(x.entry&mapEntry, y.entry&mapEntry))
	})
}

// page is the page of a record.
func (h *MapHead) page(r mapRecord) int { return int(uint16(r.lo) >> (maxPageBits - h.pageBits())) }

// Build writes the map of what was added, of the first size entries of a log, as a file for
// OpenMap, and returns its root. salts are those of the commitments, in any order.
func (b *MapBuilder) Build(w io.Writer, size uint64, salts []Salt) (Digest, error) {
	f := mapFile{head: MapHead{Size: size, Count: uint64(len(b.records)), Salts: sortSalts(salts)}}
	b.sort(&f.head)
	for i := range b.records {
		if b.records[i].entry&mapWide != 0 {
			f.head.Wide++
		}
	}
	return f.write(w, b.pages(&f.head))
}

// pages yields the sorted records page by page.
func (b *MapBuilder) pages(h *MapHead) func() pageWriter {
	return func() pageWriter {
		all := b.records
		return func(page int, out []byte) []byte {
			n := 0
			for n < len(all) && h.page(all[n]) == page {
				out = all[n].append(out)
				n++
			}
			all = all[n:]
			return out
		}
	}
}

// pageWriter appends the records of one page after the other.
type pageWriter func(page int, out []byte) []byte

func sortSalts(salts []Salt) []Salt {
	out := slices.Clone(salts)
	slices.SortFunc(out, func(x, y Salt) int { return bytes.Compare(x[:], y[:]) })
	return slices.Compact(out)
}

// Merge is Build of what the map old has with what was added and removed since, whose
// entries are all later. It hashes only the pages that change, unless how many pages there
// are changes too. After an error the file is none.
func (b *MapBuilder) Merge(w io.Writer, old *Map, size uint64, salts []Salt) (Digest, error) {
	b.sort(&old.head)
	changed, err := b.apply(old)
	if err != nil {
		return Digest{}, err
	}
	f := mapFile{head: MapHead{Size: size, Count: old.head.Count, Wide: old.head.Wide, Salts: sortSalts(salts)}}
	for _, c := range changed {
		f.head.Count += uint64(c.added)
		f.head.Wide += uint64(c.wide)
	}
	if f.head.pageBits() != old.head.pageBits() {
		return f.repage(w, old, changed)
	}
	return f.rewrite(w, old, changed)
}

// mapChange is what becomes of a page.
type mapChange struct {
	records     []byte
	added, wide int // how many more there are; may be negative
}

// apply merges the builder's records into the pages of old that they are in.
func (b *MapBuilder) apply(old *Map) (map[int]mapChange, error) {
	out := make(map[int]mapChange)
	for rest := b.records; len(rest) > 0; {
		page, n := old.head.page(rest[0]), 1
		for n < len(rest) && old.head.page(rest[n]) == page {
			n++
		}
		records, err := old.records(page)
		if err != nil {
			return nil, err
		}
		out[page] = mergeRecords(records, rest[:n])
		rest = rest[n:]
	}
	return out, nil
}

// mergeRecords merges changes, in the order of their keys, into a page's records.
func mergeRecords(old []byte, changes []mapRecord) mapChange {
	out := mapChange{records: make([]byte, 0, len(old)+len(changes)*recordOctets)}
	for _, c := range changes {
		for len(old) > 0 && readRecord(old).before(c) {
			out.records, old = append(out.records, old[:recordOctets]...), old[recordOctets:]
		}
		was := len(old) > 0 && readRecord(old).sameKey(c)
		if was {
			old = old[recordOctets:]
		}
		step := 0
		if c.entry&mapRemoved == 0 {
			out.records = c.append(out.records)
			step++
		}
		if was {
			step--
		}
		if out.added += step; c.entry&mapWide != 0 {
			out.wide += step
		}
	}
	out.records = append(out.records, old...)
	return out
}

func readRecord(b []byte) mapRecord {
	return mapRecord{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}
}

// before orders records by their keys alone.
func (r mapRecord) before(o mapRecord) bool { return r.hi < o.hi || r.hi == o.hi && r.lo < o.lo }

// mapFile is a map's file being written.
type mapFile struct {
	head   MapHead
	counts []uint64
	trees  []tlog.Hash
}

// write writes the file with pages as two pageWriters yield them: one for the hashes, which
// come first in the file, and one for the records.
func (f *mapFile) write(w io.Writer, pages func() pageWriter) (Digest, error) {
	var buf []byte
	var work pageWork
	next := pages()
	for page := range f.head.Pages() {
		buf = next(page, buf[:0])
		f.counts = append(f.counts, uint64(len(buf))/recordOctets)
		f.trees = append(f.trees, work.tree(buf))
	}
	return f.finish(w, func(out io.Writer) error {
		next := pages()
		for page := range f.head.Pages() {
			buf = next(page, buf[:0])
			if _, err := out.Write(buf); err != nil {
				return err
			}
		}
		return nil
	})
}

// repage writes the file with all records of old and the changes, laid into other pages.
func (f *mapFile) repage(w io.Writer, old *Map, changed map[int]mapChange) (Digest, error) {
	var b MapBuilder
	b.Reserve(int(f.head.Count))
	var work pageWork
	for page := range old.head.Pages() {
		records := changed[page].records
		if records == nil {
			var err error
			if records, err = old.read(page, &work); err != nil {
				return Digest{}, err
			}
		}
		for ; len(records) > 0; records = records[recordOctets:] {
			b.records = append(b.records, readRecord(records))
		}
	}
	b.sort(&f.head)
	return f.write(w, b.pages(&f.head))
}

// rewrite writes the file with the pages of old, but those that changed.
func (f *mapFile) rewrite(w io.Writer, old *Map, changed map[int]mapChange) (Digest, error) {
	f.counts, f.trees = slices.Clone(old.counts), slices.Clone(old.trees)
	var work pageWork
	for page, c := range changed {
		f.counts[page], f.trees[page] = uint64(len(c.records))/recordOctets, work.tree(c.records)
	}
	return f.finish(w, func(out io.Writer) error {
		for page := 0; page < f.head.Pages(); {
			if c, ok := changed[page]; ok {
				if _, err := out.Write(c.records); err != nil {
					return err
				}
				page++
				continue
			}
			from := page
			for page < f.head.Pages() && changed[page].records == nil {
				page++
			}
			at, end := old.starts[from], old.starts[page]
			n, err := io.Copy(out, io.NewSectionReader(old.file, at, end-at))
			if err == nil && n != end-at {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// The file of a map, version 1, is a cache of one machine: what is public is the head and
// the pages. Numbers are big-endian.
//
//	8 octets  "shojimap"
//	4         version: 1
//	4         length of the head
//	…         the head
//	40 each   for each page, its count in 8 octets and the root of its tree
//	24 each   for each record, in the order of their keys: key and entry number
const (
	mapFileMagic   = "shojimap"
	mapFileVersion = 1
	mapFileFixed   = 16
	mapEntryOctets = 8 + tlog.HashSize
)

// finish writes the file, whose records body writes.
func (f *mapFile) finish(w io.Writer, body func(io.Writer) error) (Digest, error) {
	if len(f.head.Salts) > MaxSalts {
		return Digest{}, fmt.Errorf("commitments with %d salts; a map has room for %d", len(f.head.Salts), MaxSalts)
	}
	if f.head.Count > maxMapCount {
		return Digest{}, errors.New("more listings than a map can have")
	}
	f.head.Tree = rootOf(pageLeaves(f.counts, f.trees))
	head := f.head.Text()
	out := bufio.NewWriterSize(w, 1<<20)
	var b []byte
	b = append(b, mapFileMagic...)
	b = binary.BigEndian.AppendUint32(b, mapFileVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(len(head)))
	b = append(b, head...)
	for i := range f.counts {
		b = binary.BigEndian.AppendUint64(b, f.counts[i])
		b = append(b, f.trees[i][:]...)
	}
	out.Write(b) // an error stays with the Writer until Flush
	if err := body(out); err != nil {
		return Digest{}, err
	}
	return f.head.Root(), out.Flush()
}

func pageLeaves(counts []uint64, trees []tlog.Hash) []tlog.Hash {
	leaves := make([]tlog.Hash, len(counts))
	for i := range leaves {
		leaves[i] = pageLeaf(counts[i], trees[i])
	}
	return leaves
}

// Map writes the map of what the state lists, for OpenMap, and returns its root.
func (s *State) Map(w io.Writer) (Digest, error) {
	var b MapBuilder
	b.Reserve(s.Len())
	for l := range s.Listings() {
		b.Add(l)
	}
	var salts []Salt
	for c := range s.Commitments() {
		b.AddCommitment(c)
		if !slices.Contains(salts, c.Salt) {
			salts = append(salts, c.Salt)
		}
		if len(salts) > MaxSalts {
			break
		}
	}
	return b.Build(w, s.Size(), salts)
}
