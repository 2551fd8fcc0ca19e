package filter

import (
	"encoding/binary"
	"math/bits"
)

// The code of key octets: a prefix code that is fixed with the format, made
// from the frequencies in public lists. Each string is the symbols with a code
// of as many bits as its place says, from 0. Codes are canonical: a shorter code
// is less than a longer one, and codes of one length ascend in the order given.
// A code's first bit is its highest and goes first. endMark and escape stand
// for symbols that are no octets; the octet after an escape follows in 8 bits,
// lowest first.
var codeLengths = [...]string{
	3:  "\xff",
	4:  "aeo",
	5:  "\x00bcdfilmnrstu",
	6:  "0123456789ghkpy",
	7:  "-vwxz",
	8:  "q",
	9:  "j",
	10: "_\xfe",
}

// The octets that codeLengths writes endMark and escape as. They are in need of
// an escape themselves where they occur in a key.
const (
	endMark  = 0xff
	escape   = 0xfe
	maxCode  = len(codeLengths) - 1
	codeMask = 1<<maxCode - 1
)

// symbol is a code: its bits as they are written (the first is the lowest) and
// how many there are; 0 for an octet that needs an escape.
type symbol struct {
	code uint16
	bits uint8
}

// decoded is what the next maxCode bits begin with.
type decoded struct {
	octet uint8
	bits  uint8
}

var encodeTable, decodeTable = makeCode()

func makeCode() (enc [256]symbol, dec [1 << maxCode]decoded) {
	next := uint16(0)
	for n, symbols := range codeLengths {
		next <<= 1
		for i := range len(symbols) {
			s := symbol{code: bits.Reverse16(next) >> (16 - n), bits: uint8(n)}
			enc[symbols[i]] = s
			for rest := 0; rest < 1<<(maxCode-n); rest++ {
				dec[int(s.code)|rest<<n] = decoded{octet: symbols[i], bits: s.bits}
			}
			next++
		}
	}
	return enc, dec
}

// bitWriter writes numbers of few bits, the lowest bit first.
type bitWriter struct {
	out  []byte
	acc  uint64
	held uint
}

// put writes the lowest n bits of v; n is at most 32.
func (w *bitWriter) put(v uint64, n uint) {
	w.acc |= (v & (1<<n - 1)) << w.held
	for w.held += n; w.held >= 8; w.held -= 8 {
		w.out = append(w.out, byte(w.acc))
		w.acc >>= 8
	}
}

// align fills the octet up with zeros.
func (w *bitWriter) align() {
	if w.held > 0 {
		w.put(0, 8-w.held)
	}
}

// key writes the octets of a key and the end mark.
func (w *bitWriter) key(key []byte) {
	for _, c := range key {
		s := encodeTable[c]
		if c == endMark || c == escape || s.bits == 0 {
			e := encodeTable[escape]
			w.put(uint64(e.code), uint(e.bits))
			w.put(uint64(c), 8)
			continue
		}
		w.put(uint64(s.code), uint(s.bits))
	}
	e := encodeTable[endMark]
	w.put(uint64(e.code), uint(e.bits))
}

// bitReader reads what a bitWriter wrote. Reading behind the end sets bad and
// yields zeros.
type bitReader struct {
	b   []byte
	pos uint // in bits
	bad bool
}

// peek is the next 57 bits or more.
func (r *bitReader) peek() uint64 {
	at := r.pos >> 3
	if at+8 > uint(len(r.b)) {
		r.bad = true
		return 0
	}
	return binary.LittleEndian.Uint64(r.b[at:]) >> (r.pos & 7)
}

// take reads n bits, 57 at most.
func (r *bitReader) take(n uint) uint64 {
	v := r.peek() & (1<<n - 1)
	r.pos += n
	return v
}

// key appends octets up to an end mark to out, which has room for maxKey; false
// if there is no end mark before that.
func (r *bitReader) key(out *[maxKey]byte, n int) (int, bool) {
	for {
		v, left := r.peek(), uint(57)
		if r.bad {
			return 0, false
		}
		for left >= uint(maxCode)+8 {
			d := decodeTable[v&codeMask]
			v >>= d.bits
			left -= uint(d.bits)
			r.pos += uint(d.bits)
			c := d.octet
			if c == endMark {
				return n, true
			}
			if c == escape {
				c = byte(v)
				v >>= 8
				left -= 8
				r.pos += 8
			}
			if n >= maxKey {
				return 0, false
			}
			out[n] = c
			n++
		}
	}
}
