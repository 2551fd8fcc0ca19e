package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// fragment is a part of what a client says first in a QUIC connection.
type fragment struct {
	at   int
	data []byte
}

// maxHello is how much of a ClientHello is put together, in octets; two key shares of ML-KEM
// and what else is there have some 3,000.
const maxHello = 16 << 10

// initialSalt is that of QUIC's version 1 (RFC 9001 §5.2): whoever knows it reads Initial packets.
const initialSalt = "38762cf7f55934b34d179ae6a4c80cadccbb7f0a"

// initial reports whether a datagram begins with an Initial packet of QUIC's version 1.
func initial(datagram []byte) bool {
	return len(datagram) > 5 && datagram[0]&0xf0 == 0xc0 && binary.BigEndian.Uint32(datagram[1:]) == 1
}

// fragments decrypts the Initial packet that a client's datagram begins with, by the keys that all
// know (RFC 9001 §5.2), and returns what of the TLS handshake it has. Nothing of it is an error. The
// keys are by the connection's first destination, which a client leaves as soon as the server has
// answered; nil is the packet's own, which is returned.
func fragments(datagram, first []byte) (out []fragment, destination []byte) {
	r := octets{b: datagram}
	r.take(5)
	dcid := r.take(int(r.uint8()))
	r.take(int(r.uint8())) // the source's
	r.take(r.varint())     // a token
	length := r.varint()
	if r.bad || !initial(datagram) || length > len(r.b) || length < 20 {
		return nil, nil
	}
	if first == nil {
		first = dcid
	}
	packet := bytes.Clone(datagram[:len(datagram)-len(r.b)+length])
	payload, ok := openInitial(packet, len(packet)-length, first)
	if !ok {
		return nil, dcid
	}
	return cryptoFrames(payload), dcid
}

// openInitial removes header protection and encryption from a packet whose number is at an
// offset (RFC 9001 §5.3, §5.4).
func openInitial(packet []byte, at int, dcid []byte) ([]byte, bool) {
	salt, err := hex.DecodeString(initialSalt)
	if err != nil {
		return nil, false
	}
	secret, err := hkdf.Extract(sha256.New, dcid, salt)
	if err != nil {
		return nil, false
	}
	client := expand(secret, "client in", sha256.Size)
	iv := expand(client, "quic iv", 12)
	header, err1 := aes.NewCipher(expand(client, "quic hp", 16))
	block, err2 := aes.NewCipher(expand(client, "quic key", 16))
	if err1 != nil || err2 != nil {
		return nil, false
	}
	var mask [16]byte
	header.Encrypt(mask[:], packet[at+4:at+20])
	packet[0] ^= mask[0] & 0x0f
	n := int(packet[0]&3) + 1
	for i := range n {
		packet[at+i] ^= mask[1+i]
		iv[12-n+i] ^= packet[at+i]
	}
	sealed, err := cipher.NewGCM(block)
	if err != nil {
		return nil, false
	}
	payload, err := sealed.Open(nil, iv, packet[at+n:], packet[:at+n])
	return payload, err == nil
}

// expand is HKDF-Expand-Label of TLS 1.3 without a context (RFC 8446 §7.1).
func expand(secret []byte, label string, n int) []byte {
	info := []byte{0, byte(n), byte(len("tls13 ") + len(label))}
	info = append(append(info, "tls13 "+label...), 0)
	out, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		return make([]byte, n)
	}
	return out
}

// cryptoFrames are the CRYPTO frames of an Initial packet's payload (RFC 9000 §19.6).
func cryptoFrames(payload []byte) (out []fragment) {
	for r := (octets{b: payload}); len(r.b) > 0; {
		switch kind := r.varint(); kind {
		case 0, 1: // PADDING, PING
		case 2, 3: // ACK
			r.varint()
			r.varint()
			ranges := r.varint()
			r.varint()
			for i := 0; i < 2*ranges && !r.bad; i++ {
				r.varint()
			}
		case 6:
			f := fragment{at: r.varint()}
			if f.data = r.take(r.varint()); !r.bad && f.at+len(f.data) <= maxHello {
				out = append(out, f)
			}
		default:
			return out
		}
		if r.bad {
			return out
		}
	}
	return out
}

// octets are taken from the front; bad tells that there were too few.
type octets struct {
	b   []byte
	bad bool
}

func (o *octets) take(n int) []byte {
	if o.bad || n < 0 || n > len(o.b) {
		o.b, o.bad = nil, true
		return nil
	}
	out := o.b[:n]
	o.b = o.b[n:]
	return out
}

func (o *octets) uint8() byte {
	if b := o.take(1); b != nil {
		return b[0]
	}
	return 0
}

// varint is QUIC's integer of a variable length (RFC 9000 §16).
func (o *octets) varint() int {
	first := o.uint8()
	v := uint64(first & 0x3f)
	for range 1<<(first>>6) - 1 {
		v = v<<8 | uint64(o.uint8())
	}
	return int(v)
}
