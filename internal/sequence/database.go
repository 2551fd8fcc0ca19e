package sequence

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/transparency-dev/tessera"
	driver "github.com/transparency-dev/tessera/storage/mysql"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/shoji-dns/shoji/internal/durable"
	"github.com/shoji-dns/shoji/ledger"
)

const (
	// connectTime is how long a database has to answer when it is opened.
	connectTime = 10 * time.Second

	// writeTime is how long it has for one statement: the longest carries a bundle
	// of 16 MiB.
	writeTime = time.Minute

	// tileHeight is the height of a tile: 256 hashes.
	tileHeight = 8

	// maxBundle is the longest bundle: every entry with its 16-bit length.
	maxBundle = bundleWidth * (2 + ledger.MaxEntry)

	maxTile = bundleWidth * 32
)

// database is a log that Tessera's MySQL driver keeps. What is published of it is a copy
// in the log's folder: static files like those of any other log.
type database struct {
	db   *sql.DB
	lock *sql.Conn // holds the writer's lock of the server as long as it lives
	dir  string    // of the copy
	name string    // of the database, without its password
}

// tables are those that Tessera's MySQL driver works on, version 1 of their form; it makes
// none itself.
var tables = [...]string{
	"CREATE TABLE IF NOT EXISTS `Tessera` (`id` TINYINT UNSIGNED NOT NULL PRIMARY KEY, `compatibilityVersion` BIGINT UNSIGNED NOT NULL) ENGINE=InnoDB",
	"INSERT IGNORE INTO `Tessera` (`id`, `compatibilityVersion`) VALUES (0, 1)",
	"CREATE TABLE IF NOT EXISTS `Checkpoint` (`id` TINYINT UNSIGNED NOT NULL PRIMARY KEY, `note` MEDIUMBLOB NOT NULL, `published_at` BIGINT NOT NULL) ENGINE=InnoDB",
	"CREATE TABLE IF NOT EXISTS `TreeState` (`id` TINYINT UNSIGNED NOT NULL PRIMARY KEY, `size` BIGINT UNSIGNED NOT NULL, `root` TINYBLOB NOT NULL) ENGINE=InnoDB",
	"CREATE TABLE IF NOT EXISTS `Subtree` (`level` TINYINT UNSIGNED NOT NULL, `index` BIGINT UNSIGNED NOT NULL, `nodes` MEDIUMBLOB NOT NULL, PRIMARY KEY (`level`, `index`)) ENGINE=InnoDB",
	"CREATE TABLE IF NOT EXISTS `TiledLeaves` (`tile_index` BIGINT UNSIGNED NOT NULL PRIMARY KEY, `size` SMALLINT UNSIGNED NOT NULL, `data` LONGBLOB NOT NULL) ENGINE=InnoDB",
}

// ParseDatabase reads the address of a MySQL database, mysql://USER:PASSWORD@HOST:PORT/NAME,
// where ?socket=PATH stands for a host and ?tls=true asks for TLS. An error does not repeat
// the address, which may hold a password.
func ParseDatabase(address string) (*mysql.Config, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "mysql" || u.Fragment != "" {
		return nil, errors.New("it is written mysql://USER:PASSWORD@HOST/NAME")
	}
	c := mysql.NewConfig()
	c.User = u.User.Username()
	c.Passwd, _ = u.User.Password()
	c.DBName = strings.TrimPrefix(u.Path, "/")
	c.Net, c.Addr = "tcp", u.Host
	c.Timeout, c.ReadTimeout, c.WriteTimeout = connectTime, writeTime, writeTime
	c.Logger = &mysql.NopLogger{} // its errors are returned, too
	c.RejectReadOnly = true       // a server that became a replica: connect anew
	for key, values := range u.Query() {
		switch value := values[0]; {
		case key == "socket" && filepath.IsAbs(value) && u.Host == "":
			c.Net, c.Addr = "unix", value
		case key == "tls" && (value == "true" || value == "skip-verify" || value == "preferred" || value == "false"):
			c.TLSConfig = value
		default:
			return nil, fmt.Errorf("%q is neither socket=PATH, in place of a host, nor tls=true, skip-verify, preferred or false", key)
		}
	}
	switch {
	case c.DBName == "" || strings.Contains(c.DBName, "/"):
		return nil, errors.New("it names no database behind the host")
	case c.User == "":
		return nil, errors.New("it names no user before the host")
	case c.Net == "tcp" && u.Hostname() == "":
		return nil, errors.New("it names no host, and no socket=PATH")
	case c.Net == "tcp" && u.Port() == "":
		c.Addr = u.Hostname() + ":3306"
		if strings.Contains(u.Hostname(), ":") {
			c.Addr = "[" + u.Hostname() + "]:3306"
		}
	}
	return c, nil
}

