package sinkhole

import "time"

// What a stranger can drive. The numbers are this package's own unless a source is named.
const (
	// MaxConnections are open at one time. One more ends the oldest of the network that
	// has the most, so that a new one is never the one to wait. With a goroutine and its
	// buffers each is about 5 KiB (measured): 15 MiB in all.
	MaxConnections = 3072
	// sourceConnections are open at one time of one network; one more ends its oldest.
	sourceConnections = 1024
	// sourceSlots is in how many places networks are counted.
	sourceSlots = 4096
	// sourceCaptures a minute are kept of one network: the others are counted alone.
	sourceCaptures = 120

	// MaxRead octets are read of a connection: more than any first message of a protocol
	// that people look into (a TLS record is at most 16 KiB, RFC 8446 section 5.1).
	MaxRead = 16 << 10
	// MaxPrefix octets are kept of a connection or datagram: a TLS ClientHello without
	// post-quantum key shares, an HTTP request's head, an SMB negotiation.
	MaxPrefix = 512
	// Lifetime is how long a connection lasts at most, from when it was accepted, but for its
	// share of Spread.
	Lifetime = 10 * time.Second
	// Patience is how long a reply waits for the peer to speak. A client sends its request
	// with or right after the handshake's last segment; one that finds a response before
	// it has asked may throw it away, and what it would have said is lost.
	Patience = 200 * time.Millisecond
	// Spread is over how long ends that would come together are spread: MaxConnections of 30 µs
	// each are then a tenth of a processor's time.
	Spread      = time.Second
	spreadSteps = 1024
	// MaxReply octets are one port's constant reply: with them in the first window
	// (RFC 6928) sending does not wait for the peer.
	MaxReply = 14 << 10
	// maxReads is how often a connection is read from, so that one octet at a time does
	// not cost more than MaxRead in larger pieces would.
	maxReads = 64

	// maxPending octets of captures wait for the disk, in each of two buffers: about 1,800
	// captures of full length. Half of them are written without waiting for flushEvery.
	maxPending = 1 << 20
	// segmentSize is when a new segment is begun, in octets.
	segmentSize = 16 << 20
	// maxSegments are kept, however small.
	maxSegments = 8192
	// segmentAge is when a new segment is begun, so that retention holds within a day.
	segmentAge = 24 * time.Hour
	// flushEvery is how often captures go to disk, countEvery how often counts do.
	flushEvery = time.Second
	countEvery = time.Minute

	// DefaultDisk and DefaultRetain bound what is kept where nothing is configured.
	DefaultDisk   = 1 << 30
	DefaultRetain = 30 * 24 * time.Hour
)
