package odoh

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/binary"
)

// Key is a target's own: the private key, and the configuration that is published of it.
type Key struct {
	Config
	private hpke.PrivateKey
}

// NewKey makes a random key.
func NewKey() (*Key, error) {
	private, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	if err != nil {
		return nil, err
	}
	return keyOf(private, hpke.HKDFSHA256().ID(), hpke.AES128GCM().ID())
}

// ParseKey reads what Bytes wrote.
func ParseKey(b []byte) (*Key, error) {
	private, err := hpke.DHKEM(ecdh.X25519()).NewPrivateKey(b)
	if err != nil {
		return nil, err
	}
	return keyOf(private, hpke.HKDFSHA256().ID(), hpke.AES128GCM().ID())
}

// Bytes is the private key, 32 octets.
func (k *Key) Bytes() ([]byte, error) { return k.private.Bytes() }

func keyOf(private hpke.PrivateKey, kdf, aead uint16) (*Key, error) {
	var contents []byte
	for _, id := range []uint16{private.KEM().ID(), kdf, aead} {
		contents = binary.BigEndian.AppendUint16(contents, id)
	}
	c, ok := newConfig(appendField(contents, private.PublicKey().Bytes()))
	if !ok {
		return nil, ErrConfigs
	}
	return &Key{Config: *c, private: private}, nil
}

// Keys are the keys that a target accepts, the one that it publishes first. They are not
// changed.
type Keys []*Key

// Configs is what a target with these keys publishes: the first of them alone, so that all clients
// use one and none can be told from another by it.
func (ks Keys) Configs() []byte {
	if len(ks) == 0 {
		return nil
	}
	one := appendField(binary.BigEndian.AppendUint16(nil, version), ks[0].contents)
	return appendField(nil, one)
}

// Open decrypts a query. It returns ErrKey for a key that is not among ks, and ErrMessage for all
// else that is wrong.
func (ks Keys) Open(sealed []byte) (*Opened, error) {
	id, encrypted, ok := cutMessage(sealed, typeQuery)
	if !ok {
		return nil, ErrMessage
	}
	for _, k := range ks {
		if bytes.Equal(k.id, id) {
			return k.open(id, encrypted)
		}
	}
	return nil, ErrKey
}

func (k *Key) open(id, encrypted []byte) (*Opened, error) {
	if len(encrypted) < k.encLen {
		return nil, ErrMessage
	}
	recipient, err := hpke.NewRecipient(encrypted[:k.encLen], k.private, k.kdf, k.aead, []byte(labelQuery))
	if err != nil {
		return nil, ErrMessage
	}
	o := &Opened{secrets: secrets{suite: k.suite}}
	if o.query, err = recipient.Open(bound(typeQuery, id), encrypted[k.encLen:]); err != nil {
		return nil, ErrMessage
	}
	message, ok := cutPlain(o.query)
	if !ok {
		return nil, ErrMessage
	}
	o.Message = message
	if o.secret, err = recipient.Export(labelReply, k.keyLen); err != nil {
		return nil, ErrMessage
	}
	return o, nil
}
