package docket

import "github.com/shoji-dns/shoji/internal/database"

// schema is the docket's tables.
//
// Times are Unix milliseconds, 0 where there is none. docket_case.data is the appeal.Case as JSON,
// of which the other columns are what is looked for.
func schema() database.Schema {
	return database.Schema{Version: "docket_schema_version", Lock: 7304927, Steps: []database.Step{{
		Both: `CREATE TABLE docket_case (
			id       TEXT PRIMARY KEY,
			subject  TEXT NOT NULL,
			status   TEXT NOT NULL,
			received BIGINT NOT NULL,
			ended    BIGINT NOT NULL,
			took     BIGINT NOT NULL DEFAULT 0,
			people   BIGINT NOT NULL DEFAULT 1,
			checked  BIGINT NOT NULL DEFAULT 0,
			entries  TEXT NOT NULL,
			data     TEXT NOT NULL
		);
		CREATE INDEX docket_case_subject ON docket_case (subject, ended);
		CREATE INDEX docket_case_received ON docket_case (received);
		CREATE TABLE docket_statement (
			receipt  TEXT PRIMARY KEY,
			case_id  TEXT NOT NULL,
			subject  TEXT NOT NULL,
			cause    TEXT NOT NULL,
			words    TEXT NOT NULL,
			language TEXT NOT NULL,
			state    TEXT NOT NULL,
			at       BIGINT NOT NULL,
			heard    BIGINT NOT NULL
		);
		CREATE INDEX docket_statement_case ON docket_statement (case_id);
		CREATE INDEX docket_statement_at ON docket_statement (at);
		CREATE TABLE docket_contact (receipt TEXT PRIMARY KEY, contact TEXT NOT NULL);
		CREATE TABLE docket_memo (name TEXT PRIMARY KEY, value TEXT NOT NULL)`,
		SQLite:   vote("INTEGER PRIMARY KEY AUTOINCREMENT"),
		Postgres: vote("BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
	}, {
		SQLite:   review("INTEGER PRIMARY KEY AUTOINCREMENT"),
		Postgres: review("BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
	}}}
}

func review(number string) string {
	return `CREATE TABLE docket_review (
		number  ` + number + `,
		subject TEXT NOT NULL,
		clause  TEXT NOT NULL,
		member  TEXT NOT NULL,
		verdict TEXT NOT NULL,
		reason  TEXT NOT NULL,
		at      BIGINT NOT NULL
	);
	CREATE INDEX docket_review_subject ON docket_review (subject)`
}

func vote(number string) string {
	return `CREATE TABLE docket_vote (
		number  ` + number + `,
		case_id TEXT NOT NULL,
		member  TEXT NOT NULL,
		verdict TEXT NOT NULL,
		reason  TEXT NOT NULL,
		at      BIGINT NOT NULL
	);
	CREATE INDEX docket_vote_case ON docket_vote (case_id)`
}
