package pusher_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/pusher"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// pipes is a listener whose connections are in memory: the limit of open files
// is not what is tried.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

func (p pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	a, b := net.Pipe()
	select {
	case p.conns <- b:
		return a, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// SEC-06: ten thousand subscribers each get every event, in order.
func TestSEC06_TenThousandSubscribers(t *testing.T) {
	const subscribers, pipelines = 10_000, 2
	db := memdb.New()
	require.NoError(t, db.PutProject(t.Context(), ci.Project{ID: "open", Slug: "gh/acme/open", Settings: ci.Settings{Open: true}}))
	server := ci.New(db, nil, ci.Config{})
	s := pusher.New(db, storage.NewMemLogs(), pusher.Config{})
	ctx, stop := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() { _ = s.Run(ctx, server.Follow) })
	l := pipes{make(chan net.Conn), make(chan struct{})}
	hs := &http.Server{Handler: s}
	ended.Go(func() { _ = hs.Serve(l) })
	t.Cleanup(func() { close(l.done); _ = hs.Close(); stop(); ended.Wait() })
	client := &http.Client{Transport: &http.Transport{DialContext: l.dial}}

	var joined, all sync.WaitGroup
	joined.Add(subscribers)
	places := make(chan struct{}, 64) // handshakes at once
	problems := make(chan error, subscribers)
	for range subscribers {
		all.Go(func() {
			places <- struct{}{}
			var once sync.Once
			seated := func() { once.Do(func() { <-places; joined.Done() }) }
			defer seated()
			problems <- func() error {
				ws, _, err := websocket.Dial(ctx, "ws://memory/app/rondo?protocol=7", &websocket.DialOptions{HTTPClient: client})
				if err != nil {
					return err
				}
				defer func() { _ = ws.CloseNow() }()
				if err := ws.Write(ctx, websocket.MessageText, []byte(`{"event":"pusher:subscribe","data":{"channel":"project-open"}}`)); err != nil {
					return err
				}
				for range 2 { // connected, subscribed
					if _, _, err := ws.Read(ctx); err != nil {
						return err
					}
				}
				seated()
				for n := range pipelines {
					_, text, err := ws.Read(ctx)
					if err != nil {
						return err
					}
					if want := fmt.Sprintf(`{"event":"pipeline.created","channel":"project-open","data":"{\"seq\":%d,`, n+1); string(text[:len(want)]) != want {
						return fmt.Errorf("got %s", text)
					}
				}
				return nil
			}()
		})
	}
	joined.Wait()
	for range pipelines {
		_, err := server.Trigger(ctx, ci.Trigger{Project: "open", Branch: "main", Revision: "r"})
		require.NoError(t, err)
	}
	all.Wait()
	for range subscribers {
		require.NoError(t, <-problems)
	}
}
