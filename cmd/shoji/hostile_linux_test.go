package main

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/policy"
)

// serveFeeds serves each text under its name, as servers do.
func serveFeeds(t *testing.T, feeds map[string]func(io.Writer)) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if send := feeds[strings.TrimPrefix(r.URL.Path, "/")]; send != nil {
			send(w)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/"
}

func says(text string) func(io.Writer) {
	return func(w io.Writer) { io.WriteString(w, text) }
}

// over makes the office read over HTTP from here on.
func (d *office) over(base string) {
	fetcher := feed.NewFetcher(nil, "shoji-test")
	d.reader = fetcher.Fetch
	for i := range d.sources {
		d.sources[i].Location = base + d.sources[i].ID
	}
}

// label63 is the longest label.
var label63 = strings.Repeat("a", 63)

// TestHostileFeeds has two feeds agree on whatever would do harm, from the server to the list in
// force: each is refused by a clause or as malformed, counted and shown, and what else the feeds
// say is listed.
func TestHostileFeeds(t *testing.T) {
	longest := strings.Repeat("a.", 121) + "bad.example" // 253 characters, 255 octets
	text := strings.Join([]string{
		"evil.example", "com", "co.uk", "google.com", "github.io", "evil.github.io", "dns.isp.example", "*.isp.example", "0.0.0.0/0", "0.0.0.0", "127.0.0.1",
		"::/0", "10.0.0.0/8", "198.51.100.9", "a.root-servers.net", "localhost", ".", "*.", "*.com", longest, "a." + longest, label63 + "a.bad.example",
		"раypal.bad.example", "xn--ypal-43d9g.bad.example", "xn--\u0080.bad.example", "xn--a.bad.example", "bad\u202eelpmaxe.example", "evil.example\x00.com",
		"999.999.999.999", "evil.example.", "EVIL.example", "http://evil.example/../..", "%65vil.example", "'; DROP TABLE claim; --",
	}, "\n") + "\n"
	d := newOffice(t)
	d.source("a", feed.Plain, policy.C2, "")
	d.source("b", feed.Plain, policy.C2, "")
	d.source("ranks", feed.Plain, policy.Popular, "")
	d.over(serveFeeds(t, map[string]func(io.Writer){"a": says(text), "b": says(text), "ranks": says("google.com\n")}))
	rep := d.update()
	want := []string{"+ 198.51.100.9/32", "+ " + longest, "+ evil.example", "+ evil.github.io", "+ isp.example", "+ xn--a.bad.example", "+ xn--ypal-43d9g.bad.example"}
	var got []string
	for _, c := range rep.First {
		got = append(got, "+ "+c.Subject)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || rep.Listed != uint64(len(want)) {
		t.Errorf("listed %d: %q, not %q", rep.Listed, got, want)
	}
	// com with its subtree, co.uk, github.io and the root; the operator's, a root server, localhost and
	// five prefixes that are nobody's. Of *.isp.example, which holds the operator's, the name alone is left.
	for clause, n := range map[string]uint64{"public-suffix": 4, "own": 8, "popular": 1} {
		if rep.Clauses[clause] != n {
			t.Errorf("clause %s: %d, not %d of %v", clause, rep.Clauses[clause], n, rep.Clauses)
		}
	}
	if rep.Sources[0].Malformed < 8 {
		t.Errorf("malformed: %+v", rep.Sources[0])
	}
	d.audit("what hostile feeds say")
	known, err := curate.OpenState(t.Context(), d.dir, d.store, d.guard, d.sources)
	if err != nil {
		t.Fatal(err)
	}
	defer known.Close()
	s, err := curate.ParseAsked("раypal.bad.example")
	if err != nil {
		t.Fatal(err)
	}
	if x, err := known.Explain(t.Context(), s, d.now); err != nil || !x.Filtered || x.Asked != "xn--ypal-43d9g.bad.example" || x.Unicode != "раypal.bad.example" || !x.Mixed {
		t.Errorf("%+v, %v", x, err)
	}
}

// bombs are feeds that never end, by the name of the source.
func bombs(t *testing.T) map[string]func(io.Writer) {
	mega := bytes.Repeat([]byte("a"), 1<<20)
	var member, blocks bytes.Buffer
	z := gzip.NewWriter(&member)
	z.Write(mega)
	z.Close()
	f, err := flate.NewWriter(&blocks, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	f.Write(mega)
	f.Flush() // ends on an octet, and the stream goes on
	packed := bytes.Repeat(blocks.Bytes(), 1100)
	var archive bytes.Buffer
	a := zip.NewWriter(&archive)
	w, err := a.CreateRaw(&zip.FileHeader{Name: "list.txt", Method: zip.Deflate, CompressedSize64: uint64(len(packed)), UncompressedSize64: 1100 << 20})
	if err != nil {
		t.Fatal(err)
	}
	w.Write(packed)
	a.Close()
	return map[string]func(io.Writer){
		"line": func(w io.Writer) {
			for range 1 << 10 {
				if _, err := w.Write(mega); err != nil {
					return
				}
			}
		},
		"gzip": says(strings.Repeat(member.String(), 1100)),
		"zip":  says(archive.String()),
	}
}

// TestBombs has a server send 1 GiB in one line, and unpack to more than 1 GiB from gzip and zip:
// each source fails with an alert, in little memory, and what was listed stays. It writes 2 GiB
// to temporary files and is skipped unless SHOJI_BOMBS is set; test/bombs.sh runs it.
func TestBombs(t *testing.T) {
	if os.Getenv("SHOJI_BOMBS") == "" {
		t.Skip("SHOJI_BOMBS is not set: run test/bombs.sh")
	}
	feeds := bombs(t)
	feeds["good"], feeds["other"] = says("evil.example\n"), says("evil.example\n")
	d := newOffice(t)
	for _, id := range []string{"good", "other", "line", "gzip", "zip"} {
		d.source(id, feed.Plain, policy.C2, "")
	}
	small := map[string]func(io.Writer){"good": feeds["good"], "other": feeds["other"]}
	for _, id := range []string{"line", "gzip", "zip"} {
		small[id] = says(hosts(0, 50))
	}
	d.over(serveFeeds(t, small))
	if rep := d.update(); rep.Listed != 51 || len(rep.Alerts()) != 0 {
		t.Fatalf("before: %+v", rep)
	}
	d.over(serveFeeds(t, feeds))
	d.now = d.now.Add(2 * time.Hour)
	rep := d.update()
	if rep.Listed+rep.Delisted != 0 || len(rep.Alerts()) != 3 {
		t.Errorf("%+v", rep)
	}
	for i, why := range []string{"more than 268435456 octets", "more than 1073741824 octets when it is unpacked", "more than 1073741824 octets when it is unpacked"} {
		if s := rep.Sources[2+i]; !strings.Contains(s.Alert, why) {
			t.Errorf("%s: %q, not %q", s.ID, s.Alert, why)
		}
	}
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil || u.Maxrss > 256<<10 {
		t.Errorf("%d KiB of memory, %v", u.Maxrss, err)
	}
	d.audit("after bombs")
}
