package ledger

import "math/bits"

// member is one member of an entry's object, in the order in which RFC 8785
// §3.2.3 sorts them.
type member uint8

const (
	mBytes member = iota
	mCase
	mCause
	mClaims
	mClause
	mCommitment
	mCount
	mDigest
	mDocument
	mEvidence
	mFormat
	mGroup
	mInterval
	mKind
	mLayout
	mLicense
	mListing
	mLocation
	mMap
	mName
	mNote
	mPolicy
	mPrefix
	mSalt
	mScope
	mSize
	mSource
	mStatus
	mTime
	mTitle
	mVersion
	members // how many there are
)

// memberName is the member as it is written.
func memberName(m member) string {
	return [members]string{
		"bytes", "case", "cause", "claims", "clause", "commitment", "count", "digest",
		"document", "evidence", "format", "group", "interval", "kind", "layout", "license", "listing",
		"location", "map", "name", "note", "policy", "prefix", "salt", "scope", "size",
		"source", "status", "time", "title", "version",
	}[m]
}

// memberOf finds a member by its name.
func memberOf(name []byte) (member, bool) {
	switch string(name) {
	case "bytes":
		return mBytes, true
	case "case":
		return mCase, true
	case "cause":
		return mCause, true
	case "claims":
		return mClaims, true
	case "clause":
		return mClause, true
	case "commitment":
		return mCommitment, true
	case "count":
		return mCount, true
	case "digest":
		return mDigest, true
	case "document":
		return mDocument, true
	case "evidence":
		return mEvidence, true
	case "format":
		return mFormat, true
	case "group":
		return mGroup, true
	case "interval":
		return mInterval, true
	case "kind":
		return mKind, true
	case "layout":
		return mLayout, true
	case "license":
		return mLicense, true
	case "listing":
		return mListing, true
	case "location":
		return mLocation, true
	case "map":
		return mMap, true
	case "name":
		return mName, true
	case "note":
		return mNote, true
	case "policy":
		return mPolicy, true
	case "prefix":
		return mPrefix, true
	case "salt":
		return mSalt, true
	case "scope":
		return mScope, true
	case "size":
		return mSize, true
	case "source":
		return mSource, true
	case "status":
		return mStatus, true
	case "time":
		return mTime, true
	case "title":
		return mTitle, true
	case "version":
		return mVersion, true
	}
	return 0, false
}

// set is a set of members.
type set uint32

func (s set) has(m member) bool { return s>>m&1 != 0 }

// first is the first member of a set that is not empty.
func (s set) first() member {
	return member(bits.TrailingZeros32(uint32(s)))
}

const (
	subjectMembers  set = 1<<mScope | 1<<mName | 1<<mPrefix | 1<<mCommitment | 1<<mSalt
	reasonMembers   set = 1<<mClause | 1<<mPolicy | 1<<mEvidence
	listRequired    set = 1<<mKind | 1<<mTime | 1<<mScope | reasonMembers
	delistRequired  set = 1<<mKind | 1<<mTime | 1<<mScope | 1<<mCause
	policyRequired  set = 1<<mKind | 1<<mTime | 1<<mPolicy | 1<<mVersion | 1<<mBytes
	sourceRequired  set = 1<<mKind | 1<<mTime | 1<<mSource | 1<<mGroup | 1<<mClaims | 1<<mStatus
	caseRequired    set = 1<<mKind | 1<<mTime | 1<<mCase | 1<<mStatus
	epochRequired   set = 1<<mKind | 1<<mTime | 1<<mSize | 1<<mDigest | 1<<mBytes | 1<<mCount | 1<<mLayout
	listPermitted   set = listRequired | subjectMembers | 1<<mCase | 1<<mNote
	delistPermitted set = delistRequired | subjectMembers | reasonMembers | 1<<mCase | 1<<mNote
	policyPermitted set = policyRequired | 1<<mTitle | 1<<mDocument | 1<<mNote
	sourcePermitted set = sourceRequired | 1<<mTitle | 1<<mLocation | 1<<mLicense | 1<<mFormat | 1<<mInterval | 1<<mNote
	casePermitted   set = caseRequired | subjectMembers | reasonMembers | 1<<mListing | 1<<mCause | 1<<mNote
	epochPermitted  set = epochRequired | 1<<mMap
)

// shape is what an entry of a kind must and may hold.
func shape(k Kind) (required, permitted set, ok bool) {
	switch k {
	case KindList:
		return listRequired, listPermitted, true
	case KindDelist:
		return delistRequired, delistPermitted, true
	case KindPolicy:
		return policyRequired, policyPermitted, true
	case KindSource:
		return sourceRequired, sourcePermitted, true
	case KindCase:
		return caseRequired, casePermitted, true
	case KindEpoch:
		return epochRequired, epochPermitted, true
	}
	return 0, 0, false
}
