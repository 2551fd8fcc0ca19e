package curate

import (
	"bufio"
	"encoding/binary"
	"hash/maphash"
	"io"
	"iter"
	"os"
	"slices"

	"github.com/shoji-dns/shoji/ledger"
)

// spool holds the entries of an import on disk until all of its files are read,
// so that memory stays small and a file that turns out to be garbage leaves
// nothing in the log.
type spool struct {
	file  *os.File
	w     *bufio.Writer
	seen  map[subjectKey]struct{}
	seeds [2]maphash.Seed
	fresh []subjectKey // noted since the last mark
	count uint64
	end   int64 // octets written
	buf   []byte

	failed error // of the last entries
}

// subjectKey tells subjects apart by 128 bits of hashes under random seeds.
type subjectKey [2]uint64

// spoolName is the spool's pattern in the state folder; what a killed import
// left of it is swept away by the next writer.
const spoolName = "import-*.spool"

func newSpool(dir string) (*spool, error) {
	f, err := os.CreateTemp(dir, spoolName)
	if err != nil {
		return nil, err
	}
	return &spool{
		file: f, w: bufio.NewWriterSize(f, 1<<20), seen: map[subjectKey]struct{}{},
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
	}, nil
}

// note reports whether subject is new to the spool, and remembers it.
func (s *spool) note(subject string) bool {
	key := subjectKey{maphash.String(s.seeds[0], subject), maphash.String(s.seeds[1], subject)}
	if _, ok := s.seen[key]; ok {
		return false
	}
	s.seen[key] = struct{}{}
	s.fresh = append(s.fresh, key)
	return true
}

// add appends an entry.
func (s *spool) add(e *ledger.Entry) error {
	b, err := e.AppendTo(s.buf[:0])
	if err != nil {
		return err
	}
	s.buf = b
	var length [2]byte
	binary.BigEndian.PutUint16(length[:], uint16(len(b))) // MaxEntry fits
	if _, err := s.w.Write(length[:]); err != nil {
		return err
	}
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	s.count++
	s.end += 2 + int64(len(b))
	return nil
}

// addCited appends entries that stand without their evidence where it does not fit into the log:
// what sources say may be longer than an entry, and must not keep anybody from being heard.
func (s *spool) addCited(entries ...*ledger.Entry) error {
	for _, e := range entries {
		err := s.add(e)
		if err != nil && len(e.Evidence) > 0 {
			without := *e
			without.Evidence = nil
			err = s.add(&without)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mark is a place to cut back to.
type mark struct {
	count uint64
	end   int64
}

// mark keeps what was added so far from being cut off.
func (s *spool) mark() mark {
	s.fresh = s.fresh[:0]
	return mark{s.count, s.end}
}

// cut drops and forgets everything since m, which is the last mark.
func (s *spool) cut(m mark) error {
	for _, key := range s.fresh {
		delete(s.seen, key)
	}
	s.fresh = s.fresh[:0]
	if err := s.w.Flush(); err != nil {
		return err
	}
	if err := s.file.Truncate(m.end); err != nil {
		return err
	}
	if _, err := s.file.Seek(m.end, io.SeekStart); err != nil {
		return err
	}
	s.count, s.end = m.count, m.end
	return nil
}

// entries yields what was added, in order. It ends early where the spool cannot
// be read back; failed then says why.
func (s *spool) entries() iter.Seq[*ledger.Entry] {
	return func(yield func(*ledger.Entry) bool) {
		if s.failed = s.w.Flush(); s.failed != nil {
			return
		}
		r := bufio.NewReaderSize(io.NewSectionReader(s.file, 0, s.end), 1<<20)
		for range s.count {
			var e *ledger.Entry
			if e, s.failed = s.read(r); s.failed != nil || !yield(e) {
				return
			}
		}
	}
}

func (s *spool) read(r io.Reader) (*ledger.Entry, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	s.buf = slices.Grow(s.buf[:0], ledger.MaxEntry)[:binary.BigEndian.Uint16(length[:])]
	if _, err := io.ReadFull(r, s.buf); err != nil {
		return nil, err
	}
	return ledger.Parse(s.buf)
}

// close removes the spool.
func (s *spool) close() {
	s.file.Close()
	os.Remove(s.file.Name())
}
