// Package sequence is the log's only writer. It appends entries to a C2SP tile
// log in a folder, with Tessera's POSIX driver, and returns once a durable
// signed checkpoint covers them.
//
// # The folder
//
//	key      the log's signing key (a note key, mode 0600); made on the first run
//	key.pub  its verifier key, for whoever reads the log
//	lock     held while a writer is open
//	log/     the log: static files, to be served as they are
//
// Only log/ may be published. Its .state folder is the driver's own, and says
// nothing that is not public.
//
// # What a crash leaves
//
// Entries go in by windows. A window is in the log whole or not at all, and
// only after the one before it; what Append acknowledged is under a checkpoint
// that is on disk. A process that is killed, or a machine that loses power,
// leaves the log at the end of some window. Open signs a checkpoint for what is
// there, and where the driver's own state is lost or does not fit the
// checkpoint, it is made anew from the checkpoint and the tiles.
//
// The signer itself refuses to sign a smaller tree than it has signed, or
// another one of the same size, as long as the checkpoint file is there to tell.
// A log folder that is restored from an older backup forks the log: its readers
// will say so. Restore from a mirror that has the newest checkpoint instead.
//
// # Limits
//
// One writer at a time, on one machine: the lock is flock(2), which network file
// systems may not keep. The driver needs a POSIX file system; on Windows a log
// can be read and not written. An Append in one process makes readers in others
// wait for nothing: they see the old checkpoint or the new one.
package sequence
