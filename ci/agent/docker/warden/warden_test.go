//go:build linux

package warden_test

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci/agent/docker/warden"
	"github.com/stretchr/testify/require"
)

// pair returns a client and the far end of its connection.
func pair(t *testing.T) (*warden.Client, *net.UnixConn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	defer l.Close()
	far, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = far.Close() })
	c, err := warden.Accept(l, os.Getpid())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c, far
}

func frame(text string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

// A job that has taken its warden over may say anything: the client ends, and
// nothing waits for ever.
func TestHostileWarden(t *testing.T) {
	for name, say := range map[string][]byte{
		"no JSON": frame("{{{"), "too long": {0xff, 0xff, 0xff, 0xff}, "cut off": {0, 0, 1, 0, '{'}, "hangs up": nil,
		"answers nobody": append(frame(`{"seq":99}`), frame(`{"id":7,"code":1}`)...),
	} {
		t.Run(name, func(t *testing.T) {
			c, far := pair(t)
			null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			require.NoError(t, err)
			defer null.Close()
			started := make(chan error, 1)
			go func() {
				_, err := c.Start(warden.Command{Path: "/bin/true", Args: []string{"true"}, Output: null})
				started <- err
			}()
			head := make([]byte, 4)
			_, err = io.ReadFull(far, head)
			require.NoError(t, err)
			_, err = io.CopyN(io.Discard, far, int64(binary.BigEndian.Uint32(head)))
			require.NoError(t, err)
			_, _ = far.Write(say)
			_ = far.Close()
			select {
			case err := <-started:
				require.Error(t, err)
			case <-time.After(10 * time.Second):
				require.FailNow(t, "still waiting")
			}
			<-c.Gone()
			require.NoError(t, c.Kill(), "what has gone is dead")
		})
	}
}

// A process ends with its warden.
func TestProcessesEndWithTheWarden(t *testing.T) {
	c, far := pair(t)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer null.Close()
	go func() {
		head := make([]byte, 4)
		_, _ = io.ReadFull(far, head)
		_, _ = io.CopyN(io.Discard, far, int64(binary.BigEndian.Uint32(head)))
		_, _ = far.Write(frame(`{"seq":2}`))
	}()
	p, err := c.Start(warden.Command{Path: "/bin/true", Args: []string{"true"}, Output: null})
	require.NoError(t, err)
	_ = far.Close()
	<-p.Done()
	require.Equal(t, 137, p.Code())
	require.False(t, p.Alive())
}

func TestMainIsForContainers(t *testing.T) {
	require.Equal(t, 2, warden.Main("/no/such/socket", io.Discard))
}
