//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"
)

// assume makes all threads the user's and group's, without further groups, and the folder
// that they write to as well.
func (i identity) assume(dir string) error {
	if !i.wanted {
		return nil
	}
	if err := os.Chown(dir, i.user, i.group); err != nil {
		return fmt.Errorf("--user: %w", err)
	}
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("--user: give up groups: %w", err)
	}
	if err := syscall.Setgid(i.group); err != nil {
		return fmt.Errorf("--user: become group %d: %w", i.group, err)
	}
	if err := syscall.Setuid(i.user); err != nil {
		return fmt.Errorf("--user: become user %d: %w", i.user, err)
	}
	return nil
}
