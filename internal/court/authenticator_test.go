package court

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"
)

// authenticator is one that makes passkeys of ES256 and uses them, as WebAuthn level 3 says.
type authenticator struct {
	t      *testing.T
	origin string
	rp     string
	key    *ecdsa.PrivateKey
	id     []byte
	handle []byte // of the user
	count  uint32
}

func newAuthenticator(t *testing.T, origin, rp string) *authenticator {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 32)
	rand.Read(id)
	return &authenticator{t: t, origin: origin, rp: rp, key: key, id: id}
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// options are what a server asks of an authenticator.
type options struct {
	PublicKey struct {
		Challenge string
		User      struct{ ID string }
	}
}

func (a *authenticator) options(body string) (o options) {
	a.t.Helper()
	if err := json.Unmarshal([]byte(body), &o); err != nil || o.PublicKey.Challenge == "" {
		a.t.Fatalf("%v: %s", err, body)
	}
	return o
}

func (a *authenticator) client(kind, challenge string) []byte {
	b, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.origin, "crossOrigin": false})
	if err != nil {
		a.t.Fatal(err)
	}
	return b
}

// data is authenticator data: a user who is present and verified.
func (a *authenticator) data(flags byte) []byte {
	sum := sha256.Sum256([]byte(a.rp))
	a.count++
	return binary.BigEndian.AppendUint32(append(sum[:], flags|0x05), a.count)
}

// make answers the options of a registration.
func (a *authenticator) make(body string) string {
	a.t.Helper()
	o := a.options(body)
	var err error
	if a.handle, err = base64.RawURLEncoding.DecodeString(o.PublicKey.User.ID); err != nil {
		a.t.Fatal(err)
	}
	point, err := a.key.PublicKey.Bytes()
	if err != nil {
		a.t.Fatal(err)
	}
	data := append(a.data(0x40), make([]byte, 16)...) // of no known model
	data = append(binary.BigEndian.AppendUint16(data, uint16(len(a.id))), a.id...)
	data = append(data, 0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32) // COSE: EC2, ES256, P-256
	data = append(append(data, point[1:33]...), 0x22, 0x58, 32)
	data = append(data, point[33:]...)
	object := []byte("\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59")
	object = append(binary.BigEndian.AppendUint16(object, uint16(len(data))), data...)
	return a.response(map[string]any{"attestationObject": base64url(object), "clientDataJSON": base64url(a.client("webauthn.create", o.PublicKey.Challenge))})
}

// use answers the options of a sign-in.
func (a *authenticator) use(body string) string {
	a.t.Helper()
	o := a.options(body)
	client, data := a.client("webauthn.get", o.PublicKey.Challenge), a.data(0)
	sum := sha256.Sum256(client)
	digest := sha256.Sum256(append(data, sum[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, a.key, digest[:])
	if err != nil {
		a.t.Fatal(err)
	}
	return a.response(map[string]any{
		"authenticatorData": base64url(data), "clientDataJSON": base64url(client), "signature": base64url(signature), "userHandle": base64url(a.handle),
	})
}

func (a *authenticator) response(response map[string]any) string {
	b, err := json.Marshal(map[string]any{
		"id": base64url(a.id), "rawId": base64url(a.id), "type": "public-key", "clientExtensionResults": map[string]any{}, "response": response,
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return string(b)
}
