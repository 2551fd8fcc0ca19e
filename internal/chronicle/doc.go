// Package chronicle is the list's life as a log tells it: how large it was on which day,
// what came and went by which clause, which policies were in force, what became of cases.
// It also finds names on the list by how they begin, and by what they are below.
//
// # What is kept
//
// [Chronicle] is fed with a log's entries in order, each once, and keeps sums: one for each
// day, clause, family and source, of which there are at most as many as limits.go says; what
// is over is summed up under one name. Of each subject that is listed it keeps twelve octets
// (a keyed hash, its clause and its family), so that a delisting can be taken off the right
// sum. It keeps no entry: those are read from the log, where they can be proved.
//
// [Index] orders a compiled list's names by how they are written: four octets a name, beside
// the list. What was listed since it was made is beside it, in order; what was delisted since
// is asked of the list in force. It is made anew when there is much of that.
//
// # Limits and known faults
//
//   - A day is by the entries' own times, which are the operator's word. A time before that of
//     an earlier entry counts as the earlier one's.
//   - Two subjects whose hashes of 64 bits are equal count as one: among a million, with a
//     probability of 3 in 100 million.
//   - Names that are not told (commitments) are counted, and cannot be found.
//   - All of it is in memory and read from the log at each start: some fifteen
//     seconds of a processor's time for a million listings, in slices between which others run.
package chronicle
