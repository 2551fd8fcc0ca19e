// Package oblivious has what a server of oblivious DNS over HTTPS (RFC 9230) needs beside its sockets: as a
// target the keys that queries are encrypted for, and as a proxy the way to the targets that it is for. The
// messages are package odoh's, the requests package listen's.
//
// # Keys
//
// A key is published for KeyLife and accepted for KeyAccepted after that; RFC 9230 §5 recommends a new one each
// day. One key is published at a time, to everybody, for all views: neither who asks nor which view he asks can be told by
// the key. Keys are written to a file of mode 0600 before they are published, and are gone from it when they are no longer
// accepted, so that what was recorded before stays unread. The file has a line for each key: when it was made (RFC 3339),
// and the private key in hexadecimal digits.
//
// # The proxy
//
// Queries are carried to targets that the configuration names, by the exact host and path, and to nobody else; their
// addresses are configured too, so that nothing is looked up. What a target is told of its client is nothing: the
// request has the message and its media type, and goes over one connection that all clients share. Of a target's
// response the status and an oblivious message come back, and no other content.
//
// A proxy cannot be led in a circle: what it sends on has no targethost, which its own path refuses.
//
// # Limits
//
// Package listen bounds what is under way of each connection, of each source and in all. Here each target may have
// maxPerTarget requests under way, and a request has carryTime.
//
// # Known faults
//
// Servers that share an address need the same keys: those of one file are read once, at the start. A target sees a
// proxy as one source, whose parts of connections and places are those of one source.
package oblivious

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/shoji-dns/shoji/internal/listen/doh"
	"github.com/shoji-dns/shoji/internal/odoh"
	"github.com/shoji-dns/shoji/internal/upstream"
)

const (
	// carryTime bounds one request to a target: a resolution has some nine seconds at most, and stub
	// resolvers have given up by then.
	carryTime = 8 * time.Second
	// maxPerTarget is how many requests to one target may be under way: a quarter of all that listen allows, so
	// that one target which hangs leaves places for others. One source has a quarter of them (listen's relayShare).
	maxPerTarget = 256
	// alarmEvery is how often it is logged again that a target cannot be asked.
	alarmEvery = 10 * time.Minute
)

// The variables of a proxy's URI template (RFC 9230 §4.1).
const (
	targetHost = "targethost"
	targetPath = "targetpath"
)

// ProxyConfig is what NewProxy needs.
type ProxyConfig struct {
	// Targets are whom queries are carried to: over HTTPS or HTTP3, each with its path.
	Targets []upstream.Resolver
	Roots   *x509.CertPool // who may sign their certificates; nil: whom the system trusts
	Log     *slog.Logger   // nil: slog.Default()
}

// Proxy carries oblivious queries to targets. It is a listen.Relay.
type Proxy struct {
	targets map[place]*target
	log     *slog.Logger
}

// place is how clients name a target.
type place struct{ host, path string }

type target struct {
	web  *upstream.Web
	path string
	busy chan struct{} // one taken for each request under way
	name string
	told atomic.Int64 // when it was last said that it cannot be asked, in seconds; 0: never
}

// NewProxy makes a proxy. Nothing is sent yet.
func NewProxy(cfg ProxyConfig) (*Proxy, error) {
	p := &Proxy{make(map[place]*target), cmp.Or(cfg.Log, slog.Default())}
	webs := make(map[upstream.Resolver]*upstream.Web) // those at one server share a connection
	for _, r := range cfg.Targets {
		if r.Transport != upstream.HTTPS && r.Transport != upstream.HTTP3 {
			return nil, fmt.Errorf("%s: a target is written like https://192.0.2.1/dns-query#dns.example", r)
		}
		at := place{upstream.Authority(r), r.Path}
		if p.targets[at] != nil {
			return nil, fmt.Errorf("%s: another target has the same name and path: clients could not tell them apart", r)
		}
		server := r
		server.Path = ""
		if webs[server] == nil {
			web, err := upstream.NewWeb(r, upstream.Config{Roots: cfg.Roots})
			if err != nil {
				return nil, err
			}
			webs[server] = web
		}
		p.targets[at] = &target{web: webs[server], path: r.Path, busy: make(chan struct{}, maxPerTarget), name: r.String()}
	}
	return p, nil
}

// Carry implements listen.Relay.
func (p *Proxy) Carry(ctx context.Context, query string, message []byte) doh.Relayed {
	at, ok := placeOf(query)
	if !ok {
		return doh.Relayed{Status: http.StatusBadRequest, Cause: doh.CauseRequest}
	}
	t := p.targets[at]
	if t == nil {
		return doh.Relayed{Status: http.StatusForbidden, Cause: doh.CauseDenied}
	}
	select {
	case t.busy <- struct{}{}:
		defer func() { <-t.busy }()
	default:
		return doh.Relayed{Status: http.StatusServiceUnavailable, Cause: doh.CauseFull}
	}
	ctx, cancel := context.WithTimeout(ctx, carryTime)
	defer cancel()
	res, err := t.web.Post(ctx, t.path, doh.TypeOblivious, message, odoh.MaxSealed)
	switch {
	case err != nil && ctx.Err() != nil:
		return doh.Relayed{Status: http.StatusGatewayTimeout, Cause: doh.CauseTimeout}
	case err != nil:
		t.tell(p.log, err)
		return doh.Relayed{Status: http.StatusBadGateway, Cause: unreached(err)}
	}
	return relayed(res)
}

// unreached is why there is no response of a target.
func unreached(err error) doh.Cause {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return doh.CauseCertificate
	}
	if _, ok := errors.AsType[*upstream.HandshakeError](err); ok {
		return doh.CauseTLS
	}
	return doh.CauseRefused
}

// tell says why a target cannot be asked, once in a while: clients learn no more than the kind of fault.
func (t *target) tell(log *slog.Logger, err error) {
	now, last := time.Now().Unix(), t.told.Load()
	if (last == 0 || now-last >= int64(alarmEvery/time.Second) || now < last) && t.told.CompareAndSwap(last, now) {
		log.Error("oblivious proxy: a target cannot be asked", "target", t.name, "cause", err)
	}
}

// relayed is what of a target's response comes back.
func relayed(res upstream.Response) doh.Relayed {
	switch oblivious := res.Type == doh.TypeOblivious && len(res.Content) > 0; {
	case res.Status == http.StatusOK && oblivious:
		return doh.Relayed{Status: http.StatusOK, Cause: doh.CauseOK, Message: res.Content}
	case res.Status >= 300 && res.Status <= 599:
		return doh.Relayed{Status: res.Status, Cause: doh.CauseTarget}
	}
	return doh.Relayed{Status: http.StatusBadGateway, Cause: doh.CauseResponse}
}

// placeOf reads which target a request is for: each of both variables stands there once, and nothing else.
func placeOf(query string) (place, bool) {
	values, err := url.ParseQuery(query)
	host, path := values[targetHost], values[targetPath]
	if err != nil || len(values) != 2 || len(host) != 1 || len(path) != 1 {
		return place{}, false
	}
	return place{host[0], path[0]}, host[0] != "" && path[0] != ""
}

// Close ends the connections to targets.
func (p *Proxy) Close() {
	for _, t := range p.targets {
		t.web.Close()
	}
}
