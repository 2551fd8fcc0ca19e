// Package publish serves a log's folder as static files over HTTP, in the layout of
// C2SP tlog-tiles (https://c2sp.org/tlog-tiles), so that readers and mirrors can follow it.
// Any web server can serve the same folder; what this one adds is what the format asks
// for: tiles and bundles may be kept for ever, the checkpoint for a moment.
//
// # What is served
//
//	checkpoint                   text/plain, to be asked for again each time
//	tile/LEVEL/INDEX[.p/WIDTH]   hashes: application/octet-stream, immutable
//	tile/entries/INDEX[.p/WIDTH] entries: the same
//	list/DIGEST                  a compiled list by its SHA-256: the same
//	map/ROOT/head                the head of the map with a root: text/plain, immutable
//	map/ROOT/PAGE                a page of it: application/octet-stream, immutable
//	map/current                  which map is in force: JSON, to be asked for again each time
//	key.pub                      the log's verifier key, for who meets the log first here
//	(nothing)                    a page of plain text that says what this is
//
// A path is read by that grammar and not handed to the file system as it came. Nothing else
// of the folder is there, whatever its name, and nothing outside of it can be reached: the
// signing key lies beside the folder. Of the folder of lists nothing is served but lists, by their
// digests, and maps, by their roots; those that are in force no longer are gone some time after. Links are not followed. A tile is served once the
// checkpoint covers it: what a writer has stored beyond may be written anew after a crash,
// and caches would keep the first for ever.
//
// # Limits
//
// Methods GET and HEAD. MaxConnections, and the times of readTime and the constants beside
// it, whatever a client sends or takes a byte at a time. There is no limit per source: before
// the open Internet belongs a web server or a CDN that has one. No TLS.
package publish

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"github.com/shoji-dns/shoji/ledger"
)

// Limits of what strangers can take.
const (
	MaxConnections = 256      // each holds a goroutine, some buffers of 4 KiB and at most one open file
	maxHeader      = 16 << 10 // octets of a request's headers; a reader of the log sends under 1 KiB

	readTime  = 10 * time.Second // for a request
	writeTime = 2 * time.Minute  // for a reply: the largest bundle, 16 MiB, at 1.1 Mbit/s
	idleTime  = time.Minute      // between two requests of a connection
	closeTime = 5 * time.Second  // for replies under way when the server ends
)

// VerifierPath is where the log's verifier key is.
const VerifierPath = "key.pub"

// How long caches may keep a file. A checkpoint is asked for anew each time, by its ETag. A
// tile never changes. The verifier key does not change either, but a wrong copy must not last.
const (
	cacheCheckpoint = "no-cache"
	cacheTile       = "public, max-age=31536000, immutable"
	cacheKey        = "public, max-age=3600"
)

// Config is what a Server needs.
type Config struct {
	Dir    string       // the log's folder
	Lists  string       // the folder of compiled lists; "": they are not published
	Listen string       // ADDRESS:PORT
	Logger *slog.Logger // told of what fails while serving; nil: nobody
}

// Server serves a log.
type Server struct {
	dir      string
	lists    string
	http     *http.Server
	listener net.Listener
}

// Listen opens the socket. Nothing is answered before Serve.
func Listen(c Config) (*Server, error) {
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, err
	}
	s := &Server{dir: c.Dir, lists: c.Lists, listener: netutil.LimitListener(l, MaxConnections)}
	s.http = &http.Server{
		ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(logger(c.Logger).Handler(), slog.LevelDebug),
	}
	return s, nil
}

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

// URL is where the log is served.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() + "/" }

