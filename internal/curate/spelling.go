package curate

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

// dots are what people type for a label's end where a keyboard has no full stop (UTS #46 §2.3).
var dots = strings.NewReplacer("\u3002", ".", "\uff0e", ".", "\uff61", ".")

// ASCII is a name with its labels in Unicode as A-labels (RFC 5891 §5); others stay as they
// are, also where they are no host names.
func ASCII(name string) (string, error) {
	labels := strings.Split(dots.Replace(name), ".")
	for i, label := range labels {
		if strings.ContainsFunc(label, func(r rune) bool { return r >= 0x80 }) {
			var err error
			if labels[i], err = idna.Lookup.ToASCII(label); err != nil {
				return "", err
			}
		}
	}
	return strings.Join(labels, "."), nil
}

// Spell is a name as it looks to people, "" where that is the name itself, and whether
// one of its labels mixes scripts in a way that no language does (UTS #39 §5.2, "highly
// restrictive"), as names that imitate others do.
func Spell(name string) (looks string, mixed bool) {
	labels := strings.Split(name, ".")
	for i, label := range labels {
		shown, err := idna.Display.ToUnicode(label)
		if err != nil || shown == label { // no label that people have in another form
			continue
		}
		labels[i] = shown
		mixed = mixed || !consistent(scripts(shown))
	}
	if looks = strings.Join(labels, "."); looks == name {
		return "", false
	}
	return looks, mixed
}

// scripts are the scripts of a label's letters, but those that all scripts share.
func scripts(label string) []string {
	var out []string
	for _, r := range label {
		if unicode.In(r, unicode.Common, unicode.Inherited) {
			continue
		}
		for name, table := range unicode.Scripts {
			if unicode.Is(table, r) && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// together are the sets of scripts that are written in one word.
var together = [][]string{
	{"Latin", "Han", "Hiragana", "Katakana"}, {"Latin", "Han", "Bopomofo"}, {"Latin", "Han", "Hangul"},
}

func consistent(scripts []string) bool {
	if len(scripts) < 2 {
		return true
	}
	return slices.ContainsFunc(together, func(set []string) bool {
		return !slices.ContainsFunc(scripts, func(s string) bool { return !slices.Contains(set, s) })
	})
}
