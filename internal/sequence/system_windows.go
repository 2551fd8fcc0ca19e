package sequence

import (
	"context"
	"errors"
	"time"

	"github.com/transparency-dev/tessera"
)

var errPlatform = errors.New("a log cannot be written on Windows: its driver needs a POSIX file system; it can be read here")

func newDriver(context.Context, string) (tessera.Driver, error) { return nil, errPlatform }

func lock(context.Context, string, time.Duration) (func() error, error) { return nil, errPlatform }
