package publish

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/ledger"
)

const vkey = "log.test+00000000+AQ=="

// folder is a log of 300 entries as far as a server of files can tell, with a secret beside it.
func folder(t *testing.T) string {
	t.Helper()
	state := t.TempDir()
	dir := filepath.Join(state, "log")
	for path, text := range map[string]string{
		"checkpoint": "log.test\n300\nAAAA\n\n— log.test sig\n", ledger.TilePath(0, 0, 0): "hashes", ledger.BundlePath(0, 0): "entries",
		ledger.BundlePath(1, 44): "the last", ledger.BundlePath(1, 45): "not signed yet", ".state/treeState": "secret", "tile/entries/other": "secret", "../key": "secret",
	} {
		at := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func get(h http.Handler, method, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, "http://log.test/", nil)
	r.URL.Path = path
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What readers need is there, with what caches need beside it.
func TestFilesAndTheirHeaders(t *testing.T) {
	h := Handler(folder(t), "", vkey)
	for path, want := range map[string][3]string{
		"/checkpoint":             {"log.test\n300\nAAAA\n\n— log.test sig\n", "text/plain; charset=utf-8", "no-cache"},
		"/key.pub":                {vkey + "\n", "text/plain; charset=utf-8", "public, max-age=3600"},
		"/tile/0/000":             {"hashes", "application/octet-stream", "public, max-age=31536000, immutable"},
		"/tile/entries/000":       {"entries", "application/octet-stream", "public, max-age=31536000, immutable"},
		"/tile/entries/001.p/44":  {"the last", "application/octet-stream", "public, max-age=31536000, immutable"},
		"//tile/entries/001.p/44": {"no such file in the log\n", "text/plain; charset=utf-8", "no-store"},
	} {
		r := get(h, "GET", path)
		if got := [3]string{body(t, r), r.Header.Get("Content-Type"), r.Header.Get("Cache-Control")}; got != want {
			t.Errorf("%s: %q", path, got)
		}
		if r := get(h, "HEAD", path); body(t, r) != "" && r.StatusCode == http.StatusOK || r.Header.Get("Cache-Control") != want[2] {
			t.Errorf("HEAD %s: %v", path, r.Header)
		}
	}
	if about := body(t, get(h, "GET", "/")); !strings.Contains(about, "shoji verify http://log.test/ --key "+vkey) {
		t.Errorf("the page says %q", about)
	}
}

// A checkpoint that changed within a second is another one to a cache.
func TestCheckpointIsAskedForAnew(t *testing.T) {
	dir := folder(t)
	h := Handler(dir, "", vkey)
	tag := get(h, "GET", "/checkpoint").Header.Get("ETag")
	if r := get(h, "GET", "/checkpoint", "If-None-Match", tag); r.StatusCode != http.StatusNotModified {
		t.Errorf("an unchanged checkpoint: status %d", r.StatusCode)
	}
	if err := os.WriteFile(filepath.Join(dir, "checkpoint"), []byte("log.test\n301\nAAAA\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := get(h, "GET", "/checkpoint", "If-None-Match", tag); r.StatusCode != http.StatusOK || !strings.Contains(body(t, r), "301") {
		t.Errorf("a new checkpoint: status %d", r.StatusCode)
	}
}

// Nothing but the log is there: not the signing key beside it, not the driver's files, not
// what links lead to, not a tile that no checkpoint covers.
func TestNothingElse(t *testing.T) {
	dir := folder(t)
	if err := os.Symlink(filepath.Join(dir, "..", "key"), filepath.Join(dir, "tile", "0", "002")); err != nil {
		t.Skip(err)
	}
	if err := os.Symlink("entries", filepath.Join(dir, "tile", "1")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "checkpoint"), []byte("log.test\n300000\nAAAA\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := Handler(dir, "", vkey)
	for _, path := range []string{
		"/key", "/../key", "/tile/../../key", "/tile/0/../../../key", "/..%2fkey", "/%2e%2e/key", "/tile/0/002", "/tile/1/000", "/tile", "/tile/", "/tile/entries/", "/tile/entries/other", "/.state/treeState", "/checkpoint/", "/tile/0/000/", "/list/current", "/tile/0/\x00", "/tile/entries/001.p",
	} {
		r := get(h, "GET", path)
		if text := body(t, r); r.StatusCode != http.StatusNotFound || text != "no such file in the log\n" {
			t.Errorf("%s: status %d: %q", path, r.StatusCode, text)
		}
	}
	if r := get(Handler(folder(t), "", vkey), "GET", "/tile/entries/001.p/45"); r.StatusCode != http.StatusNotFound {
		t.Errorf("a bundle that is not signed yet: status %d", r.StatusCode)
	}
	if r := get(Handler(filepath.Join(dir, "absent"), "", vkey), "GET", "/checkpoint"); r.StatusCode != http.StatusNotFound {
		t.Errorf("no log yet: status %d", r.StatusCode)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE"} {
		if r := get(h, method, "/checkpoint"); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: status %d", method, r.StatusCode)
		}
	}
	if text := body(t, get(h, "GET", "/", "Host", "x")); !strings.Contains(text, "http://log.test/") {
		t.Errorf("the page: %q", text)
	}
}

// A request with endless headers is refused, and the server ends when it is told to.
func TestServe(t *testing.T) {
	s, err := Listen(Config{Dir: folder(t), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, vkey) }()
	r, err := http.Get(s.URL() + "checkpoint")
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", r, err)
	}
	r.Body.Close()
	c, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(s.URL(), "http://"), "/"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /checkpoint HTTP/1.1\r\nHost: x\r\nA: %s\r\n", strings.Repeat("a", 2*maxHeader))
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "431") {
		t.Errorf("long headers: %q, %v", line, err)
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
