package ledger

// The states of a case, as the status of its entries.
const (
	CaseReceived  = "received"  // somebody appeals against a listing
	CaseReferred  = "referred"  // the policy, executed again, lists as before: a person decides
	CaseUpheld    = "upheld"    // a person decided that the listing stays
	CaseDelisted  = "delisted"  // the listing ended
	CaseWithdrawn = "withdrawn" // whoever appealed takes it back
)

// CaseEnded reports whether nothing follows on a status.
func CaseEnded(status string) bool {
	return status == CaseUpheld || status == CaseDelisted || status == CaseWithdrawn
}
