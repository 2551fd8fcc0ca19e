package tidy

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// state finds what makes a package more than the sum of its functions: init,
// variables that change, values in contexts, and the means to break into a type.
func state(t *tree) (faults []string) {
	for pkg, sources := range t.packages() {
		changed := make(map[string]string) // package-level name → where it is changed
		for _, s := range sources {
			t.changes(s, changed)
		}
		for _, s := range sources {
			if s.test {
				continue
			}
			for _, d := range s.ast.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					if d.Recv == nil && d.Name.Name == "init" {
						faults = append(faults, t.at(d)+": init: what starts is started by main, in an order that can be read")
					}
				case *ast.GenDecl:
					faults = append(faults, t.variables(s, d, changed)...)
				}
			}
			faults = append(faults, t.means(s, pkg)...)
		}
	}
	slices.Sort(faults)
	return faults
}

// variables finds the package-level variables of d that can change.
func (t *tree) variables(s *source, d *ast.GenDecl, changed map[string]string) (faults []string) {
	if d.Tok != token.VAR {
		return nil
	}
	embedded := d.Doc != nil && slices.ContainsFunc(d.Doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
	for _, spec := range d.Specs {
		v := spec.(*ast.ValueSpec)
		for i, name := range v.Names {
			why := ""
			switch where := changed[name.Name]; {
			case name.Name == "_":
			case where != "":
				why = "is changed at " + where
			case len(v.Values) == 0 && !embedded:
				why = "has no value, so something must change it"
			case len(v.Values) == len(v.Names):
				why = mutable(s, v.Values[i])
			}
			if why != "" {
				faults = append(faults, fmt.Sprintf("%s: package-level variable %s %s: make it a field of what uses it", t.at(name), name.Name, why))
			}
		}
	}
	return faults
}

// mutable says why a variable with this value can change although nothing
// assigns it; empty where it cannot. A sync.Pool passes: nobody can observe what
// it holds.
func mutable(s *source, value ast.Expr) string {
	switch v := value.(type) {
	case *ast.UnaryExpr:
		return mutable(s, v.X)
	case *ast.CompositeLit:
		pkg, name := s.selector(v.Type)
		if (pkg == "sync" && name != "Pool") || pkg == "sync/atomic" {
			return "is a " + pkg + "." + name
		}
	case *ast.CallExpr:
		if id, ok := v.Fun.(*ast.Ident); ok && (id.Name == "make" || id.Name == "new") {
			return "is made to be filled"
		}
		if pkg, name := s.selector(v.Fun); strings.HasPrefix(pkg, "github.com/prometheus/") || pkg == "flag" || pkg == "expvar" {
			return "registers itself with " + pkg + "." + name
		}
	case *ast.FuncLit:
		return "is a function that something could replace"
	case *ast.SelectorExpr:
		if pkg, name := s.selector(v); slices.Contains([]string{"time", "math/rand", "math/rand/v2", "crypto/rand", "os", "net"}, pkg) {
			return "is " + pkg + "." + name + " so that something can replace it"
		}
	}
	return ""
}

// changes notes every name that is changed in s and that no enclosing function declares.
func (t *tree) changes(s *source, changed map[string]string) {
	for _, d := range s.ast.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		local := locals(f)
		note := func(e ast.Expr) {
			if id := root(e); id != nil && !local[id.Name] {
				changed[id.Name] = t.at(e)
			}
		}
		ast.Inspect(f.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, e := range n.Lhs {
						note(e)
					}
				}
			case *ast.IncDecStmt:
				note(n.X)
			case *ast.UnaryExpr:
				if _, call := n.X.(*ast.CompositeLit); n.Op == token.AND && !call {
					note(n.X)
				}
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "delete" || id.Name == "clear" || id.Name == "copy") {
					note(n.Args[0])
				}
			}
			return true
		})
	}
}

// root is the variable that an expression such as x.f[i] is a part of.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.IndexExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// locals are the names that a function declares anywhere in it.
func locals(f *ast.FuncDecl) map[string]bool {
	names := make(map[string]bool)
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, id := range n.Names {
				names[id.Name] = true
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, e := range n.Lhs {
					if id, ok := e.(*ast.Ident); ok {
						names[id.Name] = true
					}
				}
			}
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{n.Key, n.Value} {
				if id, ok := e.(*ast.Ident); ok && n.Tok == token.DEFINE {
					names[id.Name] = true
				}
			}
		case *ast.ValueSpec:
			for _, id := range n.Names {
				names[id.Name] = true
			}
		}
		return true
	})
	return names
}

// unsafeUsers and reflectUsers are the packages that may look behind a type:
// unsafe where memory is shared with the kernel or kept outside of the heap,
// reflect where a file becomes a struct. Elsewhere they could forge what only
// its own package may make, such as a dnssec.Status.
var (
	unsafeUsers  = []string{"internal/cache", "internal/filter", "internal/listen", "internal/sinkhole"}
	reflectUsers = []string{"internal/config"}
)

// means finds values in contexts, and unsafe and reflect where they do not belong.
func (t *tree) means(s *source, pkg string) (faults []string) {
	for _, target := range s.imports {
		if target == "unsafe" && !slices.Contains(unsafeUsers, pkg) || target == "reflect" && !slices.Contains(reflectUsers, pkg) {
			faults = append(faults, fmt.Sprintf("%s: imports %s, which could forge what only another package may make", s.path, target))
		}
	}
	ast.Inspect(s.ast, func(n ast.Node) bool {
		if from, name := s.selector(n); from == "context" && name == "WithValue" {
			faults = append(faults, t.at(n)+": context.WithValue: a context cancels; a value is a parameter")
		}
		return true
	})
	return faults
}

func TestState(t *testing.T) { holds(t, state) }

func TestStateFindsFaults(t *testing.T) {
	in := func(text string) map[string]string { return files("a/a.go", "package a\n\n"+text) }
	good := `import (
	"errors"
	"regexp"
	"sync"
)

var ErrGone = errors.New("gone")

var (
	word  = regexp.MustCompile("a+")
	table = map[string]int{"a": 1}
	pool  = sync.Pool{New: func() any { return nil }}
)

//go:embed list.txt
var list string

func f(table []int) { table[0] = 1; pool := 3; pool++; var word int; word = 2; _ = word }
`
	finds(t, state, files("a/a.go", "package a\n\n"+good, "a/a_test.go", "package a\n\nvar hook int\n"), map[string]map[string]string{
		"init":                  in("func init() {}\n"),
		"no value":              in("var count int\n"),
		"assigned":              in("var table = []int{1}\n\nfunc f() { table = nil }\n"),
		"an element assigned":   in("var table = []int{1}\n\nfunc f() { table[0]++ }\n"),
		"a field, in a test":    files("a/a.go", "package a\n\nvar x = struct{ y int }{1}\n", "a/a_test.go", "package a\n\nfunc f() { x.y = 2 }\n"),
		"deleted from":          in("var table = map[int]int{1: 1}\n\nfunc f() { delete(table, 1) }\n"),
		"pointed to":            in("var x = 1\n\nfunc f() *int { return &x }\n"),
		"a lock":                in("import \"sync\"\n\nvar mu = sync.Mutex{}\n"),
		"made to be filled":     in("var seen = make(map[string]bool)\n"),
		"a clock to replace":    in("import \"time\"\n\nvar now = time.Now\n"),
		"a function to replace": in("var dial = func() {}\n"),
		"a value in a context":  in("import \"context\"\n\nvar f = g(context.WithValue)\n"),
		"unsafe":                in("import _ \"unsafe\"\n"),
		"reflect":               in("import _ \"reflect\"\n"),
	})
}
