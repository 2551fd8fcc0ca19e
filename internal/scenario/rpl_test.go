package scenario

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/shoji-dns/shoji/internal/forger"
)

var (
	rplDir   = flag.String("rpl", "", "play this .rpl file, or every one below this folder, and report")
	rplTable = flag.String("table", "", "with -rpl: only what this table of tab-separated columns file, suite, class and agree lists")
	rplClass = flag.String("class", "", "with -table: only these classes, separated by commas")
	minAgree = flag.Int("min-agree", 0, "with -table: only where the column agree has at least this")
	rplGrep  = flag.String("grep", "", "with -rpl: only files whose name contains this")
	rplMay   = flag.String("may-fail", "", "with -rpl: a file whose lines begin with names of stories that may fail")
	rplTrace = flag.Bool("trace", false, "tell every query and its answer")
)

// suite is the dialect of a file outside of this repository: Deckard's stories lie in a folder of
// that name.
func suite(path string) Dialect {
	if strings.Contains(filepath.ToSlash(path), "/deckard/") {
		return Deckard
	}
	return Unbound
}

// playFile plays a file in a bubble of its own.
func playFile(t *testing.T, path string, d Dialect, trace io.Writer) (r Report) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(string(text), d)
	if err != nil {
		return Report{Status: Error, Why: err.Error()}
	}
	lists := make(map[string]listing)
	if subjects := s.every("list"); len(subjects) > 0 {
		lists[strings.Join(subjects, " ")] = listing{forger.ListOf(t.TempDir(), subjects...)}
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := &Player{Dir: dir, Settle: synctest.Wait, Trace: trace, List: listings(lists).find}
		r = p.Play(s)
	})
	return r
}

// TestRPL plays the files that -rpl names.
func TestRPL(t *testing.T) {
	if *rplDir == "" {
		t.Skip("no -rpl")
	}
	rows := readList(t)
	allowed := readAllowed(t)
	counts := make(map[string]map[Status]int)
	var report strings.Builder
	for _, path := range files(t, *rplDir) {
		d := suite(path)
		class, listed := "all", true
		if rows != nil {
			class, listed = rows[string(d)+"/"+filepath.Base(path)], rows[string(d)+"/"+filepath.Base(path)] != ""
		}
		if !listed || !strings.Contains(filepath.Base(path), *rplGrep) {
			continue
		}
		t.Run(string(d)+"/"+filepath.Base(path), func(t *testing.T) {
			var trace bytes.Buffer
			var told io.Writer
			if *rplTrace {
				told = &trace
			}
			r := playFile(t, path, d, told)
			if counts[class] == nil {
				counts[class] = make(map[Status]int)
			}
			counts[class][r.Status]++
			fmt.Fprintf(&report, "%-5s %-8s %-12s %-52s %3d queries  %s\n", r.Status, d, class, filepath.Base(path), r.Queries, r.Why)
			os.Stderr.Write(trace.Bytes())
			if (r.Status == Fail || r.Status == Error) && !allowed[filepath.Base(path)] {
				t.Errorf("%s: %s", r.Status, r.Why)
			}
		})
	}
	fmt.Print(report.String())
	summary(counts)
}

func summary(counts map[string]map[Status]int) {
	total := make(map[Status]int)
	line := func(class string, c map[Status]int) {
		played := c[Pass] + c[Core] + c[Fail] + c[Error]
		fmt.Printf("%-14s %4d of %4d right (%d PASS, %d CORE, %d FAIL, %d ERROR), %d SKIP\n",
			class, c[Pass]+c[Core], played, c[Pass], c[Core], c[Fail], c[Error], c[Skip])
	}
	var classes []string
	for class := range counts {
		classes = append(classes, class)
	}
	slices.Sort(classes)
	for _, class := range classes {
		line(class, counts[class])
		for s, n := range counts[class] {
			total[s] += n
		}
	}
	line("together", total)
}

func files(t *testing.T, dir string) (paths []string) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && filepath.Ext(path) == ".rpl" {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil || len(paths) == 0 {
		t.Fatalf("no .rpl files below %s (%v)", dir, err)
	}
	return paths
}

// readList reads the table of -table: class by suite and file; nil without one.
func readList(t *testing.T) map[string]string {
	if *rplTable == "" {
		return nil
	}
	rows := make(map[string]string)
	var head []string
	for _, line := range readLines(t, *rplTable) {
		w := strings.Split(line, "\t")
		if head == nil {
			head = w
			continue
		}
		get := func(column string) string {
			if i := slices.Index(head, column); i >= 0 && i < len(w) {
				return w[i]
			}
			return ""
		}
		agree, _ := strconv.Atoi(get("agree"))
		if agree >= *minAgree && (*rplClass == "" || slices.Contains(strings.Split(*rplClass, ","), get("class"))) {
			rows[get("suite")+"/"+get("file")] = get("class")
		}
	}
	return rows
}

func readAllowed(t *testing.T) map[string]bool {
	allowed := make(map[string]bool)
	if *rplMay == "" {
		return allowed
	}
	for _, line := range readLines(t, *rplMay) {
		for _, w := range strings.Fields(strings.ReplaceAll(line, "`", " ")) {
			if strings.HasSuffix(w, ".rpl") {
				allowed[w] = true
			}
		}
	}
	return allowed
}

func readLines(t *testing.T, path string) (out []string) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		out = append(out, s.Text())
	}
	return out
}
