package filter

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math/bits"
	"runtime"
	"slices"

	"github.com/shoji-dns/shoji/ledger"
)

// What a region of commitments consists of; the package comment has the format.
const (
	sealedHead   = 16
	sealedRecord = 40 // a commitment of 32 octets, and a number of 8
	digestSize   = 32
	sealedFill   = 8 // records of a bucket, on average
	saltShift    = 54
	sealedEntry  = 1<<maxEntryBits - 1

	// minSealedLabels is how many labels a committed name has at least, and
	// ledger.MaxCommittedLabels how many at most (ledger.Commit).
	minSealedLabels = 2
)

// sealed is the region of commitments: what is listed without being told. The zero value
// has none.
type sealed struct {
	salts   []ledger.Salt
	dirBits uint
	dir     []byte
	records []byte
}

func (s *sealed) count() uint64 { return uint64(len(s.records) / sealedRecord) }

// sealedTail is what records are sorted by: the last octets of a commitment, since the first
// are of its group and crowd.
func sealedTail(commitment []byte) uint64 {
	return binary.BigEndian.Uint64(commitment[digestSize-8 : digestSize])
}

func sealedBucket(tail uint64, bits uint) int { return int(tail >> 1 >> (63 - bits)) }

// sealedBits is how many bits of the tail say in which bucket of n records a record is.
func sealedBits(n int) uint { return uint(bits.Len(uint(n / sealedFill))) }

// readSealed reads a region of commitments; false if there is damage.
func readSealed(b []byte) (s sealed, ok bool) {
	le := binary.LittleEndian
	if len(b) < sealedHead {
		return s, false
	}
	salts, count := le.Uint32(b), le.Uint64(b[8:])
	if s.dirBits = uint(le.Uint32(b[4:])); salts == 0 || salts > ledger.MaxSalts || s.dirBits > 32 {
		return s, false
	}
	dir := uint64(4) * (1<<s.dirBits + 1)
	if rest := uint64(len(b)) - sealedHead; count > rest/sealedRecord || rest != uint64(salts)*16+dir+count*sealedRecord {
		return s, false
	}
	at := sealedHead
	for range salts {
		s.salts = append(s.salts, ledger.Salt(b[at:]))
		at += len(ledger.Salt{})
	}
	s.dir, s.records = b[at:at+int(dir)], b[at+int(dir):]
	return s, true
}

// find is the entry by which a commitment is listed. The first octets, which are those of
// the group, are not compared: a blind commitment does.
func (s *sealed) find(commitment *ledger.Digest) (uint64, bool) {
	tail := sealedTail(commitment[:])
	bucket := sealedBucket(tail, s.dirBits)
	count := uint32(len(s.records) / sealedRecord) // before a damaged number becomes a negative one
	low, high := int(min(number32(s.dir, bucket), count)), int(min(number32(s.dir, bucket+1), count))
	for low < high { // the first record whose tail is not less
		if half := int(uint(low+high) / 2); sealedTail(s.records[half*sealedRecord:]) < tail {
			low = half + 1
		} else {
			high = half
		}
	}
	for at := low * sealedRecord; at+sealedRecord <= len(s.records); at += sealedRecord {
		r := s.records[at : at+sealedRecord]
		if sealedTail(r) != tail {
			break
		}
		if bytes.Equal(r[2:digestSize], commitment[2:]) {
			return binary.LittleEndian.Uint64(r[digestSize:]) & sealedEntry, true
		}
	}
	return 0, false
}

// CommittedEntry is the entry of the log that lists a commitment; false where none does.
func (l *List) CommittedEntry(commitment ledger.Digest) (uint64, bool) {
	defer runtime.KeepAlive(l)
	if len(l.sealed.salts) == 0 {
		return 0, false
	}
	return l.sealed.find(&commitment)
}

// Commitments hands out what is listed without being told. It ends when yield returns false.
func (l *List) Commitments(yield func(ledger.Commitment) bool) {
	defer runtime.KeepAlive(l)
	for rest := l.sealed.records; len(rest) >= sealedRecord; rest = rest[sealedRecord:] {
		n := binary.LittleEndian.Uint64(rest[digestSize:])
		c := ledger.Commitment{Scope: ledger.ScopeExact, Entry: n & sealedEntry}
		if n&scopeBit != 0 {
			c.Scope = ledger.ScopeSubtree
		}
		copy(c.Commitment[:], rest)
		if i := int(n >> saltShift & (ledger.MaxSalts - 1)); i < len(l.sealed.salts) {
			c.Salt = l.sealed.salts[i]
		}
		if !yield(c) {
			return
		}
	}
}

// HasCommitments reports whether there are any.
func (l *List) HasCommitments() bool { return len(l.sealed.salts) > 0 }

// Salts are those of the list's commitments.
func (l *List) Salts() []ledger.Salt { return slices.Clone(l.sealed.salts) }

// maxText is the length of the longest name as text: every octet escaped, and dots.
const maxText = 4*maxWire + maxLabels

