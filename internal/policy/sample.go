package policy

import "strings"

// samplePages are where samples of malware and their analyses can be had: how an address
// there goes on behind its scheme, up to the sample's identity. The forms are those of the
// services' own pages.
var samplePages = [...]struct {
	host, path string
	is         func(id string) bool
}{
	{"virustotal.com", "/file/", isDigest},
	{"bazaar.abuse.ch", "/sample/", isDigest},
	{"hybrid-analysis.com", "/sample/", isDigest},
	{"analyze.intezer.com", "/files/", isDigest},
	{"analyze.intezer.com", "/analyses/", isUUID},
	{"app.any.run", "/tasks/", isUUID},
	{"any.run", "/report/", isDigest},
	{"tria.ge", "/", isTriage},
	{"joesandbox.com", "/analysis/", isNumber},
	{"capesandbox.com", "/analysis/", isNumber},
	{"malshare.com", "hash=", isDigest},
	{"otx.alienvault.com", "/indicator/file/", isDigest},
	{"app.docguard.io", "/", isDigest},
	{"threatcrowd.org", "md5=", isDigest},
	{"threatminer.org", "/sample.php?q=", isDigest},
	{"elfdigest.com", "/brief/", isDigest},
	{"malwareconfig.com", "/config/", isDigest},
	{"totalhash.cymru.com", "/analysis/?", isDigest},
}

// IsSample reports whether a reference names one sample of malware that can be analysed: it
// is a digest (MD5, SHA-1 or SHA-256 in hexadecimal, with the algorithm and a colon before it
// or not), or the address of a sample or its analysis on one of samplePages. An article is no
// sample, nor is a digest of anything else, such as a commit or a server's reply; and of a
// reference for several (package feed) nobody knows whose sample it is.
func IsSample(reference string) bool {
	if strings.ContainsAny(reference, " \t") {
		return false
	}
	rest, ok := strings.CutPrefix(reference, "https://")
	if !ok {
		rest, ok = strings.CutPrefix(reference, "http://")
	}
	if !ok {
		return isNamedDigest(reference)
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		return false
	}
	host, path := strings.ToLower(rest[:end]), rest[end:]
	for _, page := range samplePages {
		if host != page.host && !strings.HasSuffix(host, "."+page.host) {
			continue
		}
		if _, id, ok := strings.Cut(path, page.path); ok && page.is(firstWord(id)) {
			return true
		}
	}
	return false
}

// firstWord is what a text begins with of letters, digits and hyphens.
func firstWord(s string) string {
	for i := range len(s) {
		if c := s[i]; c != '-' && !isAlphanumeric(c) {
			return s[:i]
		}
	}
	return s
}

func isNamedDigest(s string) bool {
	algorithm, digest, named := strings.Cut(strings.ToLower(s), ":")
	if !named {
		return isDigest(s)
	}
	return isDigest(digest) && (algorithm == "md5" && len(digest) == 32 || algorithm == "sha1" && len(digest) == 40 || algorithm == "sha256" && len(digest) == 64)
}

func isDigest(s string) bool {
	return (len(s) == 32 || len(s) == 40 || len(s) == 64) && all(s, isHex)
}

// isUUID reports whether s has the form of RFC 9562 §4.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		if hyphen := i == 8 || i == 13 || i == 18 || i == 23; hyphen != (s[i] == '-') || !hyphen && !isHex(s[i]) {
			return false
		}
	}
	return true
}

func isNumber(s string) bool { return s != "" && all(s, isDigit) }

// isTriage reports whether s is a report of Triage: a date of six digits, a hyphen, an identity.
func isTriage(s string) bool {
	date, id, _ := strings.Cut(s, "-")
	return len(date) == 6 && all(date, isDigit) && len(id) >= 6 && all(id, isAlphanumeric)
}

func all(s string, is func(byte) bool) bool {
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func isAlphanumeric(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' }
