package telegraf_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// free returns a free address of this machine.
func free(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// A real InfluxDB has the figures of this host, by the guide's own file.
func TestMET11_RealInfluxDB(t *testing.T) {
	influxd, err := exec.LookPath("influxd")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("influxd is not installed")
		}
		t.Skip("influxd is not installed")
	}
	dir := t.TempDir()
	at := free(t)
	file := filepath.Join(dir, "influxd.conf")
	write(t, file, fmt.Sprintf("reporting-disabled = true\nbind-address = %q\n[meta]\n dir = \"%s/meta\"\n[data]\n dir = \"%s/data\"\n wal-dir = \"%s/wal\"\n[http]\n bind-address = %q\n", free(t), dir, dir, dir, at))
	server := exec.Command(influxd, "-config", file)
	require.NoError(t, server.Start())
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() }) // it was killed
	require.Eventually(t, func() bool {
		r, err := http.Get("http://" + at + "/ping")
		return err == nil && r.Body.Close() == nil && r.StatusCode == http.StatusNoContent
	}, 30*time.Second, 50*time.Millisecond)

	conf := filepath.Join(dir, "telegraf")
	require.NoError(t, os.Mkdir(conf, 0o755))
	write(t, filepath.Join(conf, "agent.conf"), agentPart+"[global_tags]\n  Env = \"staging\"\n[[inputs.mem]]\n")
	write(t, filepath.Join(conf, "influxdb.conf"), fmt.Sprintf("[[output.influxdb]]\n  url = \"http://%s\"\n  database = \"testdb\"\n", at))
	run(t, conf)
	require.Eventually(t, func() bool {
		r, err := http.Get("http://" + at + "/query?db=testdb&q=" + url.QueryEscape(`SELECT count("used") FROM mem WHERE Env = 'staging'`))
		if err != nil {
			return false
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		var got struct {
			Results []struct{ Series []struct{ Values [][]any } }
		}
		return err == nil && json.Unmarshal(text, &got) == nil && len(got.Results) == 1 && len(got.Results[0].Series) == 1
	}, 30*time.Second, 100*time.Millisecond)
}
