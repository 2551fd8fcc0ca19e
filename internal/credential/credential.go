// Package credential holds what a server of encrypted DNS proves itself by and encrypts with,
// and keeps it fresh while the server runs: its certificate, the keys of session tickets, and those
// of Encrypted Client Hello.
//
// # Certificates
//
// A certificate and its key are two PEM files, leaf first. They are looked at every
// ReloadEvery. New ones come into force when the key fits, the time is right and every name
// is covered; otherwise the ones in force stay, however old, and an error is logged, again
// every AlarmEvery. A certificate that ends within a week is warned of.
//
// Files may also be such as come while the server runs: those that package acme writes. Until then
// handshakes fail.
//
// Without files a self-signed certificate is made, and kept in the folder where one is
// named. Nobody trusts it by itself; clients may know it by its pin (RFC 7858 §4.2), which stays
// when the certificate is renewed, in the last month of its life, or made for other names. Where that cannot be written,
// the one before stays, also at a start, if it is for all names.
//
// # Session tickets
//
// A ticket lets a client resume a session without another signature, and lets whoever sees
// its key tell that two connections are of one client. Keys are random, are in memory alone, and
// are replaced every TicketLife; a ticket of a key before is of no use, so no chain of tickets
// goes on from one key to the next. Connections under way are not affected. There is no
// early data (0-RTT): a query cannot be replayed.
//
// # Encrypted Client Hello
//
// With it the name that a client asks for, and with the name its view, is not seen on the way:
// the outer ClientHello has the public name, the same for all (RFC 9849). A key is a file of its own, as RFC
// 9934 writes them; the newest is told to clients, and those before it go on being taken, so that
// a client with an older configuration is served. One that fits no key is told the newest
// configuration within its handshake. A key is on disk before it is told. Those before the last that is taken are removed, at a
// start and with each new key; a file that is no key, or a damaged one, is left alone and told of.
//
// # Known faults
//
// Several machines behind one name need the same keys of Encrypted Client Hello, which nothing here hands
// around; a folder's keys that were put there by something else are taken within a minute. Where they
// differ, a client that comes to the other machine is told of its key, and pays a round trip.
// The standard library tries a ClientHello with every key, and ends the handshake where its
// HPKE cipher suite is not known at all, instead of going on without.
//
// Revocation is not stapled (OCSP): Let's Encrypt and others have given it up.
package credential

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// ReloadEvery is how often the files are looked at.
	ReloadEvery = 10 * time.Second
	// AlarmEvery is how often a fault that lasts is logged again.
	AlarmEvery = time.Hour
	// TicketLife is how long one key encrypts session tickets: long enough that a client
	// which comes back within the hour mostly saves the signature.
	TicketLife = 6 * time.Hour
	// soon is when a certificate's end is near enough to be warned of.
	soon = 7 * 24 * time.Hour
)

// Config is what Open needs.
type Config struct {
	// Cert and Key are PEM files: the certificate chain, leaf first, and the private key.
	// Without both, the certificate is self-signed.
	Cert, Key string
	// Later has the files be such as come while the server runs. Until there is a certificate,
	// handshakes fail; one that does not cover every name is better than none.
	Later bool

	// Names are what a certificate has to cover, and what a self-signed one is for.
	Names []string
	// Addrs are what a self-signed certificate is for besides.
	Addrs []netip.Addr
	// Dir is where a self-signed certificate and its key are kept, in a file of mode
	// 0600; "" keeps it in memory alone.
	Dir string

	// Challenge gives a client another configuration (tls.Config.GetConfigForClient); nil does not.
	Challenge func(*tls.ClientHelloInfo) (*tls.Config, error)

	// ECH are the keys of Encrypted Client Hello; nil: there are none.
	ECH *ECH

	Log *slog.Logger // nil: slog.Default()
}

// Store is a certificate in force, and what goes with it. Its methods may be called from any
// goroutine.
type Store struct {
	cfg     Config
	current atomic.Pointer[tls.Certificate]

	seen   [2]stamp  // the files that current, or the fault, came from
	fault  string    // why the files are not in force; "" if they are
	alarm  time.Time // when a fault was last logged
	warned time.Time // when the end of the certificate was last warned of

	poke chan struct{} // the files have changed

	mu     sync.Mutex
	ticket [32]byte
	served []*tls.Config // where the ticket key goes
}

// stamp tells a file's state.
type stamp struct {
	size int64
	time time.Time
}

