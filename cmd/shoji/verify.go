package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/shoji-dns/shoji/internal/audit"
	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/ledger"
)

// verifyCmd checks a public log from outside. It needs no rights, no account and no trust in
// the server.
type verifyCmd struct {
	Log       []string `arg:"" help:"The log: its address, as shoji serve prints it, or its folder. Several, where resolvers follow several: each is verified, and answers are held against the one that they name." placeholder:"URL|DIR"`
	Key       []string `sep:"none" help:"The log's verifier key, as shoji log key prints it; of several logs one each, in their order. Default: the one that the log had when it was first met." placeholder:"VKEY"`
	Memory    string   `help:"Folder where what was seen is remembered. Default: verify in the user's state folder." type:"path" placeholder:"DIR"`
	Witnesses string   `help:"File with the witness policy (C2SP tlog-policy) that the checkpoint has to satisfy." type:"path" placeholder:"FILE"`
	Open      string   `help:"File with names that you know, one a line: listings whose names the log does not tell are judged where one of these, or one above it, is theirs." type:"path" placeholder:"FILE"`
	EveryList bool     `help:"Rebuild the list of every epoch, not only those in reach."`
	JSON      bool     `name:"json" help:"Print JSON for a machine."`
	Lang      string   `help:"en or ja. Default: by the locale." enum:"en,ja," default:""`
	liveFlags `embed:""`
}

// Run exits with status 0 where all was verified, 1 where a fault was found, 2 for wrong
// usage, and 3 where something could not be checked.
func (c *verifyCmd) Run(ctx context.Context, t terminal) error {
	live, witnesses, names, err := c.wanted()
	if err != nil {
		return usageError{err}
	}
	if c.Memory == "" {
		c.Memory = filepath.Join(config.Default().State, "verify")
	}
	lang := language(c.Lang)
	p := newProgress(t.err)
	defer p.clear()
	var all []*verification
	defer func() {
		for _, v := range all {
			v.done()
		}
	}()
	for i, log := range c.Log {
		at := logAddress{Log: log, Memory: c.Memory}
		if len(c.Key) > 0 {
			at.Key = c.Key[i]
		}
		v, err := c.open(ctx, at, witnesses)
		if err != nil {
			return err
		}
		if all = append(all, v); slices.ContainsFunc(all[:i], func(o *verification) bool { return o.Key == v.Key }) {
			return usageError{fmt.Errorf("%s has the same key as another log that was given", v.Address)}
		}
		v.log.Now, v.log.EveryList, v.log.Witnesses, v.log.Names = time.Now(), c.EveryList, witnesses, names
		v.log.Progress = func(stage string, done, total uint64) { p.show(stageText(stage, lang), done, total) }
	}
	for _, v := range all {
		v.audit(ctx, c.Memory)
	}
	if live != nil {
		live.Progress = func(done, total uint64) { p.show(verifyWords[lang]["stage-asking"], done, total) }
		for _, v := range all {
			v.ask(ctx, *live, all)
		}
	}
	p.clear()
	for _, v := range all {
		v.end(ctx, c)
	}
	if err := c.print(t.out, all, lang); err != nil {
		return err
	}
	return worst(all)
}

// wanted is what the command line asks for, before anybody is asked.
func (c *verifyCmd) wanted() (live *audit.LiveConfig, witnesses *ledger.WitnessPolicy, names []string, err error) {
	if n := len(c.Key); n > 0 && n != len(c.Log) {
		return nil, nil, nil, fmt.Errorf("--key: %d keys of %d logs: give each log's, in their order, or none", n, len(c.Log))
	}
	if c.asked() {
		if live, err = c.live(); err != nil {
			return nil, nil, nil, err
		}
	}
	if witnesses, err = c.witnesses(); err != nil {
		return nil, nil, nil, err
	}
	names, err = c.openNames()
	return live, witnesses, names, err
}

// interrupted is an error by which a person ended the work.
type interrupted struct{ error }

func (interrupted) Error() string   { return "interrupted" }
func (i interrupted) Unwrap() error { return i.error }

// room says of an error for want of room what to do.
func (c *verifyCmd) room(err error) error {
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return fmt.Errorf("there is no room left in %s, where what was seen is remembered, so that a later run could not be held against this one: make room, or give another folder with --memory (%w)", c.Memory, err)
}

