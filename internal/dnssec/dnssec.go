// Package dnssec verifies DNSSEC: pure functions over records, keys and time. It reads
// no clock, opens no socket and keeps no state but a memo of verified signatures, and it
// alone mints a Status other than "nobody has checked".
//
// # A chain of trust
//
// An iterating resolver drives it down the tree:
//
//	v := dnssec.New(dnssec.Config{})
//	keys, status := v.VerifyKeys(dns.Root, anchors, dnskeyResponse, now, work)
//	d := v.ProveDelegation(keys, child, referral, now, work)     // down one cut
//	keys, status = v.VerifyKeys(child, d.DS, dnskeyResponse, now, work)
//	a := v.VerifyAnswer(keys, &response, now, work)               // the end
//
// Keys are immutable, with public keys parsed; they may be cached by zone until
// Keys.Expires. A Work counts what one client's request has cost, over all zones and
// restarts, and is never reset.
//
// A bogus status names its Extended DNS Error (RFC 8914) and a reason in words.
//
// # Standards
//
// RFC 4033 to 4035, 5155, 6840; algorithms RSA/SHA-256 and RSA/SHA-512 (RFC 5702),
// ECDSA P-256 and P-384 (RFC 6605), Ed25519 (RFC 8080), RSA/SHA-1 if configured (RFC
// 9905); digests SHA-1, SHA-256 and SHA-384 (RFC 4509, RFC 6605); RFC 6672 on DNAME;
// RFC 9276 on NSEC3 iterations; RFC 9077 on TTLs.
//
// # Limits
//
// The constants MaxVerificationsPerRRset to MaxAliases bound what a zone's owner or
// somebody on the path can make the validator do. What exceeds one is bogus, save NSEC3
// iterations, which make a zone insecure if a signature vouches for their number.
//
// # Known faults
//
//   - Ed448 and GOST are not verified: zones signed by nothing else are insecure.
//   - RSA keys below 1024 or above 4096 bits, and exponents above 31 bits but 2^32+1, count as
//     not supported.
//   - That every algorithm of the DS set has signed each RRset is not demanded
//     (RFC 6840 §5.11 asks this of signers, not of validators).
//   - A proof by NSEC is not combined with one by NSEC3 within one denial, and of NSEC3
//     records those with the first one's parameters count alone.
//   - Synthesize denies; it does not answer out of wildcards (RFC 8198 §5.3).
package dnssec
