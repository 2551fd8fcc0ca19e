package publish

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/shoji-dns/shoji/ledger"
)

// The map of a list is served by its root, with what caches and browsers need; another file
// under its name, a damaged one and other paths are not.
func TestMaps(t *testing.T) {
	lists := t.TempDir()
	var b ledger.MapBuilder
	for i := range 3000 {
		b.Add(ledger.Listing{Name: "host." + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676)) + ".example", Scope: ledger.ScopeExact, Entry: uint64(i)})
	}
	path := filepath.Join(lists, "new")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	root, err := b.Build(f, 3000, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	name := filepath.Join(lists, root.String()+MapFileSuffix)
	if err := os.Rename(path, name); err != nil {
		t.Fatal(err)
	}
	h := Handler(folder(t), lists, vkey)
	r := get(h, "GET", "/"+ledger.MapHeadPath(root))
	head, err := ledger.ParseMapHead([]byte(body(t, r)))
	if err != nil || head.Root() != root || r.Header.Get("Cache-Control") != cacheTile || r.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Fatalf("%v, %v", err, r.Header)
	}
	for page := range head.Pages() {
		r := get(h, "GET", "/"+ledger.MapPagePath(root, page))
		if _, err := head.OpenPage(page, []byte(body(t, r))); err != nil || r.Header.Get("Cache-Control") != cacheTile {
			t.Errorf("page %d: %v, %v", page, err, r.Header)
		}
	}
	other := ledger.Digest{1}
	if err := os.Link(name, filepath.Join(lists, other.String()+MapFileSuffix)); err != nil {
		t.Fatal(err)
	}
	for path, status := range map[string]int{
		ledger.MapPagePath(root, head.Pages()):  http.StatusNotFound,
		ledger.MapHeadPath(ledger.Digest{2}):    http.StatusNotFound,
		ledger.MapHeadPath(other):               http.StatusInternalServerError,
		"map/" + root.String():                  http.StatusNotFound,
		"map/" + root.String() + MapFileSuffix:  http.StatusNotFound,
		"map/../" + root.String() + "/head":     http.StatusNotFound,
		MapCurrentPath:                          http.StatusInternalServerError, // the log of this folder is not signed
		"list/" + root.String() + MapFileSuffix: http.StatusNotFound,
	} {
		if r := get(h, "GET", "/"+path); r.StatusCode != status || r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: status %d", path, r.StatusCode)
		}
	}
	if r := get(Handler(folder(t), "", vkey), "GET", "/"+ledger.MapHeadPath(root)); r.StatusCode != http.StatusNotFound {
		t.Errorf("without a folder of lists: status %d", r.StatusCode)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-9] ^= 1 // the key of the last record
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	r = get(h, "GET", "/"+ledger.MapPagePath(root, head.Pages()-1))
	if text, _ := io.ReadAll(r.Body); r.StatusCode != http.StatusInternalServerError {
		t.Errorf("a damaged page is served: %d, %d octets", r.StatusCode, len(text))
	}
}
