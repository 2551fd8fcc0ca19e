package audit

import "testing"

// Many findings of one kind do not hide one of another, whichever came first.
func TestShownByCode(t *testing.T) {
	c := &Check{Name: "twin"}
	for range 3 * MaxShown {
		c.fault(Finding{Code: Rewritten})
	}
	c.fault(Finding{Code: Altered})
	later := &Report{Checks: []*Check{{Name: "twin"}}}
	later.faultsOf(&Report{Checks: []*Check{c}})
	for _, of := range []*Check{c, later.Checks[0]} {
		if len(of.Findings) != MaxShown+1 || of.Findings[MaxShown].Code != Altered || of.Faults != 3*MaxShown+1 {
			t.Errorf("%d findings of %d faults are shown, the last is %q", len(of.Findings), of.Faults, of.Findings[len(of.Findings)-1].Code)
		}
	}
}
