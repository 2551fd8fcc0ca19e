package sinkhole

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

var someTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func sample(text string, port uint16) *capture {
	return &capture{at: someTime, transport: tcp, version: 4, port: port, received: len(text), prefix: []byte(text), digest: sha256.Sum256([]byte(text))}
}

// sampleSegment has every kind of body, and one of a kind to come.
func sampleSegment() []byte {
	b := []byte(magic)
	b = appendFrame(b, sample("GET / HTTP/1.1\r\n", 80).append)
	b = appendFrame(b, portCount{from: someTime, to: someTime.Add(time.Minute), transport: udp, port: 53, seen: 7, kept: 2, octets: 300}.append)
	b = appendFrame(b, total{from: someTime, to: someTime.Add(time.Minute), sources: 5, evicted: 1, dropped: 2}.append)
	return appendFrame(b, func(b []byte) []byte { return append(b, 200, 1, 2, 3) })
}

// A capture may hold the network that it came from: as much of the address as may be kept.
func TestNetworkOfCapture(t *testing.T) {
	for from, want := range map[string]string{
		"203.0.113.77": "203.0.113.0/24", "::ffff:203.0.113.77": "203.0.113.0/24", "2001:db8:1:2:3:4:5:6": "2001:db8:1::/48",
	} {
		c := sample("octets", 80)
		a := netip.MustParseAddr(from)
		c.version, c.hasNetwork, c.network = version(a), true, truncated(a)
		b := appendFrame([]byte(magic), c.append)
		seen := 0
		v := nothing()
		v.capture = func(c *capture) {
			seen++
			if p, ok := c.source(); !ok || p.String() != want || string(c.prefix) != "octets" {
				t.Errorf("%s: %v, %v, %q", from, p, ok, c.prefix)
			}
		}
		if _, err := readSegment(bytes.NewReader(b), v); err != nil || seen != 1 {
			t.Errorf("%s: %d seen, %v", from, seen, err)
		}
		for i := len(b) - 1; i > len(magic)+frameHead; i-- { // cut short, in a frame that is whole
			body := b[len(magic)+frameHead : i]
			short := appendFrame([]byte(magic), func(out []byte) []byte { return append(out, body...) })
			if _, err := readSegment(bytes.NewReader(short), nothing()); err != nil && !errors.Is(err, errTorn) {
				t.Errorf("cut to %d octets: %v", len(body), err)
			}
		}
	}
	if _, ok := sample("octets", 80).source(); ok {
		t.Error("a network that was not kept")
	}
}

func nothing() visitor {
	return visitor{func(*capture) {}, func(portCount) {}, func(total) {}}
}

// What is written is read again.
func TestSegmentRoundTrip(t *testing.T) {
	var captures, counts, totals int
	n, err := readSegment(bytes.NewReader(sampleSegment()), visitor{
		func(c *capture) {
			captures++
			if string(c.prefix) != "GET / HTTP/1.1\r\n" || c.port != 80 || !c.at.Equal(someTime) || c.digest != sha256.Sum256(c.prefix) || c.received != 16 {
				t.Errorf("%+v", c)
			}
		},
		func(c portCount) {
			counts++
			if c.port != 53 || c.seen != 7 || c.kept != 2 || c.octets != 300 || c.transport != udp {
				t.Errorf("%+v", c)
			}
		},
		func(c total) {
			totals++
			if c.sources != 5 || c.evicted != 1 || c.dropped != 2 {
				t.Errorf("%+v", c)
			}
		},
	})
	if err != nil || n != 4 || captures != 1 || counts != 1 || totals != 1 {
		t.Errorf("%d frames, %d, %d, %d: %v", n, captures, counts, totals, err)
	}
}

