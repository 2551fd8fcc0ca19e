package sequence

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/shoji-dns/shoji/internal/durable"
	"golang.org/x/mod/sumdb/note"
)

// key is the log's key pair. The signing half never leaves this package.
type key struct {
	signer   note.Signer
	verifier note.Verifier
	vkey     string
}

// openKey reads the key in dir, or makes one if there is none and no log either.
func openKey(dir, origin string, haveLog bool) (*key, error) {
	path := filepath.Join(dir, keyFile)
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && haveLog:
		return nil, fmt.Errorf("%s is missing, and the log is there: restore the key from a backup; a new key would be a new log", path)
	case errors.Is(err, fs.ErrNotExist):
		if b, err = makeKey(path, origin); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	}
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): run chmod 600 on it, and make a new log if someone may have read it", path, perm)
	}
	k, err := parseKey(strings.TrimSuffix(string(b), "\n"))
	if err != nil {
		return nil, fmt.Errorf("%s is no signing key (its content is not shown): restore it from a backup", path)
	}
	if origin != "" && k.signer.Name() != origin {
		return nil, fmt.Errorf("the key in %s is of log %q, and the log is to be %q: a log cannot be renamed", path, k.signer.Name(), origin)
	}
	return k, k.publish(dir)
}

// publish keeps the verifier key in a folder: beside the signing key, and in the log's, which
// any web server can serve.
func (k *key) publish(dir string) error {
	path := filepath.Join(dir, verifierFile)
	if b, err := os.ReadFile(path); err == nil && string(b) == k.vkey+"\n" {
		return nil
	}
	return durable.WriteFile(path, []byte(k.vkey+"\n"), 0o644)
}

func makeKey(path, origin string) ([]byte, error) {
	if origin == "" {
		origin = DefaultOrigin
	}
	skey, _, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, err
	}
	if _, err := note.NewSigner(skey); err != nil {
		return nil, fmt.Errorf("%q cannot be a log's name: it must not hold blanks or a plus sign", origin)
	}
	b := []byte(skey + "\n")
	return b, durable.CreateFile(path, b, 0o600)
}

// parseKey makes a key pair of a note's signing key, PRIVATE+KEY+name+hash+key,
// whose last part is an algorithm and, for Ed25519, the seed (RFC 8032 §5.1.5).
func parseKey(skey string) (*key, error) {
	signer, err := note.NewSigner(skey)
	if err != nil {
		return nil, err
	}
	parts := strings.SplitN(skey, "+", 5)
	b, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(b) != 1+ed25519.SeedSize {
		return nil, errors.New("no Ed25519 key")
	}
	public := ed25519.NewKeyFromSeed(b[1:]).Public().(ed25519.PublicKey)
	vkey, err := note.NewEd25519VerifierKey(signer.Name(), public)
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(vkey)
	return &key{signer, verifier, vkey}, err
}

// ReadVerifierKey reads the log's public key from a writer's folder, as text
// (name+hash+key).
func ReadVerifierKey(dir string) (string, error) {
	path := filepath.Join(dir, verifierFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	vkey := strings.TrimSuffix(string(b), "\n")
	if _, err := note.NewVerifier(vkey); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return vkey, nil
}

// ReadVerifier is ReadVerifierKey, ready to verify.
func ReadVerifier(dir string) (note.Verifier, error) {
	vkey, err := ReadVerifierKey(dir)
	if err != nil {
		return nil, err
	}
	return note.NewVerifier(vkey)
}
