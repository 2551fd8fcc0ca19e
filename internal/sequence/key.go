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
	"sync"

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

// publish keeps the verifier key beside the signing key.
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

// ReadVerifier reads the log's public key from a writer's folder.
func ReadVerifier(dir string) (note.Verifier, error) {
	path := filepath.Join(dir, verifierFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	v, err := note.NewVerifier(strings.TrimSuffix(string(b), "\n"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

// guard signs checkpoints of a log that only grows. It hands out one lease at a
// time: an appender whose lease has ended can sign nothing more.
type guard struct {
	note.Signer

	mu    sync.Mutex
	lease uint64
	size  uint64 // of the last checkpoint that was signed
	text  string // of that checkpoint
}

// lease is a note.Signer for one appender.
type lease struct {
	*guard
	number uint64
}

var errLeaseEnded = errors.New("this appender may not sign any more")

// next ends the lease that is out and hands out another.
func (g *guard) next() *lease {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lease++
	return &lease{g, g.lease}
}

// end ends the lease that is out and returns the size of the last checkpoint
// that was signed.
func (g *guard) end() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lease++
	return g.size
}

// remember notes a checkpoint that was signed before.
func (g *guard) remember(size uint64, text string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.size, g.text = size, text
}

// Sign implements note.Signer.
func (l *lease) Sign(text []byte) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.number != l.lease {
		return nil, errLeaseEnded
	}
	size, err := checkpointSize(text)
	if err != nil {
		return nil, err
	}
	if size < l.size || size == l.size && l.text != "" && string(text) != l.text {
		return nil, fmt.Errorf("refused to sign a tree of %d entries after one of %d: that would fork the log", size, l.size)
	}
	sig, err := l.Signer.Sign(text)
	if err == nil {
		l.size, l.text = size, string(text)
	}
	return sig, err
}
