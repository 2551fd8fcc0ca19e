package feed

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// Limits of one fetch.
const (
	MaxDownload  = 256 << 20 // octets as sent; the largest known feed, URLhaus's whole dump, has under 100 MiB
	MaxUnpacked  = 1 << 30   // octets after unpacking: a compressed file cannot fill the disk
	MaxRedirects = 5

	// FetchTime bounds one fetch, headers and body. A server that keeps up LeastOctets can use it up.
	FetchTime = 10 * time.Minute
	// StartTime is how long it may take until the body begins: connections, handshakes, headers
	// and redirects together. What is resolved from the root and far away takes seconds.
	StartTime = 30 * time.Second
	// LeastOctets come in each StallTime, or the list ends before: 2 KiB a second, half of what
	// a telephone modem brings (V.34). A server that sends an octet at a time keeps nobody waiting for FetchTime.
	LeastOctets = 64 << 10
	StallTime   = 30 * time.Second

	connectTime = 15 * time.Second
)

// Validators are what a server said to ask by the next time (RFC 9110 §8.8).
type Validators struct {
	ETag, LastModified string
}

// Published is when what was fetched was last changed, as the server says, or the file
// system of a file; the zero time where that is not known.
func (v Validators) Published() time.Time {
	t, err := http.ParseTime(v.LastModified)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// maxValidator bounds a validator; longer ones are dropped.
const maxValidator = 1024

// Fetcher fetches lists over HTTPS, or from files of this machine.
type Fetcher struct {
	client   *http.Client
	unpacked int64 // MaxUnpacked; less in tests
}

// NewFetcher makes a Fetcher. dial connects to HOST:PORT and resolves the host; nil uses the
// system's resolver. agent is the User-Agent.
func NewFetcher(dial func(ctx context.Context, network, addr string) (net.Conn, error), agent string) *Fetcher {
	if dial == nil {
		dial = (&net.Dialer{Timeout: connectTime}).DialContext
	}
	transport := &http.Transport{
		DialContext: dial, TLSHandshakeTimeout: connectTime,
		MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, MaxIdleConns: 16,
		Proxy: http.ProxyFromEnvironment, DisableCompression: true, // what is compressed is unpacked below, with a limit
	}
	return &Fetcher{&http.Client{Transport: named{transport, agent}, CheckRedirect: checkRedirect}, MaxUnpacked}
}

// named sends the User-Agent.
type named struct {
	http.RoundTripper
	agent string
}

// RoundTrip implements http.RoundTripper.
func (n named) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", n.agent)
	return n.RoundTripper.RoundTrip(r)
}

// checkRedirect follows a few, and none from TLS to plain text.
func checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) > MaxRedirects {
		return fmt.Errorf("more than %d redirects", MaxRedirects)
	}
	if via[len(via)-1].URL.Scheme == "https" && r.URL.Scheme != "https" {
		return fmt.Errorf("it redirects from TLS to %s", r.URL.Redacted())
	}
	return nil
}

// CheckLocation says what keeps a location from being one: an https address, http on a
// loopback address, a zone to transfer (Transfer), or the path of a file.
func CheckLocation(location string) error {
	if IsTransfer(location) {
		_, err := ParseTransfer(location)
		return err
	}
	if !strings.Contains(location, "://") {
		if location == "" {
			return errors.New("it is empty; give an https address or the path of a file")
		}
		return nil
	}
	u, err := url.Parse(location)
	switch {
	case err != nil:
		return err
	case u.Host == "":
		return fmt.Errorf("%s has no host", u.Redacted())
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && net.ParseIP(u.Hostname()).IsLoopback():
		return nil
	}
	return fmt.Errorf("%s: a list comes over https, so that nobody on the way can change it", u.Redacted())
}

// Fetch writes the list at a location, which is no Transfer, to out, unpacked. It asks by the validators of last
// time; unchanged reports that the server has nothing newer, and then nothing is written.
func (f *Fetcher) Fetch(ctx context.Context, location string, have Validators, out *os.File) (now Validators, unchanged bool, err error) {
	if err := CheckLocation(location); err != nil {
		return have, false, err
	}
	if !strings.Contains(location, "://") {
		in, err := os.Open(location)
		if err != nil {
			return have, false, err
		}
		defer in.Close()
		info, err := in.Stat()
		if err != nil {
			return have, false, err
		}
		return Validators{LastModified: info.ModTime().UTC().Format(http.TimeFormat)}, false, f.unpack(in, out)
	}
	ctx, done := context.WithTimeoutCause(ctx, FetchTime, fmt.Errorf("it did not end in %s", FetchTime))
	defer done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	now, unchanged, err = f.get(ctx, cancel, location, have, out)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx) // which limit it was, whatever the layers between made of it
	}
	return now, unchanged, err
}

