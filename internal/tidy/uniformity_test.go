package tidy

import (
	"fmt"
	"go/ast"
	"maps"
	"slices"
	"strings"
	"testing"
)

// deciders are the packages that decide what a query is answered, and what they
// are made of. None may know who asks.
var deciders = []string{"internal/serve", "internal/filter", "internal/cache", "internal/answer", "internal/resolve", "internal/dns", "internal/dnssec"}

// clientPackages are those whose types hold or lead to an address of a client.
var clientPackages = []string{"net", "net/http", "net/rpc", "net/textproto", "crypto/tls", "syscall", "os/user"}

// mapping are the only names that a decider may use of a system's own calls: what
// maps memory and files.
var mapping = []string{"Mmap", "Munmap", "Madvise", "Mremap", "MAP_", "PROT_", "MADV_", "MREMAP_", "MS_", "Getpagesize", "Errno",
	// Windows:
	"CreateFileMapping", "MapViewOfFile", "UnmapViewOfFile", "CloseHandle", "VirtualAlloc", "VirtualFree", "Handle", "PAGE_", "FILE_MAP_", "MEM_"}

func uniformity(t *tree) (faults []string) {
	for _, s := range t.files {
		if s.test || !slices.Contains(deciders, s.pkg) {
			continue
		}
		for _, target := range slices.Sorted(maps.Values(s.imports)) {
			if slices.Contains(clientPackages, target) {
				faults = append(faults, fmt.Sprintf("%s: imports %s: what a query is answered does not depend on who asks, so nothing here may hold a client", s.path, target))
			}
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			switch pkg, name := s.selector(n); {
			case pkg == "net/netip" && strings.Contains(name, "AddrPort"):
				faults = append(faults, fmt.Sprintf("%s: netip.%s: an address with a port is a peer's", t.at(n), name))
			case strings.HasPrefix(pkg, "golang.org/x/sys/") && !slices.ContainsFunc(mapping, func(m string) bool { return strings.HasPrefix(name, m) }):
				faults = append(faults, fmt.Sprintf("%s: %s.%s: only what maps memory is used of the system here", t.at(n), pkg, name))
			}
			return true
		})
		faults = append(faults, queryParams(t, s)...)
	}
	return faults
}

// queryParams checks the signatures of package serve: a function that takes a
// query takes nothing else but a context and octets, so that nothing about the
// client can come with it.
func queryParams(t *tree, s *source) (faults []string) {
	if s.pkg != "internal/serve" {
		return nil
	}
	for _, d := range s.ast.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || !f.Name.IsExported() || f.Recv == nil {
			continue
		}
		asks := slices.ContainsFunc(f.Type.Params.List, func(p *ast.Field) bool { return typeName(s, p.Type) == "*dns.Query" })
		for _, p := range f.Type.Params.List {
			name := typeName(s, p.Type)
			if asks && name != "*dns.Query" && name != "context.Context" && name != "[]byte" {
				faults = append(faults, fmt.Sprintf("%s: %s takes %s beside a query: a reply is a function of the query alone", t.at(p), f.Name.Name, name))
			}
		}
	}
	return faults
}

// typeName writes the simple types that a query's function may have.
func typeName(s *source, e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return "*" + typeName(s, e.X)
	case *ast.ArrayType:
		if e.Len == nil {
			return "[]" + typeName(s, e.Elt)
		}
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		pkg, name := s.selector(e)
		return pkg[strings.LastIndexByte(pkg, '/')+1:] + "." + name
	}
	return fmt.Sprintf("%T", e)
}

func TestUniformity(t *testing.T) { holds(t, uniformity) }

func TestUniformityFindsFaults(t *testing.T) {
	serve := func(text string) map[string]string { return files("internal/serve/a.go", "package serve\n\n"+text) }
	query := "import (\n\t\"context\"\n\t\"net/netip\"\n\t\"" + module + "/internal/dns\"\n)\n\ntype Server struct{}\n\n"
	finds(t, uniformity,
		files("internal/serve/a.go", "package serve\n\n"+query+"func (s *Server) Miss(ctx context.Context, q *dns.Query, out []byte) []byte { return nil }\n\nvar sink netip.Addr\n",
			"internal/serve/a_test.go", "package serve\n\nimport _ \"net\"\n",
			"internal/listen/a.go", "package listen\n\nimport _ \"net\"\n",
			"internal/cache/a.go", "package cache\n\nimport \"golang.org/x/sys/unix\"\n\nvar f = unix.Mmap\n"),
		map[string]map[string]string{
			"net":               serve("import _ \"net\"\n"),
			"net/http, renamed": serve("import web \"net/http\"\n\nvar _ web.Request\n"),
			"TLS":               serve("import _ \"crypto/tls\"\n"),
			"address and port":  serve("import \"net/netip\"\n\nvar _ netip.AddrPort\n"),
			"a raw address":     files("internal/cache/a.go", "package cache\n\nimport \"golang.org/x/sys/unix\"\n\nvar _ unix.RawSockaddrInet6\n"),
			"beside a query":    serve(query + "func (s *Server) Hit(q *dns.Query, from netip.Addr) bool { return false }\n"),
			"an opaque extra":   serve(query + "func (s *Server) Hit(q *dns.Query, meta map[string]string) bool { return false }\n"),
		})
}
