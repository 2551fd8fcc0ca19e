// Package metrics tells a monitoring system how a resolver does, in Prometheus's text format
// over HTTP, and whether it is ready to answer.
//
//	/metrics  the families of families.go, and those of the process and of Go's runtime
//	/health   200 where the filtered view has a list, else 503 with the reason
//
// All that is told are sums over everybody: no label and no value leads to a client, and none to
// a name that somebody asked for.
//
// # Limits
//
// Methods GET and HEAD, MaxConnections, and the times below. It is for the machine itself or a
// network of the operator's: no TLS and no access control.
package metrics

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

// Limits of what a client can take.
const (
	MaxConnections = 16
	maxScrapes     = 4        // at once
	maxHeader      = 16 << 10 // octets of a request's headers

	readTime   = 10 * time.Second // for a request
	writeTime  = 30 * time.Second // for a reply
	idleTime   = 2 * time.Minute  // between two requests of a connection: a usual interval
	scrapeTime = 10 * time.Second // to read everything
	closeTime  = 2 * time.Second  // for replies under way when the server ends
)

// Config is what a Server needs.
type Config struct {
	Listen string                            // ADDRESS:PORT
	Read   func(ctx context.Context) Reading // how things stand; called for each scrape, from any goroutine
	Logger *slog.Logger                      // told of what fails while serving; nil: nobody
}

// Server tells metrics.
type Server struct {
	http     *http.Server
	listener net.Listener
}

// Listen opens the socket. Nothing is answered before Serve.
func Listen(c Config) (*Server, error) {
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{
		listener: netutil.LimitListener(l, MaxConnections),
		http: &http.Server{
			Handler: Handler(c.Read), ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
			ErrorLog: slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug),
		},
	}, nil
}

// URL is where the metrics are.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() + "/metrics" }

// Serve answers until ctx ends or the socket fails.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		if s.http.Shutdown(patience) != nil {
			s.http.Close()
		}
	})
	defer stop()
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close closes the socket and all connections.
func (s *Server) Close() error { return errors.Join(s.http.Close(), s.listener.Close()) }

// Handler answers for metrics and health.
func Handler(read func(ctx context.Context) Reading) http.Handler {
	registry := prometheus.NewRegistry() // of this handler alone: nothing that is linked in adds to it
	registry.MustRegister(&collector{read: read, all: families()}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes, Timeout: scrapeTime}))
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), scrapeTime)
		defer cancel()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		why := read(ctx).Unready
		if why == "" {
			io.WriteString(w, "ready\n")
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, why+"\n")
	})
	return mux
}

// collector turns a Reading into metrics.
type collector struct {
	read func(ctx context.Context) Reading
	all  []family
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for i := range c.all {
		out <- c.all[i].desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	r := c.read(ctx)
	for i := range c.all {
		f := &c.all[i]
		f.each(&r, func(value float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
		})
	}
}
