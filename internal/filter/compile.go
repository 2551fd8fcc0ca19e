package filter

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/netip"
	"strings"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/ledger"
)

// ErrTooLarge is returned for a state that exceeds a limit of the format.
var ErrTooLarge = errors.New("filter: the state is larger than a compiled list can be")

// Compile writes the list of what st lists and returns the file's digest. Equal
// states give equal octets.
func Compile(w io.Writer, st *ledger.State) (Digest, error) {
	b, err := gather(st.Size(), st.RootHash(), st.Len(), st.Listings())
	if err != nil {
		return Digest{}, err
	}
	for c := range st.Commitments() {
		b.addCommitment(c)
	}
	return b.write(w, b.sorted())
}

// gather is a builder of listings in any order, their names sorted. Of two listings of one
// subject the later entry counts. About hint listings are expected.
func gather(epoch uint64, root [32]byte, hint int, listings iter.Seq[ledger.Listing]) (*builder, error) {
	b := &builder{header: header{epoch: epoch, root: root}}
	b.reserve(hint)
	for l := range listings {
		if err := b.add(l); err != nil {
			return nil, err
		}
	}
	b.sortNames()
	return b, nil
}

// writeChunk is how much is written at a time. File systems that keep a file in
// large folios (ext4 from Linux 6.16 on, XFS) make them as large as a write, and
// from 2 MB on the processor maps each by one entry: a lookup in a list of a
// hundred megabytes does not wait for address translation, and the first queries
// after a swap cause next to no page faults.
const writeChunk = 4 << 20

// write writes the file of the records that names yields and of b's prefixes.
func (b *builder) write(w io.Writer, records records) (Digest, error) {
	prefixes := b.encodePrefixes()
	commitments, err := b.encodeSealed()
	if err != nil {
		return Digest{}, err
	}
	names, err := b.encodeNames(records)
	if err != nil {
		return Digest{}, err
	}
	b.arena, b.order = nil, nil // nothing needs them any more
	if err := b.index(names); err != nil {
		return Digest{}, err
	}

	lengths := b.fixedLengths()
	lengths[regionBlocks] = 4 * uint64(len(b.blocks))
	lengths[regionPrefixes] = uint64(len(prefixes))
	lengths[regionNames] = uint64(len(names))
	lengths[regionSealed] = uint64(len(commitments))
	b.lay(lengths)
	h := sha256.New()
	out := &regionWriter{w: bufio.NewWriterSize(io.MultiWriter(h, w), int(min(writeChunk, b.size)))}
	out.write(b.encode())
	for i, numbers := range [][]uint32{b.table, b.blocks} {
		out.pad(b.regions[regionTable+i].off)
		out.numbers(numbers)
	}
	out.pad(b.regions[regionPrefixes].off)
	out.write(prefixes)
	out.pad(b.regions[regionNames].off)
	out.write(names)
	if len(commitments) > 0 {
		out.pad(b.regions[regionSealed].off)
		out.write(commitments)
	}
	if err := out.flush(); err != nil {
		return Digest{}, err
	}
	return Digest(h.Sum(nil)), nil
}

// builder gathers listings and lays out the file. A record is one listed name in
// one scope.
type builder struct {
	header
	arena    []byte // records, one behind the other: see keyAt
	order    []ref  // the records, once sorted in ascending order
	stays    ready  // the block that begins with the record that was yielded last, if it is known
	expected int    // about how many records there will be
	top      uint64 // an entry number of as many bits as the largest has

	hashes   []uint64 // of the records' names, in ascending order of the records
	subtrees []uint64 // a bit for each record, set for a subtree

	table  []uint32
	blocks []uint32

	addrs       []addrRecord
	commitments []ledger.Commitment
}

// A record in the arena is its entry number in 8 octets, with scopeBit for a
// subtree, the key's length in 2, and the key.
const (
	keyAt    = 10
	scopeBit = 1 << 63
)

// ref is a record in an order. While it is sorted, sort holds octets of the key.
type ref struct {
	sort uint64
	at   uint32 // in the arena
}

// records yields records in ascending order, none twice: the key, which is good
// until the next one, and the entry number with scopeBit for a subtree.
type records = iter.Seq2[[]byte, uint64]

// ready is a block as the names region has it, in whole units.
type ready struct {
	records int // 0: there is none
	octets  []byte
}

// sorted yields the sorted records; of doubles the first.
func (b *builder) sorted() records {
	return func(yield func([]byte, uint64) bool) {
		var before []byte
		var scope uint64
		for i, r := range b.order {
			key, entry := b.key(r), b.entry(r)
			if i > 0 && (entry^scope)&scopeBit == 0 && bytes.Equal(key, before) {
				continue
			}
			before, scope = key, entry
			if !yield(key, entry) {
				return
			}
		}
	}
}

