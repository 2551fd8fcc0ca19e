package scenario

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	wire "github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/resolve"
	"github.com/shoji-dns/shoji/internal/zonecopy"
)

// copies are the local copies of zones that the story configures and brings along.
func (g *game) copies(c *resolve.Config) (out []resolve.Copy, err error) {
	for i, clause := range g.story.clauses("auth-zone") {
		given := make(map[string]string)
		for _, set := range clause {
			given[set.Key] = set.Value
		}
		text, brought := g.story.Files[given["zonefile"]]
		switch {
		case !isYes(given["for-upstream"], true):
			return nil, skipped("a zone that is answered from and not resolved through")
		case isYes(given["zonemd-reject-absence"], false):
			return nil, skipped("a zone that must have a ZONEMD record")
		case !brought || g.Dir == "":
			return nil, skipped("a zone that is transferred")
		}
		zone, err := wire.ParseName(given["name"])
		if err != nil {
			return nil, unreadable(err.Error())
		}
		path := filepath.Join(g.Dir, fmt.Sprintf("copy-%d.zone", i))
		if err := os.WriteFile(path, []byte(g.story.included(text, 0)), 0o600); err != nil {
			return nil, err
		}
		k, err := zonecopy.Open(zonecopy.Config{Zone: zone, File: path, Anchors: c.Anchors, Validation: c.Validation, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return nil, fmt.Errorf("auth-zone %s: %w", given["name"], err)
		}
		out = append(out, resolve.Copy{Zone: zone, From: k})
	}
	return out, nil
}

// maxIncludes is how deep files of a story may include each other.
const maxIncludes = 4

// included is a file's text with those that it includes in it.
func (s *Scenario) included(text string, depth int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "$INCLUDE_TEMPFILE"); ok && depth < maxIncludes {
			b.WriteString(s.included(s.Files[strings.TrimSpace(name)], depth+1))
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}
