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
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// testUnpacked stands for MaxUnpacked.
const testUnpacked = 1 << 20

// fetched fetches from a server with the given handler.
func fetched(t *testing.T, have Validators, h http.HandlerFunc) (string, Validators, bool, error) {
	t.Helper()
	srv := httptest.NewTLSServer(h)
	defer srv.Close()
	return fetchFrom(t, srv, srv.URL, have)
}

func fetchFrom(t *testing.T, srv *httptest.Server, location string, have Validators) (string, Validators, bool, error) {
	t.Helper()
	f := NewFetcher(nil, "test/1")
	f.unpacked = testUnpacked
	f.client.Transport = named{srv.Client().Transport, "test/1"}
	out, err := os.Create(filepath.Join(t.TempDir(), "spool"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	now, unchanged, err := f.Fetch(t.Context(), location, have, out)
	b, readErr := os.ReadFile(out.Name())
	if readErr != nil {
		t.Fatal(readErr)
	}
	return string(b), now, unchanged, err
}

// TestASecondFetchIsConditional: a server that has nothing newer sends nothing.
func TestASecondFetchIsConditional(t *testing.T) {
	serve := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("User-Agent") != "test/1" {
			t.Errorf("User-Agent %q", r.Header.Get("User-Agent"))
		}
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Last-Modified", "Sun, 01 Mar 2026 12:00:00 GMT")
		if r.Header.Get("If-None-Match") == `"v1"` && r.Header.Get("If-Modified-Since") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, "a.example\n")
	}
	body, v, unchanged, err := fetched(t, Validators{}, serve)
	if err != nil || unchanged || body != "a.example\n" || v.ETag != `"v1"` {
		t.Fatalf("%q %+v %v %v", body, v, unchanged, err)
	}
	body, again, unchanged, err := fetched(t, v, serve)
	if err != nil || !unchanged || body != "" || again != v {
		t.Errorf("%q %+v %v %v", body, again, unchanged, err)
	}
}

func zipped(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i, text := range files {
		w, err := z.Create(fmt.Sprint("list", i))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, text)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t *testing.T, text io.Reader) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.Copy(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCompressedListsAreUnpacked(t *testing.T) {
	for what, sent := range map[string][]byte{
		"gzip": gzipped(t, strings.NewReader("a.example\n")),
		"zip":  zipped(t, "a.example\n"),
		"text": []byte("a.example\n"),
	} {
		body, _, _, err := fetched(t, Validators{}, func(w http.ResponseWriter, _ *http.Request) { w.Write(sent) })
		if err != nil || body != "a.example\n" {
			t.Errorf("%s: %q, error %v", what, body, err)
		}
	}
}

// zeros is an endless reader of zeros.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestBadServers(t *testing.T) {
	bomb := gzipped(t, io.LimitReader(zeros{}, testUnpacked+2))
	for _, tc := range []struct {
		what, want string
		serve      http.HandlerFunc
	}{
		{"refusal", "503", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }},
		{"an unasked 304", "304", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }},
		{"a bomb", "when it is unpacked", func(w http.ResponseWriter, _ *http.Request) { w.Write(bomb) }},
		{"half of an archive", "gzip", func(w http.ResponseWriter, _ *http.Request) { w.Write(bomb[:500]) }},
		{"two files", "holds 2 files", func(w http.ResponseWriter, _ *http.Request) { w.Write(zipped(t, "a", "b")) }},
		{"a long one", "more than", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(MaxDownload+1))
		}},
		{"half of it", "unexpected EOF", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "a.example\n")
		}},
		{"a loop", "redirects", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }},
		{"plain text", "from TLS to", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		}},
	} {
		_, _, _, err := fetched(t, Validators{}, tc.serve)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", tc.what, err, tc.want)
		}
	}
}

// pipes accepts connections that are dialed in the process.
type pipes chan net.Conn

func (p pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }
func (p pipes) Close() error   { close(p); return nil }

