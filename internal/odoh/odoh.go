// Package odoh is the messages of oblivious DNS over HTTPS (RFC 9230): a client encrypts a query
// for a target and has a proxy carry it, so that the proxy knows who asks and the target what
// is asked, and neither both. It has no socket, no clock and no disk.
//
// # Format
//
// A target publishes configurations, each a public key for HPKE (RFC 9180) with the algorithms
// that it is for. A query is encrypted for one of them; its reply by a key that only the two ends
// have, drawn from the query's own encryption, the query itself and a nonce. Inside is a DNS message and
// its padding (RFC 8467 §4.1): with it, queries are multiples of 128 octets and replies of 468.
//
// Understood are the key encapsulations of the curves X25519, P-256, P-384 and P-521, HKDF with SHA-256, -384
// and -512, and AES-128-GCM and AES-256-GCM. Keys that are made here are of the one suite that everybody has to know
// (RFC 9230 §9): X25519, SHA-256, AES-128-GCM.
//
// # The view
//
// A target with several views behind one key is told inside of the encryption which one is asked,
// by a local EDNS option ([ViewOption]). Another key, host or path for each view would tell the proxy.
//
// # Limits
//
// Messages are bounded by their lengths of two octets, and MaxMessage is what is left of them for
// DNS. Of a target's configurations, maxConfigs are looked at.
//
// # Known faults
//
// A query that was recorded can be played again while its key is accepted. Who does that gets
// a reply that he cannot read. ChaCha20-Poly1305 is not understood: the standard library keeps it to
// itself.
package odoh

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"hash"
)

const (
	// ConfigsPath is where a target publishes its configurations.
	ConfigsPath = "/.well-known/odohconfigs"
	// ConfigsType is their media type: RFC 9230 names none.
	ConfigsType = "application/binary"

	// ViewOption is the code of the EDNS option by which a query says which view it is for, of
	// those for local use (RFC 6891 §9). Its data is one octet: the view's place.
	ViewOption = 65083

	// MaxMessage is the longest DNS message in octets that an oblivious one can hold, with the
	// longest encapsulated key and all padding.
	MaxMessage = maxField - longestKey - tagLen - 2*lengthLen - ReplyBlock

	// MaxSealed is the longest oblivious message in octets whose key has a name that is a hash.
	MaxSealed = 1 + lengthLen + sha512.Size + lengthLen + maxField

	// QueryBlock and ReplyBlock are what lengths are multiples of (RFC 8467 §4.1).
	QueryBlock = 128
	ReplyBlock = 468

	// maxConfigs is how many configurations of a target are looked at: one for each suite, and the
	// next key of each.
	maxConfigs = 16

	version    = 1
	typeQuery  = 1
	typeReply  = 2
	maxField   = 65535 // what a length of two octets can tell
	lengthLen  = 2
	tagLen     = 16
	longestKey = 133 // an encapsulated key of P-521
)

// The texts that keys are bound to (RFC 9230 §5, §6.2).
const (
	labelQuery = "odoh query"
	labelReply = "odoh response"
	labelID    = "odoh key id"
	labelKey   = "odoh key"
	labelNonce = "odoh nonce"
)

// What is wrong with a message or a configuration.
var (
	// ErrKey: the query is for a key that is not known. A target answers 401 (RFC 9230 §4.3).
	ErrKey = errors.New("odoh: encrypted for a key that is not known")
	// ErrMessage: the message is malformed, of the wrong kind, or does not decrypt. A target
	// answers 400.
	ErrMessage = errors.New("odoh: a message that cannot be decrypted")
	// ErrConfigs: there is no configuration that is understood.
	ErrConfigs = errors.New("odoh: no configuration that is understood")
	// ErrLength: a DNS message is empty or longer than MaxMessage.
	ErrLength = errors.New("odoh: a DNS message that is empty or too long")
)

// suite is the algorithms of a key.
type suite struct {
	kem  hpke.KEM
	kdf  hpke.KDF
	aead hpke.AEAD

	hash   func() hash.Hash
	keyLen int // of the AEAD
	encLen int // of an encapsulated key
}

