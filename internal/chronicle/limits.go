package chronicle

// What a log's writer, or a stranger by way of cases, can make grow.
const (
	// maxDays are kept apart: ten years. The oldest ones are summed up.
	maxDays = 3660
	// maxClauses and maxFamilies are counted apart; further ones are under other.
	maxClauses  = 1 << 10
	maxFamilies = 1 << 12
	// maxFamily octets of a family's name are kept.
	maxFamily = 64
	// maxPolicies and maxSources are remembered, the latest ones.
	maxPolicies = 1 << 10
	maxSources  = 1 << 10
	// maxOpen cases are timed; further ones are counted when they end, without a time.
	maxOpen = 1 << 16
	// maxFresh names that were listed since an index was made call for a new one; twice as many
	// are kept at most.
	maxFresh = 1 << 14

	// MaxFound is the most that one search hands out.
	MaxFound = 200
	// maxWindows of 256 entries are read at most to show the latest changes, which may lie
	// between other entries.
	maxWindows = 16
)
