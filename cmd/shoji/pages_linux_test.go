package main

import "testing"

func TestProgramRange(t *testing.T) {
	const exe = "/usr/bin/shoji"
	for line, want := range map[string][2]uintptr{
		"00400000-01a2b000 r-xp 00000000 08:01 1234                               /usr/bin/shoji":           {0x400000, 0x1a2b000},
		"01a2b000-02c00000 r--p 0162b000 08:01 1234                               /usr/bin/shoji":           {0x1a2b000, 0x2c00000},
		"02c00000-02d00000 rw-p 02800000 08:01 1234                               /usr/bin/shoji":           {},
		"02c00000-02d00000 r--s 02800000 08:01 1234                               /usr/bin/shoji":           {},
		"02c00000-02d00000 r-xp 02800000 08:01 1234                               /usr/bin/other":           {},
		"02c00000-02d00000 r-xp 02800000 08:01 1234                               /usr/bin/shoji (deleted)": {},
		"c000000000-c000400000 rw-p 00000000 00:00 0 ":                                                      {},
		"02d00000-02c00000 r-xp 02800000 08:01 1234                               /usr/bin/shoji":           {},
		"zz-02c00000 r-xp 02800000 08:01 1234                                     /usr/bin/shoji":           {},
		"": {},
	} {
		from, to, ok := programRange(line, exe)
		if ok != (want[1] != 0) || ok && (from != want[0] || to != want[1]) {
			t.Errorf("%q: %x-%x, %v", line, from, to, ok)
		}
	}
}
