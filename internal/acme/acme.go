// Package acme has the certificate of encrypted addresses issued and renewed by an authority that
// speaks ACME (RFC 8555). The protocol is github.com/mholt/acmez's; this package decides when to ask,
// keeps what came, and answers the authority's challenges.
//
// One certificate is for all names. A certificate for each would tell them apart on the
// way, encrypted as it is: by its length.
//
// # Challenges
//
// tls-alpn-01 (RFC 8737) is answered where TLS is taken over TCP, by [Manager.ForClient]; an authority
// comes to port 443 for it, from where nobody knows, and [Manager.Challenged] says when. http-01 (RFC 8555 §8.3) is answered on sockets of its own, if there are
// any; an authority comes to port 80 for it.
//
// # When
//
// A certificate is renewed when a third of its life is left, or when the authority says (ARI, RFC
// 9773), which is asked every few hours. What fails is logged as an error and tried again
// after retries, so that an authority's limits of failures an hour are kept; what is in force stays.
// The names of the authority are resolved by a function that the caller gives.
//
// # Files
//
// Below one folder, written durably and with mode 0600: account-DIGEST.pem, the account's key, by the
// directory's URL; and certificate.pem, the chain and its key.
//
// # Limits
//
// An attempt may take 10 minutes. http-01 has 64 connections at once, 16 of one source, for one request and 5 s
// each, and answers nothing but the challenges under way.
//
// # Known faults
//
// dns-01 is not done, and with it no wildcards. A certificate is not revoked.
package acme

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"github.com/shoji-dns/shoji/internal/durable"
)

const (
	// attemptTime bounds one attempt to have a certificate issued.
	attemptTime = 10 * time.Minute
	// lookEvery is how often it is seen whether the certificate is to be renewed.
	lookEvery = 6 * time.Hour
	// requestTime bounds one request to the authority.
	requestTime = 30 * time.Second
	// restShare is which part of its life a certificate that was just issued is left alone, however old it
	// seems. Let's Encrypt issues five of the same names a week.
	restShare   = 6
	certificate = "certificate.pem"
)

// retries are the times before failed attempts are made again; the last one repeats. Let's
// Encrypt takes five failures an hour for a name.
func retries(failures int) time.Duration {
	all := [...]time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour}
	return all[min(failures, len(all))-1]
}

// Config is what Open needs.
type Config struct {
	Directory string   // URL of the authority's directory (RFC 8555 §7.1.1)
	Email     string   // where the authority writes to; "" is nowhere
	Names     []string // what the certificate is for
	Folder    string   // of the account and the certificate

	// KeyID and MACKey, base64url, bind the account to another one at the authority (RFC 8555
	// §7.3.4); "" does not.
	KeyID, MACKey string

	Roots *x509.CertPool   // who may sign the directory's certificate; nil: whom the system trusts
	HTTP  []netip.AddrPort // where http-01 is answered; empty: nowhere
	TLS   bool             // ForClient is asked at each handshake, so that tls-alpn-01 can be answered

	// Resolve finds the addresses of the authority's names.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)

	Log *slog.Logger // nil: slog.Default()
}

// Manager keeps one certificate. Its methods may be called from any goroutine.
type Manager struct {
	cfg  Config
	http *http.Client

	challenges challenges
	doors      []net.Listener

	rest      time.Time // until when what was issued is not renewed for its age
	suggested time.Time // when the authority wants a renewal; zero: it has not said
	failures  int       // since the last success
	issued    int       // certificates
}

// Open opens the sockets of Config.HTTP. Nothing is asked yet.
func Open(cfg Config) (*Manager, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if len(cfg.HTTP) == 0 && !cfg.TLS {
		return nil, errors.New("ACME: no way to answer a challenge: give an address for http-01, or take TLS over TCP")
	}
	if err := durable.MakeFolder(cfg.Folder, 0o700); err != nil {
		return nil, err
	}
	m := &Manager{cfg: cfg}
	m.http = &http.Client{Timeout: requestTime, Transport: &http.Transport{
		DialContext: m.dial, TLSClientConfig: &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: requestTime / 3, ResponseHeaderTimeout: requestTime, ForceAttemptHTTP2: true,
	}}
	for _, at := range cfg.HTTP {
		if err := m.listen(at); err != nil {
			m.Close()
			return nil, err
		}
	}
	return m, nil
}

// File is where the certificate and its key are, once there is one.
func (m *Manager) File() string { return filepath.Join(m.cfg.Folder, certificate) }

