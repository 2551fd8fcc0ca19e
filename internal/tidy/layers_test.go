package tidy

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A row of the picture: | `internal/dns` | what it is | – |
var (
	pictureRow  = regexp.MustCompile("(?m)^\\| *`([a-z0-9/]*[a-z0-9])`([^|\n]*)\\|[^|\n]*\\|([^|\n]*)\\|")
	pictureName = regexp.MustCompile("[a-z/]+")
)

// foreign names which package may use which module that is not ours. Whoever
// adds to it adds a dependency of the product: ARCHITECTURE.md says which are welcome.
var foreign = map[string][]string{
	"internal/acme":     {"github.com/mholt/acmez/v3", "golang.org/x/net"},
	"internal/audit":    {"golang.org/x/mod", "golang.org/x/net"},
	"cmd/shoji":         {"github.com/alecthomas/kong", "golang.org/x/mod", "golang.org/x/sync", "golang.org/x/sys", "golang.org/x/term", "k8s.io/klog/v2"},
	"internal/backup":   {"golang.org/x/mod"},
	"internal/cache":    {"golang.org/x/sys"},
	"internal/config":   {"github.com/goccy/go-yaml", "github.com/invopop/jsonschema"},
	"internal/curate":   {"golang.org/x/mod", "golang.org/x/net"},
	"internal/database": {"modernc.org/sqlite", "github.com/jackc/pgx/v5"},
	"internal/desk":     {"golang.org/x/mod"},
	"internal/durable":  {"golang.org/x/sys"},
	"internal/exchange": {"golang.org/x/sys"},
	"internal/feed":     {"golang.org/x/net", "github.com/miekg/dns"},
	"internal/filter":   {"golang.org/x/sys"},
	"internal/follow":   {"golang.org/x/mod"},
	"internal/forger":   {"golang.org/x/mod"},
	"internal/forks":    {"golang.org/x/mod"},
	"internal/listen":   {"golang.org/x/sys"},
	"internal/metrics":  {"github.com/prometheus/client_golang", "golang.org/x/net"},
	"internal/policy":   {"cel.dev/cel-go", "github.com/goccy/go-yaml"},
	"internal/publish":  {"golang.org/x/mod", "golang.org/x/net"},
	"internal/rpz":      {"github.com/miekg/dns"},
	"internal/scenario": {"github.com/miekg/dns"},
	"internal/sequence": {"golang.org/x/mod", "github.com/transparency-dev/tessera", "github.com/go-sql-driver/mysql", "golang.org/x/sys"},
	"internal/simnet":   {"github.com/miekg/dns"},
	"internal/sinkhole": {"github.com/elastic/go-seccomp-bpf", "github.com/landlock-lsm/go-landlock", "golang.org/x/sys", "kernel.org/pub/linux/libs/security/libcap/psx"},
	"internal/staff":    {"github.com/go-webauthn/webauthn", "github.com/coreos/go-oidc/v3", "golang.org/x/oauth2"},
	"internal/web":      {"golang.org/x/text"},
	"internal/upstream": {"github.com/quic-go/quic-go"},
	"internal/witness":  {"golang.org/x/mod", "github.com/transparency-dev/tessera"},
	"internal/zonefile": {"github.com/miekg/dns"},
	"ledger":            {"golang.org/x/mod", "github.com/transparency-dev/formats"},
	"test/desk":         {"github.com/chromedp/chromedp", "github.com/chromedp/cdproto"},
	"test/diff":         {"github.com/miekg/dns"},
	"test/flood":        {"github.com/quic-go/quic-go", "golang.org/x/net"},
	"test/observer":     {"golang.org/x/sys"},

	"internal/listen/doh": {"golang.org/x/net"},
	"internal/listen/doq": {"github.com/quic-go/quic-go"},
}

// foreignTests are the modules that any test may use.
var foreignTests = []string{
	"github.com/chromedp/chromedp", "github.com/chromedp/cdproto",
	"github.com/miekg/dns", "pgregory.net/rapid", "github.com/rogpeppe/go-internal",
	"github.com/cockroachdb/datadriven", "golang.org/x/mod", "golang.org/x/sys", "github.com/gowebpki/jcs",
	"github.com/transparency-dev/tessera", "github.com/transparency-dev/formats", "github.com/transparency-dev/witness",
	"golang.org/x/net", "github.com/quic-go/quic-go", "github.com/letsencrypt/pebble/v2",
}

// oursInTests are the packages of ours that any test may use: what tests stand on. A
// compiled list comes from a ledger's state alone and a Status from dnssec alone, so whoever
// needs one in a test makes it there.
var oursInTests = []string{"internal/forger", "internal/rogue", "internal/simnet", "internal/dns", "internal/dnssec", "ledger"}

// testsOnly are packages that are tests alone: stories that span the others, and
// these rules.
var testsOnly = []string{"internal/attack", "internal/court", "internal/scenario", "internal/tidy"}

// serverless are the packages that never speak HTTP: the query's way, and what is pure.
var serverless = []string{
	"internal/answer", "internal/cache", "internal/dns", "internal/dnssec", "internal/durable", "internal/exchange",
	"internal/filter", "internal/listen", "internal/listen/balancer", "internal/odoh", "internal/policy", "internal/resolve", "internal/sequence", "internal/serve", "internal/simnet",
	"internal/sinkhole",
}

