package scenario

import (
	"strings"

	"github.com/shoji-dns/shoji/internal/filter"
)

// listing and listings hand lists that were compiled outside of a bubble to the player inside.
type listing struct{ list *filter.List }

type listings map[string]listing

func (l listings) find(subjects []string) (*filter.List, error) {
	return l[strings.Join(subjects, " ")].list, nil
}