// Serve answers until ctx ends or the socket fails. vkey is the log's verifier key.
func (s *Server) Serve(ctx context.Context, vkey string) error {
	s.http.Handler = Handler(s.dir, s.lists, vkey)
	stop := context.AfterFunc(ctx, func() {
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		if s.http.Shutdown(patience) != nil {
			s.http.Close()
		}
	})
	defer stop()
	err := s.http.Serve(s.listener)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close closes the socket and all connections.
func (s *Server) Close() error { return errors.Join(s.http.Close(), s.listener.Close()) }

// Handler serves the log in folder dir with the verifier key vkey, and the compiled lists in
// folder lists, if it is not "". The folders need not be there yet.
func Handler(dir, lists, vkey string) http.Handler {
	return &handler{dir: dir, lists: lists, vkey: vkey}
}

type handler struct {
	dir, lists, vkey string
	maps             maps
	current          current
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Access-Control-Allow-Origin", "*") // public: a verifier in a browser may read it
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	switch path := strings.TrimPrefix(r.URL.Path, "/"); path {
	case "":
		h.text(w, r, h.about(r.Host), cacheCheckpoint)
	case VerifierPath:
		h.text(w, r, h.vkey+"\n", cacheKey)
	case ledger.CheckpointPath:
		h.checkpoint(w, r)
	case MapCurrentPath:
		h.mapCurrent(w, r)
	default:
		if root, page, ok := ledger.ParseMapPath(path); ok {
			h.mapPart(w, r, root, page)
			return
		}
		if digest, ok := strings.CutPrefix(path, ListPath); ok {
			h.list(w, r, digest)
			return
		}
		h.tile(w, r, path)
	}
}

// text serves a text that is in memory.
func (h *handler) text(w http.ResponseWriter, r *http.Request, text, cache string) {
	h.reply(w, r, "text/plain; charset=utf-8", text, cache)
}

// reply is text of another kind.
func (h *handler) reply(w http.ResponseWriter, r *http.Request, kind, text, cache string) {
	sum := sha256.Sum256([]byte(text))
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", cache)
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
}

// about is what a person sees who opens the address.
func (h *handler) about(host string) string {
	if !plainHost.MatchString(host) {
		host = "HOST"
	}
	return fmt.Sprintf("This is a public log of what a resolver filters, and why (https://c2sp.org/tlog-tiles).\n\n"+
		"Verifier key  %s\nCheck it all  shoji verify http://%s/ --key %s\n", h.vkey, host, h.vkey)
}

// plainHost is a Host that may be repeated.
var plainHost = regexp.MustCompile(`^[A-Za-z0-9.:\[\]-]{1,255}$`)

func (h *handler) checkpoint(w http.ResponseWriter, r *http.Request) {
	b, err := h.readCheckpoint()
	if err != nil {
		h.fail(w, err)
		return
	}
	h.text(w, r, string(b), cacheCheckpoint)
}

// readCheckpoint reads the checkpoint's file.
func (h *handler) readCheckpoint() ([]byte, error) {
	f, err := open(h.dir, ledger.CheckpointPath)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, ledger.MaxCheckpoint+1))
	if err == nil && len(b) > ledger.MaxCheckpoint {
		err = fmt.Errorf("the checkpoint has more than %d octets", ledger.MaxCheckpoint)
	}
	return b, err
}

// size is how many entries the checkpoint covers. Its signature is for readers to verify.
func (h *handler) size() (uint64, error) {
	b, err := h.readCheckpoint()
	if err != nil {
		return 0, err
	}
	lines := bytes.SplitN(b, []byte("\n"), 3)
	if len(lines) < 3 {
		return 0, errors.New("the checkpoint has no size")
	}
	return strconv.ParseUint(string(lines[1]), 10, 63)
}

func (h *handler) tile(w http.ResponseWriter, r *http.Request, path string) {
	t, ok := ledger.ParsePath(path)
	if !ok {
		h.fail(w, os.ErrNotExist)
		return
	}
	size, err := h.size()
	if err == nil && !t.Within(size) {
		err = os.ErrNotExist
	}
	if err != nil {
		h.fail(w, err)
		return
	}
	h.immutable(w, r, h.dir, path)
}

// immutable serves a file that never changes.
func (h *handler) immutable(w http.ResponseWriter, r *http.Request, dir, path string) {
	f, err := open(dir, path)
	if err != nil {
		h.fail(w, err)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", cacheTile)
	http.ServeContent(w, r, "", time.Time{}, f)
}

var errNoFile = errors.New("not a regular file")

// open opens a file below dir, which is no link and leads nowhere else.
func open(dir, path string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	for i := 0; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		info, err := root.Lstat(path[:i])
		if err != nil {
			return nil, err
		}
		if i < len(path) && !info.IsDir() || i == len(path) && !info.Mode().IsRegular() {
			return nil, errNoFile
		}
	}
	return root.Open(path)
}

// fail answers with an error that says nothing of this machine.
func (h *handler) fail(w http.ResponseWriter, err error) {
	w.Header().Set("Cache-Control", "no-store")
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, errNoFile) {
		http.Error(w, "no such file in the log", http.StatusNotFound)
		return
	}
	http.Error(w, "the log cannot be read", http.StatusInternalServerError)
}
