//go:build !linux

package main

// programPages leaves the program's pages where they are.
func programPages() (leave func()) { return func() {} }
