package upstream

import (
	"context"
	"sync"
)

// kept is one connection that all share, made when somebody wants it and there is none.
type kept[C any] struct {
	dial  func(ctx context.Context) (C, error)
	alive func(C) bool

	mu     sync.Mutex
	conn   C
	has    bool
	making chan struct{} // closed when the connection being made is there or has failed; nil: none is
	err    error         // why the last one failed
}

// get is the connection. Who comes while it is being made waits for the same; fresh tells that it
// was made by this call or for it.
func (k *kept[C]) get(ctx context.Context) (conn C, fresh bool, err error) {
	k.mu.Lock()
	if k.has && k.alive(k.conn) {
		defer k.mu.Unlock()
		return k.conn, false, nil
	}
	if k.making == nil {
		k.making = make(chan struct{})
		go k.make(k.making)
	}
	done := k.making
	k.mu.Unlock()
	select {
	case <-done:
	case <-ctx.Done():
		return conn, false, ctx.Err()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.has {
		return conn, false, k.err
	}
	return k.conn, true, nil
}

// make makes a connection for all that wait for it; it outlives each of them.
func (k *kept[C]) make(done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTime)
	defer cancel()
	conn, err := k.dial(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conn, k.has, k.err, k.making = conn, err == nil, err, nil
	close(done)
}

// take is the connection, which is forgotten; false where there is none.
func (k *kept[C]) take() (conn C, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	conn, ok = k.conn, k.has
	k.has = false
	return conn, ok
}

// twice calls ask with the connection, and once more with a new one where a kept one turns
// out to be gone.
func (k *kept[C]) twice(ctx context.Context, ask func(C) error) error {
	for again := false; ; again = true {
		conn, fresh, err := k.get(ctx)
		if err != nil {
			return err
		}
		err = ask(conn)
		if err == nil || fresh || again || k.alive(conn) || ctx.Err() != nil {
			return err
		}
	}
}