// dial connects to the authority, whose name is resolved by Config.Resolve.
func (m *Manager) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs := []netip.Addr{}
	if a, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, a)
	} else if addrs, err = m.cfg.Resolve(ctx, host); err != nil {
		return nil, fmt.Errorf("resolving %s: %w", host, err)
	}
	err = fmt.Errorf("%s has no address", host)
	for _, a := range addrs {
		d := net.Dialer{Timeout: requestTime / time.Duration(1+len(addrs))}
		var conn net.Conn
		if conn, err = d.DialContext(ctx, network, net.JoinHostPort(a.String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// Run has the certificate issued and renewed until ctx ends, and calls issued when File is another one.
func (m *Manager) Run(ctx context.Context, issued func()) {
	serving := make(chan struct{})
	go func() { defer close(serving); m.serve(ctx) }()
	for ctx.Err() == nil {
		before := m.issued
		timer := time.NewTimer(m.step(ctx))
		if m.issued != before {
			issued()
		}
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
	<-serving
}

// step does what is to be done now, and says when to look again.
func (m *Manager) step(ctx context.Context) time.Duration {
	now := time.Now()
	current := m.current()
	at := now
	if current != nil {
		if m.suggest(ctx, current); ctx.Err() != nil {
			return 0
		}
		at = m.renewal(current)
	}
	if wait := at.Sub(now); wait > 0 {
		return min(wait, lookEvery)
	}
	attempt, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	leaf, err := m.obtain(attempt, current)
	switch {
	case ctx.Err() != nil:
		return 0
	case err != nil:
		m.failures++
		wait := retries(m.failures)
		left := "there is none"
		if current != nil {
			left = "the one in force is valid until " + current.NotAfter.Format(time.RFC3339)
		}
		m.cfg.Log.Error("ACME: no certificate was issued: "+left, "directory", m.cfg.Directory, "names", m.cfg.Names, "failures", m.failures, "again in", wait, "cause", err)
		return wait
	}
	m.failures, m.suggested = 0, time.Time{}
	m.rest = time.Now().Add(leaf.NotAfter.Sub(leaf.NotBefore) / restShare)
	m.issued++
	m.cfg.Log.Info("ACME: certificate issued", "directory", m.cfg.Directory, "names", m.cfg.Names, "until", leaf.NotAfter)
	return max(time.Second, min(time.Until(m.renewal(leaf)), lookEvery)) // also where the authority wants it renewed at once
}

// current is the certificate that there is, and that is for all names; nil where there is
// none that can be used.
func (m *Manager) current() *x509.Certificate {
	pair, err := tls.LoadX509KeyPair(m.File(), m.File())
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			m.cfg.Log.Error("ACME: the certificate that was kept cannot be used; another one is asked for", "cause", err)
		}
		return nil
	}
	if covers(pair.Leaf, m.cfg.Names) != nil {
		return nil
	}
	return pair.Leaf
}

// covers holds that a certificate is for all names.
func covers(leaf *x509.Certificate, names []string) error {
	for _, n := range names {
		if err := leaf.VerifyHostname(n); err != nil {
			return err
		}
	}
	return nil
}

// renewal is when a certificate is to be renewed. By a clock that is ahead that may be over when the
// certificate comes, and the authority is not asked for one after the other.
func (m *Manager) renewal(leaf *x509.Certificate) time.Time {
	at := leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore) / 3)
	if at.Before(m.rest) {
		at = m.rest
	}
	if !m.suggested.IsZero() && m.suggested.Before(at) {
		return m.suggested
	}
	return at
}

// suggest asks the authority when it wants the certificate renewed (RFC 9773). One that does not
// say is not asked twice in this time.
func (m *Manager) suggest(ctx context.Context, leaf *x509.Certificate) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	info, err := m.client().GetRenewalInfo(ctx, leaf)
	switch {
	case err == nil:
		m.suggested = info.SelectedTime
	case !errors.Is(err, acme.ErrUnsupported):
		m.cfg.Log.Debug("ACME: the authority does not say when to renew", "cause", err)
	}
}

