package config

import (
	"fmt"
	"time"
)

// Cache bounds the memory of answers, and says how long they are used.
type Cache struct {
	Size           Size     `yaml:"size" json:"size,omitempty" jsonschema:"description=Memory for answers\\, index included\\, such as 64MiB (default)."`
	MinTTL         Duration `yaml:"min_ttl" json:"min_ttl,omitempty" jsonschema:"description=Shorter TTLs of answers are lengthened to this. Signed answers and delegations are not. Default: 0s."`
	MaxTTL         Duration `yaml:"max_ttl" json:"max_ttl,omitempty" jsonschema:"description=Longer TTLs\\, of delegations too\\, are shortened to this. Default: 24h."`
	MinNegativeTTL Duration `yaml:"min_negative_ttl" json:"min_negative_ttl,omitempty" jsonschema:"description=As min_ttl\\, for answers that deny a name or a type. Default: 0s."`
	MaxNegativeTTL Duration `yaml:"max_negative_ttl" json:"max_negative_ttl,omitempty" jsonschema:"description=As max_ttl\\, for answers that deny a name or a type; max_ttl holds for them too. Default: 1h."`
	Stale          Stale    `yaml:"stale" json:"stale"`
	Nonrecursive   bool     `yaml:"nonrecursive" json:"nonrecursive,omitempty" jsonschema:"description=Answer queries without the RD bit from memory\\, as far as it goes. Default: false: they are refused\\, as the answers tell anyone what others have asked for."`
	Prefetch       *bool    `yaml:"prefetch" json:"prefetch,omitempty" jsonschema:"description=Renew an answer that is asked for in the last tenth of its TTL. Default: true."`
}

// Stale says when an answer whose TTL has passed is given all the same.
type Stale struct {
	Enabled       *bool    `yaml:"enabled" json:"enabled,omitempty" jsonschema:"description=Give answers past their TTL where no fresh one is had in time\\, with an Extended DNS Error that says so (RFC 8767). Default: true."`
	MaxAge        Duration `yaml:"max_age" json:"max_age,omitempty" jsonschema:"description=How long after its TTL has passed an answer is still given. Default: 24h."`
	AnswerTTL     Duration `yaml:"answer_ttl" json:"answer_ttl,omitempty" jsonschema:"description=Longest TTL of what is stale. Default: 30s."`
	ClientTimeout Duration `yaml:"client_timeout" json:"client_timeout,omitempty" jsonschema:"description=How long a client waits for a fresh answer. 0s gives the stale one at once\\, while it is renewed. Default: 1800ms."`
}

const (
	// mostMinTTL bounds what may be lengthened: answers that are kept far beyond
	// their owner's wish break what they are about.
	mostMinTTL = time.Hour

	// mostMaxTTL is as long as any answer is kept (RFC 8767 §4).
	mostMaxTTL = 7 * 24 * time.Hour

	// mostMaxAge bounds how old a stale answer may be; RFC 8767 §5 suggests one to
	// three days.
	mostMaxAge = 7 * 24 * time.Hour

	// mostClientTimeout is about as long as a client waits for any answer.
	mostClientTimeout = 10 * time.Second
)

func defaultCache() Cache {
	return Cache{
		Size: 64 << 20, MaxTTL: Duration(24 * time.Hour), MaxNegativeTTL: Duration(time.Hour), Prefetch: new(true),
		Stale: Stale{
			Enabled: new(true), MaxAge: Duration(24 * time.Hour), AnswerTTL: Duration(30 * time.Second),
			ClientTimeout: Duration(1800 * time.Millisecond),
		},
	}
}

// check refuses what cannot work, naming the key.
func (c *Cache) check() error {
	if s := c.Size; s < 1<<20 || s > 1<<40 {
		return fmt.Errorf("cache.size: %d octets is not between 1MiB and 1TiB", s)
	}
	for _, d := range []struct {
		key         string
		value       Duration
		least, most time.Duration
	}{
		{"min_ttl", c.MinTTL, 0, mostMinTTL},
		{"max_ttl", c.MaxTTL, time.Second, mostMaxTTL},
		{"min_negative_ttl", c.MinNegativeTTL, 0, mostMinTTL},
		{"max_negative_ttl", c.MaxNegativeTTL, time.Second, mostMaxTTL},
		{"stale.max_age", c.Stale.MaxAge, time.Second, mostMaxAge},
		{"stale.answer_ttl", c.Stale.AnswerTTL, 0, time.Hour},
		{"stale.client_timeout", c.Stale.ClientTimeout, 0, mostClientTimeout},
	} {
		if v := time.Duration(d.value); v < d.least || v > d.most {
			return fmt.Errorf("cache.%s: %s is not between %s and %s", d.key, v, d.least, d.most)
		}
	}
	if c.MinTTL > c.MaxTTL {
		return fmt.Errorf("cache.min_ttl: %s is longer than cache.max_ttl", time.Duration(c.MinTTL))
	}
	if c.MinNegativeTTL > c.MaxTTL {
		return fmt.Errorf("cache.min_negative_ttl: %s is longer than cache.max_ttl", time.Duration(c.MinNegativeTTL))
	}
	if c.MinNegativeTTL > c.MaxNegativeTTL {
		return fmt.Errorf("cache.min_negative_ttl: %s is longer than cache.max_negative_ttl", time.Duration(c.MinNegativeTTL))
	}
	return nil
}
