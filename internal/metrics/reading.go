package metrics

import "time"

// Reading is how a resolver stands. Counts are since its start.
type Reading struct {
	Version string
	Unready string // why the filtered view cannot answer; "": it can

	Sockets []Sockets // in an order that stays
	Views   []View
	Cache   Cache
	Resolve Resolve
	List    List
	Sources []Source // of evidence
	Held    bool     // a change of the list waits for a person
	Follow  []Follow // the logs that are followed; none: the log is one's own
}

// Sockets are what one kind of socket of one view has taken.
type Sockets struct {
	View, Transport string // such as filtered and udp
	Outcomes        []Outcome
	Unsent          uint64 // replies that the system did not take
	Conns, NoPlace  uint64 // connections that were accepted, and closed because there was no place for them
}

// Outcome is how often something became of a query.
type Outcome struct {
	Name  string
	Count uint64
}

// View is one of the two views.
type View struct {
	Name     string
	Filtered uint64 // answers in which a listing decided
}

// Cache is the cache of both views.
type Cache struct {
	Bytes, Entries, Puts, Evicted uint64
}

// Resolve is what was asked of others.
type Resolve struct {
	Requests, Queries, Verifications, Failures, Hashes, Synthesised uint64
	Refreshed, Dropped                                              uint64 // in the background
	Zones, Servers, Trusts, Failed, Open                            int    // entries of bounded tables
}

// List is the list in force, or what the lists of several logs add up to.
type List struct {
	Listings, Bytes uint64
	Size            uint64    // entries of the log that it was compiled from; 0 where it is of several logs
	Time            time.Time // of its epoch entry, the oldest of several; zero: not known
}

// Source is one source of evidence.
type Source struct {
	ID       string
	Failures uint64 // readings that failed in a row
	Claims   uint64
	Read     time.Time // when it was last read whole; zero: never
}

// Follow is a log that is followed.
type Follow struct {
	Log      string   // its name
	Kind     string   // how it stands
	Kinds    []string // all that it can be
	Alarm    bool     // a person should look
	Size     uint64   // entries of the newest checkpoint that was accepted
	Seen     time.Time
	Forks    int
	Damaged  int // checkpoints that were damaged on this machine and are kept
	Fails    uint64
	Listings uint64    // of its list in force
	Time     time.Time // of that list's epoch entry; zero: there is none
}
