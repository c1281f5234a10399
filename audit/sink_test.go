package audit_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/audit/audittest"
)

// A far side remembers what arrives.
type far struct {
	mu     sync.Mutex
	cond   *sync.Cond
	got    []string
	broken bool
}

func newFar() *far {
	f := &far{}
	f.cond = sync.NewCond(&f.mu)
	return f
}

func (f *far) add(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got = append(f.got, text)
	f.cond.Broadcast()
}

func (f *far) wait(n int) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.got) < n {
		f.cond.Wait()
	}
	return append([]string{}, f.got...)
}

func someLines(t testing.TB, n int) []audit.Line {
	w := newWorld(t, audit.Config{})
	w.fill(t, n)
	return w.lines(t)
}

func TestAUD15_Webhook(t *testing.T) {
	secret := []byte("hook secret")
	audittest.Sink(t, func(t *testing.T) audittest.Far {
		f := newFar()
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if err := audit.CheckSignature(r.Header.Get(audit.SignatureField), secret, body, time.Now()); err != nil {
				t.Error(err)
			}
			if audit.CheckSignature(r.Header.Get(audit.SignatureField), secret, append(body, ' '), time.Now()) == nil {
				t.Error("a body that was changed is taken")
			}
			f.mu.Lock()
			broken := f.broken
			f.mu.Unlock()
			if broken {
				http.Error(w, "no", http.StatusServiceUnavailable)
				return
			}
			for l := range strings.Lines(string(body)) {
				f.add(l)
			}
		}))
		t.Cleanup(s.Close)
		return audittest.Far{Sink: audit.NewWebhook(s.URL, secret, nil), Got: f.wait, Break: func(b bool) { f.mu.Lock(); f.broken = b; f.mu.Unlock() }}
	}, someLines(t, 6))
}

// syslogServer takes messages by octet counting.
func syslogServer(t *testing.T, f *far) (string, *tls.Config, func(bool)) {
	web := httptest.NewTLSServer(nil) // for its certificate
	t.Cleanup(web.Close)
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: web.TLS.Certificates})
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	broken := false
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			refuse := broken
			conns[c] = true
			mu.Unlock()
			if refuse {
				_ = c.Close()
				continue
			}
			go func() {
				in := bufio.NewReader(c)
				for {
					var n int
					if _, err := fmt.Fscanf(in, "%d ", &n); err != nil {
						return
					}
					m := make([]byte, n)
					if _, err := io.ReadFull(in, m); err != nil {
						return
					}
					f.add(string(m))
				}
			}()
		}
	}()
	return l.Addr().String(), &tls.Config{RootCAs: roots, ServerName: "example.com"}, func(b bool) {
		mu.Lock()
		defer mu.Unlock()
		broken = b
		for c := range conns {
			_ = c.Close()
			delete(conns, c)
		}
	}
}

func TestAUD15_Syslog(t *testing.T) {
	audittest.Sink(t, func(t *testing.T) audittest.Far {
		f := newFar()
		address, cfg, breakIt := syslogServer(t, f)
		s := audit.NewSyslog(address, audit.SyslogConfig{TLS: cfg, Host: "ci 1"})
		t.Cleanup(func() { _ = s.Close() })
		return audittest.Far{Sink: s, Got: func(n int) []string {
			got := f.wait(n)
			for _, m := range got {
				require.Regexp(t, `^<109>1 2026-11-24T12:10:0\d\.000000Z ci1 rondo - context\.env_var\.store \[audit@32473 id="[0-9a-f-]{36}" seq="\d" actor="alice" target="prod"\] \{"id":`, m)
			}
			return got
		}, Break: breakIt}
	}, someLines(t, 6))
	unchecked := audit.NewSyslog("127.0.0.1:1", audit.SyslogConfig{})
	require.ErrorContains(t, unchecked.Send(ctx, someLines(t, 1)), "syslog 127.0.0.1:1")
}

type funcSink func(context.Context, []audit.Line) error

func (f funcSink) Send(ctx context.Context, l []audit.Line) error { return f(ctx, l) }

// A sink that hangs and one that fails stop neither the book nor another sink,
// and lose nothing.
func TestAUD15_SlowSinkAlone(t *testing.T) {
	w := newWorld(t, audit.Config{})
	running, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	hung := make(chan struct{}, 1)
	all.Go(func() {
		_ = w.Stream(running, "hangs", funcSink(func(ctx context.Context, _ []audit.Line) error {
			select {
			case hung <- struct{}{}:
			default:
			}
			<-ctx.Done()
			return ctx.Err()
		}))
	})
	f := newFar()
	tries := 0
	all.Go(func() {
		_ = w.Stream(running, "good", funcSink(func(_ context.Context, lines []audit.Line) error {
			if tries++; tries == 1 {
				return errors.New("not now")
			}
			for _, l := range lines {
				f.add(string(l.Text))
			}
			return nil
		}))
	})
	w.fill(t, 10)
	<-hung
	require.Len(t, f.wait(10), 10)
	w.fill(t, 5)
	require.Len(t, f.wait(15), 15)
	s, err := w.State(ctx, alice)
	require.NoError(t, err)
	require.Equal(t, "good", s.Sinks[0].Name)
	require.Equal(t, uint64(15), s.Sinks[1].Lag)
	stop()
	all.Wait()
	to := &audit.Memory{}
	require.NoError(t, w.Seal(ctx, noon.Add(time.Hour)))
	require.NoError(t, w.CopyTo(ctx, to))
	require.NoError(t, w.CopyTo(ctx, to))
	r, err := audit.Verify(ctx, to, w.key)
	require.NoError(t, err)
	require.EqualValues(t, 15, r.Lines)
}
