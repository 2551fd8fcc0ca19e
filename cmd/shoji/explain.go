package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/policy"
)

// explainCmd says why a name or an address is filtered, or is not.
type explainCmd struct {
	settings
	About string `arg:"" help:"The name or address." placeholder:"NAME|ADDRESS"`
	Log   string `help:"Explain from the log in this folder alone, in place of the state folder." type:"path" placeholder:"DIR"`
	Key   string `help:"The verifier key of that log, as shoji log key prints it." placeholder:"KEY"`
	JSON  bool   `name:"json" help:"Print JSON for a machine, in both languages."`
	Lang  string `help:"en or ja. Default: by the locale." enum:"en,ja," default:""`
}

func (c *explainCmd) Run(ctx context.Context, t terminal) error {
	s, err := curate.ParseAsked(c.About)
	if err != nil {
		return usageError{err}
	}
	if (c.Log == "") != (c.Key == "") {
		return usageError{errors.New("--log and --key go together: a log is believed by its key alone")}
	}
	conf, err := c.settings.load()
	if err != nil {
		return err
	}
	known, done, err := c.open(ctx, conf)
	if err != nil {
		return err
	}
	x, err := known.Explain(ctx, s, time.Now().UTC().Truncate(time.Second))
	if err := errors.Join(err, done()); err != nil {
		return err
	}
	if c.JSON {
		out := json.NewEncoder(t.out)
		out.SetIndent("", "  ")
		return out.Encode(explained(x, conf))
	}
	_, err = io.WriteString(t.out, explainInWords(x, conf, language(c.Lang)))
	return err
}

// open opens what the explanation is drawn from.
func (c *explainCmd) open(ctx context.Context, conf config.Config) (*curate.Known, func() error, error) {
	by, err := curationOf(conf)
	if err != nil {
		return nil, nil, err
	}
	if c.Log != "" {
		k, err := curate.OpenLog(ctx, c.Log, c.Key, by.guard)
		if err != nil {
			return nil, nil, err
		}
		return k, k.Close, nil
	}
	if f := following(conf); f != nil {
		return nil, nil, usageError{fmt.Errorf("this configuration follows the log at %s: name a copy of it with --log, and --key", f.Log)}
	}
	if _, err := curate.Follow(conf.State); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", conf.State, err)
	}
	known, err := store(ctx, conf)
	if err != nil {
		return nil, nil, err
	}
	k, err := curate.OpenState(ctx, conf.State, known, by.guard, by.sources)
	if err != nil {
		return nil, nil, errors.Join(err, known.Close())
	}
	return k, func() error { return errors.Join(k.Close(), known.Close()) }, nil
}

// explained is an explanation for machines.
func explained(x *curate.Explanation, conf config.Config) map[string]any {
	out := map[string]any{
		"asked": x.Asked, "unicode": x.Unicode, "mixed_scripts": x.Mixed, "filtered": x.Filtered, "epoch_entry": x.Epoch,
		"policy":   map[string]any{"entry": x.PolicyEntry, "version": x.Policy.Version, "digest": x.Policy.Digest.String()},
		"decision": decisionOf(x.Decision), "evidence": evidenceOf(x.Evidence), "evidence_withdrawn": x.Withdrawn, "evidence_overruled": x.Overruled,
		"answers": map[string]any{filteredView: "resolved", unfilteredView: "resolved"},
	}
	if x.Filtered {
		out["answers"] = map[string]any{filteredView: "sinkhole", unfilteredView: "resolved", "sinkhole": []any{conf.Sinkhole.IPv4, conf.Sinkhole.IPv6}}
		out["listing"] = map[string]any{
			"entry": x.Entry, "subject": x.Listed, "since": x.Listing.Time, "clause": x.Listing.Clause, "policy": x.Listing.Policy.String(), "committed": !x.Listing.Commitment.IsZero(),
		}
	}
	if e := x.Ended; e != nil {
		out["ended"] = map[string]any{"entry": e.N, "subject": e.Listed, "scope": e.Scope, "since": e.Time, "cause": e.Cause, "note": e.Note}
	}
	turns := []any{}
	for _, t := range x.What {
		turn := map[string]any{"decision": decisionOf(t.Decision)}
		if t.At.IsZero() {
			turn["if"], turn["sources"] = t.If.Kind, t.Count
			if t.If.Reference != "" {
				turn["reference"] = t.If.Reference
			}
		} else {
			turn["nothing_new_until"] = t.At
		}
		turns = append(turns, turn)
	}
	out["what_would_change_it"] = turns
	return out
}