// A crash may cut the file anywhere: what is whole before the cut is read.
func TestTornTailIsLeftOut(t *testing.T) {
	whole := sampleSegment()
	ends := []int{len(magic)}
	for at := len(magic); at < len(whole); {
		at += frameHead + int(binary.BigEndian.Uint32(whole[at:]))
		ends = append(ends, at)
	}
	for cut := range len(whole) + 1 {
		want := -1
		torn := true
		for i, end := range ends {
			if cut >= end {
				want = i
			}
			torn = torn && cut != end
		}
		n, err := readSegment(bytes.NewReader(whole[:cut]), nothing())
		if n != max(want, 0) || errors.Is(err, errTorn) != torn {
			t.Errorf("cut at %d: %d frames, %v", cut, n, err)
		}
	}
	for at := range whole { // and a flipped bit is never taken for a frame
		b := bytes.Clone(whole)
		b[at] ^= 4
		if n, err := readSegment(bytes.NewReader(b), nothing()); err == nil || n == len(ends)-1 {
			t.Errorf("octet %d: %d frames, %v", at, n, err)
		}
	}
}

// FuzzSegment: the reader of our own files takes any octets, and what it reads can be written again.
func FuzzSegment(f *testing.F) {
	f.Add(sampleSegment())
	f.Add(sampleSegment()[:60])
	f.Add([]byte(magic))
	f.Add(append([]byte(magic), 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		again := []byte(magic)
		known := 0
		e := exporter{w: io.Discard}
		_, err := readSegment(bytes.NewReader(b), visitor{
			func(c *capture) { again = appendFrame(again, c.append); known++; e.capture(c) },
			func(c portCount) { again = appendFrame(again, c.append); known++ },
			func(c total) { again = appendFrame(again, c.append); known++ },
		})
		if err != nil && !errors.Is(err, errTorn) && !errors.Is(err, errNotSegment) {
			t.Fatal(err)
		}
		if n, err := readSegment(bytes.NewReader(again), nothing()); err != nil || n != known {
			t.Fatalf("read %d of %d frames again: %v", n, known, err)
		}
	})
}

