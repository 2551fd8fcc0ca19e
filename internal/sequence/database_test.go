package sequence

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/shoji-dns/shoji/ledger"
)

// serverVariable names a MySQL server for tests, as an address without a database's name;
// test/mysql.sh starts one.
const serverVariable = "SHOJI_TEST_MYSQL"

// newDatabase makes an empty database that goes with the test, and returns its address.
func newDatabase(t testing.TB) string {
	t.Helper()
	server := os.Getenv(serverVariable)
	if server == "" {
		t.Skip("no MySQL server: test/mysql.sh runs this test with one")
	}
	id := make([]byte, 8)
	rand.Read(id)
	name := "shoji_" + hex.EncodeToString(id)
	db := connect(t, strings.Replace(server, "/?", "/mysql?", 1), "")
	if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		db := connect(t, strings.Replace(server, "/?", "/mysql?", 1), "")
		db.Exec("DROP DATABASE " + name)
	})
	return strings.Replace(server, "/?", "/"+name+"?", 1)
}

// connect opens a database, or with name "" none of the server.
func connect(t testing.TB, address string, name string) *sql.DB {
	t.Helper()
	c, err := ParseDatabase(address)
	if err != nil {
		t.Fatal(err)
	}
	c.DBName = name
	connector, err := mysql.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}

// databaseFolder is a writer's folder of a log that a database keeps.
func databaseFolder(t testing.TB, address string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "database"), []byte(address), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Another machine goes on with the database and the key alone, and has the same files.
func TestDatabaseOnAnotherMachine(t *testing.T) {
	address := newDatabase(t)
	first, second := databaseFolder(t, address), databaseFolder(t, address)
	l := mustOpen(t, first)
	mustAppend(t, l, 0, 700)
	if _, err := Open(t.Context(), settings(second)); !errors.Is(err, ErrLocked) {
		t.Errorf("a second writer on another machine: %v", err)
	}
	tip, err := l.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := Open(t.Context(), settings(second)); err == nil || !strings.Contains(err.Error(), "restore the key") {
		t.Errorf("without the key: %v", err)
	}
	key, err := os.ReadFile(filepath.Join(first, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(second, keyFile), key, 0o600); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, second)
	if c, err := l.Checkpoint(t.Context()); err != nil || string(c.Raw) != string(tip.Raw) {
		t.Errorf("the checkpoint there is %+v, %v", c, err)
	}
	wantLog(t, l, 700)
	mustAppend(t, l, 700, 1000)
	l.Close()
	l = mustOpen(t, first) // whose folder is behind
	wantLog(t, l, 1000)
	for _, path := range []string{ledger.CheckpointPath, ledger.TilePath(0, 2, 0), ledger.BundlePath(1, 0), ledger.BundlePath(3, 1000-768)} {
		a, err1 := os.ReadFile(filepath.Join(Folder(first), path))
		b, err2 := os.ReadFile(filepath.Join(Folder(second), path))
		if err := errors.Join(err1, err2); err != nil || string(a) != string(b) {
			t.Errorf("%s differs between the machines: %v", path, err)
		}
	}
}

// A folder that is damaged is made anew; a database that is not the log's, or is an older
// one, is refused, and the folder stays as it was.
func TestDatabaseAndFolderThatDiffer(t *testing.T) {
	dir := databaseFolder(t, newDatabase(t))
	l := mustOpen(t, dir)
	mustAppend(t, l, 0, 700)
	l.Close()
	for _, path := range []string{ledger.TilePath(0, 2, 700-512), ledger.BundlePath(2, 700-512), ledger.TilePath(1, 0, 2)} {
		if err := os.WriteFile(filepath.Join(l.dir, path), []byte("damage"), 0o644); err != nil {
			t.Fatal(err)
		}
		l = mustOpen(t, dir)
		wantLog(t, l, 700)
		l.Close()
	}
	if err := os.Remove(filepath.Join(l.dir, ledger.CheckpointPath)); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, dir)
	wantLog(t, l, 700)
	l.Close()
	if _, err := Open(t.Context(), Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "log.database") {
		t.Errorf("the folder without its database: %v", err)
	}
	empty := settings(dir)
	empty.Database = newDatabase(t)
	if _, err := Open(t.Context(), empty); err == nil || !strings.Contains(err.Error(), "restore a backup") {
		t.Errorf("an empty database: %v", err)
	}
	other := databaseFolder(t, settings(dir).Database)
	key := databaseFolder(t, newDatabase(t))
	mustOpen(t, key).Close()
	b, err := os.ReadFile(filepath.Join(key, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, keyFile), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), settings(other)); err == nil || !strings.Contains(err.Error(), "not signed by the key") {
		t.Errorf("a database of another key's log: %v", err)
	}
	mustAppend(t, mustOpen(t, dir), 700, 701)
}