// trickle sends n octets every so often, in all as many as the header says.
func trickle(n, total int, every time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(total))
		for ; total > 0; total -= n {
			io.WriteString(w, strings.Repeat("#", min(n, total)))
			w.(http.Flusher).Flush()
			select {
			case <-time.After(every):
			case <-r.Context().Done():
				return
			}
		}
	}
}

// TestSlowServers: one that dawdles fails at the limit it passed, by the bubble's clock, and one
// that is slow and steady, or short, does not.
func TestSlowServers(t *testing.T) {
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for what, tc := range map[string]struct {
		want  string // "": it is taken
		after time.Duration
		serve http.HandlerFunc
	}{
		"an octet a second": {"it is too slow: 30 octets came in 30s, less than 65536", StallTime, trickle(1, 100_000, 1001*time.Millisecond)},
		"a stall":           {"it is too slow: 0 octets came", 2 * StallTime, trickle(2*LeastOctets, 4*LeastOctets, time.Hour)},
		"no header":         {"the list did not begin in 30s", StartTime, silent},
		"redirects": {"the list did not begin in 30s", StartTime, func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(11 * time.Second):
			case <-r.Context().Done():
			}
			http.Redirect(w, r, "/", http.StatusFound)
		}},
		"just fast enough":   {"it did not end in 10m0s", FetchTime, trickle(LeastOctets, 100*LeastOctets, StallTime-time.Second)},
		"slow and steady":    {"", 9 * 20 * time.Second, trickle(LeastOctets, 10*LeastOctets, 20*time.Second)},
		"a short list, late": {"", 20 * time.Second, trickle(10, 20, 20*time.Second)},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				listener := make(pipes)
				srv := &http.Server{Handler: tc.serve}
				go srv.Serve(listener)
				defer srv.Close()
				out, err := os.Create(filepath.Join(t.TempDir(), "spool"))
				if err != nil {
					t.Fatal(err)
				}
				defer out.Close()
				f := NewFetcher(listener.dial, "test/1")
				defer f.client.CloseIdleConnections()
				began := time.Now()
				_, _, err = f.Fetch(t.Context(), "http://127.0.0.1/", Validators{}, out)
				if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
					t.Errorf("error %v, want %q", err, tc.want)
				}
				if took := time.Since(began); took != tc.after {
					t.Errorf("after %s, not %s", took, tc.after)
				}
			})
		})
	}
}

func TestAServerThatWantsToBeLeftAlone(t *testing.T) {
	_, _, _, err := fetched(t, Validators{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	var status *StatusError
	if !errors.As(err, &status) || status.After != 2*time.Minute {
		t.Errorf("error %v", err)
	}
}

func TestAnUntrustedCertificateIsRefused(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	srv.Config.ErrorLog = nil
	defer srv.Close()
	out, err := os.Create(filepath.Join(t.TempDir(), "spool"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, _, err := NewFetcher(nil, "test/1").Fetch(t.Context(), srv.URL, Validators{}, out); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error %v", err)
	}
}

func TestLocations(t *testing.T) {
	for location, want := range map[string]string{
		"https://feeds.example/list.txt": "", "lists/local.txt": "", "http://127.0.0.1:8080/list": "", "http://[::1]/list": "",
		"http://feeds.example/list.txt": "over https", "ftp://feeds.example/": "over https", "https:///x": "no host", "": "empty",
		"http://user:secret@feeds.example/": "user:xxxxx@",
	} {
		err := CheckLocation(location)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: error %v, want %q", location, err, want)
		}
	}
}

func TestAFileIsALocation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list.gz")
	if err := os.WriteFile(path, gzipped(t, strings.NewReader("a.example\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	body, _, _, err := fetchFrom(t, srv, path, Validators{})
	if err != nil || body != "a.example\n" {
		t.Errorf("%q, error %v", body, err)
	}
	if _, _, _, err := fetchFrom(t, srv, path+".absent", Validators{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}