func newJournal(t *testing.T, disk int64, retain time.Duration) *journal {
	t.Helper()
	j, err := openJournal(Config{Dir: t.TempDir(), Disk: disk, Retain: retain, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// Whatever is captured, the folder stays below its bound, and the oldest go first.
func TestDiskIsBounded(t *testing.T) {
	const disk = 2 * segmentSize
	j := newJournal(t, disk, DefaultRetain)
	text := string(make([]byte, MaxPrefix))
	now := someTime
	for range 5 * disk / maxPending {
		for j.add(sample(text, 1).append2) {
		}
		now = now.Add(time.Second)
		j.flush(now)
		all, err := segments(j.dir)
		if err != nil {
			t.Fatal(err)
		}
		var octets int64
		for _, s := range all {
			octets += s.size
		}
		if octets > disk {
			t.Fatalf("%d octets of at most %d", octets, disk)
		}
	}
	j.close()
	if all, _ := segments(j.dir); len(all) == 0 || all[0].begun.Equal(someTime.Add(time.Second)) {
		t.Errorf("the oldest segment is still there: %v", all)
	}
}

// append2 is a whole frame of c.
func (c *capture) append2(b []byte) []byte { return appendFrame(b, c.append) }

// Segments go when retention is over, a day after at most, while the sinkhole runs.
func TestRetentionHolds(t *testing.T) {
	const retain = 48 * time.Hour
	j := newJournal(t, DefaultDisk, retain)
	for hour := range 24 * 10 {
		now := someTime.Add(time.Duration(hour) * time.Hour)
		j.add(sample("x", 1).append2)
		j.flush(now)
		all, err := segments(j.dir)
		if err != nil {
			t.Fatal(err)
		}
		if age := now.Sub(all[0].begun); age >= retain+segmentAge {
			t.Fatalf("hour %d: a segment is %v old", hour, age)
		}
	}
	j.close()
}

// When the folder is gone captures are counted as lost, and kept again once it is back.
func TestDiskThatRefuses(t *testing.T) {
	j := newJournal(t, DefaultDisk, DefaultRetain)
	away := j.dir + ".away"
	if err := os.Rename(j.dir, away); err != nil {
		t.Fatal(err)
	}
	j.add(sample("a", 1).append2)
	j.add(sample("b", 1).append2)
	j.flush(someTime)
	if n := j.takeDropped(); n != 2 {
		t.Errorf("%d lost", n)
	}
	if err := os.Rename(away, j.dir); err != nil {
		t.Fatal(err)
	}
	j.add(sample("c", 1).append2)
	j.flush(someTime.Add(time.Second))
	j.close()
	if r, err := ReadReport(j.dir); err != nil || r.Captures != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A folder has one sinkhole, until that ends, however it does; and nothing else is in it.
func TestAFolderHasOneSinkhole(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("known fault: nothing locks a folder there")
	}
	j := newJournal(t, DefaultDisk, DefaultRetain)
	_, err := openJournal(Config{Dir: j.dir, Name: "captures"})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "captures: captures: another sinkhole") {
		t.Errorf("%v", err)
	}
	j.add(sample("a", 1).append2)
	j.flush(someTime)
	j.close()
	again, err := openJournal(Config{Dir: j.dir})
	if err != nil {
		t.Fatal(err)
	}
	again.close()
	for _, name := range []string{".profile", "notes.txt", "1.captures"} {
		path := filepath.Join(j.dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openJournal(Config{Dir: j.dir}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(j.dir, lostAndFound), 0o700); err != nil {
		t.Fatal(err)
	}
	if again, err = openJournal(Config{Dir: j.dir}); err != nil {
		t.Fatal(err)
	}
	again.close()
}

// What is nothing yet has no time, and lists that are none.
func TestReportOfNothing(t *testing.T) {
	r, err := ReadReport(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(r)
	if err != nil || strings.Contains(string(b), "null") || strings.Contains(string(b), "0001") || !strings.Contains(string(b), `"ports":[]`) {
		t.Errorf("%s, %v", b, err)
	}
}

// A folder with other files in it, and a segment that is none.
func TestReportPassesOverOtherFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"notes.txt": "x", "1.captures": "x", "00000000000000000001.captures": "this is no segment at all",
		"00000000000000000002.captures": string(sampleSegment()), "00000000000000000003.captures": string(sampleSegment()[:100]),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := ReadReport(dir)
	if err != nil || r.Segments != 3 || r.Captures != 2 || len(r.Torn) != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

// The export is blocks of whole words whose lengths agree, with packets whose checksums hold.
func TestExport(t *testing.T) {
	dir := t.TempDir()
	b := []byte(magic)
	for _, version := range []uint8{4, 6} {
		for _, transport := range []uint8{tcp, udp} {
			c := sample("odd", 8080)
			c.version, c.transport, c.received = version, transport, 3000
			b = appendFrame(b, c.append)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "00000000000000000002.captures"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	n, err := Export(dir, &out)
	if err != nil || n != 4 {
		t.Fatal(n, err)
	}
	packets := 0
	for rest := out.Bytes(); len(rest) > 0; {
		kind, size := binary.LittleEndian.Uint32(rest), binary.LittleEndian.Uint32(rest[4:])
		if size%4 != 0 || int(size) > len(rest) || binary.LittleEndian.Uint32(rest[size-4:]) != size {
			t.Fatalf("a block of %d octets, %d left", size, len(rest))
		}
		if kind == blockPacket {
			packets++
			packet := rest[28 : 28+binary.LittleEndian.Uint32(rest[20:])]
			if packet[0]>>4 == 4 && checksum(packet[:20]) != 0 {
				t.Error("an IPv4 header's checksum is wrong")
			}
			if !bytes.HasSuffix(packet, []byte("odd")) {
				t.Errorf("%x does not end in the capture", packet)
			}
		}
		rest = rest[size:]
	}
	if packets != 4 {
		t.Errorf("%d packets", packets)
	}
}
