// Package dns reads and writes DNS messages: names, types, records, EDNS. It is pure:
// octets in, values out, and the other way round.
//
// There are two ways in and one way out:
//
//   - Query.Parse reads a client's request on the hot path. It allocates nothing and
//     keeps nothing of the packet.
//   - Message.Unpack reads any message whole: what an upstream replied, what a client
//     or a test looks at.
//   - Builder writes a message into the caller's buffer, compressed, and allocates
//     nothing; Message.Append stands on it. A reply that is kept in wire form is made
//     fit for another query by TTLOffsets and the Put functions.
//
// # Format
//
// RFC 1035 with RFC 6891 (EDNS(0)), 7873 (cookies), 7828 (keepalive), 7830 (padding),
// 5001 (NSID), 8914 (extended errors), 9460 (SVCB, as far as addresses go) and
// 9619 (one question). RDATA is opaque, but for a table that says which octets of
// which types are names (RFC 3597 §4) and which of them are put into lower case in
// canonical form (RFC 4034 §6.2, RFC 6840 §5.1). RDATA that does not match its type's
// row, by an octet too many or too few, makes the message malformed.
//
// # Limits
//
// A name has 255 octets, a message 65535, an OPT record MaxOptions options. A
// compression pointer must lead backwards and not into the header, and a name may have
// 126 of them: RFC 9267 tells what becomes of parsers that ask for less. Header counts
// allocate nothing before the octets that they promise are known to be there. An
// unpacked record takes at most about a hundred times its octets in the packet,
// for its names decompressed.
//
// # Known faults
//
//   - The table of RDATA does not ask for the class: an A record of class CH, which has
//     another form (RFC 1035 §3.4.1 is of IN only), is malformed.
//   - A6, HIP, IPSECKEY and AMTRELAY are opaque; A6's canonical form is therefore not
//     that of RFC 4034 §6.2.
//   - A request without a question that asks for a cookie (RFC 7873 §5.4) is malformed.
//   - Where a reply is patched to repeat the case of a question, a name in RDATA that
//     points to the question takes that case too.
package dns