func (m *Manager) client() *acmez.Client {
	c := &acmez.Client{
		Client: &acme.Client{
			Directory: m.cfg.Directory, HTTPClient: m.http, UserAgent: "shoji", PollTimeout: attemptTime / 2,
			Logger: slog.New(quieter{m.cfg.Log.Handler()}),
		},
		ChallengeSolvers: make(map[string]acmez.Solver),
	}
	if m.cfg.TLS {
		c.ChallengeSolvers[acme.ChallengeTypeTLSALPN01] = byTLS{&m.challenges}
	}
	if len(m.doors) > 0 {
		c.ChallengeSolvers[acme.ChallengeTypeHTTP01] = byHTTP{&m.challenges}
	}
	return c
}

// obtain has a certificate issued for a new key, and keeps both if they are what was asked for.
func (m *Manager) obtain(ctx context.Context, before *x509.Certificate) (*x509.Certificate, error) {
	client := m.client()
	account, err := m.account(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	request, err := acmez.NewCSR(key, m.cfg.Names)
	if err != nil {
		return nil, err
	}
	order, err := acmez.OrderParametersFromCSR(account, request)
	if err != nil {
		return nil, err
	}
	directory, err := client.GetDirectory(ctx)
	if err != nil {
		return nil, err
	}
	if directory.RenewalInfo != "" && m.failures == 0 { // else it may be of an authority that does not know it
		order.Replaces = before
	}
	chains, err := client.ObtainCertificate(ctx, order)
	if err != nil {
		return nil, err
	}
	if len(chains) == 0 {
		return nil, errors.New("the authority issued nothing")
	}
	return m.keep(chains[0].ChainPEM, key)
}

// keep writes a chain and its key as one file, so that they are never apart.
func (m *Manager) keep(chain []byte, key crypto.Signer) (*x509.Certificate, error) {
	private, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	text := slices.Concat(chain, []byte("\n"), private)
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, fmt.Errorf("what the authority issued: %w", err)
	}
	if err := covers(pair.Leaf, m.cfg.Names); err != nil {
		return nil, fmt.Errorf("what the authority issued: %w", err)
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) {
		return nil, fmt.Errorf("what the authority issued was valid until %s", pair.Leaf.NotAfter.Format(time.RFC3339))
	}
	return pair.Leaf, durable.WriteFile(m.File(), text, 0o600)
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// account is the account at the authority, made where there is none. Its key is on disk
// before the authority knows it.
func (m *Manager) account(ctx context.Context, client *acmez.Client) (acme.Account, error) {
	key, err := m.accountKey()
	if err != nil {
		return acme.Account{}, err
	}
	account := acme.Account{TermsOfServiceAgreed: true, PrivateKey: key}
	if m.cfg.Email != "" {
		account.Contact = []string{"mailto:" + m.cfg.Email}
	}
	if m.cfg.KeyID != "" {
		if err := account.SetExternalAccountBinding(ctx, client.Client, acme.EAB{KeyID: m.cfg.KeyID, MACKey: m.cfg.MACKey}); err != nil {
			return acme.Account{}, err
		}
	}
	return client.NewAccount(ctx, account) // whose key is known gets its account (RFC 8555 §7.3)
}

func (m *Manager) accountKey() (crypto.Signer, error) {
	sum := sha256.Sum256([]byte(m.cfg.Directory))
	path := filepath.Join(m.cfg.Folder, fmt.Sprintf("account-%x.pem", sum[:8]))
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		key, err := parseAccountKey(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: restore the file, or remove it for a new account", path, err)
		}
		return key, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if text, err = encodeKey(key); err != nil {
		return nil, err
	}
	return key, durable.CreateFile(path, text, 0o600)
}

// parseAccountKey reads a private key in PKCS #8 and PEM.
func parseAccountKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("no private key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok || signer.Curve != elliptic.P256() {
		return nil, errors.New("its key is not of ECDSA over P-256")
	}
	return signer, nil
}

// quieter passes on what a library logs as details.
type quieter struct{ slog.Handler }

// Enabled implements slog.Handler.
func (q quieter) Enabled(ctx context.Context, _ slog.Level) bool {
	return q.Handler.Enabled(ctx, slog.LevelDebug)
}

// WithAttrs implements slog.Handler.
func (q quieter) WithAttrs(a []slog.Attr) slog.Handler { return quieter{q.Handler.WithAttrs(a)} }

// WithGroup implements slog.Handler.
func (q quieter) WithGroup(name string) slog.Handler { return quieter{q.Handler.WithGroup(name)} }

// Handle implements slog.Handler.
func (q quieter) Handle(ctx context.Context, r slog.Record) error {
	r.Level, r.Message = slog.LevelDebug, "ACME: "+r.Message
	return q.Handler.Handle(ctx, r)
}
