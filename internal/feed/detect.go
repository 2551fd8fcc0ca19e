package feed

import (
	"bytes"
	"net/netip"
	"strings"
)

// detectLines bounds the lines that a format is detected from.
const detectLines = 256

// Detect says which format a file that starts with head has: the one that most
// of its first lines speak for, plain if none does.
func Detect(head []byte) Format {
	if f := detectJSON(head); f != "" {
		return f
	}
	head = trimBOM(head)
	votes := map[Format]int{}
	for n := 0; n < detectLines && len(head) > 0; n++ {
		line, rest, _ := bytes.Cut(head, []byte("\n"))
		head = rest
		if len(line) > MaxLine/16 {
			continue
		}
		if f, weight := vote(strings.TrimRight(string(line), "\r\n \t")); weight > 0 {
			votes[f] += weight
		}
	}
	best := Plain
	for _, f := range Formats() {
		if votes[f] > votes[best] {
			best = f
		}
	}
	return best
}

// sure is the weight of a line that only one format has.
const sure = detectLines

// vote is the format that a line speaks for, and how loudly.
func vote(s string) (Format, int) {
	t := strings.TrimSpace(s)
	switch {
	case t == "":
		return "", 0
	case strings.HasPrefix(t, "[Adblock"), strings.HasPrefix(t, "[uBlock"):
		return Adblock, sure
	case strings.HasPrefix(t, "$TTL"), strings.HasPrefix(t, "$ORIGIN"):
		return RPZ, sure
	case strings.HasPrefix(t, "# Reference:"), strings.HasPrefix(t, "# Aliases:"):
		return Maltrail, sure
	case strings.HasPrefix(t, "#") && strings.Contains(t, "Maltrail developers"):
		return Maltrail, sure
	case strings.Count(t, ",") > 0 && header(t) != nil:
		return CSV, sure
	case strings.HasPrefix(t, "#"), strings.HasPrefix(t, ";"):
		return "", 0
	case strings.HasPrefix(t, "||"), strings.HasPrefix(t, "@@"), strings.HasPrefix(t, "!"):
		return Adblock, 2
	case strings.Contains(t, "##"), strings.Contains(t, "#@#"):
		return Adblock, 2
	}
	fields := strings.Fields(t)
	if len(fields) >= 2 {
		if _, err := netip.ParseAddr(fields[0]); err == nil && fields[1][0] != '#' {
			return Hosts, 2
		}
		if isRecord(s) {
			return RPZ, 2
		}
	}
	return Plain, 1
}

// isRecord reports whether a line looks like a record of a policy zone.
func isRecord(s string) bool {
	fields, _, ok := zoneFields(s)
	if !ok || len(fields) < 2 {
		return false
	}
	if s[0] != ' ' && s[0] != '\t' {
		fields = fields[1:]
	}
	typ, _ := zoneType(fields)
	switch typ {
	case "CNAME", "SOA", "A", "AAAA", "TXT", "NS":
		return true
	}
	return false
}
