package scenario

import (
	"strconv"
	"strings"
	"time"
)

// configReader takes unbound.conf apart. Deckard's configuration is read by it too: it has keys
// and no clauses.
type configReader struct {
	settings []Setting
	clause   string
	number   int
}

// isClause reports whether a key opens a clause.
func isClause(key string) bool {
	switch key {
	case "server", "stub-zone", "forward-zone", "auth-zone", "rpz", "view", "remote-control", "python", "dnstap", "cachedb", "dynlib":
		return true
	}
	return false
}

// line reads one line, which may hold several keys; a value may stand on the line after its key.
func (c *configReader) line(text string) {
	for text = strings.TrimSpace(text); text != "" && text[0] != '#' && text[0] != ';'; {
		key, rest, ok := cutKey(text)
		if !ok {
			if n := len(c.settings); n > 0 && c.settings[n-1].Value == "" {
				c.settings[n-1].Value = value(text)
			}
			return
		}
		if isClause(key) {
			c.clause, c.number = key, c.number+1
			text = rest
			continue
		}
		one, more := cutValue(rest)
		c.settings = append(c.settings, Setting{c.clause, c.number, key, value(one)})
		text = more
	}
}

// cutKey splits "key: rest".
func cutKey(text string) (key, rest string, ok bool) {
	i := strings.IndexByte(text, ':')
	if i < 1 || i+1 < len(text) && text[i+1] != ' ' && text[i+1] != '\t' && text[i+1] != '"' {
		return "", "", false
	}
	key = text[:i]
	for _, r := range key {
		if r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return "", "", false
		}
	}
	return key, strings.TrimSpace(text[i+1:]), true
}

// cutValue splits a value from a further key on the same line.
func cutValue(text string) (one, more string) {
	var quote byte
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#':
			return text, ""
		case i > 0 && (text[i-1] == ' ' || text[i-1] == '\t') && c >= 'a' && c <= 'z':
			if key, _, ok := cutKey(text[i:]); ok && len(key) > 1 && !strings.ContainsAny(key, " \t") {
				return text[:i], text[i:]
			}
		}
	}
	return text, ""
}

// value is a value without its comment and the quotes around it.
func value(text string) string {
	var quote byte
scan:
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#', c == ';' && i > 0 && (text[i-1] == ' ' || text[i-1] == '\t'):
			text = text[:i]
			break scan
		}
	}
	text = strings.TrimSpace(text)
	if n := len(text); n > 1 && (text[0] == '"' || text[0] == '\'') && text[n-1] == text[0] && strings.Count(text, text[:1]) == 2 {
		text = text[1 : n-1]
	}
	return text
}

// last is the last value of a key of the server clause; "" where it has none.
func (s *Scenario) last(keys ...string) string {
	found := ""
	for _, set := range s.Settings {
		for _, k := range keys {
			if set.Key == k {
				found = set.Value
			}
		}
	}
	return found
}

// every is the values of a key, in order.
func (s *Scenario) every(key string) (values []string) {
	for _, set := range s.Settings {
		if set.Key == key {
			values = append(values, set.Value)
		}
	}
	return values
}

// clauses groups the settings of the clauses of a kind.
func (s *Scenario) clauses(kind string) (all [][]Setting) {
	number := -1
	for _, set := range s.Settings {
		if set.Clause != kind {
			continue
		}
		if set.Number != number {
			all, number = append(all, nil), set.Number
		}
		all[len(all)-1] = append(all[len(all)-1], set)
	}
	return all
}

// isYes reads a switch; where it is not set, what it is by default.
func isYes(value string, byDefault bool) bool {
	switch strings.ToLower(value) {
	case "":
		return byDefault
	case "yes", "true", "on", "1":
		return true
	}
	return false
}

// date is when the story takes place: the zero time where it does not say; always where it says
// that any time is right for signatures.
func (s *Scenario) date() (at time.Time, always bool) {
	text := strings.Trim(s.last("val-override-date", "val-override-timestamp"), `"' `)
	if text == "-1" {
		return time.Time{}, true
	}
	if at, err := time.Parse("20060102150405", text); err == nil {
		return at, false
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && seconds > 0 {
		return time.Unix(seconds, 0).UTC(), false
	}
	return time.Time{}, false
}

// features are Deckard's extras: "features: a = b; c = d".
func (s *Scenario) features() map[string]string {
	out := make(map[string]string)
	for _, v := range s.every("features") {
		for pair := range strings.SplitSeq(v, ";") {
			key, val, _ := strings.Cut(pair, "=")
			out[strings.TrimSpace(key)] = strings.TrimSpace(val)
		}
	}
	return out
}
