// Package sequence is the log's only writer. It appends entries to a C2SP tile
// log, with Tessera's POSIX driver in a folder or its MySQL driver in a database,
// and returns once a durable signed checkpoint covers them.
//
// # The folder
//
//	key      the log's signing key (a note key, mode 0600); made on the first run
//	key.pub  its verifier key, for whoever reads the log
//	signed   a checkpoint that witnesses were asked to cosign, as long as too few have
//	storage  names the database that keeps the log, if one does
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
// leaves the log at the end of some window (TestKill kills as many writers as -kills says). Open signs a checkpoint for what is
// there, and where the driver's own state is lost or does not fit the
// checkpoint, it is made anew from the checkpoint and the tiles.
//
// The driver stores and does not sign. A checkpoint is signed here, once the tiles
// prove that it continues the last one that was signed, as long as that one's file is
// there to tell. A log folder that is restored from an older backup forks the log: its readers
// will say so. Restore from a mirror that has the newest checkpoint instead.
//
// # Witnesses
//
// With Config.Witnesses a checkpoint is shown to them before it is published, and is
// published with their cosignatures. Too few of them: its entries stay stored, nobody sees
// them, and nothing more is stored until enough have cosigned, who are asked by each Open
// and Append; or with Config.WithoutWitnesses, it is published at once with the
// cosignatures that came, Uncosigned says so, and the next Open asks for the others. That
// trades the proof that everybody is shown one log for a list that does not stand still: a
// delisting, too, waits for witnesses. A witness that says that it has seen another log is
// never passed over, whatever was chosen: there is a fork, or a log that was restored from
// an old backup. What is signed for witnesses is kept in signed before they see it,
// so that a crash or a lost driver state cannot lead to a second history.
//
// # A database
//
// With Config.Database, MySQL or MariaDB keeps entries and tiles, in the tables of
// Tessera's driver, which are made where they are missing, and the checkpoint that was
// published last. The folder log/ then is a copy: what an Append stored is copied into
// it and synced, each entry verified against its tile, before the checkpoint over it is
// signed. So readers, web servers and mirrors find the same static files, and another
// machine goes on with the database and a copy of key alone. A writer holds a lock
// of the server (GET_LOCK) beside the folder's.
//
// What of Tessera's driver is not used, and why: it publishes at most one checkpoint a
// second, holds the tables' locks while witnesses are asked, and asks them with an HTTP
// client without limits. Checkpoints are this package's, as they are with the POSIX driver.
//
// A server with innodb_flush_log_at_trx_commit other than 1 is refused. A backup that is
// older than what was published is refused as long as log/ or a witness is there to tell.
// A bundle is one value of up to 16 MiB: max_allowed_packet has to be larger than 256 of
// the longest entries take together, or such an Append fails as a whole. After a server's
// failover to a replica that lacks the last commits, the same refusal says so.
//
// # Limits
//
// One writer at a time, on one machine: the lock is flock(2), which network file
// systems may not keep. The driver needs a POSIX file system; on Windows a log
// can be read and not written. An Append in one process makes readers in others
// wait for nothing: they see the old checkpoint or the new one.
package sequence
