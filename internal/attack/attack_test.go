// Package attack plays known attacks on resolvers against the resolver as it runs: package
// resolve with package cache for its memory and validation from the root's anchor down, over
// package simnet, in which the attacker has servers of his own making. Each test asserts what
// one request may cost at most (messages upstream, signatures, hash chains, entries kept, time)
// and that nothing false is in memory.
//
// docs/attacks.md is the table of attacks, each with its source, the bound, the constant that
// keeps it, and the tests, some of which are with the package that is attacked. A test here
// compares the table with the sources.
package attack

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// tested is what the sources have: tests by package, and the names of constants.
func tested(t *testing.T, root fs.FS) (tests map[string]bool, constants string) {
	t.Helper()
	tests = map[string]bool{}
	name := regexp.MustCompile(`(?m)^func (Test\w+|Fuzz\w+)\([tf] \*testing\.[TF]\)`)
	err := fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, ".go") {
			return err
		}
		b, err := fs.ReadFile(root, file)
		if err != nil {
			return err
		}
		pkg := path.Base(path.Dir(file))
		if strings.HasSuffix(file, "_test.go") {
			for _, m := range name.FindAllStringSubmatch(string(b), -1) {
				tests[pkg+"."+m[1]] = true
			}
		} else if pkg != "attack" {
			constants += string(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests, constants
}

// Each test that the table names is there, each test that is here is named, and the constants
// are the product's.
func TestTheTableOfAttacks(t *testing.T) {
	root := os.DirFS("../..")
	b, err := fs.ReadFile(root, "docs/attacks.md")
	if err != nil {
		t.Fatal(err)
	}
	tests, constants := tested(t, root)
	code := regexp.MustCompile("`([\\w.]+)`")
	var named []string
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(line, "|")
		if len(cells) != 7 || !strings.Contains(line, "`") {
			continue
		}
		for _, m := range code.FindAllStringSubmatch(cells[4], -1) {
			last := m[1][strings.LastIndexByte(m[1], '.')+1:]
			if !regexp.MustCompile(`(?m)^\t*(const )?` + last + `\b`).MatchString(constants) {
				t.Errorf("no constant %s", m[1])
			}
		}
		found := code.FindAllStringSubmatch(cells[5], -1)
		if len(found) == 0 {
			t.Errorf("no test: %s", line)
		}
		for _, m := range found {
			test := m[1]
			if !strings.Contains(test, ".") {
				test = "attack." + test
			}
			if named = append(named, test); !tests[test] {
				t.Errorf("no test %s", test)
			}
		}
	}
	for test := range tests {
		if strings.HasPrefix(test, "attack.") && test != fmt.Sprint("attack.", t.Name()) && !slices.Contains(named, test) {
			t.Errorf("%s is not in the table", test)
		}
	}
}
