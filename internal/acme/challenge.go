package acme

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
	"golang.org/x/net/netutil"
)

const (
	// httpConns bounds the connections to one socket of http-01, and httpTime each of
	// them: an authority comes from a handful of places and asks once.
	httpConns = 64
	httpTime  = 5 * time.Second
	maxHeader = 8 << 10
)

// Protocol is what tls-alpn-01 negotiates (RFC 8737 §6.2). A connection of it ends with its
// handshake.
const Protocol = acmez.ACMETLS1Protocol

// challenges are those under way: as many as a certificate has names.
type challenges struct {
	mu    sync.Mutex
	tls   map[string]*tls.Certificate // by name
	paths map[string]string           // key authorizations by path
}

// byTLS and byHTTP answer challenges of one type.
type (
	byTLS  struct{ *challenges }
	byHTTP struct{ *challenges }
)

// Present implements acmez.Solver.
func (s byTLS) Present(_ context.Context, c acme.Challenge) error {
	cert, err := acmez.TLSALPN01ChallengeCert(c)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tls == nil {
		s.tls = make(map[string]*tls.Certificate)
	}
	s.tls[strings.ToLower(c.Identifier.Value)] = cert
	return nil
}

// CleanUp implements acmez.Solver.
func (s byTLS) CleanUp(_ context.Context, c acme.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tls, strings.ToLower(c.Identifier.Value))
	return nil
}

// Present implements acmez.Solver.
func (s byHTTP) Present(_ context.Context, c acme.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paths == nil {
		s.paths = make(map[string]string)
	}
	s.paths[c.HTTP01ResourcePath()] = c.KeyAuthorization
	return nil
}

// CleanUp implements acmez.Solver.
func (s byHTTP) CleanUp(_ context.Context, c acme.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.paths, c.HTTP01ResourcePath())
	return nil
}

// ForClient is for tls.Config.GetConfigForClient: who comes for a challenge gets its answer, and
// an error where there is none; all others get nil, which is what they would have without.
func (m *Manager) ForClient(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if len(hello.SupportedProtos) != 1 || hello.SupportedProtos[0] != Protocol {
		return nil, nil
	}
	m.challenges.mu.Lock()
	cert := m.challenges.tls[strings.ToLower(hello.ServerName)]
	m.challenges.mu.Unlock()
	if cert == nil {
		return nil, fmt.Errorf("ACME: no challenge for %q is under way", hello.ServerName)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{Protocol}, Certificates: []tls.Certificate{*cert}, SessionTicketsDisabled: true}, nil
}

// Challenged reports that an authority may come for tls-alpn-01, from wherever it likes.
func (m *Manager) Challenged() bool {
	m.challenges.mu.Lock()
	defer m.challenges.mu.Unlock()
	return len(m.challenges.tls) > 0
}

// ServeHTTP answers http-01.
func (m *Manager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.challenges.mu.Lock()
	text, ok := m.challenges.paths[r.URL.Path]
	m.challenges.mu.Unlock()
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "nothing is here but answers to challenges of ACME", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	fmt.Fprint(w, text)
}

func (m *Manager) listen(at netip.AddrPort) error {
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return fmt.Errorf("ACME: http-01: %w", err)
	}
	m.doors = append(m.doors, &shared{Listener: netutil.LimitListener(l, httpConns), open: make(map[netip.Prefix]int)})
	return nil
}

// Addrs are where http-01 is answered, with the ports that were picked.
func (m *Manager) Addrs() (all []net.Addr) {
	for _, l := range m.doors {
		all = append(all, l.Addr())
	}
	return all
}

// serve answers http-01 until ctx ends.
func (m *Manager) serve(ctx context.Context) {
	s := &http.Server{
		Handler: m, ReadHeaderTimeout: httpTime, ReadTimeout: httpTime, WriteTimeout: httpTime, MaxHeaderBytes: maxHeader,
		DisableGeneralOptionsHandler: true, ErrorLog: slog.NewLogLogger(m.cfg.Log.Handler(), slog.LevelDebug),
	}
	s.SetKeepAlivesEnabled(false) // else who asks again keeps his place
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	var all sync.WaitGroup
	for _, l := range m.doors {
		all.Go(func() {
			if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) && ctx.Err() == nil {
				m.cfg.Log.Error("ACME: http-01 is not answered any more", "cause", err)
			}
		})
	}
	all.Wait()
}

// Close closes the sockets.
func (m *Manager) Close() {
	for _, l := range m.doors {
		l.Close()
	}
}
