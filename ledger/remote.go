package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Limits of reading a log over HTTP.
const (
	MaxTries     = 4 // of one file, where the server or the way to it fails
	MaxRedirects = 5

	fileTime    = time.Minute            // for one try: the largest bundle, 16 MiB, at 2.2 Mbit/s
	connectTime = 15 * time.Second       // for TCP and TLS each, and until the headers come
	firstPause  = 250 * time.Millisecond // before the second try; twice as long before each further one
	maxPause    = 10 * time.Second       // whatever the server asks for in Retry-After
	maxHeaders  = 64 << 10               // octets of a reply's headers
)

// Remote is a log on a web server, as static files. Nothing that the server says is
// believed: what is read has to be verified like any other copy.
type Remote struct {
	base   string
	path   string // of base
	client *http.Client
}

// OpenRemote opens the log at an http or https address, the one under which
// CheckpointPath and the others are. Nothing is read yet. transport is what carries the
// requests; nil is the system's network, by way of the proxy that the environment names.
func OpenRemote(address string, transport http.RoundTripper) (*Remote, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, fmt.Errorf("%q is no address of a log: write it like https://log.isp.example/", address)
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("%q: an address of a log has neither user, query nor fragment", u.Redacted())
	}
	if transport == nil {
		transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: connectTime, ResponseHeaderTimeout: connectTime,
			MaxResponseHeaderBytes: maxHeaders, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 2 * aheadFiles,
		}
	}
	r := &Remote{base: strings.TrimSuffix(u.String(), "/") + "/", path: strings.TrimSuffix(u.Path, "/") + "/"}
	r.client = &http.Client{Transport: transport, CheckRedirect: r.checkRedirect}
	return r, nil
}

// checkRedirect follows a few, to the same file of another copy: none from TLS to plain text, and
// none that has this machine ask itself or its link for something else.
func (r *Remote) checkRedirect(to *http.Request, via []*http.Request) error {
	if len(via) > MaxRedirects {
		return fmt.Errorf("more than %d redirects", MaxRedirects)
	}
	if via[len(via)-1].URL.Scheme == "https" && to.URL.Scheme != "https" {
		return errors.New("it redirects from TLS to plain text")
	}
	if file := "/" + strings.TrimPrefix(via[0].URL.Path, r.path); !strings.HasSuffix(to.URL.Path, file) {
		return fmt.Errorf("it redirects to %s, which is no copy of %s", to.URL.Redacted(), file)
	}
	if isNear(to.URL.Hostname()) && !isNear(via[0].URL.Hostname()) {
		return fmt.Errorf("it redirects to %s, an address of this machine or its link", to.URL.Redacted())
	}
	return nil
}

// isNear reports whether a host is this machine or on its link, as far as its name tells.
func isNear(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	a = a.Unmap()
	return err == nil && (a.IsLoopback() || a.IsUnspecified() || a.IsLinkLocalUnicast())
}

// Withheld reports whether a server says by a status that it does not give a file out, which it
// will say again: that there is none, or that one may not have it. Who keeps a file of the log back is
// the same to a reader, however he says so. Other statuses are failures, which pass.
func Withheld(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusMisdirectedRequest,
		http.StatusProxyAuthRequired: // which one's own proxy says
		return false
	}
	return 400 <= status && status < 500
}

// Address is the log's address, with a slash at its end.
func (r *Remote) Address() string { return r.base }

// Client is what the log is asked with, for files beside it.
func (r *Remote) Client() *http.Client { return r.client }

// Read implements Source.
func (r *Remote) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	for try, pause := 1, firstPause; ; try, pause = try+1, 2*pause {
		b, again, err := r.try(ctx, path, limit)
		if err == nil || again < 0 || try == MaxTries || ctx.Err() != nil {
			return b, err
		}
		wait := time.NewTimer(min(max(pause, again), maxPause))
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil, ctx.Err()
		case <-wait.C:
		}
	}
}

// try asks once. After an error, again is the least time until it is worth another try,
// and less than 0 where it is not.
func (r *Remote) try(ctx context.Context, path string, limit int64) (b []byte, again time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, fileTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+path, nil)
	if err != nil {
		return nil, -1, err
	}
	req.Header.Set("User-Agent", "shoji-ledger")
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK:
	case Withheld(resp.StatusCode):
		return nil, -1, fmt.Errorf("the server says %s: %w", resp.Status, fs.ErrNotExist)
	case resp.StatusCode >= 400:
		return nil, retryAfter(resp.Header), fmt.Errorf("the server says %s", resp.Status)
	default:
		return nil, -1, fmt.Errorf("the server says %s", resp.Status)
	}
	b, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, 0, err
	case int64(len(b)) > limit:
		return nil, -1, fmt.Errorf("more than %d octets, which the longest such file has", limit)
	}
	return b, 0, nil
}

// retryAfter reads Retry-After in seconds (RFC 9110 §10.2.3); a date counts as none.
func retryAfter(h http.Header) time.Duration {
	d, err := time.ParseDuration(h.Get("Retry-After") + "s")
	if err != nil {
		return 0
	}
	return max(d, 0)
}
