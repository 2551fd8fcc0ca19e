package publish

import (
	"net/http"
	"os"

	"github.com/shoji-dns/shoji/ledger"
)

// ListPath is where the compiled lists are: the SHA-256 of one, in lower-case hexadecimal
// digits, follows. Readers check it, so that the file may come by way of any cache.
const ListPath = "list/"

// list serves a compiled list by its digest. A part of it may be asked for (RFC 9110 §14), by
// who was cut off before.
func (h *handler) list(w http.ResponseWriter, r *http.Request, digest string) {
	d, err := ledger.ParseDigest(digest)
	if err != nil || h.lists == "" {
		h.fail(w, os.ErrNotExist)
		return
	}
	h.immutable(w, r, h.lists, d.String())
}
