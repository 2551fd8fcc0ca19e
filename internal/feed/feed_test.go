package feed

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

// show is a claim as golden files have it.
func show(c Claim) string {
	what := c.Name.String()
	if c.Prefix.IsValid() {
		what = c.Prefix.String()
	}
	s := fmt.Sprintf("%4d %-7s %s", c.Line, c.Scope, what)
	if c.Path {
		s += " path"
	}
	if c.Family != "" {
		s += fmt.Sprintf(" family=%q", c.Family)
	}
	if c.Reference != "" {
		s += fmt.Sprintf(" reference=%q", c.Reference)
	}
	if !c.First.IsZero() {
		s += " first=" + c.First.Format(time.RFC3339)
	}
	if !c.Last.IsZero() {
		s += " last=" + c.Last.Format(time.RFC3339)
	}
	return s
}

// read reads a list and renders everything that came of it.
func read(r io.Reader, o Options) (string, *Report, error) {
	var b strings.Builder
	rep, err := Read(r, o, func(c Claim) error {
		fmt.Fprintln(&b, show(c))
		return nil
	})
	fmt.Fprintf(&b, "format %s: %d lines, %d comments, %d claims in %d, %d malformed\n", rep.Format, rep.Lines, rep.Comments, rep.Claims, rep.Used, rep.Malformed)
	for _, m := range rep.First {
		fmt.Fprintf(&b, "malformed %d: %s: %q\n", m.Line, m.Reason, m.Text)
	}
	for _, why := range slices.Sorted(maps.Keys(rep.Skipped)) {
		fmt.Fprintf(&b, "skipped %d: %s\n", rep.Skipped[why], why)
	}
	if err != nil {
		fmt.Fprintln(&b, "error:", err)
	}
	return b.String(), rep, err
}

