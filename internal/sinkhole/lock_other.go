//go:build !unix

package sinkhole

import "os"

// lock takes a folder for this process, which cannot be done here.
func lock(string) (*os.File, error) { return nil, nil }
