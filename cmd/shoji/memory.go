package main

import (
	"time"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/resolve"
	"github.com/shoji-dns/shoji/internal/serve"
)

// ttls are the bounds of how long answers are remembered.
func ttls(c config.Cache) resolve.TTLs {
	return resolve.TTLs{
		Min: time.Duration(c.MinTTL), Max: time.Duration(c.MaxTTL),
		MinNegative: time.Duration(c.MinNegativeTTL), MaxNegative: time.Duration(c.MaxNegativeTTL),
	}
}

// stale says when answers past their TTL are given.
func stale(c config.Stale) serve.Stale {
	if !*c.Enabled {
		return serve.Stale{}
	}
	return serve.Stale{
		MaxAge: time.Duration(c.MaxAge), AnswerTTL: time.Duration(c.AnswerTTL), ClientTimeout: time.Duration(c.ClientTimeout),
	}
}
