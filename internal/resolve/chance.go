package resolve

import (
	"math/rand/v2"
	"sync"
)

// chance decides which servers come first. What must not be guessed, such as IDs, never
// comes from here.
type chance struct {
	mu  sync.Mutex
	rng *rand.Rand // nil: the runtime's
}

// intN is a number from 0 to below n.
func (c *chance) intN(n int) int {
	if c.rng == nil {
		return rand.IntN(n)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rng.IntN(n)
}
