//go:build !linux

package main

// yieldToOthers does nothing where a thread's priority cannot be told apart from
// that of its process.
func yieldToOthers() {}