const nonceLen = 12 // of both AEADs

func newSuite(kem, kdf, aead uint16) (s suite, ok bool) {
	switch kem { // RFC 9180 §7.1
	case 0x10:
		s.encLen = 65
	case 0x11:
		s.encLen = 97
	case 0x12:
		s.encLen = longestKey
	case 0x20:
		s.encLen = 32
	default:
		return s, false
	}
	switch kdf { // §7.2
	case 1:
		s.hash = sha256.New
	case 2:
		s.hash = sha512.New384
	case 3:
		s.hash = sha512.New
	default:
		return s, false
	}
	switch aead { // §7.3
	case 1:
		s.keyLen = 16
	case 2:
		s.keyLen = 32
	default:
		return s, false
	}
	var err1, err2, err3 error
	s.kem, err1 = hpke.NewKEM(kem)
	s.kdf, err2 = hpke.NewKDF(kdf)
	s.aead, err3 = hpke.NewAEAD(aead)
	return s, err1 == nil && err2 == nil && err3 == nil
}

// Config is a target's public key, with what it is for.
type Config struct {
	suite
	public   hpke.PublicKey
	contents []byte // ObliviousDoHConfigContents
	id       []byte
}

// newConfig reads the contents of a configuration (RFC 9230 §5).
func newConfig(contents []byte) (*Config, bool) {
	const algorithms = 6
	if len(contents) < algorithms {
		return nil, false
	}
	s, ok := newSuite(binary.BigEndian.Uint16(contents), binary.BigEndian.Uint16(contents[2:]), binary.BigEndian.Uint16(contents[4:]))
	if !ok {
		return nil, false
	}
	key, rest, ok := cutField(contents[algorithms:])
	if !ok || len(rest) > 0 {
		return nil, false
	}
	public, err := s.kem.NewPublicKey(key)
	if err != nil {
		return nil, false
	}
	c := &Config{suite: s, public: public, contents: contents}
	prk, err := hkdf.Extract(s.hash, contents, nil)
	if err != nil {
		return nil, false
	}
	c.id, err = hkdf.Expand(s.hash, prk, labelID, s.hash().Size())
	return c, err == nil
}

// ParseConfigs reads what a target publishes, and returns the first configuration that is
// understood. It keeps b.
func ParseConfigs(b []byte) (*Config, error) {
	all, rest, ok := cutField(b)
	if !ok || len(rest) > 0 {
		return nil, ErrConfigs
	}
	for range maxConfigs {
		if len(all) < lengthLen {
			break
		}
		v := binary.BigEndian.Uint16(all)
		var contents []byte
		if contents, all, ok = cutField(all[lengthLen:]); !ok {
			break
		}
		if v != version {
			continue
		}
		if c, ok := newConfig(contents); ok {
			return c, nil
		}
	}
	return nil, ErrConfigs
}

