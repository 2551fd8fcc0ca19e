package scenario

import (
	"bytes"
	"path/filepath"
	"testing"
)

// TestStories plays the project's own stories. Each must pass to the letter.
func TestStories(t *testing.T) {
	for _, path := range files(t, "testdata") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			var trace bytes.Buffer
			if r := playFile(t, path, "", &trace); r.Status != Pass {
				t.Errorf("%s: %s\n%s", r.Status, r.Why, trace.Bytes())
			}
		})
	}
}
