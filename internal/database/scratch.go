package database

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"strings"
)

// Scratch makes an empty database on a PostgreSQL server, for a test. It returns its address,
// and what removes it with all that is in it.
func Scratch(ctx context.Context, server string) (address string, drop func() error, err error) {
	u, err := url.Parse(server)
	if err != nil {
		return "", nil, err
	}
	admin, err := Open(server, Options{})
	if err != nil {
		return "", nil, err
	}
	name := "shoji_scratch_" + strings.ToLower(rand.Text())
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", nil, errors.Join(err, admin.Close())
	}
	u.Path = "/" + name
	return u.String(), func() error {
		_, err := admin.Exec(context.WithoutCancel(ctx), "DROP DATABASE "+name+" WITH (FORCE)")
		return errors.Join(err, admin.Close())
	}, nil
}
