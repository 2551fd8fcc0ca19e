package sequence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/transparency-dev/tessera"
)

var errPlatform = fmt.Errorf("a log cannot be written on Windows, where its driver finds no POSIX file system; it can be read here: %w", errors.ErrUnsupported)

func newDriver(context.Context, string) (tessera.Driver, error) { return nil, errPlatform }

func lock(context.Context, string, time.Duration) (func() error, error) { return nil, errPlatform }
