package sqldb_test

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A wire is the network between us and a Postgres. Unlike a general proxy it
// reads what passes, so a fault can be put exactly at a COMMIT.
type wire struct {
	t      *testing.T
	target string
	l      net.Listener

	mu    sync.Mutex
	fault func(client, server net.Conn, chunk []byte) // at the next COMMIT
	conns []net.Conn
}

// newWire returns a wire to the database, and the address at its near end.
func newWire(t *testing.T, dsn string) (*wire, string) {
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	w := &wire{t: t, target: u.Host}
	w.l, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	u.Host = w.l.Addr().String()
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := w.l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", w.target)
			if err != nil {
				_ = client.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, client, server)
			w.mu.Unlock()
			all.Go(func() { w.pass(client, server) })
			all.Go(func() {
				_, _ = io.Copy(client, server)
				_ = client.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = w.l.Close()
		w.cut()
		all.Wait()
	})
	return w, u.String()
}

// cut resets all connections.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
	w.conns = nil
}

func (w *wire) pass(client, server net.Conn) {
	defer server.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		var fault func(net.Conn, net.Conn, []byte)
		if bytes.Contains(buf[:n], []byte("COMMIT")) {
			w.mu.Lock()
			fault, w.fault = w.fault, nil
			w.mu.Unlock()
		}
		if fault != nil {
			fault(client, server, buf[:n])
			continue
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// atCommit sets what happens to the next COMMIT.
func (w *wire) atCommit(fault func(client, server net.Conn, chunk []byte)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = fault
}
