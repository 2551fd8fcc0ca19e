// Package sinkhole answers what filtered names lead to: malware that calls home,
// people whose browser was sent the same way, and whoever pretends to be either. It
// interprets nothing.
//
// The invariant: no octet that was received steers a branch. What a connection is
// answered, and every step that is taken with it, is a function of its port, of how
// many octets came, and of time. Received octets lie in a type of their own ([octets]),
// which counts, keeps the first ones, and hashes them. Tests hold it: the steps taken
// for fuzzed inputs equal those for zero octets in pieces of the same lengths; no
// condition and no index in the sources mentions received octets; and what the package
// may import is a list without a parser. The one parser is that of the package's own
// files ([ReadSegment]), which the running sinkhole does not call.
//
// # What a connection meets
//
// TCP: the port's constant reply, if it has one, is sent when the first octets came or
// [Patience] is over; the sending side is closed; up to [MaxRead] octets are read and counted until the peer is done or
// [Lifetime] is over, both times with a share of [Spread] that goes by the connections before it; the connection is closed. Reading after the reply is what lets
// the peer see it: to close a connection that has unread octets is to reset it. A port
// may be set to close instead, which reads nothing. UDP: octets are counted and kept,
// and nothing is ever sent, since a datagram's source can be forged.
//
// The page for people ([Page]) is one HTTP response without a parser behind it, whatever
// was asked: English and Japanese, without external resources, under a Content Security
// Policy that names its style and its script by hash. The script adds the page's host
// name, which only the visitor's browser knows, to the desk's look-up address.
//
// # What is kept
//
// A capture holds the time, the transport, the IP version, the destination port, the
// number of octets, the first [MaxPrefix] of them, and their SHA-256. Captures and
// per-minute counts go to segments: files that are only appended to, in frames of a
// length, a CRC-32C and a body ([AppendFrame]). A tail that a crash tore is told apart
// and left out; a new run starts a new segment. The oldest segments are removed when
// the total is over [Config.Disk], and every one when [Config.Retain] is over since it
// was begun, a day later at most. The folder is one process's, by a lock on it, and holds nothing else.
//
// Addresses of clients are not kept, unless [Config.Networks] keeps a /24 or /48 of them. For fairness, open connections and captures of the last minute
// are counted by network (/24, /48) in [sourceSlots] places, chosen by a keyed hash, in
// memory. Distinct sources are estimated by a HyperLogLog sketch over a keyed digest;
// key and sketch are thrown away when the day ends (UTC), and the number is what stays.
//
// # Confinement
//
// [Confine], on Linux, once sockets and folder are open: no capabilities, no new
// privileges, Landlock (nothing but the folder can be opened; no TCP connect or bind),
// seccomp (a list of what the program needs; to make a socket, connect, send to an
// address, trace or execute ends the process). On other systems it says that there is none.
//
// # Limits and known faults
//
//   - Over an nftables redirect, TCP is recorded by the port that was asked for
//     (SO_ORIGINAL_DST, Linux); UDP by the port it was redirected to, because the
//     system does not tell the other one.
//   - The estimate of distinct sources is within about 2 %, 5 % at worst in practice,
//     and starts anew with each run.
//   - Networks that share a place in the fairness table share its bounds.
//   - Captures go to disk once a second: a crash loses the last second's.
//   - On Windows nothing keeps two processes from sharing a folder.
package sinkhole
