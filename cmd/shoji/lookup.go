package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/shoji-dns/shoji/internal/audit"
	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/ledger"
)

// lookupCmd asks whether a name or an address is listed, with proof, and without telling the
// server which.
type lookupCmd struct {
	settings
	About  string `arg:"" help:"The name, address or prefix." placeholder:"NAME|ADDRESS"`
	Log    string `help:"The log: its address, or the folder of a copy. Default: the state folder." placeholder:"URL|DIR"`
	Key    string `help:"The log's verifier key, as shoji log key prints it. Default: the one that the log had when it was first met." placeholder:"VKEY"`
	Memory string `help:"Folder where keys of logs are remembered. Default: verify in the user's state folder." type:"path" placeholder:"DIR"`
	Entry  bool   `help:"Read the entry of a listing too. Over HTTP this shows the server which listing was found."`
	JSON   bool   `name:"json" help:"Print JSON for a machine, with the proofs."`
	Lang   string `help:"en or ja. Default: by the locale." enum:"en,ja," default:""`
}

// exitListed is the status of lookup where the name is listed.
const exitListed = 4

// Run exits with status 0 where it is proved that the name is not listed, 4 that it is, 1
// where something was shown that is not so, 2 for wrong usage, and 3 where nothing was proved.
func (c *lookupCmd) Run(ctx context.Context, t terminal) error {
	asked, err := curate.ParseAsked(c.About)
	if err != nil {
		return usageError{err}
	}
	if !asked.Prefix.IsValid() && asked.Name == dns.Root {
		return usageError{errors.New("the root cannot be listed")}
	}
	p := newProgress(t.err)
	defer p.clear()
	found, err := c.look(ctx, asked, p)
	p.clear()
	if err != nil {
		damage, entry := (*ledger.DamageError)(nil), (*ledger.EntryError)(nil)
		if errors.As(err, &damage) || errors.As(err, &entry) || errors.As(err, &usageError{}) || errors.As(err, &statusError{}) {
			return err
		}
		return statusError{fmt.Errorf("nothing was proved: %w", err), exitUnchecked}
	}
	if c.JSON {
		err = found.encode(t.out)
	} else {
		_, err = io.WriteString(t.out, found.text(lookupWords[language(c.Lang)]))
	}
	if err == nil && found.answer.Listing() != nil {
		err = statusError{errors.New("listed"), exitListed}
	}
	return err
}

// headOfLog is a log, and its list in force.
type headOfLog struct {
	address    string // of the log
	key, from  string
	remote     bool
	tip        ledger.Checkpoint
	epoch      ledger.Epoch
	epochRaw   []byte
	epochProof []string
}

// lookedUp is what was found, and by what it is proved.
type lookedUp struct {
	headOfLog
	asked  string
	answer *ledger.MapAnswer
	entry  *ledger.Entry // of the listing, where it was read
}

// openLog is a log with its list in force proved, to look subjects up in.
type openLog struct {
	headOfLog
	src      ledger.Source
	maps     ledger.Source
	verifier note.Verifier // of its key
	close    func() error
}

// look looks a subject up.
func (c *lookupCmd) look(ctx context.Context, asked curate.Subject, p *progress) (*lookedUp, error) {
	o, err := c.open(ctx, p)
	if err != nil {
		return nil, err
	}
	defer o.close()
	out, err := o.find(ctx, asked, c.Entry || !o.remote)
	if err != nil {
		return nil, err
	}
	return out, o.remember(c.Memory)
}