// get ends by cancel what keeps it waiting.
func (f *Fetcher) get(ctx context.Context, cancel context.CancelCauseFunc, location string, have Validators, out *os.File) (Validators, bool, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, location, nil)
	if err != nil {
		return have, false, err
	}
	if have.ETag != "" {
		r.Header.Set("If-None-Match", have.ETag)
	}
	if have.LastModified != "" {
		r.Header.Set("If-Modified-Since", have.LastModified)
	}
	r.Header.Set("Accept-Encoding", "gzip")
	start := time.AfterFunc(StartTime, func() { cancel(fmt.Errorf("the list did not begin in %s", StartTime)) })
	resp, err := f.client.Do(r)
	start.Stop()
	if err != nil {
		return have, false, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && have != Validators{}:
		return have, true, nil
	case resp.StatusCode != http.StatusOK:
		return have, false, &StatusError{Status: resp.Status, After: retryAfter(resp.Header)}
	case resp.ContentLength > MaxDownload:
		return have, false, fmt.Errorf("it has %d octets, more than %d", resp.ContentLength, MaxDownload)
	}
	body := &counted{r: resp.Body}
	defer body.watch(cancel)()
	if err := f.unpack(body, out); err != nil {
		return have, false, err
	}
	if resp.ContentLength >= 0 && body.n.Load() != resp.ContentLength {
		return have, false, fmt.Errorf("it was cut off: %d of %d octets came", body.n.Load(), resp.ContentLength)
	}
	return Validators{validator(resp.Header, "ETag"), validator(resp.Header, "Last-Modified")}, false, nil
}

// StatusError is a server's refusal.
type StatusError struct {
	Status string        // such as "503 Service Unavailable"
	After  time.Duration // when the server wants to be asked again; 0: it does not say
}

func (e *StatusError) Error() string { return "the server says " + e.Status }

// retryAfter reads Retry-After in seconds (RFC 9110 §10.2.3). A date is not looked at: the
// source's own interval does as well.
func retryAfter(h http.Header) time.Duration {
	d, err := time.ParseDuration(h.Get("Retry-After") + "s")
	if err != nil || d < 0 {
		return 0
	}
	return min(d, 24*time.Hour)
}

func validator(h http.Header, name string) string {
	if v := h.Get(name); len(v) <= maxValidator {
		return v
	}
	return ""
}

// counted counts what is read, up to MaxDownload.
type counted struct {
	r io.Reader
	n atomic.Int64
}

// watch calls cancel when a StallTime brings less than LeastOctets, until stop is called.
func (c *counted) watch(cancel context.CancelCauseFunc) (stop func()) {
	tick, done := time.NewTicker(StallTime), make(chan struct{})
	go func() {
		for last := int64(0); ; {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			n := c.n.Load()
			if n-last < LeastOctets {
				cancel(fmt.Errorf("it is too slow: %d octets came in %s, less than %d", n-last, StallTime, LeastOctets))
				return
			}
			last = n
		}
	}()
	return func() { tick.Stop(); close(done) }
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	if c.n.Add(int64(n)) > MaxDownload {
		return 0, fmt.Errorf("it has more than %d octets", MaxDownload)
	}
	return n, err
}

// unpack writes in to out: as it is, or unpacked where it is gzip, or a zip archive of one file.
func (f *Fetcher) unpack(in io.Reader, out *os.File) error {
	var magic [4]byte
	n, err := io.ReadFull(in, magic[:])
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return err
	}
	in = io.MultiReader(bytes.NewReader(magic[:n]), in)
	switch {
	case magic[0] == 0x1f && magic[1] == 0x8b:
		z, err := gzip.NewReader(in)
		if err != nil {
			return fmt.Errorf("gzip: %w", err)
		}
		return f.copy(out, z, "gzip")
	case string(magic[:]) == "PK\x03\x04":
		return f.unzip(in, out)
	}
	return f.copy(out, in, "")
}

func (f *Fetcher) copy(out io.Writer, in io.Reader, what string) error {
	n, err := io.Copy(out, io.LimitReader(in, f.unpacked+1))
	switch {
	case err != nil && what != "":
		return fmt.Errorf("%s: %w", what, err)
	case err != nil:
		return err
	case n > f.unpacked:
		return fmt.Errorf("it has more than %d octets when it is unpacked", f.unpacked)
	}
	return nil
}

// unzip unpacks the only file of an archive, by way of a temporary file: a reader of zip seeks.
func (f *Fetcher) unzip(in io.Reader, out *os.File) error {
	archive, err := os.CreateTemp("", "shoji-feed-*.zip")
	if err != nil {
		return err
	}
	defer os.Remove(archive.Name())
	defer archive.Close()
	if err := f.copy(archive, in, ""); err != nil {
		return err
	}
	info, err := archive.Stat()
	if err != nil {
		return err
	}
	z, err := zip.NewReader(archive, info.Size())
	if err != nil {
		return fmt.Errorf("zip: %w", err)
	}
	if len(z.File) != 1 {
		return fmt.Errorf("zip: the archive holds %d files, and should hold the list alone", len(z.File))
	}
	list, err := z.File[0].Open()
	if err != nil {
		return fmt.Errorf("zip: %w", err)
	}
	defer list.Close()
	return f.copy(out, list, "zip")
}
