// Package desk is what the public sees: whether a name is filtered and why, the list and
// its life, the policy, the log and how to verify it, how to opt out, and what the sinkhole
// keeps. It adds its pages to a [web.Site]; pages where people appeal, and those of the
// staff, are other packages'.
//
// # Pages
//
//	/                      the look-up's form, and the list in figures
//	/lookup?name=NAME      what is known of a name or an address; /lookup#NAME looks it up in
//	                       the browser
//	/lookup/among?n=N&n=…  list entries, for a browser that looks for one of them
//	/entry/N               entry N of the log, for people, with its proof of inclusion
//	/list?q=TEXT           the list: search, charts, sources
//	/changes               what came and went, latest first; /changes.atom, /changes.json
//	/policy, /policy/N     the policy in force, and the one of entry N; its history
//	/policy/N/changes      what it changed of the one before
//	/log                   the log's checkpoint and how to verify it; below are its files
//	/opt-out               how to leave, and who can see that
//	/sinkhole              what filtered names lead to, and what that keeps
//
// /lookup, /entry/N, /list, /policy, /policy/N, /log, /opt-out and /sinkhole are there for machines too, with .json
// behind; their errors are JSON then.
//
// # Where it comes from
//
// The list in force is [Desk.Swap]'s; the rest is read from the log, entry by entry and
// verified, by [Desk.Run]. What is shown of an entry was checked against the checkpoint when
// it was shown. Texts of entries are strangers' and stay text.
//
// # Limits and known faults
//
//   - Charts and history are complete when the log has been read once after a start; until
//     then pages say how far it is.
//   - Of a followed log, entries are read from its server for each page that shows them: a
//     cache before that server, or a mirror of it, is where they belong.
//   - A page that is asked for by a name tells the server that name, and says so. Neither is
//     kept.
//   - The look-up in the browser needs the log's files here and a secure origin (https, or
//     loopback). It checks that what it looks in leads to the root of the map that it was told of, by its hashes, and
//     shows the root and the entry that holds it; that the log is signed, and is one log, it does not check. It hides a name among those of one page of the list's map, and a listing among
//     those of its bucket, 16 or so, from a server that keeps to this; the script is the server's
//     own, so who trusts it with nothing looks up by shoji lookup. To follow a link to the entry
//     tells which it was.
package desk