// open opens the log and proves which list is in force.
func (c *lookupCmd) open(ctx context.Context, p *progress) (_ *openLog, err error) {
	if err := c.locate(); err != nil {
		return nil, err
	}
	log := logAddress{Log: c.Log, Key: c.Key, Memory: c.Memory}
	src, address, done, err := log.source()
	if err != nil {
		return nil, usageError{err}
	}
	defer func() {
		if err != nil {
			done()
		}
	}()
	o := &openLog{src: src, headOfLog: headOfLog{address: address, remote: strings.Contains(c.Log, "://")}}
	if o.key, o.from, err = log.key(ctx, src, address); err != nil {
		return nil, err
	}
	var key note.Verifier
	if o.key, key, err = log.verifier(o.key); err != nil {
		return nil, usageError{err}
	}
	if err := o.readEpoch(ctx, src, key); err != nil {
		return nil, err
	}
	maps, closeMap, err := c.maps(ctx, src, key, &o.headOfLog, p)
	if err != nil {
		return nil, err
	}
	o.maps, o.verifier, o.close = maps, key, func() error { done(); return closeMap() }
	return o, nil
}

// locate fills in where the log is, and where its key is remembered.
func (c *lookupCmd) locate() error {
	if c.Log == "" {
		conf, err := c.settings.load()
		if err != nil {
			return err
		}
		c.Log = conf.State
		if c.Key == "" {
			if c.Key, err = sequence.ReadVerifierKey(conf.State); err != nil {
				return fmt.Errorf("%s: no log of its own is there: give one with --log", conf.State)
			}
		}
	}
	if c.Memory == "" {
		c.Memory = filepath.Join(config.Default().State, "verify")
	}
	return nil
}

// find looks a subject up; with entry, it reads what lists it too.
func (o *openLog) find(ctx context.Context, asked curate.Subject, entry bool) (*lookedUp, error) {
	out := &lookedUp{headOfLog: o.headOfLog, asked: asked.String()}
	var err error
	if asked.Prefix.IsValid() {
		out.answer, err = ledger.LookupPrefixes(ctx, o.maps, o.epoch, asked.Prefix)
	} else {
		out.answer, err = ledger.LookupName(ctx, o.maps, o.epoch, strings.TrimSuffix(asked.Name.Canonical().String(), "."))
	}
	if err != nil {
		return nil, err
	}
	if listing := out.answer.Listing(); listing != nil && entry {
		if out.entry, err = ledger.ReadEntry(ctx, o.src, o.tip, listing.Entry); err != nil {
			return nil, err
		}
		if err := listing.CheckListing(out.entry); err != nil {
			return nil, &ledger.EntryError{Index: listing.Entry, Err: err}
		}
	}
	return out, nil
}

// remember keeps the key of a log on a server that was met for the first time.
func (o *openLog) remember(memory string) error {
	if o.remote && o.from == keyFirst {
		return audit.PinKey(memory, o.address, o.key)
	}
	return nil
}

// readEpoch reads the epoch entry in force and proves it.
func (l *headOfLog) readEpoch(ctx context.Context, src ledger.Source, key note.Verifier) (err error) {
	if l.tip, err = ledger.ReadCheckpoint(ctx, src, key); err != nil {
		return err
	}
	if l.epoch, err = ledger.LatestEpoch(ctx, src, l.tip); err != nil {
		return err
	}
	if l.epoch.Map.IsZero() {
		return fmt.Errorf("the list in force (log entry %d) has no map: only shoji verify can check it, or shoji list import of this version makes one", l.epoch.Entry)
	}
	if l.epochRaw, err = ledger.ReadRaw(ctx, src, l.tip, l.epoch.Entry); err != nil {
		return err
	}
	l.epochProof, err = inclusion(ctx, src, l.tip, l.epoch.Entry)
	return err
}

// inclusion is the proof that a log holds entry n.
func inclusion(ctx context.Context, src ledger.Source, tip ledger.Checkpoint, n uint64) (hashes []string, err error) {
	proof, err := ledger.Prove(ctx, src, tip, n)
	for _, h := range proof {
		hashes = append(hashes, h.String())
	}
	return hashes, err
}