// ownWitness refuses a policy by which a log would be its own witness.
func ownWitness(key string, p *ledger.WitnessPolicy, vkey string) error {
	if p == nil {
		return nil
	}
	if name := p.Own(vkey); name != "" {
		return fmt.Errorf("%s: witness %s has the log's own key, and so says nothing that the log does not say itself", key, name)
	}
	return nil
}

// maxWitnesses is the longest witness policy that is read, in octets.
const maxWitnesses = 1 << 20

// witnesses reads the witness policy; nil where none is asked for.
func (c *verifyCmd) witnesses() (*ledger.WitnessPolicy, error) {
	if c.Witnesses == "" {
		return nil, nil
	}
	f, err := os.Open(c.Witnesses)
	if err != nil {
		return nil, fmt.Errorf("--witnesses: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxWitnesses+1))
	if err != nil {
		return nil, fmt.Errorf("--witnesses %s: %w", c.Witnesses, err)
	}
	if len(text) > maxWitnesses {
		return nil, fmt.Errorf("--witnesses %s: longer than %d octets: it is no witness policy", c.Witnesses, maxWitnesses)
	}
	p, err := ledger.ParseWitnessPolicy(text)
	if err != nil {
		return nil, fmt.Errorf("--witnesses %s: %w", c.Witnesses, err)
	}
	return p, nil
}

// verification is a report with where it came from.
type verification struct {
	*audit.Report
	Address string `json:"address"`
	Key     string `json:"key"`
	KeyFrom string `json:"key_from"` // given, remembered, first-use
	log     audit.Config
	done    func()
	err     error
}

// audit checks the log.
func (v *verification) audit(ctx context.Context, memory string) {
	v.Report, v.err = audit.Run(ctx, v.log)
	if v.err == nil && !v.Has(audit.BadSignature) && !v.Has(audit.NoCheckpoint) {
		v.err = audit.PinKey(memory, v.Address, v.Key)
	}
}

// ask holds resolvers against the log, and what they filter by another one of all against that.
func (v *verification) ask(ctx context.Context, live audit.LiveConfig, all []*verification) {
	if v.err != nil {
		return
	}
	for _, other := range all {
		if other != v && other.err == nil {
			live.Others = append(live.Others, audit.Followed{Log: other.log, Report: other.Report})
		}
	}
	v.err = audit.Live(ctx, v.log, live, v.Report)
}

// end says what an error comes to.
func (v *verification) end(ctx context.Context, c *verifyCmd) {
	if v.err == nil {
		return
	}
	if ctx.Err() != nil {
		v.err = interrupted{v.err}
	}
	v.err = c.room(v.err)
	if v.Verdict == audit.Verified { // as far as it came
		v.Verdict = audit.Unchecked
	}
}

// print prints the reports: for a machine one object for one log, and a list of them for several.
func (c *verifyCmd) print(w io.Writer, all []*verification, lang string) error {
	if !c.JSON {
		var texts []string
		for _, v := range all {
			texts = append(texts, v.text(lang))
		}
		_, err := io.WriteString(w, strings.Join(texts, "\n"))
		return err
	}
	var out any = all[0].object()
	if len(all) > 1 {
		var objects []any
		for _, v := range all {
			objects = append(objects, v.object())
		}
		out = objects
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

// worst is the exit status of them all, as an error: a fault before all else.
func worst(all []*verification) (err error) {
	for _, v := range all {
		if got := v.status(); err == nil || v.Verdict == audit.Fault {
			err = got
		}
	}
	return err
}

// status is the exit status, as an error; nil for 0.
func (v *verification) status() error {
	switch {
	case v.Verdict == audit.Fault:
		return errors.New("a fault was found")
	case v.err != nil:
		return statusError{v.err, exitUnchecked}
	case v.Verdict == audit.Unchecked:
		return statusError{errors.New("not everything could be checked"), exitUnchecked}
	}
	return nil
}

// object is the report for a machine.
func (v *verification) object() any {
	type force struct {
		Entry    uint64 `json:"entry"`
		Listings uint64 `json:"listings"`
		Digest   string `json:"digest"`
		Time     string `json:"time"`
	}
	out := struct {
		*verification
		Error   string `json:"error,omitempty"`
		InForce *force `json:"in_force,omitempty"`
	}{verification: v}
	if v.err != nil {
		out.Error = v.err.Error()
	}
	if e := v.Epoch; e != nil {
		out.InForce = &force{e.Entry, e.Count, e.Digest.String(), e.Time.Format(time.RFC3339)}
	}
	return out
}

// text is the report for people: a table that ends in one sentence.
func (v *verification) text(lang string) string {
	w := verifyWords[lang]
	var b strings.Builder
	row := func(cells ...string) {
		for i, cell := range cells[:len(cells)-1] {
			cells[i] = cell + strings.Repeat(" ", max(1, []int{12, 15}[i]-width(cell)))
		}
		b.WriteString(strings.Join(cells, "") + "\n")
	}
	row(w["log"], printable(v.Address))
	row(w["key"], printable(v.Key)+w["key-"+v.KeyFrom])
	b.WriteByte('\n')
	for _, c := range v.Checks {
		row(w[c.Name], w[c.Verdict], v.remark(c, w))
	}
	for _, c := range v.Checks {
		if len(c.Findings) > 0 {
			fmt.Fprintf(&b, "\n%s:\n", w[c.Name])
		}
		for _, f := range c.Findings {
			b.WriteString("  " + findingText(f, w) + "\n")
		}
		if more := c.Faults + c.Unchecked - uint64(len(c.Findings)); more > 0 && len(c.Findings) > 0 {
			fmt.Fprintf(&b, "  "+w["more"]+"\n", more)
		}
	}
	if v.Asked != nil {
		b.WriteString("\n" + v.askedText(w))
	}
	if v.Kept != "" {
		fmt.Fprintf(&b, "\n"+w["kept"]+"\n", v.Kept)
	}
	b.WriteString("\n" + v.sentence(w) + v.leftOut(w) + "\n")
	return b.String()
}

// remark is what a check's row says beside its verdict.
func (v *verification) remark(c *audit.Check, w map[string]string) string {
	if c.Checked+c.Faults+c.Unchecked == 0 && c.Verdict == audit.Unchecked {
		return w["not-reached"]
	}
	var out []string
	switch c.Name {
	case "signature":
		out = append(out, fmt.Sprintf(w["remark-signature"], v.Size))
	case "witnesses":
		out = append(out, v.cosigners(w)...)
	case "history":
		if v.Seen == 0 {
			out = append(out, w["remark-first"])
		} else {
			out = append(out, fmt.Sprintf(w["remark-history"], v.Seen, v.First.Format("2006-01-02 15:04")))
		}
	default:
		out = append(out, fmt.Sprint(c.Checked))
	}
	if c.Name == "entries" && v.Before > 0 {
		out = append(out, fmt.Sprintf(w["before"], v.Before))
	}
	for _, n := range []struct {
		n    uint64
		text string
	}{{c.Faults, "faults"}, {c.Unchecked, "uncheckeds"}, {c.Left, "left"}} {
		if n.n > 0 {
			out = append(out, fmt.Sprintf(w[n.text], n.n))
		}
	}
	if c.Name == "listings" && v.Opened > 0 {
		out = append(out, fmt.Sprintf(w["opened"], v.Opened))
	}
	if c.Name == "cases" && v.Cases > 0 {
		out = append(out, fmt.Sprintf(w["open"], v.Cases, v.Waiting.Format("2006-01-02 15:04")))
	}
	return strings.Join(out, w["comma"])
}

// cosigners are the witnesses that cosigned, with the time of the latest, and those that did not.
func (v *verification) cosigners(w map[string]string) (out []string) {
	var by []string
	var latest time.Time
	for _, c := range v.Cosigned.By {
		by = append(by, printable(c.Witness))
		if c.Time != nil && c.Time.After(latest) {
			latest = *c.Time
		}
	}
	switch {
	case len(by) == 0:
		out = append(out, w["cosigned-none"])
	case latest.IsZero():
		out = append(out, fmt.Sprintf(w["cosigned"], strings.Join(by, " ")))
	default:
		out = append(out, fmt.Sprintf(w["cosigned-at"], strings.Join(by, " "), latest.Format("2006-01-02 15:04 MST")))
	}
	if len(v.Cosigned.Missing) > 0 {
		out = append(out, fmt.Sprintf(w["cosigned-missing"], printable(strings.Join(v.Cosigned.Missing, " "))))
	}
	return out
}

func findingText(f audit.Finding, w map[string]string) string {
	text := w["code-"+f.Code]
	if f.Format != 0 {
		text = fmt.Sprintf(text, f.Format, filter.Version)
	}
	if f.Subject != "" {
		text = printable(f.Subject) + ": " + text
	}
	if f.Entry != nil {
		text = fmt.Sprintf(w["entry"], *f.Entry) + text
	}
	if f.Detail != "" {
		text += " (" + printable(f.Detail) + ")"
	}
	return text
}

// sentence is what it comes to.
func (v *verification) sentence(w map[string]string) string {
	var faults, open uint64
	for _, c := range v.Checks {
		faults, open = faults+c.Faults, open+c.Unchecked
	}
	switch {
	case v.Verdict == audit.Fault && v.err != nil: // such as that the proof could not be kept
		return counted(w, "sentence-fault", faults) + fmt.Sprintf(w["besides"], printable(v.err.Error()))
	case v.Verdict == audit.Fault:
		return counted(w, "sentence-fault", faults)
	case v.err != nil:
		return fmt.Sprintf(w["sentence-error"], printable(v.err.Error()))
	case v.Verdict == audit.Unchecked:
		return counted(w, "sentence-unchecked", open)
	case v.Epoch == nil:
		return w["sentence-none"]
	}
	if v.Asked != nil {
		return fmt.Sprintf(w["sentence-live"], v.Size, v.Epoch.Count, v.Epoch.Entry, v.Asked.Questions)
	}
	return fmt.Sprintf(w["sentence-verified"], v.Size, v.Epoch.Count, v.Epoch.Entry)
}

// leftOut says how many lists the sentence does not speak of; "" where there are none.
func (v *verification) leftOut(w map[string]string) string {
	var left uint64
	for _, c := range v.Checks {
		left += c.Left
	}
	if left == 0 {
		return ""
	}
	return counted(w, "sentence-left", left)
}

// counted is a sentence about n things; for one it is another where the language has it so.
func counted(w map[string]string, sentence string, n uint64) string {
	if one := w[sentence+"-one"]; n == 1 && one != "" {
		return one
	}
	return fmt.Sprintf(w[sentence], n)
}

// askedText is what was asked of resolvers, and what the asking does not tell.
func (v *verification) askedText(w map[string]string) string {
	a := v.Asked
	var b strings.Builder
	from := strings.Join(a.Sources, " ")
	if from == "" {
		from = "–"
	}
	fmt.Fprintf(&b, w["asked"]+"\n", a.Questions, a.Names, a.Listed, strings.Join(a.Servers, " "), from, strings.Join(a.Ways, " "), a.Signed)
	if len(a.Sinkholes) > 0 {
		fmt.Fprintf(&b, "  "+w["sinkholes"]+"\n", strings.Join(a.Sinkholes, " "))
	}
	for _, by := range slices.Sorted(maps.Keys(a.Delivery)) {
		fmt.Fprintf(&b, "  "+w["by-"+by]+"\n", a.Delivery[by])
	}
	for _, n := range []struct {
		n    uint64
		text string
	}{{a.Lagged, "lagged"}, {a.Addresses, "addresses"}} {
		if n.n > 0 {
			fmt.Fprintf(&b, "  "+w[n.text]+"\n", n.n)
		}
	}
	b.WriteString(otherLogsText(a, w))
	return b.String()
}

func stageText(stage, lang string) string {
	if stage == audit.Rebuilding {
		return verifyWords[lang]["stage-rebuilding"]
	}
	return verifyWords[lang]["stage-reading"]
}

// width is how many columns of a terminal a text takes: characters of East Asian scripts
// take two (Unicode Standard Annex 11).
func width(s string) int {
	n := 0
	for _, r := range s {
		if n++; r >= 0x1100 {
			n++
		}
	}
	return n
}
