package scenario

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxText bounds a file, in octets; the longest that is known has a tenth.
const maxText = 8 << 20

// lines is a file on its way through the reader.
type lines struct {
	all []string
	at  int // the number of the line that was read last
	zone
}

// zone is what relative names and records without a TTL mean.
type zone struct {
	origin string
	ttl    uint32
}

// next is the next line without space around it; false at the end.
func (l *lines) next() (string, bool) {
	if l.at >= len(l.all) {
		return "", false
	}
	l.at++
	return strings.TrimSpace(l.all[l.at-1]), true
}

// words is the next line that has any, without its comment.
func (l *lines) words() ([]string, bool) {
	for {
		line, ok := l.next()
		if !ok {
			return nil, false
		}
		if w := strings.Fields(withoutComment(line)); len(w) > 0 {
			return w, true
		}
	}
}

// back gives the last line back.
func (l *lines) back() { l.at-- }

func (l *lines) errorf(format string, a ...any) error {
	return fmt.Errorf("line %d: %w", l.at, fmt.Errorf(format, a...))
}

// until takes all lines up to one that begins with end.
func (l *lines) until(end string) (string, error) {
	var b strings.Builder
	for {
		line, ok := l.next()
		if !ok {
			return "", l.errorf("no %s", end)
		}
		if strings.HasPrefix(line, end) {
			return b.String(), nil
		}
		b.WriteString(l.all[l.at-1])
		b.WriteByte('\n')
	}
}

// withoutComment cuts what follows a semicolon outside of quotes.
func withoutComment(line string) string {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case '"':
			quoted = !quoted
		case ';':
			if !quoted {
				return line[:i]
			}
		}
	}
	return line
}

// Parse reads a story. Deckard's files do not say that they are Deckard's: the caller may, with
// a dialect; "" lets the configuration decide.
func Parse(text string, d Dialect) (*Scenario, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("more than %d octets", maxText)
	}
	s := &Scenario{Dialect: d, Files: make(map[string]string)}
	l := &lines{all: strings.Split(text, "\n"), zone: zone{".", 3600}}
	if err := s.readConfig(l); err != nil {
		return nil, err
	}
	if s.Dialect == "" {
		s.Dialect = s.guess()
	}
	return s, s.readStory(l)
}

// guess tells the dialect by where servers are named: Deckard has no clauses.
func (s *Scenario) guess() Dialect {
	for _, set := range s.Settings {
		if set.Clause == "" && (set.Key == "stub-addr" || set.Key == "forward-addr") {
			return Deckard
		}
	}
	return Unbound
}

// readConfig reads up to CONFIG_END.
func (s *Scenario) readConfig(l *lines) error {
	c := new(configReader)
	for {
		line, ok := l.next()
		if !ok {
			return l.errorf("no CONFIG_END")
		}
		word, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		var err error
		switch {
		case strings.HasPrefix(line, "CONFIG_END"):
			s.Settings = c.settings
			return nil
		case strings.HasPrefix(line, "SCENARIO_BEGIN"):
			return l.errorf("SCENARIO_BEGIN before CONFIG_END")
		case line == "" || line[0] == ';' || word == "COMMANDLINE":
		case word == "AUTOTRUST_FILE":
			s.Files[rest], err = l.until("AUTOTRUST_END")
			c.line(`auto-trust-anchor-file: "` + rest + `"`)
		case word == "TEMPFILE_NAME":
			c.line(`"` + rest + `"`)
		case word == "TEMPFILE_CONTENTS":
			s.Files[rest], err = l.until("TEMPFILE_END")
		case word == "ZONE_BEGIN":
			err = s.readZone(l, strings.Fields(rest))
		default:
			c.line(line)
		}
		if err != nil {
			return err
		}
	}
}

// readZone reads a zone of the story's own: its name, then addresses, then options.
func (s *Scenario) readZone(l *lines, words []string) error {
	if len(words) < 2 {
		return l.errorf("ZONE_BEGIN needs a name and an address")
	}
	z := Zone{Line: l.at, Name: words[0]}
	for _, w := range words[1:] {
		if isAddr(w) {
			z.Addrs = append(z.Addrs, w)
		} else {
			z.Options = append(z.Options, w)
		}
	}
	if len(z.Addrs) == 0 {
		return l.errorf("zone %s has no address", z.Name)
	}
	var err error
	z.Text, err = l.until("ZONE_END")
	s.Zones = append(s.Zones, z)
	return err
}