func TestGolden(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.*")
	tested := 0
	for _, name := range files {
		if strings.HasSuffix(name, ".golden") {
			continue
		}
		tested++
		t.Run(filepath.Base(name), func(t *testing.T) {
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			got, rep, _ := read(f, Options{File: filepath.Base(name)})
			if *update {
				if err := os.WriteFile(name+".golden", []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(name + ".golden")
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
			skipped := 0
			for _, n := range rep.Skipped {
				skipped += n
			}
			if rep.Comments+rep.Malformed+skipped+rep.Used < rep.Lines {
				t.Errorf("%d lines are accounted for of %d", rep.Comments+rep.Malformed+skipped+rep.Used, rep.Lines)
			}
		})
	}
	if tested < 9 {
		t.Errorf("only %d files", tested)
	}
}

func TestDefaultsAndOverrides(t *testing.T) {
	for _, c := range []struct {
		what, list string
		o          Options
		want       string
	}{
		{"plain is exact", "a.example\n", Options{}, "   1 exact   a.example."},
		{"plain as subtree", "a.example\n", Options{Scope: Subtree}, "   1 subtree a.example."},
		{"a wildcard stays a subtree", "*.a.example\n", Options{Scope: Exact}, "   1 subtree a.example."},
		{"adblock is subtree", "||a.example^\n", Options{}, "   1 subtree a.example."},
		{"adblock as exact", "||a.example^\n", Options{Scope: Exact}, "   1 exact   a.example."},
		{"hosts is exact", "0.0.0.0 a.example\n", Options{}, "   1 exact   a.example."},
		{"rpz scopes are its own", "a.example CNAME .\n", Options{Format: RPZ, Scope: Subtree}, "   1 exact   a.example."},
		{"format by option", "a.example\n", Options{File: "dir/x.y.txt", Format: Maltrail}, `   1 subtree a.example. family="x.y"`},
		{"family and reference by option", "a.example\n", Options{Family: "f", Reference: "r"}, `   1 exact   a.example. family="f" reference="r"`},
		{"a file without a last line end", "a.example", Options{}, "   1 exact   a.example."},
		{"old Mac byte order mark", "\xef\xbb\xbfa.example\r\n", Options{}, "   1 exact   a.example."},
	} {
		got, _, err := read(strings.NewReader(c.list), c.o)
		if first, _, _ := strings.Cut(got, "\n"); first != c.want || err != nil {
			t.Errorf("%s: %q, %v; want %q", c.what, first, err, c.want)
		}
	}
}

func TestRefusedWhole(t *testing.T) {
	for _, c := range []struct {
		what, list, why string
		empty           bool
	}{
		{"nothing", "", "it is empty", true},
		{"comments only", "# a\n\n# b\n", "it holds no entry", true},
		{"gzip", "\x1f\x8b\x08\x00abc", "gzip", false},
		{"zip", "PK\x03\x04abc", "zip", false},
		{"UTF-16", "\xff\xfea\x00.\x00", "UTF-16", false},
		{"binary", strings.Repeat("\x00\x01\x02\x03ELF\n", 100), "binary", false},
		{"a web page", "\n<!DOCTYPE html>\n<html><body>404</body></html>\n", "web page", false},
		{"prose", strings.Repeat("It was a dark and stormy night.\n", 20) + strings.Repeat("evil.example\n", 19), "20 of 39 entries are malformed", false},
		{"one line of prose", "It was a dark and stormy night.\n", "1 of 1 entries are malformed", false},
		{"JSON of something else", `{"error": "come back later"}`, "it holds no entry", true},
		{"JSON that was cut off", `[{"ip_address": "192.0.2.1"}, {"ip_addr`, "it was cut off", false},
		{"JSON with a fault", `[{"ip_address": "192.0.2.1"} {"x": 1}]`, "at octet", false},
		{"JSON and more", `[{"ip_address": "192.0.2.1"}] []`, "something follows", false},
		{"JSON that is deep", `{"a":` + strings.Repeat("[", 100_000), "more than 16 levels", false},
		{"JSON with a long string", `{"ip_address": "192.0.2.1", "note": "` + strings.Repeat("a", 2<<20) + `"}`, "a string of more than", false},
	} {
		_, _, err := read(strings.NewReader(c.list), Options{File: "some.list"})
		var refused *Refused
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(), "some.list") {
			t.Errorf("%s: %v; want %q", c.what, err, c.why)
			continue
		}
		if refused.Empty != c.empty {
			t.Errorf("%s: Empty = %v", c.what, refused.Empty)
		}
	}
	half := strings.Repeat("It was a dark and stormy night.\n", 20) + strings.Repeat("evil.example\n", 20)
	if _, rep, err := read(strings.NewReader(half), Options{}); err != nil || len(rep.First) != MaxMalformed || rep.Malformed != 20 {
		t.Errorf("half of it malformed: %v, %d kept of %d", err, len(rep.First), rep.Malformed)
	}
}

func TestErrorsPassThrough(t *testing.T) {
	stop := errors.New("stop")
	n := 0
	rep, err := Read(strings.NewReader("a.example\nb.example\nc.example\n"), Options{}, func(Claim) error {
		if n++; n == 2 {
			return stop
		}
		return nil
	})
	if err != stop || n != 2 || rep.Claims != 2 {
		t.Errorf("%v after %d claims, report %+v", err, n, rep)
	}
	broken := io.MultiReader(strings.NewReader(strings.Repeat("a.example\n", 10000)), &failing{stop})
	if _, err := Read(broken, Options{}, func(Claim) error { return nil }); err != stop {
		t.Errorf("reader's error: %v", err)
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// endless is a line of n octets and then a good one.
type endless struct {
	n    int
	tail string
}

func (e *endless) Read(b []byte) (int, error) {
	if e.n == 0 {
		n := copy(b, e.tail)
		e.tail = e.tail[n:]
		if n == 0 {
			return 0, io.EOF
		}
		return n, nil
	}
	n := min(len(b), e.n)
	for i := range n {
		b[i] = 'a'
	}
	e.n -= n
	return n, nil
}

func TestLongLineIsBounded(t *testing.T) {
	const size = 1 << 26
	var rep *Report
	var claims []Claim
	allocated := testing.AllocsPerRun(1, func() {
		claims = nil
		var err error
		rep, err = Read(&endless{size, "\nevil.example\nevil2.example\n"}, Options{}, func(c Claim) error {
			claims = append(claims, c)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	if len(claims) != 2 || rep.Malformed != 1 || claims[0].Line != 2 || len(rep.First[0].Text) > 2*MaxText {
		t.Errorf("claims %v, report %+v", claims, rep)
	}
	if allocated > 200 {
		t.Errorf("%v allocations", allocated)
	}
}

func TestExcerptIsHarmless(t *testing.T) {
	list := "evil.example\nok.example\nok2.example\n\x1b]0;owned\x07 \u202e\x00 \xff x\n" + strings.Repeat("é", 500) + "!\n"
	_, rep, err := read(strings.NewReader(list), Options{})
	if err != nil || rep.Malformed != 2 {
		t.Fatalf("%v, %+v", err, rep)
	}
	for _, m := range rep.First {
		if strings.IndexFunc(m.Text, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 || len(m.Text) > MaxText+20 {
			t.Errorf("line %d: %q", m.Line, m.Text)
		}
	}
	if got := rep.First[0].Text; got != `\x1b]0;owned\a \u202e\x00 \xff x` {
		t.Errorf("excerpt %q", got)
	}
}

func TestDetect(t *testing.T) {
	for list, want := range map[string]Format{
		"":                                            Plain,
		"a.example\nb.example\n":                      Plain,
		"192.0.2.1\n192.0.2.2\n":                      Plain,
		"192.0.2.1 # comment\n":                       Plain,
		"# x\n127.0.0.1 a.example\n":                  Hosts,
		"! x\n||a.example^\n":                         Adblock,
		"||a.example^\n||b.example^\n":                Adblock,
		"$TTL 60\na CNAME .\n":                        RPZ,
		"a.example CNAME .\nb IN A ::\n":              RPZ,
		"# Reference: https://x.example\na.example\n": Maltrail,
		"Domain,Malware,Date added,Source\na.example,b,2026-01-01,x\n":    CSV,
		"# id,dateadded,url,url_status\n\"1\",\"2\",\"http://a\",\"x\"\n": CSV,
	} {
		if got := Detect([]byte(list)); got != want {
			t.Errorf("Detect(%q) = %s, want %s", list, got, want)
		}
	}
}
