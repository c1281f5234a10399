package statsd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rondo-ci/rondo/metrics"
	"golang.org/x/sync/errgroup"
)

// Config adjusts a Server. The zero Config works.
type Config struct {
	// Allow are the networks from which packets are taken; none is this
	// machine only.
	Allow []netip.Prefix
	// Series is how many different series are kept between two Gathers; 0 is
	// 20,000. What is more is counted as dropped.
	Series int
	// Parsers is how many goroutines read packets; 0 is one for each CPU, at
	// most 4.
	Parsers int
}

// A Server takes packets. It is an input of package metrics.
type Server struct {
	conn  *net.UDPConn
	cfg   Config
	queue chan packet
	free  sync.Pool
	parts []*part

	mu    sync.Mutex // of Gather
	begun time.Time
	kept  map[string]kept // gauges, for changes to come

	packets, malformed, dropped atomic.Int64
}

// kept is the last value of a gauge.
type kept struct {
	value float64
	at    time.Time
}

// keepGauges is how long the value of a gauge is known that nobody sends.
const keepGauges = time.Hour

type packet struct {
	buf *[]byte
	n   int
}

// queued is how many packets may wait to be read.
const queued = 10_000

// Listen opens the address, as in ":8125". The socket stays the same for the
// life of the Server, whatever becomes of sinks. Run reads from it.
func Listen(address string, cfg Config) (*Server, error) {
	at, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, fmt.Errorf("statsd: listen on %q: %w", address, err)
	}
	conn, err := net.ListenUDP("udp", at)
	if err != nil {
		return nil, fmt.Errorf("statsd: listen on %s (another StatsD, Telegraf perhaps, may have the port): %w", address, err)
	}
	_ = conn.SetReadBuffer(8 << 20) // the kernel gives what it may
	if cfg.Series <= 0 {
		cfg.Series = 20_000
	}
	if cfg.Parsers <= 0 {
		cfg.Parsers = min(4, runtime.NumCPU())
	}
	if len(cfg.Allow) == 0 {
		cfg.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	s := &Server{conn: conn, cfg: cfg, queue: make(chan packet, queued), begun: time.Now(), kept: map[string]kept{}}
	s.free.New = func() any { b := make([]byte, 65536); return &b }
	for range cfg.Parsers {
		s.parts = append(s.parts, &part{most: cfg.Series/cfg.Parsers + 1})
	}
	return s, nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.conn.LocalAddr() }

// Close closes the socket. Run does too.
func (s *Server) Close() error { return s.conn.Close() }

// Run reads packets until ctx ends, and returns nil then.
func (s *Server) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = s.conn.Close() })()
	var g errgroup.Group
	for _, p := range s.parts {
		g.Go(func() error { s.parse(p); return nil })
	}
	g.Go(func() error {
		defer close(s.queue)
		return s.read(ctx)
	})
	return g.Wait()
}

// read only copies, so that the kernel's buffer is emptied as fast as may be.
func (s *Server) read(ctx context.Context) error {
	for {
		buf := s.free.Get().(*[]byte)
		n, from, err := s.conn.ReadFromUDPAddrPort(*buf)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			continue
		}
		s.packets.Add(1)
		if !slices.ContainsFunc(s.cfg.Allow, func(p netip.Prefix) bool { return p.Contains(from.Addr().Unmap()) }) {
			s.dropped.Add(1)
			s.free.Put(buf)
			continue
		}
		select {
		case s.queue <- packet{buf, n}:
		default:
			s.dropped.Add(1)
			s.free.Put(buf)
		}
	}
}

// parse reads the lines of packets into a part.
func (s *Server) parse(p *part) {
	for pk := range s.queue {
		text := string((*pk.buf)[:pk.n])
		s.free.Put(pk.buf)
		for line := range strings.SplitSeq(text, "\n") {
			if line = strings.TrimRight(line, "\r"); line == "" {
				continue
			}
			m, err := Parse(line)
			switch {
			case err != nil:
				s.malformed.Add(1)
			case m.Type != Other && !p.add(m):
				s.dropped.Add(1)
			}
		}
	}
}

// Gather implements metrics.Input: what came since the last Gather, and how
// much could not be read. A gauge is given once for each time that it was sent.
func (s *Server) Gather(context.Context) ([]metrics.Sample, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	interval := now.Sub(s.begun)
	s.begun = now
	merged := map[string]*series{}
	for _, p := range s.parts {
		p.drain(merged)
	}
	samples := make([]metrics.Sample, 0, len(merged)+3)
	for id, x := range merged {
		if x.kind == Gauge {
			if !x.set {
				x.value += s.kept[id].value
			}
			s.kept[id] = kept{x.value, now}
		}
		samples = append(samples, x.sample(now, interval))
	}
	for id, k := range s.kept {
		if now.Sub(k.at) > keepGauges {
			delete(s.kept, id)
		}
	}
	for _, c := range []struct {
		name string
		n    *atomic.Int64
	}{{"statsd.packets_total", &s.packets}, {"statsd.malformed_total", &s.malformed}, {"statsd.dropped_total", &s.dropped}} {
		if n := c.n.Swap(0); n > 0 {
			samples = append(samples, metrics.Sample{Name: c.name, Kind: metrics.Count, Value: float64(n), Time: now, Interval: interval})
		}
	}
	return samples, nil
}
