//go:build !linux

package main

import "errors"

type capture struct{}

func openCapture(string) (*capture, error) {
	return nil, errors.New("packets are captured on Linux alone")
}

func (*capture) start()     {}
func (*capture) stop() seen { return nil }
func (*capture) close()     {}
