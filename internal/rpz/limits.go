package rpz

import "time"

const (
	// MaxJournal is how many of the log's last entries IXFR reaches back, and the most
	// changes that the journal holds: some 10 MB. A day of a busy list is a few thousand.
	MaxJournal = 1 << 16

	// MaxConnections is how many TCP connections are held at a time, of all sources.
	MaxConnections = 64

	// MaxConnectionsEach is how many of them one address may have. A secondary uses one;
	// BIND up to two a primary (transfers-per-ns).
	MaxConnectionsEach = 8

	// MaxTransfers is how many zones are sent at a time; others wait for their turn. A
	// transfer takes a processor as long as it lasts.
	MaxTransfers = 2

	// MaxRequest is the longest request, in octets: a question, a SOA record and a TSIG
	// record whose names are all of the longest are below 2,000.
	MaxRequest = 4096

	// MaxRequests is how many requests one connection carries.
	MaxRequests = 128

	// requestTime bounds the wait for the whole of a connection's next request.
	requestTime = 10 * time.Second

	// writeTime bounds how long one message of a transfer waits for its reader.
	writeTime = 30 * time.Second

	// transferTime bounds one transfer, its wait for its turn included. At 1 MB/s a zone
	// of a million subtrees takes two minutes.
	transferTime = 15 * time.Minute

	// maxDatagram is the longest request over UDP, and the longest reply (RFC 9715: 1232
	// and 1400 are never fragmented).
	maxDatagram = 1232

	// messageFill is how many octets of records are put in one message of a transfer, as
	// they are before compression: what follows them always fits into the 65,535.
	messageFill = 48 << 10

	// maxShown is how many names a line of the log holds.
	maxShown = 10

	// maxOrigin is the longest name of a zone, in octets of wire form.
	maxOrigin = 128

	// MaxRecords and MaxOctets bound a vendor's zone, and what one transfer of it sends. The
	// largest that are sold have some ten million records.
	MaxRecords = 16 << 20
	MaxOctets  = 1 << 30

	maxTTL = 24 * time.Hour

	// scanStep is how many names or entries are read before the processor is left to
	// others for scanPause: serving queries comes first.
	scanStep  = 4096
	scanPause = 100 * time.Microsecond
)

// The retransmission of NOTIFY: five times, as RFC 1996 §3.6 has it, each wait twice the
// one before.
const (
	notifyTries = 5
	notifyWait  = 2 * time.Second
)