// maps is where the map is read from: the server, the state folder's file, or one that is
// made here from a copy of the log alone.
func (c *lookupCmd) maps(ctx context.Context, src ledger.Source, key note.Verifier, l *headOfLog, p *progress) (ledger.Source, func() error, error) {
	if l.remote {
		return src, func() error { return nil }, nil
	}
	if m, done, err := curate.OpenMap(c.Log, l.epoch.Map); err == nil {
		return m, done, nil
	}
	state, err := ledger.ReplayAt(ctx, src, key, l.epoch.Size, func(done, total uint64) { p.show(lookupWords[language(c.Lang)]["stage"], done, total) })
	if err != nil {
		return nil, nil, err
	}
	f, err := os.CreateTemp("", "shoji-map-*")
	if err != nil {
		return nil, nil, err
	}
	os.Remove(f.Name()) // it goes with the process, however that ends
	root, err := state.Map(f)
	if err == nil && root != l.epoch.Map {
		err = &ledger.EntryError{Index: l.epoch.Entry, Err: fmt.Errorf("the map over what the log adds up to has the root %s, and the epoch says %s", root, l.epoch.Map)}
	}
	var m *ledger.Map
	if err == nil {
		var info fs.FileInfo
		if info, err = f.Stat(); err == nil {
			m, err = ledger.OpenMap(f, info.Size())
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return m, f.Close, nil
}

// encode prints what was found for a machine.
func (l *lookedUp) encode(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(l.object())
}

// object is what was found for a machine, with all that proves it.
func (l *lookedUp) object() map[string]any {
	h := l.answer.Head
	probes := []map[string]any{}
	for _, p := range l.answer.Probes {
		one := map[string]any{"subject": p.Subject, "scope": p.Scope, "key": fmt.Sprintf("%x", p.Key[:]), "listed": p.Listed, "proof": p.Proof}
		if p.Listed {
			one["entry"] = p.Entry
		}
		if !p.Salt.IsZero() {
			one["salt"] = fmt.Sprintf("%x", p.Salt[:])
		}
		probes = append(probes, one)
	}
	out := map[string]any{
		"asked": l.asked, "listed": l.answer.Listing() != nil, "log": l.address, "key": l.key, "key_from": l.from,
		"checkpoint": string(l.tip.Raw), "head": string(h.Text()), "probes": probes,
		"in_force": map[string]any{
			"entry": l.epoch.Entry, "time": l.epoch.Time.Format(time.RFC3339), "listings": l.epoch.Count, "map": l.epoch.Map.String(),
			"raw": string(l.epochRaw), "proof": l.epochProof,
		},
	}
	if l.remote {
		out["shown"] = map[string]any{"pages": l.answer.Pages, "of": h.Pages()}
	}
	if listing := l.answer.Listing(); listing != nil {
		by := map[string]any{"entry": listing.Entry, "subject": listing.Subject, "scope": listing.Scope, "committed": !listing.Salt.IsZero(), "read": l.entry != nil}
		if l.entry != nil {
			by["clause"], by["since"] = l.entry.Clause, l.entry.Time.Format(time.RFC3339)
		}
		out["listing"] = by
	}
	return out
}

// text is what was found, in words.
func (l *lookedUp) text(w map[string]string) string {
	var b strings.Builder
	listing := l.answer.Listing()
	if listing == nil {
		fmt.Fprintf(&b, w["absent"]+"\n", l.asked)
	} else {
		subject := listing.Subject
		if listing.Scope == ledger.ScopeSubtree {
			subject = "*." + subject
		}
		fmt.Fprintf(&b, w["listed"]+"\n", l.asked, listing.Entry, subject)
		if !listing.Salt.IsZero() {
			b.WriteString("  " + w["committed"] + "\n")
		}
		if l.entry != nil {
			fmt.Fprintf(&b, "  "+w["entry"]+"\n", l.entry.Clause, l.entry.Time.Format("2006-01-02 15:04:05 MST"))
		} else {
			b.WriteString("  " + w["unread"] + "\n")
		}
	}
	fmt.Fprintf(&b, "  "+w["force"]+"\n", l.epoch.Entry, l.epoch.Time.Format("2006-01-02 15:04:05 MST"), l.epoch.Count)
	octets := 0
	for _, p := range l.answer.Probes {
		octets += len(p.Proof)
	}
	if len(l.answer.Probes) == 0 {
		fmt.Fprintf(&b, "  "+w["proof-head"]+"\n", printable(l.key)+w["key-"+l.from])
	} else {
		fmt.Fprintf(&b, "  "+w["proof"]+"\n", len(l.answer.Probes), octets, printable(l.key)+w["key-"+l.from])
	}
	switch {
	case !l.remote:
		b.WriteString("  " + w["here"] + "\n")
	case len(l.answer.Pages) == 0:
		fmt.Fprintf(&b, "  "+w["shown-head"]+"\n", printable(l.address))
	default:
		fmt.Fprintf(&b, "  "+w["shown"]+"\n", printable(l.address), strings.Trim(fmt.Sprint(l.answer.Pages), "[]"), l.answer.Head.Pages())
		if l.entry != nil {
			b.WriteString("  " + w["shown-entry"] + "\n")
		}
	}
	return b.String()
}

// lookupWords is what lookup says, by language. Texts with verbs are for fmt.
var lookupWords = map[string]map[string]string{
	"en": {
		"absent":         "%s is NOT LISTED: it is proved that neither it nor anything above it is on the list.",
		"listed":         "%s is LISTED: log entry %d lists %s.",
		"committed":      "The log does not tell this name; its commitment was opened by asking for it.",
		"entry":          "by clause %s, since %s",
		"unread":         "Why: --entry reads it, and shows the server which listing was found; a copy of the log (--log DIR) shows nothing.",
		"force":          "list in force: log entry %d of %s, %d listings",
		"proof":          "proof: checkpoint, epoch entry, map; %d proofs of %d octets in all, by key %s",
		"proof-head":     "proof: checkpoint, epoch entry, and the map's head, which counts no listing that is so wide; by key %s",
		"here":           "looked up in a copy on this machine: nobody was asked",
		"shown":          "what %s saw: page %s of %d of the map was read, and not which name of that page, nor whether it is listed",
		"shown-head":     "what %s saw: nothing of it; by the map's head nothing as wide as that is listed",
		"shown-entry":    "and the listing's entry was read, which shows the listing",
		"stage":          "verifying the log",
		"key-given":      "",
		"key-remembered": " (as when this log was first met)",
		"key-first-use":  " (taken from the log itself, at first sight: compare it with what the operator publishes elsewhere)",
	},
	"ja": {
		"absent":         "%s は掲載されていません。この名前も、それを含む上位の名前もリストにないことが証明されました。",
		"listed":         "%s は掲載されています。ログの第 %d 項が %s を掲載しています。",
		"committed":      "ログにはこの名前自体は書かれていません。尋ねられた名前により、コミットメントが開かれました。",
		"entry":          "条項 %s、%s から",
		"unread":         "理由は --entry で読めますが、どの掲載かがサーバーに知られます。ログの写し（--log DIR）なら何も知られません。",
		"force":          "有効なリスト: ログの第 %d 項（%s）、%d 件",
		"proof":          "証明: チェックポイント、エポック項、マップ。計 %d 個、%d オクテット。鍵 %s",
		"proof-head":     "証明: チェックポイント、エポック項、マップの見出し（それほど広い掲載を一つも数えていない）。鍵 %s",
		"here":           "このマシンにある写しで調べたため、誰にも尋ねていません",
		"shown":          "%s に見えたもの: マップのページ %s（全 %d ページ）が読まれたこと。そのページのどの名前かも、掲載の有無も見えません",
		"shown-head":     "%s に見えたもの: 何もありません。マップの見出しによれば、それほど広い掲載は一つもありません",
		"shown-entry":    "掲載の項も読んだため、どの掲載かは見えています",
		"stage":          "ログを検証中",
		"key-given":      "",
		"key-remembered": "（このログを最初に見たときと同じ）",
		"key-first-use":  "（初回のためログ自身から取得。運用者が別の場所で公開している鍵と見比べてください）",
	},
}