// openDatabase opens the database at an address, makes its tables where they are missing,
// and takes the writer's lock of it.
func openDatabase(ctx context.Context, address, dir string, wait time.Duration) (*database, error) {
	c, err := ParseDatabase(address)
	if err != nil {
		return nil, fmt.Errorf("the database's address: %w", err)
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, fmt.Errorf("the database's address: %w", err)
	}
	d := &database{db: sql.OpenDB(connector), dir: dir, name: fmt.Sprintf("the database %s on %s", c.DBName, c.Addr)}
	if err := d.open(ctx, wait); err != nil {
		d.close()
		return nil, fmt.Errorf("%s: %w", d.name, err)
	}
	return d, nil
}

func (d *database) open(ctx context.Context, wait time.Duration) (err error) {
	d.db.SetConnMaxIdleTime(time.Minute)
	if d.lock, err = d.db.Conn(ctx); err != nil {
		return err
	}
	// A lock is of the whole server, so the database's name is in its own.
	var taken sql.NullInt64
	err = d.lock.QueryRowContext(ctx, "SELECT GET_LOCK(CONCAT('shoji ', LEFT(SHA2(DATABASE(), 256), 40)), ?)", int(min(wait, writeTime/2).Seconds())).Scan(&taken)
	if err != nil {
		return err
	}
	if taken.Int64 != 1 {
		return fmt.Errorf("%w, maybe on another machine; wait for it to finish, or end it", ErrLocked)
	}
	if err := d.checkDurable(ctx); err != nil {
		return err
	}
	for _, statement := range tables {
		if _, err := d.db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// checkDurable refuses a server whose commits a power failure can undo: what is
// acknowledged must not be lost, and would be another log's beginning.
func (d *database) checkDurable(ctx context.Context) error {
	var flush int64
	if err := d.db.QueryRowContext(ctx, "SELECT @@GLOBAL.innodb_flush_log_at_trx_commit").Scan(&flush); err != nil {
		return err
	}
	if flush != 1 {
		return fmt.Errorf("innodb_flush_log_at_trx_commit is %d: a power failure can undo what was committed; set it to 1, the server's default", flush)
	}
	return nil
}

func (d *database) driver(ctx context.Context) (tessera.Driver, error) { return driver.New(ctx, d.db) }

func (d *database) place() string { return d.name }

func (d *database) close() error {
	var err error
	if d.lock != nil {
		err = d.lock.Close() // into the pool, which then ends it, and the lock with it
	}
	return errors.Join(err, d.db.Close())
}

// held fails where the connection that holds the writer's lock is gone.
func (d *database) held(ctx context.Context) error {
	if err := d.lock.PingContext(ctx); err != nil {
		return fmt.Errorf("%s: the writer's lock was lost: %w", d.name, err)
	}
	return nil
}

// tree implements storage.
func (d *database) tree(ctx context.Context) (treeState, error) {
	var ts treeState
	err := d.db.QueryRowContext(ctx, "SELECT `size`, `root` FROM `TreeState` WHERE `id` = 0").Scan(&ts.Size, &ts.Root)
	if errors.Is(err, sql.ErrNoRows) {
		return ts, fmt.Errorf("%s: no tree: %w", d.name, fs.ErrNotExist)
	}
	if err != nil {
		return ts, fmt.Errorf("%s: %w", d.name, err)
	}
	if len(ts.Root) != 32 {
		return ts, fmt.Errorf("%s: a root hash of %d octets", d.name, len(ts.Root))
	}
	return ts, nil
}

// mend implements storage. Entries and tree are written by one transaction, so that of a
// log with entries nothing can be mended here.
func (d *database) mend(ctx context.Context, ts treeState) error {
	if ts.Size > 0 {
		return fmt.Errorf("%s does not have the tree of %d entries that was published: restore a backup of it that is not older, or begin a new log with a new key in another folder", d.name, ts.Size)
	}
	_, err := d.db.ExecContext(ctx, "REPLACE INTO `TreeState` (`id`, `size`, `root`) VALUES (0, ?, ?)", ts.Size, ts.Root)
	return err
}

// publish implements storage.
func (d *database) publish(ctx context.Context, checkpoint []byte) error {
	if err := d.held(ctx); err != nil {
		return err
	}
	_, err := d.db.ExecContext(ctx, "REPLACE INTO `Checkpoint` (`id`, `note`, `published_at`) VALUES (0, ?, ?)", checkpoint, time.Now().UnixMilli())
	if err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	return nil
}

// checkpoint implements storage.
func (d *database) checkpoint(ctx context.Context) ([]byte, error) {
	var raw []byte
	err := d.db.QueryRowContext(ctx, "SELECT `note` FROM `Checkpoint` WHERE `id` = 0").Scan(&raw)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.name, err)
	}
	return raw, nil
}

