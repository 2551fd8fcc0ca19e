package filter

import (
	"encoding/binary"
	"math/bits"
)

// The code of key octets: prefix codes that are fixed with the format, one for what follows each octet, made from
// the names in public lists of malware (TestMakeCode). An octet's code is of those that follow
// the one before it in the key, or 0 for the key's first. Octets other than these are written as an escape, and 8
// bits, lowest first.
const coded = "\x00-0123456789_abcdefghijklmnopqrstuvwxyz"

const (
	contexts = len(coded) + 1
	maxCode  = 8 // bits

	maxSymbol = maxCode + 8 // bits of an escape and its octet
)

// escape is the class of every other octet, as a symbol and as what is before one.
const escape = uint8(len(coded))

// codeLengths are the codes' bits: a row for each of the coded octets and for all others, by what is before, and in
// it a digit for each of the coded octets and the escape. Codes are canonical: a shorter code is less than a
// longer one, and codes of one length ascend in the order of the row. A code's first bit is its highest and
// goes first.
var codeLengths = [contexts]string{
	"8876767777778444455555665446575456556768",
	"8875677788788454555554765555485355558878",
	"6633344455548656666788887777787678777888",
	"6634344444448676666787887778788678787888",
	"6534433445558666676777877778787678777888",
	"5644444434448666666777777777777677777778",
	"6644444444448665566767777677676666777778",
	"5644444444448665566777777677677667776778",
	"6644444344448665666777777777777677777778",
	"6644444443448666666777777777677677776778",
	"5644444444348666566777877777787677777888",
	"5644444444438666666777777777777677776888",
	"7775465575657474377575666577676445775776",
	"7788888888888654566565764436573446567578",
	"6777777777888366636764774663774464777678",
	"7788788888888475637635844673775545768588",
	"6587777788888365535563776654685465677678",
	"6688788888888564556676864536673346665678",
	"8777777777788466545663664663774644777578",
	"6688888888888465636553765564664464767578",
	"7687788888888366636663666663665554777578",
	"8888888888888464556576764533565446576668",
	"7877777777788355545554556554565564666668",
	"6687777888888465636563655564665455657578",
	"7688888888888376536773874673687544678588",
	"6688888888888365637673766563566465767578",
	"6688888888888464436464765664677436677678",
	"7788888888888565566576754435573454556678",
	"6688788888888376537754864763474555777678",
	"7887787778888465646564656564646463646568",
	"7688888888888365537673856554686445578588",
	"6687678888888475636644856564566435768588",
	"6687778888888376636743876664684464768578",
	"8888888888888545456575764446464346666678",
	"6787888888888376727772777764676666677688",
	"7788888888888375637554766553666465747578",
	"6686677777878465646663665564566544565568",
	"6587788888888455546565755544555445656568",
	"6687777777878366536654665663666665665558",
	"6666666666666666555555555555555555555555",
}

// A symbol is the code of an octet after another, or of an escape: its bits as they are written (the
// first is the lowest), and from bit symbolBits on how many there are.
type symbol uint16

const symbolBits = 8

func (s symbol) code() uint64 { return uint64(s & (1<<symbolBits - 1)) }
func (s symbol) bits() uint   { return uint(s >> symbolBits) }

// classes has the place of each octet in coded, octets the octet of each place, encodeTable the symbol of each class after
// another, and decodeTable what bits begin with after a class: a class, and from bit
// symbolBits on how many of the bits are its.
var classes, octets, encodeTable, decodeTable = makeCode()

func makeCode() (class [256]uint8, octet [64]byte, enc [64][64]symbol, dec [contexts][1 << maxCode]symbol) {
	for c := range class {
		class[c] = escape
	}
	for i, c := range []byte(coded) {
		class[c], octet[i] = uint8(i), c
	}
	for context, lengths := range codeLengths {
		next := uint16(0)
		for n := 1; n <= maxCode; n++ {
			next <<= 1
			for i := range len(lengths) {
				if int(lengths[i]-'0') != n {
					continue
				}
				code := int(bits.Reverse16(next) >> (16 - n))
				enc[context][i] = symbol(code | n<<symbolBits)
				for rest := 0; rest < 1<<(maxCode-n); rest++ {
					dec[context][code|rest<<n] = symbol(i | n<<symbolBits)
				}
				next++
			}
		}
	}
	return class, octet, enc, dec
}