// Open loads the certificate, or makes one. A file that cannot be used is an error, but for
// one whose time is over: a server that runs with it is better than none, and is logged.
func Open(cfg Config) (*Store, error) {
	if (cfg.Cert == "") != (cfg.Key == "") {
		return nil, errors.New("certificate and key go together: name both files or none")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	s := &Store{cfg: cfg, poke: make(chan struct{}, 1)}
	rand.Read(s.ticket[:])
	if cfg.Cert == "" {
		pair, err := selfSigned(cfg, nil, time.Now())
		if pair == nil {
			return nil, err
		}
		if s.current.Store(pair); err != nil { // a full disk is no reason to answer nobody
			s.alarmAt(time.Now(), err)
		}
		return s, nil
	}
	s.seen = s.stamps()
	pair, err := load(cfg)
	if err != nil && !cfg.Later {
		return nil, err
	}
	if pair != nil {
		s.current.Store(pair)
		if err == nil {
			err = inTime(pair, time.Now())
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.alarmAt(time.Now(), err)
	}
	return s, nil
}

// Check reports what Open refuses of the files that cfg names, and makes nothing.
func Check(cfg Config) error {
	if cfg.Cert == "" || cfg.Later {
		return nil
	}
	_, err := load(cfg)
	return err
}

// errNone is why a handshake fails before there is a certificate.
var errNone = errors.New("there is no certificate yet")

// Server is a server's configuration with the certificate in force at each handshake.
func (s *Store) Server() *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if c := s.current.Load(); c != nil {
				return c, nil
			}
			return nil, errNone
		},
		GetConfigForClient: s.cfg.Challenge,
	}
	if s.cfg.ECH != nil {
		c.GetEncryptedClientHelloKeys = s.cfg.ECH.keys
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.SetSessionTicketKeys([][32]byte{s.ticket})
	s.served = append(s.served, c)
	return c
}

// Pin is the SHA-256 of the public key in base64, as clients write down which key they trust
// (RFC 7858 §4.2, RFC 7469 §2.4); "" where there is none yet.
func (s *Store) Pin() string {
	current := s.current.Load()
	if current == nil {
		return ""
	}
	return pin(current)
}

func pin(c *tls.Certificate) string {
	sum := sha256.Sum256(c.Leaf.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Until is when the certificate in force ends; zero where there is none yet.
func (s *Store) Until() time.Time {
	if current := s.current.Load(); current != nil {
		return current.Leaf.NotAfter
	}
	return time.Time{}
}

// SelfSigned reports whether the certificate was made here.
func (s *Store) SelfSigned() bool { return s.cfg.Cert == "" }

// Look has the files looked at before their time.
func (s *Store) Look() {
	select {
	case s.poke <- struct{}{}:
	default: // it is on its way
	}
}

// Run keeps everything fresh until ctx ends.
func (s *Store) Run(ctx context.Context) {
	reload, rotate := time.NewTicker(ReloadEvery), time.NewTicker(TicketLife)
	defer reload.Stop()
	defer rotate.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-rotate.C:
			s.rotate()
		case <-reload.C:
			s.look(time.Now())
		case <-s.poke:
			s.look(time.Now())
		}
	}
}

// rotate replaces the key of session tickets.
func (s *Store) rotate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	rand.Read(s.ticket[:])
	for _, c := range s.served {
		c.SetSessionTicketKeys([][32]byte{s.ticket})
	}
}

// look puts files that have changed in force, or a self-signed certificate in the place of one that ends soon.
func (s *Store) look(now time.Time) {
	if s.cfg.Cert == "" {
		s.renew(now)
		return
	}
	if seen := s.stamps(); seen != s.seen || s.fault != "" {
		changed := seen != s.seen
		s.seen = seen
		pair, err := load(s.cfg)
		if err == nil {
			err = inTime(pair, now)
		}
		if err == nil {
			s.current.Store(pair)
			s.fault = ""
			s.cfg.Log.Info("certificate in force", "file", s.cfg.Cert, "until", pair.Leaf.NotAfter)
		} else if changed || now.Sub(s.alarm) >= AlarmEvery {
			s.alarmAt(now, err)
		}
	}
	if left := s.Until().Sub(now); s.current.Load() != nil && left < soon && now.Sub(s.warned) >= 24*AlarmEvery {
		s.warned = now
		s.cfg.Log.Warn("the certificate in force ends soon: renew it", "file", s.cfg.Cert, "left", left.Round(time.Minute))
	}
}

func (s *Store) alarmAt(now time.Time, err error) {
	s.fault, s.alarm = err.Error(), now
	s.cfg.Log.Error("the certificate in force stays as it is: its files cannot be used", "cause", err)
}

func (s *Store) stamps() (out [2]stamp) {
	for i, path := range []string{s.cfg.Cert, s.cfg.Key} {
		if info, err := os.Stat(path); err == nil {
			out[i] = stamp{info.Size(), info.ModTime()}
		}
	}
	return out
}

// load reads the files and holds that they are of one another and cover every name. Where they do
// not cover every name, the certificate comes with the error.
func load(cfg Config) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(cfg.Cert, cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", cfg.Cert, cfg.Key, err)
	}
	for _, name := range cfg.Names {
		if err := pair.Leaf.VerifyHostname(name); err != nil {
			return &pair, fmt.Errorf("certificate %s: %w", cfg.Cert, err)
		}
	}
	return &pair, nil
}

// inTime refuses a certificate before or after its time.
func inTime(pair *tls.Certificate, now time.Time) error {
	switch leaf := pair.Leaf; {
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("the certificate is valid from %s on", leaf.NotBefore.Format(time.RFC3339))
	case now.After(leaf.NotAfter):
		return fmt.Errorf("the certificate was valid until %s", leaf.NotAfter.Format(time.RFC3339))
	}
	return nil
}