// fetch implements storage: it copies tiles and bundles into the folder. They are to be
// what the signed tree says: whoever signs verifies that, and whoever reads.
func (d *database) fetch(ctx context.Context, from, to uint64) error {
	for _, t := range tlog.NewTiles(tileHeight, int64(from), int64(to)) {
		width := t.W % bundleWidth
		hashes, err := d.tile(ctx, t)
		if err != nil {
			return err
		}
		if err := d.write(ledger.TilePath(t.L, uint64(t.N), width), hashes); err != nil {
			return err
		}
		if t.L > 0 {
			continue
		}
		bundle, err := d.bundle(ctx, t, hashes)
		if err != nil {
			return err
		}
		if err := d.write(ledger.BundlePath(uint64(t.N), width), bundle); err != nil {
			return err
		}
	}
	return nil
}

func (d *database) write(path string, b []byte) error {
	at := filepath.Join(d.dir, filepath.FromSlash(path))
	if err := durable.MakeFolder(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	return durable.WriteFile(at, b, 0o644)
}

// tile reads the hashes of a tile. The database has one row for each, which grows.
func (d *database) tile(ctx context.Context, t tlog.Tile) ([]byte, error) {
	var b []byte
	err := d.db.QueryRowContext(ctx, "SELECT `nodes` FROM `Subtree` WHERE `level` = ? AND `index` = ?", t.L, t.N).Scan(&b)
	if err != nil {
		return nil, fmt.Errorf("%s: tile %d of level %d: %w", d.name, t.N, t.L, err)
	}
	if len(b) < 32*t.W || len(b) > maxTile {
		return nil, fmt.Errorf("%s: tile %d of level %d has %d octets where %d hashes should be", d.name, t.N, t.L, len(b), t.W)
	}
	return b[:32*t.W], nil
}

// bundle reads a tile's entries, which hash to what the tile says.
func (d *database) bundle(ctx context.Context, t tlog.Tile, hashes []byte) ([]byte, error) {
	var b []byte
	if err := d.db.QueryRowContext(ctx, "SELECT `data` FROM `TiledLeaves` WHERE `tile_index` = ?", t.N).Scan(&b); err != nil {
		return nil, fmt.Errorf("%s: the entries of bundle %d: %w", d.name, t.N, err)
	}
	if len(b) > maxBundle {
		return nil, fmt.Errorf("%s: bundle %d has %d octets", d.name, t.N, len(b))
	}
	end := 0
	for i := range t.W {
		first := end + 2
		if len(b) < first {
			return nil, fmt.Errorf("%s: bundle %d ends within entry %d", d.name, t.N, t.N*bundleWidth+int64(i))
		}
		end = first + int(binary.BigEndian.Uint16(b[end:]))
		if len(b) < end || tlog.RecordHash(b[first:end]) != tlog.Hash(hashes[32*i:]) {
			return nil, fmt.Errorf("%s: entry %d does not hash to what its tile says", d.name, t.N*bundleWidth+int64(i))
		}
	}
	return b[:end], nil
}
