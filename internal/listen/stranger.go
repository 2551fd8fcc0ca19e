package listen

import (
	"crypto/tls"
	"errors"
)

// maxStrangers bounds the connections of those who are not served, while an authority may come for a challenge of
// ACME, and maxOfStranger those of one source. It comes from a handful of places, once for each name.
const (
	maxStrangers  = 64
	maxOfStranger = 8
)

// errStranger ends the handshake of a stranger who comes for no challenge.
var errStranger = errors.New("listen: not served")

// served reports that a connection is to be taken in: its source may ask, or may be an authority's. secure: its TLS
// handshake is still to come.
func (s *Server) served(st *stream, secure bool) bool {
	if s.allow.contains(st.from) {
		return true
	}
	if !secure || s.cfg.Secure.Challenged == nil || !s.cfg.Secure.Challenged() || s.conns.of(st.from) >= maxOfStranger {
		return false
	}
	select {
	case s.strangers <- struct{}{}:
		st.stranger = true
	default:
	}
	return st.stranger
}

// part gives the place back that a stranger had.
func (s *Server) part(st *stream) {
	if st.stranger {
		<-s.strangers
	}
}

// challengesAlone is a configuration by which challenges are answered as by c, and nothing else is.
func challengesAlone(c *tls.Config) *tls.Config {
	return &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if c.GetConfigForClient == nil {
			return nil, errStranger
		}
		own, err := c.GetConfigForClient(hello)
		if own == nil && err == nil {
			err = errStranger
		}
		return own, err
	}}
}
