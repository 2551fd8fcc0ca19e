package listen

import (
	"errors"
	"os"
	"time"
)

// waits reports whether a read failed only because the client was silent while
// replies are due to it: such a client is not idle.
func (st *stream) waits(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || len(st.slots) == 0 || st.s.stopping.Load() {
		return false
	}
	st.asked = time.Now()
	return true
}

// readUntil sets the read deadline: for the rest of a message that has begun,
// or else for the next query, whatever else comes in between, such as pings. Deadlines that differ
// little are left as they are. It reports false when the server stops.
func (st *stream) readUntil() bool {
	var by time.Time
	if st.begun.IsZero() {
		idle := st.s.conns.idle(st.s.cfg.IdleTimeout)
		by = st.asked.Add(idle)
		if early := by.Sub(st.readBy); early >= 0 && early < idle/8 {
			return !st.s.stopping.Load()
		}
	} else {
		by = st.begun.Add(messageTimeout)
		if last := st.asked.Add(st.s.cfg.IdleTimeout + messageTimeout); by.After(last) { // what began was no query
			by = last
		}
	}
	st.readBy = by
	st.conn.SetReadDeadline(by)
	// stop raises stopping before it sets its own deadline, so one of the two is seen.
	return !st.s.stopping.Load()
}
