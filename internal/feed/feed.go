// Package feed reads reputation lists: files in which somebody names hosts and
// addresses that they hold to be malicious. A line becomes a [Claim], which is
// what a source says and not yet a listing: policy weighs it, and the caller
// decides which names can never be listed (public suffixes, its own names).
//
// # Formats
//
// The format is detected from the first lines of a file unless it is given.
//
//	plain     a name, an address, a CIDR prefix, an address with a port, or a
//	          bare URL a line; "#" starts a comment. Default scope: exact.
//	hosts     hosts(5): an address, then names. The address is not looked at.
//	          Default scope: exact.
//	adblock   the host rules of ad blockers: ||name^ and ||name, with options
//	          that do not narrow the rule to some requests. Default scope:
//	          subtree, as the syntax says.
//	rpz       a response-policy zone in master-file format (RFC 1035 §5): QNAME
//	          triggers (name: exact, *.name: subtree) and rpz-ip triggers
//	          (prefix). No default scope: each trigger has its own. What withholds
//	          is one thing: NXDOMAIN, NODATA, DROP and local data all yield a
//	          claim. PASSTHRU and TCP-ONLY are exceptions (Exceptions): a claim of a
//	          subtree or a prefix of which the zone lets a part pass is not made.
//	csv       comma-separated values with a header line, which may be commented
//	          out: the dumps of abuse.ch (URLhaus, ThreatFox, Feodo Tracker,
//	          SSLBL) and files with a column "domain". Default scope: exact.
//	maltrail  trail files of Maltrail: plain, with the evidence in comments
//	          ("# Reference:"), addresses with ports, URLs and patterns. The
//	          family is the file's name. A reference above several trails is
//	          marked as one for several. Default scope: subtree.
//	json      the JSON dumps of abuse.ch (URLhaus, ThreatFox, Feodo Tracker): objects
//	          whose members are named like the columns of csv. Default scope: exact.
//	misp      an event of a MISP feed, of which the attributes for detection count, or a
//	          MISP warning list. Default scope: exact.
//	stix      a STIX 2.1 bundle, of which the indicators count. Default scope: exact.
//
// In plain, hosts, csv and maltrail files "*.name" and ".name" mean the subtree.
// A URL with a path says nothing about the whole host: plain and maltrail files
// skip it; csv files yield the host, marked with [Claim.Path].
//
// # Names
//
// Names are letters, digits, hyphens and underscores, in any case, with or
// without the trailing dot. Unicode labels are converted to A-labels by the
// lookup profile of UTS 46. A name whose last label is all digits is malformed
// (it is a broken address). A single label, a public suffix or the root is a
// well-formed claim here.
//
// # Damage
//
// A malformed line is counted, the first [MaxMalformed] are kept for the report,
// and the rest of the file is used. A file that is empty, binary, an HTML page or
// mostly malformed is refused whole with a [*Refused]; claims that were
// yielded before that count for nothing. Memory is bounded by [MaxLine] whatever
// the file's size and the length of its lines; only of a policy zone are the triggers of
// subtrees and prefixes held until its end, up to maxWide of them.
//
// # Known faults
//
// Wildcards inside a name, regular expressions and ad-blocker rules for parts of
// pages are skipped. $INCLUDE and $GENERATE in a zone file are malformed lines.
// A CSV field that spans lines is not supported: no known feed has one.
package feed

