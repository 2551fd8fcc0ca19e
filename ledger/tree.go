package ledger

import "golang.org/x/mod/sumdb/tlog"

// tree is the right edge of a log's Merkle tree (RFC 6962 §2.1): for every
// level of tiles the hashes of the tile that is not full yet. It grows by leaf
// hashes, and its root needs nothing else.
type tree struct {
	size uint64
	rows [][]tlog.Hash // rows[l]: less than 256 hashes of level 8l
}

// add appends one leaf's hash. When that fills tiles, full sees each of them
// before it is folded into a hash of the next level.
func (t *tree) add(leaf tlog.Hash, full func(level int, index uint64, hashes []tlog.Hash) error) error {
	t.size++
	h, count := leaf, t.size
	for level := 0; ; level++ {
		if level == len(t.rows) {
			t.rows = append(t.rows, make([]tlog.Hash, 0, bundleWidth))
		}
		row := append(t.rows[level], h)
		if len(row) < bundleWidth {
			t.rows[level] = row
			return nil
		}
		count /= bundleWidth
		if err := full(level, count-1, row); err != nil {
			return err
		}
		h = fold(row)
		t.rows[level] = row[:0]
	}
}

// edge calls visit for each tile that is not full and not empty.
func (t *tree) edge(visit func(level int, index uint64, hashes []tlog.Hash) error) error {
	count := t.size
	for level, row := range t.rows {
		if len(row) > 0 {
			if err := visit(level, count/bundleWidth, row); err != nil {
				return err
			}
		}
		count /= bundleWidth
	}
	return nil
}

// root is the hash of the whole tree.
func (t *tree) root() tlog.Hash {
	if t.size == 0 {
		return EmptyRoot()
	}
	var h tlog.Hash
	any := false
	for _, row := range t.rows {
		for n := len(row); n > 0; n &= n - 1 {
			sub := fold(row[n&(n-1) : n])
			if any {
				h = tlog.NodeHash(sub, h)
			} else {
				h, any = sub, true
			}
		}
	}
	return h
}

// fold is the root over a power of two of hashes.
func fold(hashes []tlog.Hash) tlog.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	half := len(hashes) / 2
	return tlog.NodeHash(fold(hashes[:half]), fold(hashes[half:]))
}

// EmptyRoot is the root of a log without entries (RFC 6962 §2.1).
func EmptyRoot() [32]byte { return digestOf(nil) }

// clone is a copy that grows on its own.
func (t *tree) clone() tree {
	c := tree{size: t.size, rows: make([][]tlog.Hash, len(t.rows))}
	for i, row := range t.rows {
		c.rows[i] = append(make([]tlog.Hash, 0, bundleWidth), row...)
	}
	return c
}