func decisionOf(d policy.Decision) map[string]any {
	return map[string]any{"outcome": d.Outcome, "clause": d.Clause.ID, "title": d.Clause.Title, "reason": d.Clause.Reason}
}

func evidenceOf(all []policy.Evidence) []any {
	out := []any{}
	for _, e := range all {
		m := map[string]any{"kind": e.Kind, "source": e.Source}
		for key, text := range map[string]string{"group": e.Group, "reference": e.Reference, "family": e.Family} {
			if text != "" {
				m[key] = text
			}
		}
		for key, at := range map[string]time.Time{"first": e.First, "last": e.Last} {
			if !at.IsZero() {
				m[key] = at
			}
		}
		out = append(out, m)
	}
	return out
}

// words are an explanation's in one language.
type words struct {
	untold, filtered, unfiltered, sinkhole, resolved, always, since, ended, never, clause, reason, evidence, none, now, policy, what, quiet, more, nothing, mixed, list, spare, review, withdrawn, overruled string
}

var (
	english = words{
		untold:   "the log does not tell this name, for a source's licence forbids it: a commitment stands there, which you opened by asking",
		filtered: "filtered view", unfiltered: "unfiltered view",
		sinkhole: "%s and %s in place of its addresses, no data of other types, and log entry %d as the reason",
		resolved: "what the Internet says, unless that leads to something listed",
		always:   "what the Internet says",
		since:    "%s: log entry %d lists %s, in force by entry %d", ended: "%s: log entry %d ended the listing of %s: %s", never: "no entry of the log from %d on ended a listing of it",
		clause: "listed by clause %s", reason: "reason", evidence: "evidence", none: "none is known",
		now: "the policy says now: %s, by clause %s: %s", policy: "policy %s, log entry %d", what: "what would change it", quiet: "nothing new said until %s",
		more: "%s from %d more source(s)", nothing: "nothing that was tried", mixed: "it mixes scripts, as names that imitate others do",
		list: "listed", spare: "not listed", review: "listed once a person confirms it",
		withdrawn: "%d of what sources said they say no longer", overruled: "%d accusation(s) of policy zones do not count: an earlier zone lets it pass",
	}
	japanese = words{
		untold:   "情報源のライセンスにより、この名前はログに書かれていない。代わりのコミットメントは、尋ねられた名前により開かれた",
		filtered: "フィルターあり", unfiltered: "フィルターなし",
		sinkhole: "アドレスの代わりに %s と %s、他の型はデータなし、理由としてログの第 %d 項",
		resolved: "インターネット上の答えのまま（その先に掲載されたものがない限り）",
		always:   "インターネット上の答えのまま",
		since:    "%s から: ログの第 %d 項が %s を掲載、第 %d 項により有効", ended: "%s: ログの第 %d 項が %s の掲載を終えた: %s", never: "ログの第 %d 項以降に、掲載を終えた項はない",
		clause: "条項 %s により掲載", reason: "理由", evidence: "証拠", none: "知られていない",
		now: "現在の方針による判断: %s、条項 %s: %s", policy: "方針 %s、ログの第 %d 項", what: "判断が変わる条件", quiet: "%s まで新しい証拠がない",
		more: "%s があと %d 件の独立した情報源から", nothing: "試したものの中にはない", mixed: "複数の文字体系が混在し、他の名前を装うもののように見える",
		list: "掲載", spare: "掲載しない", review: "人が確認すれば掲載",
		withdrawn: "情報源が以前の主張のうち %d 件を取り下げている", overruled: "ポリシーゾーンの主張 %d 件は数えない（先のゾーンが通すとしている）",
	}
)

