package tidy

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "github.com/shoji-dns/shoji"

// source is one Go file.
type source struct {
	path    string // from the module's root, with slashes
	pkg     string // its folder, the same
	test    bool
	lines   int
	ast     *ast.File
	imports map[string]string // local name → import path
}

// tree is a module's files.
type tree struct {
	fset  *token.FileSet
	files []*source
	other map[string][]byte // files that are not Go, and Go files too: by path
}

// load reads every file of a module but hidden folders and test data.
func load(root fs.FS) (*tree, error) {
	t := &tree{fset: token.NewFileSet(), other: make(map[string][]byte)}
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			hidden := strings.HasPrefix(d.Name(), ".") && p != "." && d.Name() != ".ci"
			if hidden || d.Name() == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		b, err := fs.ReadFile(root, p)
		if err != nil {
			return err
		}
		t.other[p] = b
		if path.Ext(p) != ".go" {
			return nil
		}
		return t.add(p, b)
	})
	return t, err
}

func (t *tree) add(p string, b []byte) error {
	file, err := parser.ParseFile(t.fset, p, b, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	s := &source{path: p, pkg: path.Dir(p), test: strings.HasSuffix(p, "_test.go"), ast: file, imports: make(map[string]string)}
	s.lines = strings.Count(string(b), "\n")
	for _, i := range file.Imports {
		target, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return err
		}
		name := path.Base(target)
		if i.Name != nil {
			name = i.Name.Name
		}
		s.imports[name] = target
	}
	t.files = append(t.files, s)
	return nil
}

// at is where a node stands, as "path:line".
func (t *tree) at(n ast.Node) string {
	p := t.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// packages are the folders that hold Go files other than tests, or tests alone.
func (t *tree) packages() map[string][]*source {
	all := make(map[string][]*source)
	for _, s := range t.files {
		all[s.pkg] = append(all[s.pkg], s)
	}
	return all
}

// selector is the package path and the name that an expression such as net.Conn
// stands for; empty for others.
func (s *source) selector(n ast.Node) (pkg, name string) {
	sel, ok := n.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	id, ok := sel.X.(*ast.Ident)
	if !ok {
		return "", ""
	}
	return s.imports[id.Name], sel.Sel.Name
}

// rule finds faults in a tree, each as one line that begins with where.
type rule func(*tree) []string

// repository is this module's own tree.
func repository(t *testing.T) *tree {
	t.Helper()
	tr, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(tr.files) < 20 {
		t.Fatalf("found %d Go files: this is not the module", len(tr.files))
	}
	return tr
}

// holds reports the faults of the repository.
func holds(t *testing.T, r rule) {
	t.Helper()
	for _, fault := range r(repository(t)) {
		t.Error(fault)
	}
}

// finds checks that a rule finds exactly one fault in each bad sample and none
// in the good one. A sample is a set of files; the key says what it is about.
func finds(t *testing.T, r rule, good map[string]string, bad map[string]map[string]string) {
	t.Helper()
	if faults := r(sample(t, good)); len(faults) != 0 {
		t.Errorf("the good sample: %q", faults)
	}
	for _, what := range slices.Sorted(maps.Keys(bad)) {
		if faults := r(sample(t, bad[what])); len(faults) != 1 {
			t.Errorf("%s: found %q", what, faults)
		}
	}
}

func sample(t *testing.T, files map[string]string) *tree {
	t.Helper()
	root := make(fstest.MapFS)
	for name, text := range files {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	tr, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// files makes a sample of alternating paths and texts.
func files(pairs ...string) map[string]string {
	m := make(map[string]string)
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}
