package filter

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	magic      = "shojilst"
	version    = 4
	headerSize = 256
	sumAt      = 248 // where the header's own checksum is

	regionAt    = 128
	regionAlign = 64

	unitSize  = 512 // octets of a unit of the names region: a block begins with one
	indexBits = 6   // of a record's place: its number in the block, from 1
	maxIndex  = 1<<indexBits - 1

	lineSize = 64 // octets of a line of the table
	lineHead = 8  // of them its filter
	perLine  = 13 // records of a line, on average
	slots    = (lineSize - lineHead) / 4
	maxSpill = 64 // lines after its own that a record may be in

	maxEntryBits = 53
	maxPlaceBits = 30
	maxFingerBit = 16
	maxShared    = 31
	restart      = 8   // records from one that shares octets with the block's first to the next
	headBits     = 6   // of a record: its scope and shared octets
	maxLength    = 255 // bits of a record's code in a block with others
	namesTail    = 8   // zero octets behind the names, so that a reader may take 8 at once

	groupHead  = 8
	groupSize  = 16
	maxGroups  = 33 + 129 // lengths of an IPv4 prefix, and of an IPv6 prefix
	entryOctet = 8
)

// region numbers, in the order of the file.
const (
	regionTable = iota
	regionBlocks
	regionPrefixes
	regionNames
	regionSealed
	regions
)

// Version is the version of the format that this package writes and reads.
const Version = version

// ErrFormat is wrapped by every error on a file that is no compiled list.
var ErrFormat = errors.New("not a compiled list")

// ErrVersion is wrapped by errors on a compiled list of another version of the format. It is a
// kind of ErrFormat.
var ErrVersion = fmt.Errorf("%w that this program reads", ErrFormat)

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// span is where a region lies in the file.
type span struct{ off, len uint64 }

// header is what a file says of itself, in the order of the package comment.
type header struct {
	epoch         uint64
	root          [32]byte
	attempt       uint64
	seed, mult    uint64
	size          uint64
	records       uint64
	prefixes      uint64
	nameDepths    uint64
	subtreeDepths uint64
	entryBits     uint
	placeBits     uint
	regions       [regions]span
}

// fingerBits is the number of fingerprint bits in a slot.
func (h *header) fingerBits() uint { return min(maxFingerBit, 31-h.placeBits) }

// keyHash sets the seed and the multiplier of an attempt.
func (h *header) keyHash(attempt uint64) {
	b := append([]byte("shoji list 1"), h.root[:]...)
	sum := sha256.Sum256(binary.LittleEndian.AppendUint64(b, attempt))
	h.attempt = attempt
	h.seed = binary.LittleEndian.Uint64(sum[:])
	h.mult = binary.LittleEndian.Uint64(sum[8:]) | 1
}

// lay gives every region its place and the file its size.
func (h *header) lay(lengths [regions]uint64) {
	at := uint64(headerSize)
	for i, n := range lengths {
		if i == regionSealed && n == 0 {
			continue
		}
		at = (at + regionAlign - 1) / regionAlign * regionAlign
		h.regions[i] = span{at, n}
		at += n
	}
	h.size = at
}

func (h *header) encode() []byte {
	b := make([]byte, headerSize)
	copy(b, magic)
	le := binary.LittleEndian
	le.PutUint32(b[8:], version)
	le.PutUint32(b[12:], headerSize)
	le.PutUint64(b[16:], h.epoch)
	copy(b[24:], h.root[:])
	for i, v := range []uint64{h.attempt, h.seed, h.mult, h.size, h.records, h.prefixes, h.nameDepths, h.subtreeDepths} {
		le.PutUint64(b[56+8*i:], v)
	}
	le.PutUint32(b[120:], uint32(h.entryBits))
	le.PutUint32(b[124:], uint32(h.placeBits))
	for i, r := range h.regions {
		le.PutUint64(b[regionAt+16*i:], r.off)
		le.PutUint64(b[regionAt+16*i+8:], r.len)
	}
	sum := sha256.Sum256(b[:sumAt])
	copy(b[sumAt:], sum[:])
	return b
}

// decode reads a header and checks all that it says of a file of size octets.
func (h *header) decode(b []byte, size uint64) error {
	le := binary.LittleEndian
	switch {
	case len(b) < headerSize:
		return damaged("%d octets are fewer than a header has", len(b))
	case string(b[:8]) != magic:
		return damaged("it does not begin with %q", magic)
	case le.Uint32(b[8:]) != version:
		return fmt.Errorf("%w: version %d; this program reads version %d", ErrVersion, le.Uint32(b[8:]), version)
	case le.Uint32(b[12:]) != headerSize:
		return damaged("a header of %d octets", le.Uint32(b[12:]))
	}
	if sum := sha256.Sum256(b[:sumAt]); !bytes.Equal(sum[:headerSize-sumAt], b[sumAt:headerSize]) {
		return damaged("the header's checksum is wrong")
	}
	h.epoch = le.Uint64(b[16:])
	copy(h.root[:], b[24:])
	for i, p := range []*uint64{&h.attempt, &h.seed, &h.mult, &h.size, &h.records, &h.prefixes, &h.nameDepths, &h.subtreeDepths} {
		*p = le.Uint64(b[56+8*i:])
	}
	h.entryBits = uint(le.Uint32(b[120:]))
	h.placeBits = uint(le.Uint32(b[124:]))
	if h.size != size {
		return damaged("it is %d octets long and should be %d", size, h.size)
	}
	if h.entryBits < 1 || h.entryBits > maxEntryBits || h.placeBits < indexBits || h.placeBits > maxPlaceBits {
		return damaged("entry numbers of %d bits, places of %d", h.entryBits, h.placeBits)
	}
	for i := range h.regions {
		r := span{le.Uint64(b[regionAt+16*i:]), le.Uint64(b[regionAt+16*i+8:])}
		if i == regionSealed && r == (span{}) {
			break
		}
		if r.off < headerSize || r.off > size || r.len > size-r.off {
			return damaged("region %d is outside of the file", i)
		}
		h.regions[i] = r
	}
	return h.checkLengths()
}

// checkLengths checks that the regions have the lengths that the counts ask for.
func (h *header) checkLengths() error {
	want := h.fixedLengths()
	for _, i := range []int{regionTable, regionBlocks} {
		if h.records > 1<<32 || h.regions[i].len != want[i] {
			return damaged("region %d has %d octets and should have %d", i, h.regions[i].len, want[i])
		}
	}
	if h.regions[regionNames].len%unitSize != namesTail || h.regions[regionPrefixes].len < groupHead {
		return damaged("a region is missing")
	}
	return nil
}

// fixedLengths are the lengths of the regions that the record count and the names decide.
func (h *header) fixedLengths() (n [regions]uint64) {
	n[regionTable] = lineSize * (h.records/perLine + 1)
	n[regionBlocks] = h.regions[regionNames].len / unitSize * 4
	return n
}
