package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/shoji-dns/shoji/internal/audit"
	"github.com/shoji-dns/shoji/internal/dns"
)

// openNames reads the names that commitments are opened with: those of the file, one a line,
// with # before a comment, and those that are asked for.
func (c *verifyCmd) openNames() ([]string, error) {
	out := []string{}
	add := func(text string) error {
		n, err := dns.ParseName(strings.TrimPrefix(text, "*."))
		if err == nil && n != dns.Root {
			out = append(out, strings.TrimSuffix(n.Canonical().String(), "."))
		}
		return err
	}
	for _, text := range c.Name {
		if err := add(text); err != nil {
			return nil, fmt.Errorf("--name %q: %w", text, err)
		}
	}
	if c.Open == "" {
		return out, nil
	}
	f, err := os.Open(c.Open)
	if err != nil {
		return nil, fmt.Errorf("--open: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, audit.MaxOpened*(dns.MaxName+2)))
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		if len(out) == audit.MaxOpened {
			return nil, fmt.Errorf("--open %s: more than %d names", c.Open, audit.MaxOpened)
		}
		if err := add(text); err != nil {
			return nil, fmt.Errorf("--open %s, line %d: %q is no name: %w", c.Open, n, text, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("--open %s: %w", c.Open, err)
	}
	return out, nil
}
