package tidy

import (
	"fmt"
	"go/ast"
	"slices"
	"testing"
)

// What fits: a function on a screen, a file in a head. Tests may hold longer
// tables and stories.
const (
	maxFunction     = 70
	maxFile         = 500
	maxTestFunction = 110
	maxTestFile     = 900
)

// tooLong lists what is longer than it should be, as "path: function" or a path,
// with its lines. A number here may only fall, and an entry that is no longer
// needed must go; nothing is added.
var tooLong = map[string]int{}

// size is one thing that has a length.
type size struct {
	what         string
	lines, limit int
}

func sizes(t *tree) (all []size) {
	for _, s := range t.files {
		file, function := maxFile, maxFunction
		if s.test {
			file, function = maxTestFile, maxTestFunction
		}
		all = append(all, size{s.path, s.lines, file})
		for _, d := range s.ast.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := t.fset.Position(f.End()).Line - t.fset.Position(f.Pos()).Line + 1
			all = append(all, size{s.path + ": " + functionName(f), lines, function})
		}
	}
	return all
}

// functionName is a function's name, a method's with its receiver's type.
func functionName(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	e := f.Recv.List[0].Type
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	switch x := e.(type) {
	case *ast.IndexExpr:
		e = x.X
	case *ast.IndexListExpr:
		e = x.X
	}
	if id, ok := e.(*ast.Ident); ok {
		return id.Name + "." + f.Name.Name
	}
	return f.Name.Name
}

// ratchet compares what is long with the exceptions.
func ratchet(exceptions map[string]int) rule {
	return func(t *tree) (faults []string) {
		left := make(map[string]bool)
		for what := range exceptions {
			left[what] = true
		}
		for _, s := range sizes(t) {
			allowed, known := exceptions[s.what]
			delete(left, s.what)
			switch {
			case known && s.lines <= s.limit:
				faults = append(faults, fmt.Sprintf("%s: fits now: take it off the list in internal/tidy", s.what))
			case known && s.lines < allowed:
				faults = append(faults, fmt.Sprintf("%s: shrank to %d lines: lower it from %d in internal/tidy", s.what, s.lines, allowed))
			case s.lines > max(allowed, s.limit):
				faults = append(faults, fmt.Sprintf("%s: %d lines of at most %d: say it in parts that have names", s.what, s.lines, max(allowed, s.limit)))
			}
		}
		for what := range left {
			faults = append(faults, what+": does not exist: take it off the list in internal/tidy")
		}
		slices.Sort(faults)
		return faults
	}
}

func TestRatchet(t *testing.T) { holds(t, ratchet(tooLong)) }

func TestRatchetFindsFaults(t *testing.T) {
	function := func(lines int) string {
		text := "func (s *S[T]) long() {\n"
		for range lines - 2 {
			text += "\tprintln()\n"
		}
		return text + "}\n"
	}
	long := func(lines int) map[string]string { return files("a/a.go", "package a\n\n"+function(lines)) }
	blank := "package a\n"
	for range maxFile {
		blank += "\n"
	}
	finds(t, ratchet(nil), long(maxFunction), map[string]map[string]string{
		"a long function": long(maxFunction + 1),
		"a long file":     files("a/a.go", blank),
	})
	known := ratchet(map[string]int{"a/a.go: S.long": maxFunction + 9})
	finds(t, known, long(maxFunction+9), map[string]map[string]string{
		"grew":   long(maxFunction + 10),
		"shrank": long(maxFunction + 8),
		"fits":   long(maxFunction),
		"gone":   files("a/a.go", "package a\n"),
	})
}
