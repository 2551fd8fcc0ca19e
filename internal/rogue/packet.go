package rogue

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	_ "crypto/sha512" // SHA-384
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	version1 = 1
	// numberLen is how many octets of a packet number are sent.
	numberLen = 4
	tagLen    = 16 // of AEAD, RFC 9001 §5.3
	idLen     = 8  // of connection IDs of ours

	longBit, fixedBit = 0x80, 0x40

	// FullDatagram is the least length of a datagram with an Initial packet (RFC 9000 §14.1).
	FullDatagram = 1200
)

// The kinds of packets with long headers (RFC 9000 §17.2).
const (
	kindInitial = iota
	kindEarly
	kindHandshake
	kindRetry
)

var errOpaque = errors.New("rogue: a packet that cannot be read")

// initialSalt is RFC 9001 §5.2's.
const initialSalt = "\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a"

// keys protect packets of one level in one direction (RFC 9001 §5).
type keys struct {
	seal cipher.AEAD
	head cipher.Block
	iv   []byte
}

// expand is HKDF-Expand-Label (RFC 8446 §7.1) without a context.
func expand(h crypto.Hash, secret []byte, label string, n int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len("tls13 ")+len(label)))
	info = append(append(info, "tls13 "+label...), 0)
	out, err := hkdf.Expand(h.New, secret, string(info), n)
	if err != nil {
		panic(err) // lengths are constants
	}
	return out
}

// newKeys are those of a QUIC packet.
func newKeys(suite uint16, secret []byte) (*keys, error) { return deriveKeys(suite, secret, "quic ") }

// deriveKeys makes keys by labels that begin with a prefix, which is that of QUIC or none (RFC 8446 §7.3).
func deriveKeys(suite uint16, secret []byte, prefix string) (*keys, error) {
	h, n := crypto.SHA256, 16
	switch suite {
	case tls.TLS_AES_128_GCM_SHA256:
	case tls.TLS_AES_256_GCM_SHA384:
		h, n = crypto.SHA384, 32
	default:
		return nil, fmt.Errorf("rogue: no cipher suite %s", tls.CipherSuiteName(suite))
	}
	block, err := aes.NewCipher(expand(h, secret, prefix+"key", n))
	if err != nil {
		return nil, err
	}
	k := &keys{iv: expand(h, secret, prefix+"iv", 12)}
	if k.head, err = aes.NewCipher(expand(h, secret, prefix+"hp", n)); err != nil {
		return nil, err
	}
	k.seal, err = cipher.NewGCM(block)
	return k, err
}

// initialKeys are those of Initial packets to a connection ID (RFC 9001 §5.2).
func initialKeys(id []byte) (client, server *keys, err error) {
	secret, err := hkdf.Extract(sha256.New, id, []byte(initialSalt))
	if err != nil {
		return nil, nil, err
	}
	if client, err = newKeys(tls.TLS_AES_128_GCM_SHA256, expand(crypto.SHA256, secret, "client in", 32)); err != nil {
		return nil, nil, err
	}
	server, err = newKeys(tls.TLS_AES_128_GCM_SHA256, expand(crypto.SHA256, secret, "server in", 32))
	return client, server, err
}

func (k *keys) nonce(number uint64) []byte {
	n := append([]byte(nil), k.iv...)
	for i := range 8 {
		n[len(n)-1-i] ^= byte(number >> (8 * i))
	}
	return n
}

// protect appends a packet: a header that ends before its number, and frames.
func (k *keys) protect(out, header []byte, number uint64, frames []byte) []byte {
	for len(frames) < 4 { // enough for the sample of header protection (RFC 9001 §5.4.2)
		frames = append(frames, 0)
	}
	at := len(out)
	out = append(out, header...)
	out = binary.BigEndian.AppendUint32(out, uint32(number))
	body := len(out)
	out = k.seal.Seal(out, k.nonce(number), frames, out[at:body])
	k.mask(out[at:], len(header))
	return out
}

// mask protects a packet's header, or undoes it, where the number's length is numberLen.
func (k *keys) mask(packet []byte, numberAt int) {
	var m [aes.BlockSize]byte
	k.head.Encrypt(m[:], packet[numberAt+4:][:aes.BlockSize])
	first := byte(0x1f)
	if packet[0]&longBit != 0 {
		first = 0x0f
	}
	packet[0] ^= m[0] & first
	for i := range numberLen {
		packet[numberAt+i] ^= m[1+i]
	}
}

// open reads the frames of a packet whose number begins at numberAt.
func (k *keys) open(packet []byte, numberAt int) (frames []byte, number uint64, err error) {
	if len(packet) < numberAt+4+aes.BlockSize {
		return nil, 0, errOpaque
	}
	var m [aes.BlockSize]byte
	k.head.Encrypt(m[:], packet[numberAt+4:][:aes.BlockSize])
	first := byte(0x1f)
	if packet[0]&longBit != 0 {
		first = 0x0f
	}
	packet[0] ^= m[0] & first
	n := 1 + int(packet[0]&3)
	for i := range n {
		packet[numberAt+i] ^= m[1+i]
		number = number<<8 | uint64(packet[numberAt+i])
	}
	frames, err = k.seal.Open(nil, k.nonce(number), packet[numberAt+n:], packet[:numberAt+n])
	return frames, number, err
}

// longHeader is a packet's header to its number; length is that of the frames.
func longHeader(kind byte, to, from, token []byte, length int) []byte {
	h := []byte{longBit | fixedBit | kind<<4 | numberLen - 1}
	h = binary.BigEndian.AppendUint32(h, version1)
	h = append(append(h, byte(len(to))), to...)
	h = append(append(h, byte(len(from))), from...)
	if kind == kindInitial {
		h = append(AppendNumber(h, uint64(len(token))), token...)
	}
	return AppendNumber(h, uint64(numberLen+max(length, 4)+tagLen))
}

// AppendNumber appends a variable-length integer (RFC 9000 §16).
func AppendNumber(out []byte, n uint64) []byte {
	switch {
	case n < 1<<6:
		return append(out, byte(n))
	case n < 1<<14:
		return binary.BigEndian.AppendUint16(out, uint16(n)|1<<14)
	case n < 1<<30:
		return binary.BigEndian.AppendUint32(out, uint32(n)|2<<30)
	}
	return binary.BigEndian.AppendUint64(out, n|3<<62)
}

// readNumber reads a variable-length integer.
func readNumber(b []byte) (n uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	size := 1 << (b[0] >> 6)
	if len(b) < size {
		return 0, nil, false
	}
	n = uint64(b[0] & 0x3f)
	for _, c := range b[1:size] {
		n = n<<8 | uint64(c)
	}
	return n, b[size:], true
}
