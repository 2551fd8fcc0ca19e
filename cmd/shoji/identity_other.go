//go:build !unix

package main

import "errors"

// assume cannot change the user here.
func (i identity) assume(string) error {
	if i.wanted {
		return errors.New("--user: not on this system: start it as the user it should be")
	}
	return nil
}
