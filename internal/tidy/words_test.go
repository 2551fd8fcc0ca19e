package tidy

import (
	"bytes"
	"fmt"
	"go/ast"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// forbidden are words that have no place in the repository, each with the
// reason. The expressions are written so that they do not match themselves.
var forbidden = []struct {
	words  *regexp.Regexp
	reason string
}{
	{regexp.MustCompile(`(?:^|[^\w.\-/])/(?:work|roo[t]|home/\w|Users/\w|tmp/\w)[/\w]`), "a path of one machine"},
	{regexp.MustCompile(`(?i)\bissue[ ]*#?[ ]*[0-9]+\b`), "the text must say it all by itself"},
	{regexp.MustCompile(`(?i)\b(?:this|previous|next|last|a) sessio[n] (?:of|in|has|did|was|will)\b`), "the repository speaks of the project, not of how it was made"},
	{regexp.MustCompile(`\b(?:TOD[O]|FIXM[E]|XX[X])\b|(?i)\bfor no[w][,;.:)]`), "finish it, or leave it out"},
	{regexp.MustCompile(`//\s*nolin[t]|lint:ignor[e]`), "mend what the tool found"},
	{regexp.MustCompile(`^(?:<{7} |={7}$|>{7} )`), "two sides of a merge: put them together"},
}

// plainText are the kinds of files that are read for words.
var plainText = []string{".go", ".md", ".sh", ".txt", ".yaml", ".yml", ".json", ".html", ".css", ".js", ".c", ".py", ""}

func words(t *tree) (faults []string) {
	for _, p := range slices.Sorted(maps.Keys(t.other)) {
		if !slices.Contains(plainText, path.Ext(p)) || path.Base(p) == "LICENSE" || bytes.IndexByte(t.other[p], 0) >= 0 {
			continue
		}
		for i, line := range strings.Split(string(t.other[p]), "\n") {
			for _, f := range forbidden {
				if m := f.words.FindString(line); m != "" {
					faults = append(faults, fmt.Sprintf("%s:%d: %q: %s", p, i+1, m, f.reason))
				}
			}
		}
	}
	return faults
}

// vague are names that say how something is used and not what it holds.
var vague = regexp.MustCompile(`^(?:utils?|common|helpers?|types|misc|shared|base|lib)$`)

func names(t *tree) (faults []string) {
	for _, s := range t.files {
		stem := strings.TrimSuffix(strings.TrimSuffix(path.Base(s.path), ".go"), "_test")
		if vague.MatchString(stem) && !(stem == "types" && s.pkg == "internal/dns") { // the types of RFC 1035
			faults = append(faults, s.path+": name it by what it holds")
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(t.packages())) {
		if vague.MatchString(path.Base(pkg)) {
			faults = append(faults, pkg+": name it by what it holds")
		}
	}
	return faults
}

// comments checks that every package says what it is, once.
func comments(t *tree) (faults []string) {
	all := t.packages()
	for _, pkg := range slices.Sorted(maps.Keys(all)) {
		var where []string
		for _, s := range all[pkg] {
			if s.ast.Doc != nil && says(s.ast) {
				where = append(where, s.path)
			}
		}
		switch {
		case len(where) == 0 && slices.ContainsFunc(all[pkg], func(s *source) bool { return !s.test }):
			faults = append(faults, pkg+": no package comment: say its purpose, format, limits and known faults")
		case len(where) > 1:
			faults = append(faults, fmt.Sprintf("%s: more than one package comment: %v", pkg, where))
		}
	}
	return faults
}

// says reports whether a file's comment is one for its package, as godoc expects it.
func says(f *ast.File) bool {
	text := f.Doc.Text()
	return strings.HasPrefix(text, "Package "+f.Name.Name+" ") || f.Name.Name == "main" && strings.TrimSpace(text) != ""
}

// sleeps finds tests that wait for time to pass, outside of a bubble of virtual time.
func sleeps(t *tree) (faults []string) {
	for _, s := range t.files {
		if !s.test || slices.Contains(slices.Collect(maps.Values(s.imports)), "testing/synctest") {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if pkg, name := s.selector(n); pkg == "time" && name == "Sleep" {
				faults = append(faults, t.at(n)+": a test waits for what it expects, not for time to pass")
			}
			return true
		})
	}
	return faults
}

// parsers are the packages that read what strangers write, beside those whose
// function names say so.
var parsers = []string{"internal/dns", "internal/feed", "internal/filter", "internal/listen", "internal/rpz", "ledger"}

// parses matches the names of functions that read octets or text into a value.
var parses = regexp.MustCompile(`^(?:Parse|Unpack|Unmarshal|Decode)(?:[A-Z]|$)`)

// fuzzed checks that every package that parses has a fuzz test.
func fuzzed(t *tree) (faults []string) {
	all := t.packages()
	for _, pkg := range slices.Sorted(maps.Keys(all)) {
		needs, has := slices.Contains(parsers, pkg), false
		for _, s := range all[pkg] {
			for _, d := range s.ast.Decls {
				f, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				needs = needs || !s.test && parses.MatchString(f.Name.Name)
				has = has || s.test && strings.HasPrefix(f.Name.Name, "Fuzz")
			}
		}
		if needs && !has && pkg != "internal/tidy" {
			faults = append(faults, pkg+": parses, but has no fuzz test")
		}
	}
	return faults
}

func TestWords(t *testing.T)    { holds(t, words) }
func TestNames(t *testing.T)    { holds(t, names) }
func TestComments(t *testing.T) { holds(t, comments) }
func TestSleeps(t *testing.T)   { holds(t, sleeps) }
func TestFuzzed(t *testing.T)   { holds(t, fuzzed) }

func TestWordsFindsFaults(t *testing.T) {
	finds(t, words, files("a.md", "Read docs/wor"+"k/plan or ~/wor"+"k, the root zone, zones/roo"+"t/a, an issue of trust, a TLS session, https://h/wor"+"k/x.\n"), map[string]map[string]string{
		"a path":              files("a.sh", "cd /wor"+"k/main\n"),
		"a home":              files("a.md", "in `/roo"+"t/.cache`\n"),
		"a number":            files("a.go", "package a // see Issu"+"e #12\n"),
		"something left over": files("a.yaml", "# TOD"+"O: later\n"),
		"a linter silenced":   files("a.go", "package a // nolin"+"t\n"),
		"half a merge":        files("a.md", "one\n"+strings.Repeat("=", 7)+"\nother\n"),
		"how it was made":     files("NEWS.md", "A sessio"+"n of work\n"),
	})
}

func TestNamesFindsFaults(t *testing.T) {
	finds(t, names, files("internal/dns/types.go", "package dns\n", "a/common_name.go", "package a\n"), map[string]map[string]string{
		"a file":    files("a/helpers_test.go", "package a\n"),
		"a package": files("internal/util/a.go", "package util\n"),
	})
}

func TestCommentsFindsFaults(t *testing.T) {
	finds(t, comments, files("a/a.go", "// Package a is a.\npackage a\n", "a/b.go", "package a\n", "cmd/b/main.go", "// B does it.\npackage main\n"), map[string]map[string]string{
		"none":         files("a/a.go", "package a\n"),
		"another":      files("a/a.go", "// A file.\npackage a\n"),
		"two":          files("a/a.go", "// Package a is a.\npackage a\n", "a/b.go", "// Package a is b.\npackage a\n"),
		"in none main": files("cmd/b/main.go", "package main\n"),
	})
}

func TestSleepsFindsFaults(t *testing.T) {
	sleep := "import \"time\"\n\nfunc f() { time.Sleep(1) }\n"
	finds(t, sleeps,
		files("a/a.go", "package a\n\n"+sleep, "a/a_test.go", "package a\n\nimport _ \"testing/synctest\"\n\n"+sleep),
		map[string]map[string]string{"a sleep": files("a/a_test.go", "package a\n\n"+sleep)})
}

func TestFuzzedFindsFaults(t *testing.T) {
	finds(t, fuzzed,
		files("a/a.go", "package a\n\nfunc ParseX() {}\n", "a/a_test.go", "package a\n\nfunc FuzzX() {}\n", "b/b.go", "package b\n\nfunc Parsed() {}\n"),
		map[string]map[string]string{
			"a function": files("a/a.go", "package a\n\nfunc ParseX() {}\n", "a/a_test.go", "package a\n\nfunc TestX() {}\n"),
			"a method":   files("a/a.go", "package a\n\ntype T struct{}\n\nfunc (T) Unpack() {}\n"),
			"by name":    files("ledger/a.go", "package ledger\n"),
		})
}