// picture reads the table of packages from ARCHITECTURE.md: package → what of
// ours it may import. "all" is "*".
func picture(t *tree) map[string][]string {
	rows := make(map[string][]string)
	for _, m := range pictureRow.FindAllStringSubmatch(string(t.other["ARCHITECTURE.md"]), -1) {
		may := []string{}
		for _, name := range pictureName.FindAllString(m[3], -1) {
			switch name {
			case "all":
				may = append(may, "*")
			case "ledger":
				may = append(may, name)
			default:
				may = append(may, "internal/"+name)
			}
		}
		rows[m[1]] = may
	}
	return rows
}

func layers(t *tree) (faults []string) {
	rows := picture(t)
	if len(rows) == 0 {
		return []string{"ARCHITECTURE.md: no table of packages found"}
	}
	missing := make(map[string]bool)
	for _, s := range t.files {
		may, ok := rows[s.pkg]
		if !ok {
			missing[s.pkg] = true
			continue
		}
		for _, target := range slices.Sorted(maps.Values(s.imports)) {
			if why := mayNot(s, may, target); why != "" {
				faults = append(faults, fmt.Sprintf("%s: imports %s: %s", s.path, target, why))
			}
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(missing)) {
		faults = append(faults, pkg+": not in the picture: add a row to the table in ARCHITECTURE.md that says in one line what it holds and what it may import, before anything imports it")
	}
	return faults
}

// mayNot says why s must not import target; it is empty where it may.
func mayNot(s *source, may []string, target string) string {
	if ours, ok := strings.CutPrefix(target, module+"/"); ok {
		switch {
		case ours == s.pkg && s.test, slices.Contains(may, ours), slices.Contains(may, "*"):
		case s.test && (slices.Contains(oursInTests, ours) || slices.Contains(testsOnly, s.pkg)):
		default:
			return "the picture in ARCHITECTURE.md does not allow it; move the code to where it belongs rather than widening the picture"
		}
		return ""
	}
	if first, _, _ := strings.Cut(target, "/"); strings.Contains(first, ".") {
		inModule := func(m string) bool { return target == m || strings.HasPrefix(target, m+"/") }
		if !slices.ContainsFunc(foreign[s.pkg], inModule) && !(s.test && slices.ContainsFunc(foreignTests, inModule)) {
			return "this module is not for this package; the list of who may use what is `foreign` in internal/tidy"
		}
		return ""
	}
	if target == "net/http" && !s.test && slices.Contains(serverless, s.pkg) {
		return "this package does not speak HTTP"
	}
	return ""
}

func TestLayers(t *testing.T) { holds(t, layers) }

func TestLayersFindsFaults(t *testing.T) {
	table := "| package | one line | may import of ours |\n|---|---|---|\n| `internal/dns` | names | – |\n| `internal/serve` | a query | dns |\n| `cmd/shoji` | wiring | all |\n"
	dns := "package dns\n"
	finds(t, layers,
		files("ARCHITECTURE.md", table, "internal/dns/a.go", dns,
			"internal/dns/a_test.go", "package dns\n\nimport _ \"github.com/miekg/dns\"\n",
			"internal/serve/a.go", "package serve\n\nimport (\n\t_ \"context\"\n\t_ \""+module+"/internal/dns\"\n)\n",
			"cmd/shoji/main.go", "package main\n\nimport _ \""+module+"/internal/serve\"\n"),
		map[string]map[string]string{
			"no table":              files("internal/dns/a.go", dns),
			"a package of no row":   files("ARCHITECTURE.md", table, "internal/new/a.go", "package new\n", "internal/new/b.go", "package new\n"),
			"an import too many":    files("ARCHITECTURE.md", table, "internal/dns/a.go", "package dns\n\nimport _ \""+module+"/internal/serve\"\n"),
			"one in a test":         files("ARCHITECTURE.md", table, "internal/dns/a_test.go", "package dns\n\nimport _ \""+module+"/internal/serve\"\n"),
			"a module for others":   files("ARCHITECTURE.md", table, "internal/serve/a.go", "package serve\n\nimport _ \"github.com/miekg/dns\"\n"),
			"an unknown module":     files("ARCHITECTURE.md", table, "internal/serve/a_test.go", "package serve\n\nimport _ \"github.com/stretchr/testify/assert\"\n"),
			"HTTP on a query's way": files("ARCHITECTURE.md", table, "internal/serve/a.go", "package serve\n\nimport _ \"net/http\"\n"),
		})
}

// The picture itself keeps the rules that its rows cannot show to break.
func TestPictureIsRead(t *testing.T) {
	rows := picture(repository(t))
	if len(rows) < 10 {
		t.Fatalf("read only %d rows: %v", len(rows), rows)
	}
	for pkg, may := range rows {
		if slices.Contains(may, "*") && path.Dir(pkg) != "cmd" {
			t.Errorf("%s may import everything: only commands may", pkg)
		}
		if slices.Contains(may, "internal/config") {
			t.Errorf("%s may import config: only commands may", pkg)
		}
	}
	if may := rows["internal/dns"]; len(may) != 0 {
		t.Errorf("internal/dns may import %v: it stands alone", may)
	}
}
