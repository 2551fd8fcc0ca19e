// Package ledger is the public log as a reader sees it: the format of its
// entries, the proofs, and the state that its entries add up to. It depends on
// nothing else of the project, so that an auditor may take it alone.
//
// # The log
//
// The log is a C2SP tile log (https://c2sp.org/tlog-tiles): static files, whose
// tip is a signed checkpoint (https://c2sp.org/tlog-checkpoint). Its n-th leaf
// is entry n, counted from 0.
//
// # Entries
//
// An entry is one JSON object in canonical form (RFC 8785): members sorted, no
// blanks, the shortest escapes. Parse refuses what is not exactly that, and
// also an unknown member, an unknown kind, a member that the kind does not take
// and one that it lacks. There is one encoding of an entry and no second
// reading of it. What each kind takes:
//
//	list    kind time, a subject, clause policy evidence; case note may be there
//	delist  kind time, a subject, cause; clause policy evidence case note may be there
//	policy  kind time policy version bytes; title document note may be there
//	source  kind time source group claims status; title location license format interval note may be there
//	case    kind time case status; a subject, listing cause clause policy evidence note may be there
//	epoch   kind time size digest bytes count; map may be there
//
// A subject is scope with one of:
//
//	name                what is listed, with scope "exact" or "subtree"
//	prefix              addresses, with scope "prefix"
//	commitment and salt a name that is not told, with scope "exact" or "subtree" (see Commit)
//
// The members:
//
//	bytes       length in octets of the document (policy) or of the compiled list (epoch)
//	case        token: the case's public identity
//	cause       token: why a listing ended, or what a case asks
//	claims      array of tokens, sorted: the kinds of evidence that a source gives
//	clause      token: the clause of the policy that decides
//	commitment  digest: see Commit
//	count       listings in the compiled list
//	digest      digest of the compiled list
//	document    the policy itself
//	evidence    array of objects with family, first, kind, last, reference, source; kind and source are required
//	format      token: how a source's data is written
//	group       token: sources of one group count as one witness
//	interval    seconds between two readings of a source
//	kind        what the entry is
//	license     the source's licence, an SPDX expression where there is one
//	listing     the entry that a case is about
//	location    where a source is read from
//	map         digest: the root of a verifiable map over the compiled list
//	name        presentation form in lower case, without the trailing dot
//	note        a sentence for people
//	policy      digest of the policy's document
//	prefix      an address prefix, without host bits
//	salt        32 hexadecimal digits: see Commit
//	scope       "exact", "subtree" or "prefix"
//	size        entries of the log that the list was compiled from
//	source      token: the source's identity
//	status      token: the state of a source or of a case after this entry
//	time        UTC in whole seconds, as 2026-01-02T03:04:05Z
//	title       a headline for people
//	version     token: the policy's version
//
// A digest is SHA-256 in 64 lower-case hexadecimal digits. A token is 1 to
// MaxToken characters of a-z 0-9 and . _ - + / : and begins with a letter or a
// digit. Numbers are whole, from 0 to 2⁵³−1. Text is UTF-8 without control
// characters; document and note may hold tabs and line feeds.
//
// # Limits
//
// A new member or kind is a new release of this package: an older auditor
// stops at such an entry and says so, and never skips what it cannot judge.
// The time in an entry is the operator's word; only the order of entries is proved.
package ledger