// What the database holds is verified before anything of it is signed.
func TestDatabaseThatIsDamaged(t *testing.T) {
	for name, damage := range map[string]string{
		"an entry": "UPDATE TiledLeaves SET data = CONCAT(SUBSTRING(data, 1, 50), 'x', SUBSTRING(data, 52)) ORDER BY tile_index DESC LIMIT 1",
		"a hash":   "UPDATE Subtree SET nodes = CONCAT(SUBSTRING(nodes, 1, 5), 'x', SUBSTRING(nodes, 7)) WHERE level = 0 ORDER BY `index` DESC LIMIT 1",
		"the size": "UPDATE TreeState SET size = size - 1",
	} {
		t.Run(name, func(t *testing.T) {
			dir := databaseFolder(t, newDatabase(t))
			db := connect(t, settings(dir).Database, filepath.Base(strings.Split(settings(dir).Database, "?")[0]))
			l := mustOpen(t, dir)
			mustAppend(t, l, 0, 300)
			if _, err := db.Exec(damage); err != nil {
				t.Fatal(err)
			}
			if _, _, err := l.Append(context.Background(), listEntries(300, 310), nil); err == nil {
				t.Error("an Append to what is damaged succeeded")
			}
			if c, err := l.Checkpoint(t.Context()); err != nil || c.Size != 300 {
				t.Errorf("the checkpoint is of %d entries, %v", c.Size, err)
			}
		})
	}
}

// Whose connections end, mid-way, has lost nothing that was acknowledged, and is let in again.
func TestDatabaseConnectionsThatEnd(t *testing.T) {
	dir := databaseFolder(t, newDatabase(t))
	l := mustOpen(t, dir)
	mustAppend(t, l, 0, 300)
	db := connect(t, settings(dir).Database, "")
	rows, err := db.Query("SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND db = ?", filepath.Base(strings.Split(settings(dir).Database, "?")[0]))
	if err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	rows.Close()
	for _, id := range ids {
		db.Exec("KILL ?", id)
	}
	if len(ids) == 0 {
		t.Fatal("no connection to end")
	}
	if _, _, err := l.Append(context.Background(), listEntries(300, 310), nil); err == nil || !strings.Contains(err.Error(), "lock was lost") {
		t.Errorf("without the lock: %v", err)
	}
	l.Close()
	l = mustOpen(t, dir)
	if n := l.Size(); n != 300 && n != 310 {
		t.Fatalf("%d entries", n)
	}
	wantLog(t, l, l.Size())
	mustAppend(t, l, l.Size(), 400)
	wantLog(t, l, 400)
}

func TestParseDatabase(t *testing.T) {
	for address, want := range map[string][4]string{
		"mysql://u:p@h/n":                             {"u", "p", "tcp h:3306", "n"},
		"mysql://u@h:33/n?tls=true":                   {"u", "", "tcp h:33", "n"},
		"mysql://u:a%2Fb%40@[2001:db8::1]/n":          {"u", "a/b@", "tcp [2001:db8::1]:3306", "n"},
		"mysql://u@/n?socket=/run/mysqld/mysqld.sock": {"u", "", "unix /run/mysqld/mysqld.sock", "n"},
	} {
		c, err := ParseDatabase(address)
		if err != nil || [4]string{c.User, c.Passwd, c.Net + " " + c.Addr, c.DBName} != want {
			t.Errorf("%s: %+v, %v", address, c, err)
		}
	}
	for _, address := range []string{
		"", "mysql://", "mysql://h/n", "mysql://u:secret@h", "mysql://u:secret@h/", "mysql://u:secret@h/a/b", "mysql://u:secret@/n", "postgres://u:secret@h/n", "mysql://u:secret@h/n#x",
		"mysql://u:secret@h/n?allowAllFiles=true", "mysql://u:secret@h/n?socket=/s", "mysql://u:secret@/n?socket=s", "mysql://u:secret@h/n?tls=maybe", "mysql://u:secret@h:x/n", "mysql://u:secret%zz@h/n",
	} {
		if c, err := ParseDatabase(address); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %+v, %v", address, c, err)
		}
	}
}

func FuzzParseDatabase(f *testing.F) {
	f.Add("mysql://u:p%2f@h:1/n?tls=true")
	f.Add("mysql://u@/n?socket=/s")
	f.Fuzz(func(t *testing.T, address string) {
		c, err := ParseDatabase(address)
		if err != nil {
			return
		}
		if c.DBName == "" || c.User == "" || c.Addr == "" || c.AllowAllFiles || c.InterpolateParams || c.MultiStatements {
			t.Errorf("%q: %+v", address, c)
		}
	})
}
