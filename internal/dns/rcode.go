package dns

import "strconv"

// RCode is a response code, 12 bits with EDNS (RFC 6895 §2.3, RFC 6891 §6.1.3).
type RCode uint16

const (
	RCodeSuccess        RCode = 0
	RCodeFormatError    RCode = 1
	RCodeServerFailure  RCode = 2
	RCodeNameError      RCode = 3
	RCodeNotImplemented RCode = 4
	RCodeRefused        RCode = 5
	RCodeYXDomain       RCode = 6
	RCodeYXRRSet        RCode = 7
	RCodeNXRRSet        RCode = 8
	RCodeNotAuth        RCode = 9
	RCodeNotZone        RCode = 10
	RCodeDSOTypeNI      RCode = 11 // RFC 8490
	RCodeBadVers        RCode = 16
	RCodeBadCookie      RCode = 23 // RFC 7873
)

// String is the mnemonic that dig prints, RCODEn where there is none.
func (r RCode) String() string {
	switch r {
	case RCodeSuccess:
		return "NOERROR"
	case RCodeFormatError:
		return "FORMERR"
	case RCodeServerFailure:
		return "SERVFAIL"
	case RCodeNameError:
		return "NXDOMAIN"
	case RCodeNotImplemented:
		return "NOTIMP"
	case RCodeRefused:
		return "REFUSED"
	case RCodeYXDomain:
		return "YXDOMAIN"
	case RCodeYXRRSet:
		return "YXRRSET"
	case RCodeNXRRSet:
		return "NXRRSET"
	case RCodeNotAuth:
		return "NOTAUTH"
	case RCodeNotZone:
		return "NOTZONE"
	case RCodeDSOTypeNI:
		return "DSOTYPENI"
	case RCodeBadVers:
		return "BADVERS"
	case RCodeBadCookie:
		return "BADCOOKIE"
	}
	return "RCODE" + strconv.Itoa(int(r))
}

// ErrorCode is the INFO-CODE of an Extended DNS Error (RFC 8914 §4 and the IANA
// registry "Extended DNS Error Codes").
type ErrorCode uint16

const (
	EDEOther                       ErrorCode = 0
	EDEUnsupportedDNSKEYAlgorithm  ErrorCode = 1
	EDEUnsupportedDSDigestType     ErrorCode = 2
	EDEStaleAnswer                 ErrorCode = 3
	EDEForgedAnswer                ErrorCode = 4
	EDEDNSSECIndeterminate         ErrorCode = 5
	EDEDNSSECBogus                 ErrorCode = 6
	EDESignatureExpired            ErrorCode = 7
	EDESignatureNotYetValid        ErrorCode = 8
	EDEDNSKEYMissing               ErrorCode = 9
	EDERRSIGsMissing               ErrorCode = 10
	EDENoZoneKeyBitSet             ErrorCode = 11
	EDENSECMissing                 ErrorCode = 12
	EDECachedError                 ErrorCode = 13
	EDENotReady                    ErrorCode = 14
	EDEBlocked                     ErrorCode = 15
	EDECensored                    ErrorCode = 16
	EDEFiltered                    ErrorCode = 17
	EDEProhibited                  ErrorCode = 18
	EDEStaleNXDOMAINAnswer         ErrorCode = 19
	EDENotAuthoritative            ErrorCode = 20
	EDENotSupported                ErrorCode = 21
	EDENoReachableAuthority        ErrorCode = 22
	EDENetworkError                ErrorCode = 23
	EDEInvalidData                 ErrorCode = 24
	EDESignatureExpiredBeforeValid ErrorCode = 25 // "Signature Expired before Valid"
	EDETooEarly                    ErrorCode = 26 // RFC 9250
	EDEUnsupportedNSEC3Iterations  ErrorCode = 27 // RFC 9276
	EDEPolicyNotMet                ErrorCode = 28 // "Unable to conform to policy"
	EDESynthesized                 ErrorCode = 29
	EDEInvalidQueryType            ErrorCode = 30 // RFC 9824
)

// errorNames is read only.
var errorNames = [...]string{
	EDEOther:                       "Other Error",
	EDEUnsupportedDNSKEYAlgorithm:  "Unsupported DNSKEY Algorithm",
	EDEUnsupportedDSDigestType:     "Unsupported DS Digest Type",
	EDEStaleAnswer:                 "Stale Answer",
	EDEForgedAnswer:                "Forged Answer",
	EDEDNSSECIndeterminate:         "DNSSEC Indeterminate",
	EDEDNSSECBogus:                 "DNSSEC Bogus",
	EDESignatureExpired:            "Signature Expired",
	EDESignatureNotYetValid:        "Signature Not Yet Valid",
	EDEDNSKEYMissing:               "DNSKEY Missing",
	EDERRSIGsMissing:               "RRSIGs Missing",
	EDENoZoneKeyBitSet:             "No Zone Key Bit Set",
	EDENSECMissing:                 "NSEC Missing",
	EDECachedError:                 "Cached Error",
	EDENotReady:                    "Not Ready",
	EDEBlocked:                     "Blocked",
	EDECensored:                    "Censored",
	EDEFiltered:                    "Filtered",
	EDEProhibited:                  "Prohibited",
	EDEStaleNXDOMAINAnswer:         "Stale NXDOMAIN Answer",
	EDENotAuthoritative:            "Not Authoritative",
	EDENotSupported:                "Not Supported",
	EDENoReachableAuthority:        "No Reachable Authority",
	EDENetworkError:                "Network Error",
	EDEInvalidData:                 "Invalid Data",
	EDESignatureExpiredBeforeValid: "Signature Expired before Valid",
	EDETooEarly:                    "Too Early",
	EDEUnsupportedNSEC3Iterations:  "Unsupported NSEC3 Iterations Value",
	EDEPolicyNotMet:                "Unable to conform to policy",
	EDESynthesized:                 "Synthesized",
	EDEInvalidQueryType:            "Invalid Query Type",
}

// String is the code's name in the registry, EDEn where it has none.
func (c ErrorCode) String() string {
	if int(c) < len(errorNames) {
		return errorNames[c]
	}
	return "EDE" + strconv.Itoa(int(c))
}