// readStory reads from SCENARIO_BEGIN to SCENARIO_END.
func (s *Scenario) readStory(l *lines) error {
	for {
		w, ok := l.words()
		if !ok {
			return l.errorf("no SCENARIO_END")
		}
		var err error
		switch w[0] {
		case "SCENARIO_BEGIN":
			s.Title = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(l.all[l.at-1]), w[0]))
		case "SCENARIO_END":
			return nil
		case "RANGE_BEGIN":
			err = s.readRange(l, w[1:])
		case "STEP":
			err = s.readStep(l, w[1:])
		case "$ORIGIN", "$TTL":
			l.directive(w)
		case "MANDATORY", "RANGE_END": // some files have one RANGE_END too many
		default:
			err = l.errorf("%q is no part of a story", w[0])
		}
		if err != nil {
			return err
		}
	}
}

func (l *lines) directive(w []string) {
	if len(w) < 2 {
		return
	}
	if w[0] == "$ORIGIN" {
		l.origin = absolute(w[1], ".")
	} else if ttl, err := strconv.ParseUint(w[1], 10, 31); err == nil {
		l.ttl = uint32(ttl)
	}
}

func (s *Scenario) readRange(l *lines, w []string) error {
	if len(w) < 2 {
		return l.errorf("RANGE_BEGIN needs two numbers of steps")
	}
	r := new(Range)
	var err, err2 error
	r.From, err = strconv.Atoi(w[0])
	r.To, err2 = strconv.Atoi(w[1])
	if err != nil || err2 != nil {
		return l.errorf("RANGE_BEGIN %s %s: not numbers of steps", w[0], w[1])
	}
	if len(w) > 2 && isAddr(w[2]) {
		r.Addrs = append(r.Addrs, w[2])
	}
	s.Ranges = append(s.Ranges, r)
	for {
		w, ok := l.words()
		if !ok {
			return l.errorf("no RANGE_END")
		}
		switch w[0] {
		case "RANGE_END":
			return nil
		case "ADDRESS":
			r.Addrs = append(r.Addrs, w[1:]...)
		case "ENTRY_BEGIN":
			e, err := readEntry(l)
			if err != nil {
				return err
			}
			r.Entries = append(r.Entries, e)
		case "$ORIGIN", "$TTL":
			l.directive(w)
		case "MANDATORY":
		default:
			return l.errorf("%q is no part of a range", w[0])
		}
	}
}

// readStep reads a step and, where it has one, its entry.
func (s *Scenario) readStep(l *lines, w []string) error {
	if len(w) < 2 {
		return l.errorf("STEP needs a number and a kind")
	}
	step := &Step{Line: l.at, Kind: w[1]}
	var err error
	if step.ID, err = strconv.Atoi(w[0]); err != nil {
		return l.errorf("step %q: not a number", w[0])
	}
	if step.Kind == "ANSWER" {
		step.Kind = "CHECK_ANSWER"
	}
	s.Steps = append(s.Steps, step)
	step.parameters(w[2:])
	switch step.Kind {
	case "QUERY", "CHECK_ANSWER", "CHECK_OUT_QUERY", "REPLY":
		return step.readEntry(l)
	case "CHECK_AUTOTRUST", "CHECK_TEMPFILE":
		_, err := l.until("FILE_END")
		return err
	case "NOTHING", "TIMEOUT", "TIME_PASSES", "TRAFFIC", "ERROR", "ASSIGN", "INFRA_RTT", "FLUSH_MESSAGE", "EXPIRE_MESSAGE":
		return nil
	}
	return l.errorf("%q is no kind of step", step.Kind)
}

// parameters reads what stands on the step's own line.
func (s *Step) parameters(w []string) {
	for len(w) > 1 {
		switch w[0] {
		case "ADDRESS":
			s.Addr = w[1]
		case "ELAPSE":
			seconds, err := strconv.ParseFloat(w[1], 64)
			if err != nil || seconds < 0 || seconds > 1e9 {
				s.Macro = w[1]
				break
			}
			s.Elapse = time.Duration(seconds * float64(time.Second))
		case "EVAL":
			s.Macro = w[1]
		default:
			w = w[1:]
			continue
		}
		w = w[2:]
	}
}

// readEntry reads what follows a step: an address, an entry, or nothing.
func (s *Step) readEntry(l *lines) error {
	for {
		w, ok := l.words()
		switch {
		case !ok:
			return nil
		case w[0] == "ADDRESS" && len(w) > 1:
			s.Addr = w[1]
		case w[0] == "ENTRY_BEGIN":
			e, err := readEntry(l)
			s.Entry = e
			return err
		default:
			l.back()
			return nil
		}
	}
}

func isAddr(s string) bool {
	return strings.Trim(s, "0123456789abcdefABCDEF:.") == "" && strings.ContainsAny(s, ".:")
}
