package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// niceness is how much lower than this process's the priority of work is that
// nobody waits for within milliseconds, so that a server on the same processors
// goes first. A processor that is wholly taken still gives it a tenth.
const niceness = 10

// yieldToOthers lowers the priority of all threads of the process, and so of those
// that they start. Where the system refuses, the work is done as it is.
func yieldToOthers() {
	before, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return
	}
	const top = 20 // Linux tells 20 - n for a niceness of n
	want := min(top-before+niceness, 19)
	for more := true; more; { // until no thread was started by one that was not lowered yet
		more = false
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return
		}
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				continue
			}
			if now, err := unix.Getpriority(unix.PRIO_PROCESS, id); err != nil || top-now >= want {
				continue
			}
			more = unix.Setpriority(unix.PRIO_PROCESS, id, want) == nil || more
		}
	}
}
