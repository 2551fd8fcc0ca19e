package rogue

import (
	"crypto"
	"crypto/tls"
)

// The kinds of TLS records' contents (RFC 8446 §5.1).
const (
	RecordHandshake   = 22
	RecordApplication = 23
)

// Records writes TLS 1.3 records for a connection whose handshake is over and whose client has sent nothing
// since, by the secret that a tls.Config's KeyLogWriter tells (CLIENT_TRAFFIC_SECRET_0).
type Records struct {
	suite  uint16
	secret []byte
	keys   *keys
	number uint64
}

// NewRecords makes Records.
func NewRecords(suite uint16, secret []byte) (*Records, error) {
	r := &Records{suite: suite, secret: secret}
	return r, r.rekey()
}

func (r *Records) rekey() error {
	k, err := deriveKeys(r.suite, r.secret, "")
	r.keys, r.number = k, 0
	return err
}

// Append appends a record.
func (r *Records) Append(out []byte, kind byte, content []byte) []byte {
	inner := append(append([]byte(nil), content...), kind)
	n := len(inner) + tagLen
	head := []byte{RecordApplication, 3, 3, byte(n >> 8), byte(n)}
	out = append(out, head...)
	out = r.keys.seal.Seal(out, r.keys.nonce(r.number), inner, head)
	r.number++
	return out
}

// AppendKeyUpdate appends a change of this side's keys that asks for one of the other's (RFC 8446 §4.6.3).
func (r *Records) AppendKeyUpdate(out []byte) ([]byte, error) {
	out = r.Append(out, RecordHandshake, []byte{24, 0, 0, 1, 1})
	h := crypto.SHA256
	if r.suite == tls.TLS_AES_256_GCM_SHA384 {
		h = crypto.SHA384
	}
	r.secret = expand(h, r.secret, "traffic upd", len(r.secret))
	return out, r.rekey()
}