// matchSealed is the rest of Match for a list with commitments.
//
//go:noinline
func (l *List) matchSealed(name []byte, starts *[maxLabels]uint8, n int, hits uint64) (v Verdict, ok bool) {
	if hits != 0 {
		v, ok = l.resolve(name, starts, n, hits)
	}
	return l.open(name, starts, n, v, ok)
}

// open looks for commitments that a name opens and that are more specific than v, the
// listing that was found already. It costs a SHA-256 or two for each label that may be
// committed to and each salt, of a name that is asked for the first time in an epoch, and nothing where there are none.
func (l *List) open(name []byte, starts *[maxLabels]uint8, n int, v Verdict, found bool) (Verdict, bool) {
	defer runtime.KeepAlive(l)
	if found && v.Rule == Exact {
		return v, true
	}
	var buf [maxText]byte
	var from [maxLabels]int16 // where each label begins in text
	text := buf[:0]
	for k := range n {
		if k > 0 {
			text = append(text, '.')
		}
		from[k] = int16(len(text))
		start := int(starts[k])
		text = appendLabelText(text, name[start+1:start+1+int(name[start])])
	}
	if n >= minSealedLabels && n <= ledger.MaxCommittedLabels {
		if entry, ok := l.openOne(ledger.ScopeExact, text); ok {
			return Verdict{Entry: entry, Rule: Exact, Size: uint8(n)}, true
		}
	}
	for depth := min(n, ledger.MaxCommittedLabels); depth >= minSealedLabels && (!found || depth > int(v.Size)); depth-- {
		if entry, ok := l.openOne(ledger.ScopeSubtree, text[from[n-depth]:]); ok {
			return Verdict{Entry: entry, Rule: Subtree, Size: uint8(depth)}, true
		}
	}
	return v, found
}

func (l *List) openOne(scope ledger.Scope, text []byte) (uint64, bool) {
	for _, salt := range l.sealed.salts {
		commitment := ledger.Blind(salt, scope, text)
		if entry, ok := l.sealed.find(&commitment); ok {
			return entry, true
		}
	}
	return 0, false
}

// appendLabelText appends a label as an entry of the log writes it (ledger.CheckName).
func appendLabelText(out, label []byte) []byte {
	for _, c := range label {
		switch {
		case c <= ' ' || c > '~':
			out = append(out, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
		case bytes.IndexByte([]byte(`."\();@$`), c) >= 0:
			out = append(out, '\\', c)
		default:
			out = append(out, c)
		}
	}
	return out
}

func (b *builder) addCommitment(c ledger.Commitment) { b.commitments = append(b.commitments, c) }

// encodeSealed writes the region of commitments; nothing where there are none. Of doubles
// the later entry counts.
func (b *builder) encodeSealed() ([]byte, error) {
	if len(b.commitments) == 0 {
		return nil, nil
	}
	slices.SortFunc(b.commitments, func(x, y ledger.Commitment) int {
		return cmp.Or(
			cmp.Compare(sealedTail(x.Commitment[:]), sealedTail(y.Commitment[:])), bytes.Compare(x.Commitment[:], y.Commitment[:]),
			bytes.Compare(x.Salt[:], y.Salt[:]), cmp.Compare(x.Scope, y.Scope), cmp.Compare(y.Entry, x.Entry))
	})
	b.commitments = slices.CompactFunc(b.commitments, func(x, y ledger.Commitment) bool {
		return x.Commitment == y.Commitment && x.Salt == y.Salt && x.Scope == y.Scope
	})
	salts, err := saltsOf(b.commitments)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	width := sealedBits(len(b.commitments))
	out := le.AppendUint32(nil, uint32(len(salts)))
	out = le.AppendUint32(out, uint32(width))
	out = le.AppendUint64(out, uint64(len(b.commitments)))
	for _, s := range salts {
		out = append(out, s[:]...)
	}
	next := 0
	for bucket := range 1<<width + 1 {
		for next < len(b.commitments) && sealedBucket(sealedTail(b.commitments[next].Commitment[:]), width) < bucket {
			next++
		}
		out = le.AppendUint32(out, uint32(next))
	}
	for _, c := range b.commitments {
		i, _ := slices.BinarySearchFunc(salts, c.Salt, func(x, y ledger.Salt) int { return bytes.Compare(x[:], y[:]) })
		n := c.Entry | uint64(i)<<saltShift
		if c.Scope == ledger.ScopeSubtree {
			n |= scopeBit
		}
		out = le.AppendUint64(append(out, c.Commitment[:]...), n)
	}
	return out, nil
}

// saltsOf are the salts of commitments, ascending.
func saltsOf(commitments []ledger.Commitment) ([]ledger.Salt, error) {
	var salts []ledger.Salt
	for i := range commitments {
		c := &commitments[i]
		if c.Entry > sealedEntry {
			return nil, ErrTooLarge
		}
		if !slices.Contains(salts, c.Salt) {
			salts = append(salts, c.Salt)
		}
		if len(salts) > ledger.MaxSalts {
			return nil, fmt.Errorf("filter: entry %d: commitments with more than %d salts are listed", c.Entry, ledger.MaxSalts)
		}
	}
	slices.SortFunc(salts, func(x, y ledger.Salt) int { return bytes.Compare(x[:], y[:]) })
	return salts, nil
}
