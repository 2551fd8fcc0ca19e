package sinkhole

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// script is a peer that says a text in pieces and writes down what is done with it.
type script struct {
	text  []byte
	piece int
	steps []string
	sent  []byte
}

func (s *script) step(format string, a ...any) { s.steps = append(s.steps, fmt.Sprintf(format, a...)) }

func (s *script) Read(b []byte) (int, error) {
	if len(s.text) == 0 {
		s.step("read %d: EOF", len(b))
		return 0, io.EOF
	}
	n := copy(b, s.text[:min(s.piece, len(s.text))])
	s.text = s.text[n:]
	s.step("read %d: %d", len(b), n)
	return n, nil
}

func (s *script) Write(b []byte) (int, error) {
	s.step("write %d", len(b))
	s.sent = append(s.sent, b...)
	return len(b), nil
}

func (s *script) CloseWrite() error             { s.step("close write"); return nil }
func (s *script) Close() error                  { s.step("close"); return nil }
func (s *script) SetDeadline(t time.Time) error { s.step("deadline %d", t.Unix()); return nil }

// FuzzAnswerIsBlind: whatever the octets, the steps and the reply are those for as many
// zeros, and what is kept is a prefix of what came.
func FuzzAnswerIsBlind(f *testing.F) {
	hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
	for _, text := range []string{
		"", "GET / HTTP/1.1\r\nHost: c2.example\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", hello,
		"\x00\x00\x00\x85\xffSMBr", "SSH-2.0-x\r\n", "\r\n\r\n", "\x00", strings.Repeat("POST / HTTP/1.1\r\n", 2000),
	} {
		f.Add([]byte(text), uint16(1000))
		f.Add([]byte(text), uint16(1))
	}
	page, err := Page("https://desk.example/lookup?name=")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte, piece uint16) {
		now := time.Unix(1, 0)
		for _, reply := range [][]byte{nil, page} {
			real := &script{text: text, piece: int(piece) + 1}
			zero := &script{text: make([]byte, len(text)), piece: int(piece) + 1}
			var got, blank octets
			answer(real, reply, &got, now, 0)
			answer(zero, reply, &blank, now, 0)
			if !slices.Equal(real.steps, zero.steps) {
				t.Fatalf("%q changed the steps:\n%q\n%q", text, real.steps, zero.steps)
			}
			if !bytes.Equal(real.sent, reply) {
				t.Fatalf("%q was answered %q", text, real.sent)
			}
			if got.total != blank.total || got.kept != blank.kept || got.reads != blank.reads {
				t.Fatalf("%q changed the counts", text)
			}
			if got.total > MaxRead || got.reads > maxReads+1 || !bytes.HasPrefix(text, got.prefix()) {
				t.Fatalf("%d octets in %d reads, kept %q of %q", got.total, got.reads, got.prefix(), text)
			}
		}
	})
}

// allowed are the only packages that the sources may import, and what for. None of them
// reads a protocol or a format of somebody else's.
var allowed = []string{
	"bufio", "cmp", "context", "embed", "encoding/base64", "encoding/binary", "encoding/hex", "errors", "fmt", "hash",
	"hash/crc32", "hash/maphash", "io", "io/fs", "iter", "log/slog", "maps", "math", "net", "net/netip", "os",
	"path/filepath", "runtime", "slices", "sync", "sync/atomic", "time", "unsafe",
	"crypto/hmac", "crypto/rand", "crypto/sha256",
	"bytes", // of the page and the operator's own settings: see onlyIn
	"github.com/elastic/go-seccomp-bpf", "github.com/landlock-lsm/go-landlock/landlock",
	"github.com/landlock-lsm/go-landlock/landlock/syscall", "golang.org/x/sys/unix", "kernel.org/pub/linux/libs/security/libcap/psx",
}

// onlyIn are those that no file on a stranger's way may use.
var onlyIn = map[string][]string{
	"bytes":           {"page.go"},
	"bufio":           {"report.go"},
	"encoding/base64": {"page.go"},
	"encoding/hex":    {"report.go"},
	"unsafe":          {"confine_linux.go"},
}

// sources are the package's files without tests.
func packageSources(t *testing.T) map[string]*ast.File {
	t.Helper()
	all := map[string]*ast.File{}
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	for _, p := range paths {
		if strings.HasSuffix(p, "_test.go") {
			continue
		}
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if all[p], err = parser.ParseFile(fset, p, text, 0); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestImportsNoParser(t *testing.T) {
	for path, f := range packageSources(t) {
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(allowed, name) {
				t.Errorf("%s imports %s: nothing that could interpret what strangers send", path, name)
			}
			if where, ok := onlyIn[name]; ok && !slices.Contains(where, path) {
				t.Errorf("%s imports %s: only %v may", path, name, where)
			}
		}
	}
}

// TestNoConditionOnOctets: in the files on a stranger's way, no condition, case, range
// or index mentions what was received. Lengths and counts may be mentioned.
func TestNoConditionOnOctets(t *testing.T) {
	sources := packageSources(t)
	for _, path := range []string{"answer.go", "octets.go", "sinkhole.go", "sources.go", "count.go", "journal.go"} {
		if sources[path] == nil {
			t.Fatalf("%s is gone: name the files on a stranger's way", path)
		}
		for _, fault := range steered(sources[path]) {
			t.Errorf("%s: %s", path, fault)
		}
	}
}

// received are the names under which received octets can be reached.
var received = []string{"first", "prefix", "buffer", "scratch", "digest"}

// steered finds places where control flow could depend on received octets.
func steered(f *ast.File) (faults []string) {
	mentions := func(n ast.Node) (name string) {
		if n == nil {
			return ""
		}
		ast.Inspect(n, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if id, ok := call.Fun.(*ast.Ident); ok && (id.Name == "len" || id.Name == "cap") {
					return false
				}
				// To read into a buffer yields a length and an error.
				if sel, ok := call.Fun.(*ast.SelectorExpr); ok && strings.HasPrefix(sel.Sel.Name, "Read") {
					return false
				}
			}
			if id, ok := n.(*ast.Ident); ok && slices.Contains(received, id.Name) {
				name = id.Name
			}
			return true
		})
		return name
	}
	note := func(what string, n ast.Node) {
		if name := mentions(n); name != "" {
			faults = append(faults, what+" mentions "+name)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			note("a condition", n.Cond)
		case *ast.ForStmt:
			if n.Cond != nil {
				note("a loop's condition", n.Cond)
			}
		case *ast.RangeStmt:
			note("a range", n.X)
		case *ast.SwitchStmt:
			if n.Tag != nil {
				note("a switch", n.Tag)
			}
		case *ast.CaseClause:
			for _, e := range n.List {
				note("a case", e)
			}
		case *ast.IndexExpr:
			note("an index", n)
		}
		return true
	})
	return faults
}

func TestSteeredFindsFaults(t *testing.T) {
	for name, body := range map[string]string{
		"a condition":  `if o.first[0] == 'G' { return }`,
		"an index":     `table[o.first[1]]()`,
		"a switch":     `switch string(o.prefix()) { case "x": }`,
		"a loop":       `for range o.prefix() { }`,
		"a comparison": `if equal(buffer, get) { }`,
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "a.go", "package a\nfunc f() { "+body+" }\n", 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(steered(f)) == 0 {
			t.Errorf("%s: not found", name)
		}
	}
}
