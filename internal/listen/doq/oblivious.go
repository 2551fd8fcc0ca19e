package doq

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/shoji-dns/shoji/internal/listen"
	"github.com/shoji-dns/shoji/internal/listen/doh"
	"github.com/shoji-dns/shoji/internal/odoh"
)

const (
	// noStore is said of what nobody may keep (RFC 9230 §4.1).
	noStore = "no-store"
	// configsLife is how long the target's configuration may be kept, in seconds, as over HTTP/2.
	configsLife = 3600
)

// oblivious answers an oblivious query as its target (RFC 9230 §4.3).
func (s *Server) oblivious(idle *idle, w http.ResponseWriter, r *http.Request, g listen.Guest) {
	query, status := body(w, r)
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	answered := idle.query()
	reply, err := s.cfg.Listen.AnswerOblivious(r.Context(), g, query)
	answered()
	switch {
	case errors.Is(err, odoh.ErrKey):
		w.WriteHeader(http.StatusUnauthorized)
	case errors.Is(err, odoh.ErrMessage) || errors.Is(err, listen.ErrNoQuery):
		w.WriteHeader(http.StatusBadRequest)
	case err == nil:
		respond(w, doh.TypeOblivious, noStore, reply)
	}
}

// configs gives the target's configuration.
func (s *Server) configs(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	respond(w, odoh.ConfigsType, fmt.Sprintf("max-age=%010d", configsLife), s.cfg.Secure.Oblivious().Configs())
}

// relay carries an oblivious query to another target, as a proxy.
func (s *Server) relay(idle *idle, w http.ResponseWriter, r *http.Request) {
	bad := 0
	var query []byte
	switch {
	case r.Method != http.MethodPost:
		bad = http.StatusMethodNotAllowed
	case r.Header.Get("Content-Type") != doh.TypeOblivious:
		bad = http.StatusUnsupportedMediaType
	default:
		query, bad = body(w, r)
	}
	done := doh.Relayed{Status: bad, Cause: doh.CauseRequest}
	if bad == 0 {
		answered := idle.query()
		var err error
		done, err = s.cfg.Listen.Carry(r.Context(), remote(r), r.URL.RawQuery, query)
		if answered(); err != nil {
			return // nobody waits for the reply
		}
	}
	w.Header().Set("Proxy-Status", done.ProxyStatus())
	if len(done.Message) == 0 {
		w.WriteHeader(done.Status)
		return
	}
	w.Header().Set("Content-Type", doh.TypeOblivious)
	w.Header().Set("Cache-Control", noStore)
	w.WriteHeader(done.Status)
	w.Write(done.Message)
}
