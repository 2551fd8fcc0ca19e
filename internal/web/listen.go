package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Server serves a Site on sockets.
type Server struct {
	http      *http.Server
	listeners []net.Listener
}

// Listen opens the sockets. Nothing is answered before Serve.
func Listen(s *Site, at []netip.AddrPort) (*Server, error) {
	out := &Server{}
	shared := &connections{site: s, open: make(map[net.Conn]*held)}
	for _, a := range at {
		l, err := net.Listen("tcp", a.String())
		if err != nil {
			out.Close()
			return nil, err
		}
		out.listeners = append(out.listeners, &listener{l, shared})
	}
	out.http = &http.Server{
		Handler: s, ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader, ConnState: shared.state, DisableGeneralOptionsHandler: true,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return out, nil
}

// URLs are where the site is served.
func (s *Server) URLs() (all []string) {
	for _, l := range s.listeners {
		all = append(all, "http://"+l.Addr().String()+"/")
	}
	return all
}

// Serve answers until ctx ends or a socket fails.
func (s *Server) Serve(ctx context.Context) error {
	var all sync.WaitGroup
	failed := make([]error, len(s.listeners))
	for i, l := range s.listeners {
		all.Go(func() {
			if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed[i] = err
				s.http.Close()
			}
		})
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		if s.http.Shutdown(patience) != nil {
			s.http.Close()
		}
	})
	all.Wait()
	if !stop() {
		<-ended
	}
	return errors.Join(failed...)
}

// Close closes the sockets and all connections.
func (s *Server) Close() error {
	var err error
	for _, l := range s.listeners {
		err = errors.Join(err, l.Close())
	}
	if s.http != nil {
		err = errors.Join(err, s.http.Close())
	}
	return err
}

// connections shares what may be open among networks.
type connections struct {
	site *Site

	mu   sync.Mutex
	open map[net.Conn]*held
	of   [limitSlots]uint16
}

// held is a connection that is open.
type held struct {
	of     network
	proxy  bool // of many clients: bounded with all others alone
	active bool // a request of it is being answered
	at     time.Time
}

type listener struct {
	net.Listener
	shared *connections
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	from := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	l.shared.enter(c, &held{of: l.shared.site.turns.network(from), proxy: l.shared.site.proxy(from), at: time.Now()})
	return c, nil
}

// enter counts a connection, and ends another one for it where there are too many.
func (s *connections) enter(c net.Conn, h *held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !h.proxy && s.of[h.of] >= networkConnections:
		s.evict(func(o *held) bool { return o.of == h.of })
	case len(s.open) >= MaxConnections:
		most := s.fullest()
		s.evict(func(o *held) bool { return o.of == most })
	}
	s.open[c] = h
	s.of[h.of]++
}

// fullest is the network with the most connections.
func (s *connections) fullest() (most network) {
	for i, n := range s.of {
		if n > s.of[most] {
			most = network(i)
		}
	}
	return most
}

// evict ends the oldest connection that waits among those that may go, or else the oldest.
func (s *connections) evict(may func(*held) bool) {
	var worst net.Conn
	var least *held
	for c, h := range s.open { // MaxConnections of them at most
		if !may(h) {
			continue
		}
		if least == nil || least.active && !h.active || least.active == h.active && h.at.Before(least.at) {
			worst, least = c, h
		}
	}
	if worst != nil {
		s.forget(worst)
		worst.Close()
	}
}

func (s *connections) forget(c net.Conn) {
	if h := s.open[c]; h != nil {
		delete(s.open, c)
		s.of[h.of]--
	}
}

// state follows what the HTTP server says of a connection.
func (s *connections) state(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateActive, http.StateIdle:
		if h := s.open[c]; h != nil {
			h.active = state == http.StateActive
		}
	case http.StateClosed, http.StateHijacked:
		s.forget(c)
	}
}
