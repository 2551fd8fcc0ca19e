package feed

import "strings"

// cosmetic are the separators of rules that hide or change parts of pages.
var cosmetic = []string{"##", "#@#", "#?#", "#$#", "#%#", "$$", "$@$"}

// wholeOptions are the options that leave a rule one about the whole host: on
// whose pages, how strongly and as what kind of document it is asked for do not
// matter to a resolver. Every other option narrows the rule to some requests,
// which a resolver cannot tell apart.
var wholeOptions = map[string]bool{
	"third-party": true, "3p": true, "important": true, "all": true, "document": true, "doc": true, "popup": true,
	"match-case": true, "strict3p": true,
}

// adblock parses one line of an ad blocker's list.
func (p *parser) adblock(s string) error {
	if s[0] == '!' || s[0] == '[' || strings.HasPrefix(s, "# ") || s == "#" {
		p.rep.Comments++
		return nil
	}
	if strings.HasPrefix(s, "@@") {
		p.skip(SkipException)
		return nil
	}
	for _, c := range cosmetic {
		if strings.Contains(s, c) {
			p.skip(SkipCosmetic)
			return nil
		}
	}
	rule, ok := strings.CutPrefix(s, "||")
	if !ok {
		p.skip(SkipPattern)
		return nil
	}
	rule, options, _ := strings.Cut(rule, "$")
	if why := narrowed(options); why != "" {
		p.skip(why)
		return nil
	}
	rule = strings.TrimSuffix(rule, "|")
	host, anchored := strings.CutSuffix(rule, "^")
	switch {
	case strings.Contains(host, "/"):
		p.skip(SkipPath)
	case strings.ContainsAny(strings.TrimPrefix(host, "*."), "*^|") || !anchored && strings.HasSuffix(host, "."):
		p.skip(SkipPattern)
	default:
		return p.whole(host, Claim{})
	}
	return nil
}

// narrowed says why a rule with these options is not about a whole host, or "".
func narrowed(options string) Reason {
	for option := range strings.SplitSeq(options, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(option), "=")
		switch {
		case name == "", wholeOptions[name]:
		case name == "badfilter":
			return SkipException
		case name == "domain" && onlyNegated(value):
		default:
			return SkipLimited
		}
	}
	return ""
}

// onlyNegated reports whether a domain option only says where a rule does not hold.
func onlyNegated(value string) bool {
	for d := range strings.SplitSeq(value, "|") {
		if !strings.HasPrefix(d, "~") {
			return false
		}
	}
	return true
}