// encode is an octet's class and its code after an octet of another class, n bits with an escape.
func encode(context, c uint8) (class uint8, code uint64, n uint) {
	class = classes[c]
	s := encodeTable[context&63][class&63]
	code, n = s.code(), s.bits()
	if class == escape {
		code |= uint64(c) << n
		n += 8
	}
	return class, code, n
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

// long is put for n up to 64.
func (w *bitWriter) long(v uint64, n uint) {
	w.put(v, min(n, 32))
	if n > 32 {
		w.put(v>>32, n-32)
	}
}

// bits is how many bits were written.
func (w *bitWriter) bits() uint { return 8*uint(len(w.out)) + w.held }

// align writes what is held, the octet filled up with zeros.
func (w *bitWriter) align() {
	for ; w.held > 0; w.held -= min(8, w.held) {
		w.out = append(w.out, byte(w.acc))
		w.acc >>= 8
	}
}

// copy writes what another writer has; it must not be aligned.
func (w *bitWriter) copy(from *bitWriter) {
	for b := from.out; len(b) > 0; b = b[4:] {
		w.put(uint64(binary.LittleEndian.Uint32(b)), 32)
	}
	w.put(from.acc, from.held)
}

// key writes the code of a key's octets from one on.
func (w *bitWriter) key(key []byte, from int) {
	out, acc, held := w.out, w.acc, w.held
	context := uint8(0)
	if from > 0 {
		context = classes[key[from-1]]
	}
	for _, c := range key[from:] {
		class, code, n := encode(context, c)
		acc |= code << (held & 63)
		held += n
		if held >= 32 {
			out = binary.LittleEndian.AppendUint32(out, uint32(acc))
			acc >>= 32
			held -= 32
		}
		context = class
	}
	w.out, w.acc, w.held = out, acc, held
}

// window is the bits of b from pos on, 57 or more; zero where there are not as many.
func window(b []byte, pos uint) uint64 {
	at := pos >> 3
	if at+8 > uint(len(b)) {
		return 0
	}
	return binary.LittleEndian.Uint64(b[at:]) >> (pos & 7)
}

// maxTaken is how many bits of a window may be used.
const maxTaken = 57

// bitsAt is n bits of b from pos on, maxTaken at most.
func bitsAt(b []byte, pos, n uint) uint64 { return window(b, pos) & (1<<n - 1) }

// codeIs reports whether b has the code of key[from:to] at pos, and where that ends.
func codeIs(b []byte, pos uint, key []byte, from, to uint) (end uint, ok bool) {
	context := uint8(0)
	if from > 0 {
		context = classes[key[from-1]]
	}
	acc, held := uint64(0), uint(0)
	for _, c := range key[from:to] {
		class, code, n := encode(context, c)
		acc |= code << (held & 63)
		held += n
		context = class
		if held > maxTaken-maxSymbol {
			if bitsAt(b, pos, held) != acc {
				return 0, false
			}
			pos += held
			acc, held = 0, 0
		}
	}
	return pos + held, bitsAt(b, pos, held) == acc
}

// readKey reads octets in the bits from pos to end into out from out[n] on, and says where they end there;
// false if there is damage.
func readKey(b []byte, pos, end uint, out *[maxKey]byte, n int) (int, bool) {
	context := uint8(0)
	if n > 0 {
		context = classes[out[n-1]]
	}
	for pos < end {
		v, stop := window(b, pos), min(end, pos+maxTaken-maxSymbol)
		for pos < stop {
			s := decodeTable[context][v&(1<<maxCode-1)]
			class, used := uint8(s.code()), s.bits()
			if n == maxKey {
				return 0, false
			}
			v >>= used
			out[n] = octets[class&63]
			if class == escape {
				out[n] = byte(v)
				v >>= 8
				used += 8
			}
			n++
			pos += used
			context = class
		}
	}
	return n, pos == end
}
