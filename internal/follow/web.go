package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/ledger"
)

// listPath is where a web server has compiled lists: the digest follows.
const listPath = "list/"

const (
	connectTime = 15 * time.Second // for TCP and TLS each, and until the headers come
	maxHeaders  = 64 << 10         // octets of a reply's headers
	listTime    = 10 * time.Minute // for one try to fetch a list; the next one goes on
)

// Web is a log on a web server, with its compiled lists.
type Web struct{ *ledger.Remote }

// OpenWeb opens the log at an http or https address. dial connects to HOST:PORT and resolves
// the host; nil uses the system's resolver. agent is the User-Agent.
func OpenWeb(address string, dial func(ctx context.Context, network, addr string) (net.Conn, error), agent string) (*Web, error) {
	if dial == nil {
		dial = (&net.Dialer{Timeout: connectTime}).DialContext
	}
	transport := named{agent: agent, next: &http.Transport{
		DialContext: dial, TLSHandshakeTimeout: connectTime, ResponseHeaderTimeout: connectTime, Proxy: http.ProxyFromEnvironment,
		MaxResponseHeaderBytes: maxHeaders, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 32,
	}}
	remote, err := ledger.OpenRemote(address, &revalidator{next: transport})
	if err != nil {
		return nil, err
	}
	return &Web{remote}, nil
}

// named sends the User-Agent.
type named struct {
	agent string
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (n named) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", n.agent)
	return n.next.RoundTrip(r)
}

// revalidator asks for the checkpoint by what it has of it already (RFC 9110 §13): where
// nothing has changed, the server sends no more than that. The validators of servers that make
// them of a file's time do not tell two checkpoints of one second apart: they count only for a
// file that was older than that (§8.8.2.2).
type revalidator struct {
	next http.RoundTripper

	mu   sync.Mutex
	etag string
	body []byte
}

// RoundTrip implements http.RoundTripper.
func (v *revalidator) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, "/"+ledger.CheckpointPath) {
		return v.next.RoundTrip(r)
	}
	v.mu.Lock()
	etag, body := v.etag, v.body
	v.mu.Unlock()
	r = r.Clone(r.Context())
	r.Header.Set("Cache-Control", "no-cache") // of caches on the way: ask the server
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	resp, err := v.next.RoundTrip(r)
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusNotModified && etag != "":
		resp.Body.Close()
		resp.StatusCode, resp.Status = http.StatusOK, "200 OK"
		resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(string(body))), int64(len(body))
	case resp.StatusCode == http.StatusOK:
		body, err := io.ReadAll(io.LimitReader(resp.Body, ledger.MaxCheckpoint+1))
		resp.Body.Close()
		if err != nil {
			return nil, err
		}
		resp.Body = io.NopCloser(strings.NewReader(string(body)))
		v.mu.Lock()
		if v.etag, v.body = "", body; tells(resp.Header) {
			v.etag = resp.Header.Get("ETag")
		}
		v.mu.Unlock()
	}
	return resp, nil
}

// settled is how old a file has to be, so that none of the same second can have taken its place.
const settled = 2 * time.Second

// tells reports whether a reply's validator tells its file from any other.
func tells(h http.Header) bool {
	if h.Get("Last-Modified") == "" {
		return true
	}
	changed, err1 := http.ParseTime(h.Get("Last-Modified"))
	now, err2 := http.ParseTime(h.Get("Date"))
	return err1 == nil && err2 == nil && now.Sub(changed) >= settled
}

// Fetch implements Lists.
func (w *Web) Fetch(ctx context.Context, digest ledger.Digest, from, size int64, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.Address()+listPath+digest.String(), nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept-Encoding", "identity") // a part is one of the file itself
	if from > 0 {
		r.Header.Set("Range", "bytes="+strconv.FormatInt(from, 10)+"-")
	}
	resp, err := w.Client().Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK: // all of it, from the beginning
		if _, err := io.CopyN(io.Discard, resp.Body, from); err != nil {
			return err
		}
	case resp.StatusCode == http.StatusPartialContent:
		if want := fmt.Sprintf("bytes %d-", from); !strings.HasPrefix(resp.Header.Get("Content-Range"), want) {
			return fmt.Errorf("%w: another part of it came than was asked for", errOther)
		}
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return fmt.Errorf("%w: the server has less of it than is here", errOther)
	case ledger.Withheld(resp.StatusCode):
		return fmt.Errorf("the server says %s: %w", resp.Status, fs.ErrNotExist)
	default:
		return fmt.Errorf("the server says %s", resp.Status)
	}
	n, err := io.Copy(out, io.LimitReader(resp.Body, size-from+1))
	switch {
	case err != nil:
		return err
	case n > size-from:
		return fmt.Errorf("%w: it is longer", errOther)
	case n < size-from:
		return errors.New("the list was cut off")
	}
	return nil
}