func (w *words) outcome(o policy.Outcome) string {
	switch o {
	case policy.List:
		return w.list
	case policy.Review:
		return w.review
	}
	return w.spare
}

// explainInWords is an explanation for people.
func explainInWords(x *curate.Explanation, conf config.Config, lang string) string {
	w := english
	if lang == "ja" {
		w = japanese
	}
	const day = "2006-01-02 15:04:05 MST"
	var b strings.Builder
	b.WriteString(x.Asked)
	if x.Unicode != "" {
		fmt.Fprintf(&b, " (%s)", x.Unicode)
	}
	b.WriteByte('\n')
	if x.Mixed {
		fmt.Fprintf(&b, "  %s\n", w.mixed)
	}
	filtered := w.resolved
	if x.Filtered {
		filtered = fmt.Sprintf(w.sinkhole, conf.Sinkhole.IPv4, conf.Sinkhole.IPv6, x.Entry)
	}
	fmt.Fprintf(&b, "  %s: %s\n  %s: %s\n", w.filtered, filtered, w.unfiltered, w.always)
	if x.Filtered {
		fmt.Fprintf(&b, "  "+w.since+"\n", x.Listing.Time.Format(day), x.Entry, x.Listed, x.Epoch)
		fmt.Fprintf(&b, "  "+w.clause+"\n", x.Listing.Clause)
		if !x.Listing.Commitment.IsZero() {
			fmt.Fprintf(&b, "  %s\n", w.untold)
		}
	}
	switch e := x.Ended; {
	case x.Filtered:
	case e == nil:
		fmt.Fprintf(&b, "  "+w.never+"\n", x.Looked)
	default:
		fmt.Fprintf(&b, "  "+w.ended+"\n", e.Time.Format(day), e.N, e.Listed, strings.TrimSuffix(e.Cause+", "+e.Note, ", "))
	}
	fmt.Fprintf(&b, "  "+w.now+"\n", w.outcome(x.Decision.Outcome), x.Decision.Clause.ID, x.Decision.Clause.Title.In(lang))
	fmt.Fprintf(&b, "    %s: %s\n    "+w.policy+"\n", w.reason, x.Decision.Clause.Reason.In(lang), x.Policy.Version, x.PolicyEntry)
	fmt.Fprintf(&b, "  %s:\n", w.evidence)
	for _, e := range x.Evidence {
		fmt.Fprintf(&b, "    %s\n", evidenceInWords(e))
	}
	if len(x.Evidence) == 0 {
		fmt.Fprintf(&b, "    %s\n", w.none)
	}
	for text, n := range map[string]int{w.withdrawn: x.Withdrawn, w.overruled: x.Overruled} {
		if n > 0 {
			fmt.Fprintf(&b, "    "+text+"\n", n)
		}
	}
	fmt.Fprintf(&b, "  %s:\n", w.what)
	for _, t := range x.What {
		cause := fmt.Sprintf(w.quiet, t.At.Format(day))
		if t.At.IsZero() {
			cause = fmt.Sprintf(w.more, strings.TrimSpace(t.If.Kind+" "+t.If.Reference), t.Count)
		}
		fmt.Fprintf(&b, "    %s → %s (%s)\n", cause, w.outcome(t.Decision.Outcome), t.Decision.Clause.ID)
	}
	if len(x.What) == 0 {
		fmt.Fprintf(&b, "    %s\n", w.nothing)
	}
	return b.String()
}

// evidenceInWords is one piece of evidence on a line.
func evidenceInWords(e policy.Evidence) string {
	parts := []string{e.Kind, "(" + e.Source + ")", e.Family, e.Reference}
	const day = "2006-01-02"
	switch {
	case !e.Last.IsZero() && !e.First.IsZero():
		parts = append(parts, e.First.Format(day)+"–"+e.Last.Format(day))
	case !e.Last.IsZero():
		parts = append(parts, e.Last.Format(day))
	}
	return strings.Join(strings.Fields(strings.Join(parts, " ")), " ")
}