type addrRecord struct {
	prefix netip.Prefix
	entry  uint64
}

// typicalKey is a guess at a key's length, for the first allocation only.
const typicalKey = 24

func (b *builder) reserve(n int) {
	b.arena = make([]byte, 0, n*(keyAt+typicalKey))
	b.order = make([]ref, 0, n)
	b.expected = n
}

func (b *builder) add(l ledger.Listing) error {
	if l.Entry >= 1<<maxEntryBits {
		return ErrTooLarge
	}
	if l.Prefix.IsValid() {
		if l.Scope != ledger.ScopePrefix {
			return fmt.Errorf("filter: entry %d: a prefix with scope %q", l.Entry, l.Scope)
		}
		b.addrs = append(b.addrs, addrRecord{plain(l.Prefix), l.Entry})
		return nil
	}
	entry := l.Entry
	switch l.Scope {
	case ledger.ScopeExact:
	case ledger.ScopeSubtree:
		entry |= scopeBit
	default:
		return fmt.Errorf("filter: entry %d: a name with scope %q", l.Entry, l.Scope)
	}
	if uint64(len(b.arena)) > math.MaxUint32 {
		return ErrTooLarge
	}
	at := len(b.arena)
	b.order = append(b.order, ref{at: uint32(at)})
	b.top = max(b.top, l.Entry)
	b.arena = binary.LittleEndian.AppendUint64(b.arena, entry)
	b.arena = append(b.arena, 0, 0)
	if arena, ok := appendTextKey(b.arena, l.Name); ok {
		b.arena = arena
	} else {
		n, err := dns.ParseName(l.Name)
		if err != nil {
			return fmt.Errorf("filter: entry %d: %w", l.Entry, err)
		}
		b.arena = appendKey(b.arena, n.Canonical())
	}
	binary.LittleEndian.PutUint16(b.arena[at+keyAt-2:], uint16(len(b.arena)-at-keyAt))
	return nil
}

// plain is p masked, and as an IPv4 prefix if it is an IPv4-mapped one.
func plain(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// appendTextKey appends the key of a name in presentation form if that is as
// plain as nearly all are: lower case, no escapes, no final dot. It saves a name of
// its own for each of millions.
func appendTextKey(out []byte, s string) ([]byte, bool) {
	if len(s) == 0 || len(s) > maxWire-1 {
		return out, false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '\\' || 'A' <= c && c <= 'Z' {
			return out, false
		}
	}
	for from := len(out); ; {
		dot := strings.LastIndexByte(s, '.')
		label := s[dot+1:]
		if len(label) == 0 || len(label) > maxLabel {
			return out[:from], false
		}
		out = append(out, label...)
		if dot < 0 {
			return out, true
		}
		out, s = append(out, 0), s[:dot]
	}
}

// appendKey appends the key of a name in wire form.
func appendKey(out []byte, n dns.Name) []byte {
	var starts [maxLabels + 1]uint8
	labels := 0
	for at := 0; at < len(n) && n[at] != 0 && labels < maxLabels; at += int(n[at]) + 1 {
		starts[labels] = uint8(at)
		labels++
	}
	for k := labels - 1; k >= 0; k-- {
		start := int(starts[k])
		for _, c := range []byte(n[start+1 : start+1+int(n[start])]) {
			if c <= 1 {
				out = append(out, 1)
				c++
			}
			out = append(out, c)
		}
		if k > 0 {
			out = append(out, 0)
		}
	}
	return out
}

// key is a record's key in the arena.
func (b *builder) key(r ref) []byte {
	n := uint32(binary.LittleEndian.Uint16(b.arena[r.at+keyAt-2:]))
	return b.arena[r.at+keyAt : r.at+keyAt+n]
}

// entry is a record's entry number, with scopeBit for a subtree.
func (b *builder) entry(r ref) uint64 { return binary.LittleEndian.Uint64(b.arena[r.at:]) }

// regionWriter writes the regions of a file and keeps the first error.
type regionWriter struct {
	w   *bufio.Writer
	at  uint64
	err error
}

func (o *regionWriter) write(b []byte) {
	if o.err == nil {
		_, o.err = o.w.Write(b)
	}
	o.at += uint64(len(b))
}

// pad writes zeros up to an offset.
func (o *regionWriter) pad(to uint64) {
	var zero [regionAlign]byte
	o.write(zero[:to-o.at])
}

func (o *regionWriter) numbers(v []uint32) {
	var b [4]byte
	for _, x := range v {
		binary.LittleEndian.PutUint32(b[:], x)
		o.write(b[:])
	}
}

func (o *regionWriter) flush() error {
	if o.err != nil {
		return o.err
	}
	return o.w.Flush()
}
