package publish

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A compiled list is there by its digest, whole or from where a reader was cut off, and
// nothing else of its folder.
func TestLists(t *testing.T) {
	dir, lists := folder(t), t.TempDir()
	digest := strings.Repeat("0a", 32)
	for _, name := range []string{digest, "current", "compiling", strings.Repeat("0A", 32)} {
		if err := os.WriteFile(filepath.Join(lists, name), []byte("the list"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := Handler(dir, lists, vkey)
	r := get(h, "GET", "/list/"+digest)
	if got := body(t, r); got != "the list" || r.Header.Get("Cache-Control") != cacheTile {
		t.Errorf("%q, %v", got, r.Header)
	}
	r = get(h, "GET", "/list/"+digest, "Range", "bytes=4-")
	if got := body(t, r); r.StatusCode != http.StatusPartialContent || got != "list" {
		t.Errorf("a part: status %d: %q", r.StatusCode, got)
	}
	for _, path := range []string{"/list/current", "/list/compiling", "/list/", "/list", "/list/" + strings.Repeat("0A", 32), "/list/" + digest + "/", "/list/../list/" + digest, "/list/" + strings.Repeat("0b", 32)} {
		if r := get(h, "GET", path); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d", path, r.StatusCode)
		}
	}
	if r := get(Handler(dir, "", vkey), "GET", "/list/"+digest); r.StatusCode != http.StatusNotFound {
		t.Errorf("lists that are not published: status %d", r.StatusCode)
	}
}