// cutField takes a field with its length before it.
func cutField(b []byte) (field, rest []byte, ok bool) {
	if len(b) < lengthLen {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if b = b[lengthLen:]; n > len(b) {
		return nil, nil, false
	}
	return b[:n:n], b[n:], true
}

func appendField(out, field []byte) []byte {
	return append(binary.BigEndian.AppendUint16(out, uint16(len(field))), field...)
}

// cutMessage reads an ObliviousDoHMessage (RFC 9230 §6.1).
func cutMessage(b []byte, kind byte) (id, encrypted []byte, ok bool) {
	if len(b) == 0 || b[0] != kind {
		return nil, nil, false
	}
	id, b, ok = cutField(b[1:])
	if !ok {
		return nil, nil, false
	}
	encrypted, b, ok = cutField(b)
	return id, encrypted, ok && len(b) == 0
}

// bound is what of a message is not encrypted, and what the encryption is bound to.
func bound(kind byte, id []byte) []byte {
	return appendField([]byte{kind}, id)
}

// plain is a DNS message with its padding.
func plain(message []byte, block int) []byte {
	out := appendField(make([]byte, 0, 2*lengthLen+len(message)+block), message)
	return appendField(out, make([]byte, (block-len(message)%block)%block))
}

// cutPlain takes a DNS message out of its padding, which has to be zeros.
func cutPlain(b []byte) (message []byte, ok bool) {
	message, b, ok = cutField(b)
	if !ok || len(message) == 0 {
		return nil, false
	}
	padding, b, ok := cutField(b)
	if !ok || len(b) > 0 {
		return nil, false
	}
	any := byte(0)
	for _, p := range padding {
		any |= p
	}
	return message, any == 0
}

// cipherOf is the encryption of the reply to a query (derive_secrets of RFC 9230 §6.2).
func (s *suite) cipherOf(secret, query, nonce []byte) (cipher.AEAD, []byte, error) {
	salt := appendField(append([]byte(nil), query...), nonce)
	prk, err := hkdf.Extract(s.hash, secret, salt)
	if err != nil {
		return nil, nil, err
	}
	key, err := hkdf.Expand(s.hash, prk, labelKey, s.keyLen)
	if err != nil {
		return nil, nil, err
	}
	iv, err := hkdf.Expand(s.hash, prk, labelNonce, nonceLen)
	if err != nil {
		return nil, nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, err
	}
	aead, err := cipher.NewGCM(block)
	return aead, iv, err
}

// secrets are what both ends of one query share.
type secrets struct {
	suite
	query  []byte // with its padding
	secret []byte
}

// Asked is a query that a client waits for the reply to.
type Asked struct{ secrets }

// Seal encrypts a query. The reply is opened by what it returns.
func (c *Config) Seal(message []byte) (sealed []byte, asked *Asked, err error) {
	if len(message) == 0 || len(message) > MaxMessage {
		return nil, nil, ErrLength
	}
	key, sender, err := hpke.NewSender(c.public, c.kdf, c.aead, []byte(labelQuery))
	if err != nil {
		return nil, nil, err
	}
	asked = &Asked{secrets{suite: c.suite, query: plain(message, QueryBlock)}}
	if asked.secret, err = sender.Export(labelReply, c.keyLen); err != nil {
		return nil, nil, err
	}
	head := bound(typeQuery, c.id)
	text, err := sender.Seal(head, asked.query)
	if err != nil {
		return nil, nil, err
	}
	return appendField(head, append(key, text...)), asked, nil
}

// Open decrypts the reply to a query.
func (a *Asked) Open(sealed []byte) (message []byte, err error) {
	nonce, encrypted, ok := cutMessage(sealed, typeReply)
	if !ok || len(nonce) != max(nonceLen, a.keyLen) {
		return nil, ErrMessage
	}
	aead, iv, err := a.cipherOf(a.secret, a.query, nonce)
	if err != nil {
		return nil, err
	}
	text, err := aead.Open(nil, iv, encrypted, bound(typeReply, nonce))
	if err != nil {
		return nil, ErrMessage
	}
	if message, ok = cutPlain(text); !ok {
		return nil, ErrMessage
	}
	return message, nil
}

// Opened is a query that a target has decrypted and is to answer.
type Opened struct {
	secrets
	Message []byte // the DNS message
}

// Seal encrypts the reply. A message longer than MaxMessage is ErrLength.
func (o *Opened) Seal(message []byte) ([]byte, error) {
	if len(message) == 0 || len(message) > MaxMessage {
		return nil, ErrLength
	}
	nonce := make([]byte, max(nonceLen, o.keyLen))
	rand.Read(nonce)
	return o.seal(plain(message, ReplyBlock), nonce)
}

func (o *Opened) seal(text, nonce []byte) ([]byte, error) {
	aead, iv, err := o.cipherOf(o.secret, o.query, nonce)
	if err != nil {
		return nil, err
	}
	head := bound(typeReply, nonce)
	return appendField(head, aead.Seal(nil, iv, text, head)), nil
}
