package listen

import "golang.org/x/sys/unix"

// roomFor raises the limit of open files, for this process and those that it starts.
func roomFor(files int) error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	if l.Cur >= uint64(files) {
		return nil
	}
	l.Cur, l.Max = uint64(files), max(l.Max, uint64(files))
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &l)
}