import (
	"io"
	"net/netip"
	"path"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// Format is a file's syntax.
type Format string

// The formats. Auto detects one of the others.
const (
	Auto     Format = ""
	Plain    Format = "plain"
	Hosts    Format = "hosts"
	Adblock  Format = "adblock"
	RPZ      Format = "rpz"
	CSV      Format = "csv"
	Maltrail Format = "maltrail"
	JSON     Format = "json"
	MISP     Format = "misp"
	STIX     Format = "stix"
)

// Formats lists every format that Options.Format accepts besides Auto.
func Formats() []Format { return []Format{Plain, Hosts, Adblock, RPZ, CSV, Maltrail, JSON, MISP, STIX} }

// Scope is how far a claim reaches.
type Scope string

// The scopes: the name alone; the name and every name below it; an address prefix.
const (
	Exact   Scope = "exact"
	Subtree Scope = "subtree"
	Prefix  Scope = "prefix"
)

// Limits on what a file can make Read hold.
const (
	MaxLine      = 64 << 10 // octets of one line; the longest known feed line is under 4 KiB
	MaxMalformed = 10       // malformed lines kept for the report
	MaxText      = 80       // octets of a malformed line that the report shows
	MaxReference = 512      // octets of a claim's reference
	MaxFamily    = 128      // octets of a claim's family
)

// A file is refused as garbage when more than GarbagePercent of its lines that
// are neither blank nor comments are malformed and there are at least
// GarbageLines of these, or when all of them are malformed.
const (
	GarbagePercent = 50
	GarbageLines   = 4
)

// Options say what is known about a file beforehand.
type Options struct {
	File      string // name for reports; its base names the family in a maltrail file
	Format    Format // Auto: detect
	Scope     Scope  // Exact or Subtree for names without a wildcard; "": the format's default
	Family    string // malware family of claims that name none
	Reference string // reference of claims that have none
	Passes    bool   // yield what a policy zone lets pass too, as claims with Pass
}

// Claim is what one line says about one host or prefix.
type Claim struct {
	Name      dns.Name     // canonical; "" where Prefix is valid
	Prefix    netip.Prefix // masked, never IPv4-mapped
	Scope     Scope
	Path      bool      // the line is a URL below this host, not the host itself
	Pass      bool      // a policy zone lets it pass: the contrary of an accusation; not in Report.Claims
	Reference string    // where the evidence is, as the source says; often a URL
	Family    string    // malware family, as the source says
	First     time.Time // first seen, UTC; zero if not said
	Last      time.Time // last seen, UTC; zero if not said
	Line      int       // line number in the file, from 1; in JSON the number of the object
	Format    Format    // that it was read in
}

// Reason is why a line was skipped on purpose.
type Reason string

// The reasons.
const (
	SkipPath      Reason = "a URL with a path: not a claim about the whole host"
	SkipPattern   Reason = "a pattern, not a name"
	SkipException Reason = "an exception rule"
	SkipCosmetic  Reason = "a rule for parts of a page"
	SkipLimited   Reason = "a rule for some requests only"
	SkipLocal     Reason = "a hosts entry of the local machine"
	SkipPassthru  Reason = "a PASSTHRU policy"
	SkipTCPOnly   Reason = "a TCP-ONLY policy"
	SkipTrigger   Reason = "a trigger on clients or name servers"
	SkipZone      Reason = "a record of the zone itself"
	SkipOther     Reason = "an indicator that is neither name nor address"
	SkipHeader    Reason = "a column header"
	SkipContext   Reason = "an attribute that is not for detection"
)

// Malformed is one line that could not be read.
type Malformed struct {
	Line   int
	Text   string // the line's start, control characters escaped
	Reason string
}

// Report is what Read found in a file.
type Report struct {
	File      string
	Format    Format
	Lines     int // all lines
	Comments  int // blank lines and comments
	Used      int // lines that yielded a claim, or belong to a trigger that has
	Claims    int
	Malformed int
	First     []Malformed    // the first MaxMalformed of them
	Skipped   map[Reason]int // lines skipped on purpose

	Overruled      int      // claims of a policy zone that it has an exception to itself
	FirstOverruled []string // the first MaxMalformed of them
	NotTaken       []string // the first MaxMalformed triggers of a policy zone that are not taken
}

// Read reads a list and yields its claims in the order of the file. It stops
// with yield's error if that is not nil, with a *Refused if the file as a whole
// cannot be trusted to be a list, or with the reader's error. The report is
// never nil.
func Read(r io.Reader, o Options, yield func(Claim) error) (*Report, error) {
	rep := &Report{File: o.File, Format: o.Format, Skipped: map[Reason]int{}}
	lines := newLines(r)
	head, err := lines.head()
	if err != nil {
		return rep, err
	}
	if why := unreadable(head); why != "" {
		return rep, &Refused{Report: rep, Why: why, Empty: len(head) == 0}
	}
	if rep.Format == Auto {
		rep.Format = Detect(head)
	}
	p := &parser{o: o, rep: rep, yield: yield}
	if p.o.Scope == "" {
		p.o.Scope = defaultScope(rep.Format)
	}
	if rep.Format == Maltrail && p.o.Family == "" {
		base := path.Base(strings.ReplaceAll(o.File, `\`, "/"))
		p.o.Family = bounded(strings.TrimSuffix(base, path.Ext(base)), MaxFamily)
	}
	switch rep.Format {
	case JSON, MISP, STIX:
		err = p.runJSON(lines.r)
	default:
		err = p.run(lines)
	}
	if err != nil {
		return rep, err
	}
	if why := rep.garbage(); why != "" {
		return rep, &Refused{Report: rep, Why: why, Empty: rep.Comments == rep.Lines}
	}
	return rep, nil
}

func defaultScope(f Format) Scope {
	if f == Adblock || f == Maltrail {
		return Subtree
	}
	return Exact
}
