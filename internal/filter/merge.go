package filter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"net/netip"
	"runtime"

	"github.com/shoji-dns/shoji/ledger"
)

// ErrNotBase is returned by Merge for a list that was not compiled from what the
// tail continues.
var ErrNotBase = errors.New("filter: the list is not of what the log's tail continues")

// Merge writes the list that Compile would write of the whole log that tail is
// the end of, octet for octet, and returns the file's digest. The beginning is
// taken from base, the list that was compiled at the tail's base; nil stands for
// the empty one. What base says is taken as it is: it must have been verified by
// its digest. It costs one pass over base's names, without sorting them.
func Merge(w io.Writer, base *List, tail *ledger.Tail) (Digest, error) {
	at := tail.Base()
	if base == nil {
		base = &List{}
	}
	if base.epoch != at.Size || at.Size > 0 && base.root != at.Root {
		return Digest{}, ErrNotBase
	}
	b := builder{header: header{epoch: tail.Size(), root: tail.RootHash()}}
	b.mergeCommitments(base, tail)
	d, err := b.merge(w, base, tail.Len(), tail.Changes())
	runtime.KeepAlive(base)
	return d, err
}

// removedBit in an entry number in the arena is set for a record that is not
// listed any more.
const removedBit = 1 << 62

// mergeCommitments adds the commitments that base has and those of the tail, but those that
// are listed no more.
func (b *builder) mergeCommitments(base *List, tail *ledger.Tail) {
	changed := map[ledger.Commitment]bool{}
	for c := range tail.CommitmentChanges() {
		if c.Listed {
			b.addCommitment(c.Commitment)
		}
		c.Entry = 0
		changed[c.Commitment] = true
	}
	base.Commitments(func(c ledger.Commitment) bool {
		entry := c.Entry
		if c.Entry = 0; !changed[c] {
			c.Entry = entry
			b.addCommitment(c)
		}
		return true
	})
}

// merge writes the list of what base lists with about hint changes, whose
// entries are all later than those of base. Commitments are b's alone.
func (b *builder) merge(w io.Writer, base *List, hint int, changes func(func(ledger.Change) bool)) (Digest, error) {
	b.reserve(hint)
	gone := map[netip.Prefix]bool{}
	for c := range changes {
		if !c.Listed && c.Prefix.IsValid() {
			gone[plain(c.Prefix)] = true
			continue
		}
		if err := b.add(c.Listing); err != nil {
			return Digest{}, err
		}
		if !c.Listed {
			at := b.order[len(b.order)-1].at
			binary.LittleEndian.PutUint64(b.arena[at:], binary.LittleEndian.Uint64(b.arena[at:])|removedBit)
		}
	}
	base.appendPrefixes(b, gone)
	b.sortNames()
	b.expected += int(base.records)
	var fault error
	records := b.merged(base, &fault)
	b.top = topEntry(records, max(b.top, 1<<base.entryBits-1))
	if fault != nil {
		return Digest{}, fault
	}
	digest, err := b.write(w, records)
	if fault != nil {
		return Digest{}, fault
	}
	return digest, err
}

// topEntry is an entry number of as many bits as the largest of the records has,
// which is at most limit. The first that has as many as limit settles it.
func topEntry(records records, limit uint64) uint64 {
	top := uint64(0)
	for _, entry := range records {
		top = max(top, entry&^scopeBit)
		if bits.Len64(top) >= bits.Len64(limit) {
			break
		}
	}
	return top
}

// merged yields base's records with the sorted ones of b put in, in the place of
// those that they are about. If base is damaged it ends early and fault says so.
func (b *builder) merged(base *List, fault *error) records {
	return func(yield func([]byte, uint64) bool) {
		old := base.reader()
		alike := base.entryBits == b.entryWidth()
		more := old.next()
		for key, entry := range b.sorted() {
			for more && compareRecords(old.key(), old.entry(), key, entry) < 0 {
				b.stays = ready{}
				if alike && old.block.i == 1 && old.follows(key, entry) {
					b.stays = old.block.whole()
				}
				if !yield(old.key(), old.entry()) {
					return
				}
				more = old.next()
			}
			if more && compareRecords(old.key(), old.entry(), key, entry) == 0 {
				more = old.next()
			}
			b.stays = ready{}
			if entry&removedBit == 0 && !yield(key, entry) {
				return
			}
		}
		for ; more; more = old.next() {
			b.stays = ready{}
			if alike && old.block.i == 1 {
				b.stays = old.block.whole()
			}
			if !yield(old.key(), old.entry()) {
				return
			}
		}
		if old.done != old.records {
			*fault = damaged("record %d of %d cannot be read", old.done, old.records)
		}
	}
}

// compareRecords orders records as a file has them: by key, the exact one first.
func compareRecords(kx []byte, ex uint64, ky []byte, ey uint64) int {
	if c := bytes.Compare(kx, ky); c != 0 {
		return c
	}
	return int(ex>>63) - int(ey>>63)
}

// recordReader reads all records of a file in order.
type recordReader struct {
	records uint64
	done    uint64 // records that were read
	unit    uint   // where the next block is
	block   blockReader
	behind  blockReader // looks ahead
}

// reader reads l's records.
func (l *List) reader() *recordReader { return newReader(l.names, l.records, l.entryBits) }

func newReader(names []byte, records uint64, entryBits uint) *recordReader {
	return &recordReader{records: records, block: blockReader{names: names, entryBits: entryBits}}
}

// next reads the next record; false at the end, or if there is damage.
func (r *recordReader) next() bool {
	if r.done == r.records {
		return false
	}
	if r.block.i == r.block.n {
		if r.done > 0 {
			r.unit = r.block.end()
		}
		if !r.block.open(r.unit) {
			return false
		}
	}
	if !r.block.read() {
		return false
	}
	r.done++
	return true
}

// follows reports whether a record comes after the first one of the next block. Then the block of the
// record that was read last is of the same records as before, and ends for the same reason.
func (r *recordReader) follows(key []byte, entry uint64) bool {
	next := &r.behind
	next.names, next.entryBits = r.block.names, r.block.entryBits
	return next.open(r.block.end()) && next.read() && compareRecords(next.key[:next.len], next.scoped(), key, entry) < 0
}

// key is the record's key, until the next one is read.
func (r *recordReader) key() []byte { return r.block.key[:r.block.len] }

// entry is the record's entry number, with scopeBit for a subtree.
func (r *recordReader) entry() uint64 { return r.block.scoped() }

// appendPrefixes adds the list's prefixes to b, except those that are gone.
// Where b has one already, the later entry will count.
func (l *List) appendPrefixes(b *builder, gone map[netip.Prefix]bool) {
	for i := range l.groups {
		g := &l.groups[i]
		for n := range g.count {
			if p := netip.PrefixFrom(g.addr(n), int(g.bits)); !gone[p] {
				b.addrs = append(b.addrs, addrRecord{p, g.verdict(n).Entry})
			}
		}
	}
}

// addr is the address of a group's n-th prefix.
func (g *group) addr(n int) netip.Addr {
	if !g.v6 {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], g.key4(n))
		return netip.AddrFrom4(a)
	}
	var a [16]byte
	hi, lo := g.key6(n)
	binary.BigEndian.PutUint64(a[:], hi)
	binary.BigEndian.PutUint64(a[8:], lo)
	return netip.AddrFrom16(a)
}
