package ledger

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	cosig "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/tessera"
	"golang.org/x/mod/sumdb/note"
)

// testWitness is a witness's key pair.
type testWitness struct {
	vkey string
	sign func(at time.Time, c []byte) string // a signature line for a checkpoint
}

// newTestWitness makes an Ed25519 witness; the cosignature is written here by the letter of
// tlog-cosignature, apart from what verifies it.
func newTestWitness(t testing.TB, seed byte, name string) testWitness {
	t.Helper()
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	plain, err := note.NewEd25519VerifierKey(name, private.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := cosig.VKeyToCosignatureV1(plain)
	if err != nil {
		t.Fatal(err)
	}
	v, err := cosig.NewVerifierForCosignatureV1(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return testWitness{vkey, func(at time.Time, c []byte) string {
		text, _, _ := bytes.Cut(c, []byte("\n\n"))
		sig := binary.BigEndian.AppendUint32(nil, v.KeyHash())
		sig = binary.BigEndian.AppendUint64(sig, uint64(at.Unix()))
		sig = append(sig, ed25519.Sign(private, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s\n", at.Unix(), text))...)
		return fmt.Sprintf("— %s %s\n", name, base64.StdEncoding.EncodeToString(sig))
	}}
}

// someWitnesses are n witnesses, and policy lines that name them w0 to wn-1.
func someWitnesses(t testing.TB, n int) (all []testWitness, lines string) {
	for i := range n {
		w := newTestWitness(t, byte(i+1), fmt.Sprintf("witness.test/%d", i))
		all = append(all, w)
		lines += fmt.Sprintf("witness w%d %s https://w%d.test/\n", i, w.vkey, i)
	}
	return all, lines
}

func mustPolicy(t testing.TB, text string) *WitnessPolicy {
	t.Helper()
	p, err := ParseWitnessPolicy([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return p
}

// cosigned is the log's checkpoint with the cosignatures of some witnesses.
func cosigned(t testing.TB, l *memoryLog, by ...testWitness) Checkpoint {
	t.Helper()
	raw := slices.Clone(l.files[CheckpointPath])
	for _, w := range by {
		raw = append(raw, w.sign(testTime, l.files[CheckpointPath])...)
	}
	c, err := OpenCheckpoint(raw, l.log)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Quorums of the kinds that tlog-policy has, and who meets them.
func TestWitnessQuorums(t *testing.T) {
	l := newMemoryLog(t, 1)
	l.add(listEntry("c2.evil.test", ScopeExact))
	all, lines := someWitnesses(t, 6)
	nested := "group x 2 w0 w1 w2\ngroup y any w3 w4 w5\ngroup both all x y\nquorum both\n"
	for _, tc := range []struct {
		quorum string
		by     []int
		want   bool
	}{
		{"quorum none\n", nil, true},
		{"quorum w1\n", nil, false}, {"quorum w1\n", []int{0}, false}, {"quorum w1\n", []int{1}, true},
		{"group g any w0 w1\nquorum g\n", nil, false}, {"group g any w0 w1\nquorum g\n", []int{1}, true}, {"group g any w0 w1\nquorum g\n", []int{2, 3, 4, 5}, false},
		{"group g all w0 w1\nquorum g\n", []int{1}, false}, {"group g all w0 w1\nquorum g\n", []int{1, 0}, true},
		{"group g 2 w0 w1 w2\nquorum g\n", []int{2}, false}, {"group g 2 w0 w1 w2\nquorum g\n", []int{2, 0}, true},
		{nested, []int{0, 1, 2}, false}, {nested, []int{0, 3, 4, 5}, false}, {nested, []int{0, 2, 5}, true}, {nested, []int{0, 1, 2, 3, 4, 5}, true},
	} {
		p := mustPolicy(t, lines+tc.quorum)
		var by []testWitness
		for _, i := range tc.by {
			by = append(by, all[i])
		}
		got := p.Check(cosigned(t, l, by...))
		if got.Satisfied != tc.want || len(got.Cosignatures) != len(by) || len(got.Missing) != 6-len(by) || len(got.Invalid) != 0 || (got.Err() == nil) != tc.want {
			t.Errorf("%s by %v: %+v", tc.quorum, tc.by, got)
		}
		for _, c := range got.Cosignatures {
			if !c.Time.Equal(testTime) {
				t.Errorf("a cosignature of %s is dated %s", c.Witness, c.Time)
			}
		}
	}
}

// An ML-DSA-44 witness counts like another.
func TestWitnessOfMLDSA(t *testing.T) {
	l := newMemoryLog(t, 1)
	l.add(listEntry("c2.evil.test", ScopeExact))
	skey, vkey, err := cosig.GenerateMLDSAKey("pq.test")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := cosig.NewMLDSASigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	p := mustPolicy(t, "witness pq "+vkey+"\nquorum pq\n")
	n, err := note.Open(l.files[CheckpointPath], note.VerifierList(l.log))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := note.Sign(n, signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := OpenCheckpoint(raw, l.log)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Check(c); !got.Satisfied || time.Since(got.Cosignatures[0].Time).Abs() > time.Hour {
		t.Errorf("%+v", got)
	}
	l.add(listEntry("more.evil.test", ScopeExact)) // the old cosignature on a new checkpoint
	_, line, _ := bytes.Cut(raw, []byte("— pq.test"))
	c, err = OpenCheckpoint(append(slices.Clone(l.files[CheckpointPath]), "— pq.test"+string(line)...), l.log)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Check(c); got.Satisfied || !slices.Equal(got.Invalid, []string{"pq"}) {
		t.Errorf("a cosignature of another checkpoint: %+v", got)
	}
}

// What is no cosignature of this checkpoint by this witness does not count.
func TestCosignaturesThatDoNotCount(t *testing.T) {
	l := newMemoryLog(t, 1)
	l.add(listEntry("c2.evil.test", ScopeExact))
	old := slices.Clone(l.files[CheckpointPath])
	l.add(listEntry("more.evil.test", ScopeExact))
	now := l.files[CheckpointPath]
	all, lines := someWitnesses(t, 2)
	stranger := newTestWitness(t, 99, "witness.test/0") // the name of w0 and another key
	p := mustPolicy(t, lines+"group g any w0 w1\nquorum g\n")
	for name, tc := range map[string]struct {
		line    string
		invalid bool
	}{
		"of an older checkpoint":         {all[0].sign(testTime, old), true},
		"with another time than signed":  {retimed(t, all[0].sign(testTime, now)), true},
		"of the year 10000":              {all[0].sign(time.Unix(maxCosignatureTime+1, 0), now), true},
		"by another key":                 {stranger.sign(testTime, now), false},
		"cut off":                        {cut(t, all[0].sign(testTime, now)), true},
		"by another key, then the right": {stranger.sign(testTime, now) + all[1].sign(testTime, old), true},
	} {
		c, err := OpenCheckpoint(append(slices.Clone(now), tc.line...), l.log)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := p.Check(c)
		if got.Satisfied || len(got.Cosignatures) > 0 || (len(got.Invalid) == 1) != tc.invalid || len(got.Invalid)+len(got.Missing) != 2 {
			t.Errorf("%s: %+v", name, got)
		}
		if u := (*UncosignedError)(nil); !errors.As(got.Err(), &u) || !strings.Contains(got.Err().Error(), `"g" (1 of 2)`) {
			t.Errorf("%s: %v", name, got.Err())
		}
	}
}

// retimed is a signature line with another time in it.
func retimed(t *testing.T, line string) string {
	t.Helper()
	return edited(t, line, func(b []byte) []byte { b[11]++; return b })
}

// cut is a signature line with less in it.
func cut(t *testing.T, line string) string {
	t.Helper()
	return edited(t, line, func(b []byte) []byte { return b[:20] })
}

func edited(t *testing.T, line string, edit func([]byte) []byte) string {
	t.Helper()
	fields := strings.Fields(line)
	b, err := base64.StdEncoding.DecodeString(fields[2])
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("— %s %s\n", fields[1], base64.StdEncoding.EncodeToString(edit(b)))
}

// A policy that names logs is met by none other.
func TestPolicyOfLogs(t *testing.T) {
	l, other := newMemoryLog(t, 1), newMemoryLog(t, 2)
	l.add(listEntry("c2.evil.test", ScopeExact))
	all, lines := someWitnesses(t, 1)
	logLine := func(seed byte) string {
		_, vkey, err := note.GenerateKey(seededReader{rand.NewChaCha8([32]byte{seed})}, "log.shoji.test")
		if err != nil {
			t.Fatal(err)
		}
		return "log " + vkey + " https://log.test/\n"
	}
	c := cosigned(t, l, all[0])
	if p := mustPolicy(t, logLine(2)+logLine(1)+lines+"quorum w0\n"); !p.Check(c).Satisfied || len(p.Logs()) != 2 || p.Logs()[1].Key.KeyHash() != l.log.KeyHash() {
		t.Errorf("the log is named: %+v", p.Check(c))
	}
	p := mustPolicy(t, logLine(2)+lines+"quorum w0\n")
	if got := p.Check(c); got.Satisfied || len(got.Cosignatures) != 1 || !strings.Contains(got.Err().Error(), "none of the 1 logs") {
		t.Errorf("another log is named, %08x: %v", other.log.KeyHash(), got.Err())
	}
}

// What breaks the format is refused with its line.
func TestPolicyTextThatIsRefused(t *testing.T) {
	all, lines := someWitnesses(t, 3)
	key := all[0].vkey
	plain := mustPlain(t, 1, "a")
	many := "group g any " + strings.Repeat("w0 ", 2) + "\nquorum g\n"
	for text, want := range map[string]string{
		"":                                                 "no quorum line",
		lines:                                              "no quorum line",
		"quorum\n":                                         "line 1: write it like: quorum",
		"quorum a b\n":                                     "line 1: write it like: quorum",
		"quorum w0\n" + lines:                              `line 1: "w0" is no witness or group of an earlier line`,
		"quorum none\nquorum none\n":                       "line 2: a second quorum",
		"Quorum none\n":                                    `"Quorum" is none of`,
		"quorum none\r\n":                                  "control character 0x0d",
		"quorum\x00none\n":                                 "control character",
		"quorum none\x7f\n":                                "control character",
		"witness w\nquorum none\n":                         "write it like: witness",
		"witness w a+b\nquorum none\n":                     "no verifier key",
		"witness none " + key + "\n":                       `"none" is taken`,
		"witness w " + key + " u more\n":                   "write it like: witness",
		"witness w " + plain + "\n":                        "type 0x01",
		"witness w x" + key + "\n":                         "a letter of it is wrong",
		lines + "witness w3 " + key + "\n":                 "line 4: ",
		lines + "witness w2 " + newKey(t):                  `"w2" is taken`,
		"log " + key + "\n":                                "no verifier key of a log",
		"log\n":                                            "write it like: log",
		"log " + plain + "\nlog " + plain:                  "a second log",
		lines + "group g w0 w1\n":                          `"w0" is neither all`,
		lines + "group g all\n":                            "write it like: group",
		lines + "group g 0 w0 w1\n":                        `"0" is neither`,
		lines + "group g 3 w0 w1\n":                        `"3" is neither`,
		lines + "group g +1 w0 w1\n":                       `"+1" is neither`,
		lines + "group g any w0 none\n":                    `"none" is no witness`,
		lines + "group g any w0 g\n":                       `"g" is no witness`,
		lines + "group w0 any w1\n":                        `"w0" is taken`,
		lines + "group g any w0 w1\ngroup h any w1 w2\n":   `"w1" is a member of group "g"`,
		lines + many:                                       `"w0" is a member of group "g"`,
		"#" + strings.Repeat(" ", MaxWitnessPolicy) + "\n": "the longest is",
	} {
		if _, err := ParseWitnessPolicy([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.200q: error %v, want one with %q", text, err, want)
		}
	}
	var tooMany string
	for i := range MaxWitnesses + 1 {
		tooMany += fmt.Sprintf("witness v%d %s\n", i, newTestWitness(t, byte(100+i), "v").vkey)
	}
	if _, err := ParseWitnessPolicy([]byte(tooMany + "quorum none\n")); err == nil || !strings.Contains(err.Error(), "line 33: more than 32") {
		t.Errorf("33 witnesses: %v", err)
	}
}

// mustPlain is a verifier key for notes, not for cosignatures.
func mustPlain(t testing.TB, seed byte, name string) string {
	t.Helper()
	_, vkey, err := note.GenerateKey(seededReader{rand.NewChaCha8([32]byte{seed})}, name)
	if err != nil {
		t.Fatal(err)
	}
	return vkey
}

func newKey(t *testing.T) string { return newTestWitness(t, 77, "new.test").vkey + "\n" }

// The freedom that the format leaves: blanks, comments, names of any octets, any order.
func TestPolicyTextThatIsRead(t *testing.T) {
	all, _ := someWitnesses(t, 2)
	p := mustPolicy(t, "# who\n\n \t# and who else\nwitness\tall "+all[0].vkey+"\n  witness K\xe2\x84\xaa\xff "+all[1].vkey+" https://x.test/#1 \t\n"+
		"group any 1 all K\xe2\x84\xaa\xff\nquorum any\nwitness late "+newKey(t)+"# the end")
	parts, quorum := p.Parts()
	if len(parts) != 4 || parts[quorum].Name != "any" || parts[quorum].Need != 1 || len(p.Witnesses()) != 3 || p.Witnesses()[1].URL != "https://x.test/#1" || p.Witnesses()[1].Name != "K\xe2\x84\xaa\xff" {
		t.Errorf("%+v, quorum %d", parts, quorum)
	}
}

// FuzzWitnessPolicy holds what is read, and who meets it, against Tessera's reading.
func FuzzWitnessPolicy(f *testing.F) {
	all, lines := someWitnesses(f, 4)
	l := newMemoryLog(f, 1)
	l.add(listEntry("c2.evil.test", ScopeExact))
	for _, q := range []string{"quorum none\n", "quorum w1\n", "group g 2 w0 w1 w2\nquorum g\n", "group x any w0 w1\ngroup y all w2 x\nquorum y\n# end\n", "group g 3 w0"} {
		f.Add(lines+q, byte(3))
	}
	f.Add("log "+mustPlain(f, 9, "log.test")+"\nquorum none\n", byte(0))
	f.Fuzz(func(t *testing.T, text string, by byte) {
		p, err := ParseWitnessPolicy([]byte(text))
		if err != nil {
			return
		}
		var signed []testWitness
		for i, w := range all {
			if by>>i&1 == 1 {
				signed = append(signed, w)
			}
		}
		c := cosigned(t, l, signed...)
		got := p.Check(c)
		if n := len(got.Cosignatures) + len(got.Invalid) + len(got.Missing); n != len(p.Witnesses()) {
			t.Fatalf("%d witnesses of %d: %+v", n, len(p.Witnesses()), got)
		}
		theirs, err := tessera.NewWitnessGroupFromPolicy([]byte(text))
		if err != nil || len(p.Logs()) > 0 {
			return // it needs addresses, reserves more names, and does not look at logs
		}
		for _, w := range p.Witnesses() {
			if _, err := url.Parse(w.URL); err != nil || strings.Contains(text, "#") {
				return // it takes # anywhere for a comment
			}
		}
		if want := theirs.Satisfied(c.Raw); got.Satisfied != want {
			t.Errorf("satisfied %t, Tessera says %t:\n%s", got.Satisfied, want, text)
		}
	})
}

// FuzzCosignature reads notes that a hostile server sends.
func FuzzCosignature(f *testing.F) {
	l := newMemoryLog(f, 1)
	l.add(listEntry("c2.evil.test", ScopeExact))
	all, lines := someWitnesses(f, 2)
	p := mustPolicy(f, lines+"group g all w0 w1\nquorum g\n")
	for n := range 3 {
		f.Add(cosigned(f, l, all[:n]...).Raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := OpenCheckpoint(raw, l.log)
		if err != nil {
			return
		}
		if got := p.Check(c); got.Satisfied && len(got.Cosignatures) != 2 {
			t.Errorf("%+v", got)
		}
	})
}

// A log is not its own witness, in a policy that names it or in one that does not; and its key is
// one, however it is written.
func TestOwnWitness(t *testing.T) {
	w, other := newTestWitness(t, 7, "log.test"), newTestWitness(t, 8, "w.test")
	log, err := note.NewEd25519VerifierKey("log.test", ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)).Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	lines := "witness a " + other.vkey + "\nwitness b " + w.vkey + "\ngroup g any a b\nquorum g\n"
	p := mustPolicy(t, lines)
	if got := p.Own(log); got != "b" {
		t.Errorf("its own witness is %q", got)
	}
	if got := p.Own(mustPlain(t, 9, "log.test")); got != "" {
		t.Errorf("another log's witness is %q", got)
	}
	for _, text := range []string{"log " + log + "\n" + lines, strings.Replace(lines, "group", "log "+log+"\ngroup", 1)} {
		if _, err := ParseWitnessPolicy([]byte(text)); err == nil || !strings.Contains(err.Error(), "no log is its own witness") {
			t.Errorf("%v", err)
		}
	}
	name, rest, _ := strings.Cut(log, "+")
	hash, key, _ := strings.Cut(rest, "+")
	for _, text := range []string{log, " " + log + "\n", name + "+" + strings.ToUpper(hash) + "+" + key, name + "+" + hash + "+" + key[:9] + "\n" + key[9:]} {
		got, verifier, err := VerifierKey(text)
		if got != log || err != nil || verifier.Name() != name {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if _, _, err := VerifierKey("log.test+00000000+" + key); err == nil {
		t.Error("a key with another's hash")
	}
}
