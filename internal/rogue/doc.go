// Package rogue is a QUIC client that breaks the rules: it shakes hands as others do (RFC 9000,
// RFC 9001) and then sends whatever frames it is told, as fast as it can. It is for tests of what
// strangers can do to a server, and for floods of a server of one's own. [Records] does likewise to TLS.
//
// # Limits and known faults
//
// QUIC version 1, with cipher suites of AES-GCM. Frames of the server's are read as far as a handshake
// and the counts of [Seen] need; there is no retransmission, so that it belongs on loopback. Of keys
// nothing is kept secret.
package rogue
