package filter

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestMakeCode prints codeLengths for the names in a file, one a line, in any order:
// SHOJI_TEST_CODE=FILE go test ./internal/filter -run TestMakeCode -v
func TestMakeCode(t *testing.T) {
	path := os.Getenv("SHOJI_TEST_CODE")
	if path == "" {
		t.Skip("SHOJI_TEST_CODE names no file of names to make a code from")
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var keys []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, ok := appendTextKey(nil, lines.Text()); ok {
			keys = append(keys, string(key))
		}
	}
	slices.Sort(keys)
	var seen [contexts][contexts]int
	before := ""
	for _, key := range keys {
		for i := sharedOctets([]byte(before), []byte(key)); i < len(key); i++ {
			context := uint8(0)
			if i > 0 {
				context = classes[key[i-1]]
			}
			seen[context][classes[key[i]]]++
		}
		before = key
	}
	for context := range seen {
		fmt.Printf("\t%q,\n", lengthsOf(seen[context][:]))
	}
}

// lengthsOf are the lengths of a prefix code for symbols seen so often, maxCode at most: Huffman's,
// with the rare symbols taken for less rare ones until it fits.
func lengthsOf(seen []int) string {
	type node struct {
		weight  int
		symbols []int
	}
	total := 0
	for _, n := range seen {
		total += n
	}
	for least := 1; ; least += total/1000 + 1 {
		lengths := make([]int, len(seen))
		var open []node
		for s, n := range seen {
			open = append(open, node{max(n, least), []int{s}})
		}
		for len(open) > 1 {
			slices.SortStableFunc(open, func(a, b node) int { return cmp.Compare(a.weight, b.weight) })
			joined := node{open[0].weight + open[1].weight, append(slices.Clone(open[0].symbols), open[1].symbols...)}
			for _, s := range joined.symbols {
				lengths[s]++
			}
			open = append(open[2:], joined)
		}
		if slices.Max(lengths) <= maxCode {
			var out strings.Builder
			for _, n := range lengths {
				fmt.Fprintf(&out, "%d", n)
			}
			return out.String()
		}
	}
}
