package main

import (
	"bufio"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// programPages finds the pages of the program's file that are mapped and cannot be written, and
// returns what leaves them to the system: those that are needed come back from the file, or
// from the system's cache of it. Starting touches most of a program of fifty megabytes, and
// running a small verb hardly any.
func programPages() (leave func()) {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return func() {}
	}
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return func() {}
	}
	defer f.Close()
	var all [][2]uintptr
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if from, to, ok := programRange(lines.Text(), exe); ok {
			all = append(all, [2]uintptr{from, to})
		}
	}
	return func() {
		for _, r := range all {
			// Nothing is lost if it fails. By number: a slice of it is not Go's memory.
			unix.Syscall(unix.SYS_MADVISE, r[0], r[1]-r[0], unix.MADV_DONTNEED)
		}
	}
}

// programRange reads a line of /proc/self/maps (proc_pid_maps(5)), if it is of exe, private, and
// cannot be written.
func programRange(line, exe string) (from, to uintptr, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 6 || !strings.HasSuffix(line, " "+exe) || len(fields[1]) != 4 || fields[1][1] == 'w' || fields[1][3] != 'p' {
		return 0, 0, false
	}
	first, last, _ := strings.Cut(fields[0], "-")
	a, err1 := strconv.ParseUint(first, 16, strconv.IntSize)
	b, err2 := strconv.ParseUint(last, 16, strconv.IntSize)
	return uintptr(a), uintptr(b), err1 == nil && err2 == nil && a < b
}
