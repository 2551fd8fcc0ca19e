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
// # Witnesses
//
// Witnesses cosign a checkpoint (https://c2sp.org/tlog-cosignature) once they have seen that
// it continues the one before. Which of them it takes is a [WitnessPolicy], written as
// https://c2sp.org/tlog-policy has it; its Check tells who cosigned a checkpoint, and whether
// that is enough.
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
//	epoch   kind time size digest bytes count layout; map may be there
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
//	layout      version of the format of the compiled list, from 1 to MaxLayout: the digest says
//	            something only to who compiles in the same one
//	license     the source's licence, an SPDX expression where there is one
//	listing     the entry that a case is about
//	location    where a source is read from
//	map         digest: the root of a verifiable map over the compiled list, see Maps
//	name        presentation form in lower case, without the trailing dot
//	note        a sentence for people
//	policy      digest of the policy's document
//	prefix      an address prefix, without host bits
//	salt        32 hexadecimal digits, not all zero: see Commit. Of what is listed at a time, no more than
//	            MaxSalts salts can be compiled into a list: a log has one, and another one while it changes
//	scope       "exact", "subtree" or "prefix"
//	size        entries of the log that the list was compiled from
//	source      token: the source's identity
//	status      token: the state of a source or of a case (see CaseReceived) after this entry
//	time        UTC in whole seconds, as 2026-01-02T03:04:05Z
//	title       a headline for people
//	version     token: the policy's version
//
// A digest is SHA-256 in 64 lower-case hexadecimal digits. A token is 1 to
// MaxToken characters of a-z 0-9 and . _ - + / : and begins with a letter or a
// digit. Numbers are whole, from 0 to 2⁵³−1. Text is UTF-8 without control
// characters; document and note may hold tabs and line feeds.
//
// # Maps
//
// A map answers whether a subject is listed, with a proof either way, to whoever shows
// only a few bits of a hash. It is a function of what is listed at an epoch. Its root
// is the SHA-256 of its head, which is a text of these lines, each ended by a line feed:
//
//	shoji map 1
//	size N      entries of the log that the list was compiled from
//	count N     listings
//	pages N     of the map: the least power of two that leaves 1024 to a page on average, up to 65536
//	wide N      listings whose group is themselves: a name of one label, a prefix shorter than a group's
//	salt HEX    for each salt of commitments, ascending; none is all zero
//	tree HEX    root of the tree of pages
//
// A subject's key is 16 octets: octets 2 to 15 of SHA-256(salt ‖ scope ‖ 0 ‖ subject), and the
// first two of SHA-256("group" ‖ 0 ‖ group). The salt is 16 zero octets for what is told; scope is
// the word; the subject is the name or prefix as an entry writes it. The group is the name's last two
// labels, or its one; of a prefix the /16 (IPv4) or /32 (IPv6) that it is in, 0.0.0.0/0 or ::/0
// if it is shorter. A commitment has the same octets, from 0 on with the group's first, so that its key
// can be taken from it.
//
// A page holds the subjects whose group's two octets, as a number with the highest bit first, begin
// with the page's number: of 1024 pages, page 3 those that begin with 0000000011. So all listings that
// could filter a name are in one page, the name's, unless there are wide ones, which are in the pages
// of their own groups. Records of 24 octets, the key and the entry number with its highest octet first,
// stand in ascending order. A page of n records has the least power of two of buckets that leaves 16 to a
// bucket on average; a record's is the first bits of its key.
//
// Trees are those of RFC 6962 over a power of two of leaves. A bucket's leaf is its records. A page's leaf is n in
// 8 octets and the root of the tree of its buckets. Over HTTP, below the log's address:
//
//	map/current      {"epoch": N, "map": ROOT}: the last epoch entry, which the reader verifies by the log
//	map/ROOT/head    the head
//	map/ROOT/PAGE    a page: the hashes that lead from its leaf to the root of the tree of
//	                 pages, 32 octets each, and then its records
//
// A browser needs SHA-256 and no more: hash the group, fetch the page, look for the keys of the name with
// scope exact and of it and each name above it, down to two labels, with scope subtree; then the same with
// each salt of the head. To verify, hash the buckets to the page's leaf and that to the tree. A proof for one
// key (MapPage.Prove) is n, the same hashes, those from the bucket to the root of the page's tree, and
// the bucket's records: under 2 kB for a million names.
//
// Who serves a page learns that somebody asks for a name of one of the groups in it, and neither
// which nor whether it is listed: docs/verification.md says what that is worth.
//
// # Limits
//
// A new member or kind is a new release of this package: an older auditor
// stops at such an entry and says so, and never skips what it cannot judge.
// The time in an entry is the operator's word; only the order of entries is proved.
package ledger
