package evidence

import "github.com/shoji-dns/shoji/internal/database"

// schema is the store's tables.
//
// Times are Unix seconds, 0 where there is none and -1 where nobody knows. claim.last_said is
// the source's own date, or of an archive when the claim was new to it; claim.withdrawn is
// when an undated claim was last there, 0 while it still is.
func schema() database.Schema {
	return database.Schema{Version: "schema_version", Lock: 7304926, Steps: []database.Step{{Both: `CREATE TABLE source (
		number        INTEGER PRIMARY KEY,
		id            TEXT NOT NULL UNIQUE,
		refreshed     BIGINT NOT NULL DEFAULT 0,
		claims        BIGINT NOT NULL DEFAULT 0,
		etag          TEXT NOT NULL DEFAULT '',
		last_modified TEXT NOT NULL DEFAULT '',
		failures      BIGINT NOT NULL DEFAULT 0,
		alert         TEXT NOT NULL DEFAULT ''
	);
	CREATE TABLE claim (
		subject    TEXT NOT NULL,
		scope      TEXT NOT NULL,
		source     INTEGER NOT NULL,
		kind       TEXT NOT NULL,
		reference  TEXT NOT NULL,
		family     TEXT NOT NULL,
		first_seen BIGINT NOT NULL,
		last_said  BIGINT NOT NULL,
		withdrawn  BIGINT NOT NULL,
		revision   BIGINT NOT NULL,
		PRIMARY KEY (subject, scope, source, kind)
	);
	CREATE INDEX claim_source ON claim (source);
	CREATE INDEX claim_revision ON claim (revision);
	CREATE TABLE counter (name TEXT PRIMARY KEY, value BIGINT NOT NULL);
	INSERT INTO counter (name, value) VALUES ('revision', 0)`},
		{Both: `CREATE TABLE memo (name TEXT PRIMARY KEY, value TEXT NOT NULL)`},
		{Both: `ALTER TABLE source ADD COLUMN published BIGINT NOT NULL DEFAULT 0;
	UPDATE source SET published = refreshed`}}}
}
