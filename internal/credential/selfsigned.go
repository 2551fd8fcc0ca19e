package credential

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"path/filepath"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/durable"
)

const (
	// selfLife is how long a self-signed certificate is valid: clients pin its key, so its
	// end has no use but to be renewed within the last month.
	selfLife  = 398 * 24 * time.Hour
	selfRenew = 30 * 24 * time.Hour
	selfFile  = "self-signed.pem"
)

// selfSigned is the certificate that is kept in cfg.Dir, or a new one. Its key stays where there
// is one, as clients may have written its pin down; a file that cannot be read is an error for the same reason. Where
// a new one cannot be written, that which is kept comes with the error if it is for all that cfg asks for. key is that
// of the certificate in force; nil: there is none.
func selfSigned(cfg Config, key crypto.Signer, now time.Time) (*tls.Certificate, error) {
	path := filepath.Join(cfg.Dir, selfFile)
	var old *tls.Certificate
	if cfg.Dir != "" {
		kept, err := tls.LoadX509KeyPair(path, path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("self-signed certificate %s: %w. Restore the file, or remove it for another one: clients that know its pin then have to be told the new one", path, err)
		case covers(kept.Leaf, cfg) && lasts(kept.Leaf, now):
			return &kept, nil
		default:
			if key, _ = kept.PrivateKey.(crypto.Signer); covers(kept.Leaf, cfg) {
				old = &kept
			}
		}
	}
	text, err := sign(cfg, key, now)
	if err != nil {
		return nil, fmt.Errorf("self-signed certificate: %w", err)
	}
	if cfg.Dir != "" {
		if err := durable.MakeFolder(cfg.Dir, 0o700); err != nil {
			return nil, err
		}
		if err := durable.WriteFile(path, text, 0o600); err != nil {
			return old, err
		}
	}
	pair, err := tls.X509KeyPair(text, text)
	return &pair, err
}

// lasts reports whether a self-signed certificate is not to be renewed yet.
func lasts(leaf *x509.Certificate, now time.Time) bool {
	return now.After(leaf.NotBefore) && now.Add(selfRenew).Before(leaf.NotAfter)
}

// renew has a self-signed certificate that ends soon replaced by one of the same key.
func (s *Store) renew(now time.Time) {
	current := s.current.Load()
	if lasts(current.Leaf, now) {
		return
	}
	key, _ := current.PrivateKey.(crypto.Signer)
	pair, err := selfSigned(s.cfg, key, now)
	if err == nil {
		s.current.Store(pair)
		s.cfg.Log.Info("self-signed certificate renewed", "until", pair.Leaf.NotAfter, "pin", s.Pin())
	} else if now.Sub(s.alarm) >= AlarmEvery {
		s.alarmAt(now, err)
	}
}

// covers reports whether a certificate is for all that cfg asks for.
func covers(leaf *x509.Certificate, cfg Config) bool {
	for _, name := range cfg.Names {
		if !slices.Contains(leaf.DNSNames, name) {
			return false
		}
	}
	for _, a := range cfg.Addrs {
		if !slices.ContainsFunc(leaf.IPAddresses, net.IP(a.AsSlice()).Equal) {
			return false
		}
	}
	return true
}

// sign makes a certificate of a key, or where that is nil of a new one, and writes both as PEM.
func sign(cfg Config, key crypto.Signer, now time.Time) (text []byte, err error) {
	if key == nil {
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, err
		}
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "shoji, self-signed"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(selfLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: cfg.Names, BasicConstraintsValid: true,
	}
	for _, a := range cfg.Addrs {
		t.IPAddresses = append(t.IPAddresses, a.AsSlice())
	}
	cert, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: cert})
	pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: private})
	return b.Bytes(), nil
}
