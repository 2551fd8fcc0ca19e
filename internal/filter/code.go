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

	maxSymbol = uint(maxCode + 8) // bits of the longest symbol: an escape and its octet
)

// symbol is a code: its bits as they are written (the first is the lowest) and
// how many there are.
type symbol struct {
	code uint32
	bits uint8
}

// decoded is what the next peekBits bits begin with: up to two octets, and then
// the end mark or an escape if either fits. From the lowest bit: two octets of 8,
// how many they are in 2, stop in 2, and the bits that all of it takes in 8.
type decoded uint32

// What stops a run of octets.
const (
	stopEnd    = 1
	stopEscape = 2
)

func (d decoded) count() int { return int(d >> 16 & 3) }
func (d decoded) stop() int  { return int(d >> 18 & 3) }
func (d decoded) bits() uint { return uint(d >> 20) }

// peekBits is how many bits are decoded at a time: two octets of a common kind.
const peekBits = 12

// encodeTable is how each octet is written, endCode the end mark.
var encodeTable, endCode, decodeTable = makeCode()

func makeCode() (enc [256]symbol, end symbol, dec [1 << peekBits]decoded) {
	next := uint16(0)
	var one [1 << maxCode]symbol // octet of each code, whatever follows it
	for n, symbols := range codeLengths {
		next <<= 1
		for i := range len(symbols) {
			s := symbol{code: uint32(bits.Reverse16(next) >> (16 - n)), bits: uint8(n)}
			enc[symbols[i]] = s
			for rest := 0; rest < 1<<(maxCode-n); rest++ {
				one[int(s.code)|rest<<n] = symbol{code: uint32(symbols[i]), bits: s.bits}
			}
			next++
		}
	}
	for v := range dec {
		dec[v] = decode(&one, v)
	}
	end = enc[endMark]
	esc := enc[escape]
	for c := range enc {
		if c == endMark || c == escape || enc[c].bits == 0 {
			enc[c] = symbol{code: esc.code | uint32(c)<<esc.bits, bits: esc.bits + 8}
		}
	}
	return enc, end, dec
}

// decode is what v begins with; one says which symbol its next bits are.
func decode(one *[1 << maxCode]symbol, v int) decoded {
	var d decoded
	used := uint(0)
	for n := 0; ; n++ {
		s := one[v>>used&codeMask]
		stop := decoded(0)
		switch s.code {
		case endMark:
			stop = stopEnd
		case escape:
			stop = stopEscape
		}
		if used+uint(s.bits) > peekBits || stop == 0 && n == 2 {
			return d | decoded(n)<<16 | decoded(used)<<20
		}
		used += uint(s.bits)
		if stop != 0 {
			return d | decoded(n)<<16 | stop<<18 | decoded(used)<<20
		}
		d |= decoded(s.code) << (8 * n)
	}
}

// bitWriter writes numbers of few bits, the lowest bit first. Up to 31 bits are
// held back until align.
type bitWriter struct {
	out  []byte
	acc  uint64
	held uint
}

// put writes the lowest n bits of v; n is at most 32.
func (w *bitWriter) put(v uint64, n uint) {
	w.acc |= (v & (1<<n - 1)) << w.held
	if w.held += n; w.held >= 32 {
		w.out = binary.LittleEndian.AppendUint32(w.out, uint32(w.acc))
		w.acc >>= 32
		w.held -= 32
	}
}

// align writes what is held, the octet filled up with zeros.
func (w *bitWriter) align() {
	for ; w.held > 0; w.held -= min(8, w.held) {
		w.out = append(w.out, byte(w.acc))
		w.acc >>= 8
	}
}

// key writes the octets of a key and the end mark.
func (w *bitWriter) key(key []byte) {
	out, acc, held := w.out, w.acc, w.held
	for i := 0; ; i++ {
		s := endCode
		if i < len(key) {
			s = encodeTable[key[i]]
		}
		acc |= uint64(s.code) << (held & 63)
		if held += uint(s.bits); held >= 32 {
			out = binary.LittleEndian.AppendUint32(out, uint32(acc))
			acc >>= 32
			held -= 32
		}
		if i >= len(key) {
			break
		}
	}
	w.out, w.acc, w.held = out, acc, held
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

// same reads n bits, 57 at most, and reports whether they are v.
func (r *bitReader) same(v uint64, n uint) bool { return r.take(n) == v && !r.bad }

// matches reads the code of as many octets as key has, and reports whether it is key's. It may
// stop at the first difference.
func (r *bitReader) matches(key []byte) bool {
	acc, held := uint64(0), uint(0)
	for _, c := range key {
		s := encodeTable[c]
		acc |= uint64(s.code) << (held & 63)
		if held += uint(s.bits); held > 57-maxSymbol {
			if !r.same(acc, held) {
				return false
			}
			acc, held = 0, 0
		}
	}
	return r.same(acc, held)
}

// key reads octets up to an end mark into out from out[n] on and says where they
// end; false if there is no end mark before out is full.
func (r *bitReader) key(out *[maxKey]byte, n int) (int, bool) {
	for {
		v, left := r.peek(), 57
		if r.bad {
			return 0, false
		}
		for left >= peekBits+8 {
			if n+2 > maxKey {
				return 0, false
			}
			d := decodeTable[v&(1<<peekBits-1)]
			out[n], out[n+1] = byte(d), byte(d>>8)
			n += d.count()
			v >>= d.bits()
			left -= int(d.bits())
			r.pos += d.bits()
			switch d.stop() {
			case stopEnd:
				return n, true
			case stopEscape:
				if n == maxKey {
					return 0, false
				}
				out[n] = byte(v)
				n++
				v >>= 8
				left -= 8
				r.pos += 8
			}
		}
	}
}
