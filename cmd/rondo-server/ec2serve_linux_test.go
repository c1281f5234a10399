package main

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/rondo-ci/rondo/ci/agent/docker/dockertest"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/ec2/ec2test"
)

// A yardSSH boots the machines of a test's EC2: each is an SSH server of its own
// at a loopback address of its own, with the key that its user data authorise,
// and it reports its host key as they say, by curl. Its Docker engine is a real
// one.
type yardSSH struct {
	t     *testing.T
	cloud *ec2test.Cloud
	dir   string
	env   string // of sessions

	mu      sync.Mutex
	running map[string]*exec.Cmd
}

// firstBootOf is what user data ask for.
type firstBootOf struct {
	Users []struct {
		Name string   `yaml:"name"`
		Keys []string `yaml:"ssh_authorized_keys"`
	} `yaml:"users"`
	Files []struct {
		Path    string `yaml:"path"`
		Content string `yaml:"content"`
	} `yaml:"write_files"`
}

// boot starts what has been asked for since, and ends what was ended.
func (y *yardSSH) boot() {
	y.mu.Lock()
	defer y.mu.Unlock()
	alive := map[string]bool{}
	for _, i := range y.cloud.Alive() {
		alive[i.ID] = true
		if y.running[i.ID] == nil && i.State == "running" {
			y.running[i.ID] = y.start(i)
		}
	}
	for id, cmd := range y.running {
		if !alive[id] && cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
}

func (y *yardSSH) start(i ec2test.Instance) *exec.Cmd {
	t, dir := y.t, filepath.Join(y.dir, i.ID)
	require.NoError(t, os.MkdirAll(dir, 0o700))
	var first firstBootOf
	require.NoError(t, yaml.Unmarshal([]byte(i.UserData), &first))
	require.Equal(t, "root", first.Users[0].Name)
	key := filepath.Join(dir, "host")
	out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput()
	require.NoError(t, err, "%s", out)
	authorized := filepath.Join(dir, "authorized")
	require.NoError(t, os.WriteFile(authorized, []byte(first.Users[0].Keys[0]+"\n"), 0o600))
	config := filepath.Join(dir, "sshd_config")
	text := fmt.Sprintf("ListenAddress %s:22\nHostKey %s\nAuthorizedKeysFile %s\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\nMaxSessions 100\nSetEnv %s\n",
		i.Address, key, authorized, y.env)
	require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
	program, err := exec.LookPath("sshd")
	require.NoError(t, err)
	cmd := exec.Command(program, "-D", "-e", "-f", config) // sshd wants its whole path
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	defer log.Close()
	cmd.Stderr = log
	require.NoError(t, cmd.Start())
	for _, f := range first.Files {
		if f.Path != "/run/rondo/report" {
			continue
		}
		report := filepath.Join(dir, "report")
		require.NoError(t, os.WriteFile(report, []byte(strings.ReplaceAll(f.Content, "/etc/ssh/ssh_host_ed25519_key.pub", key+".pub")), 0o600))
		out, err := exec.Command("curl", "-K", report).CombinedOutput()
		require.NoError(t, err, "report: %s", out)
	}
	return cmd
}

// newYardSSH returns one, or skips the test where there can be none.
func newYardSSH(t *testing.T) *yardSSH {
	for _, tool := range []string{"sshd", "ssh-keygen", "curl"} {
		needsTool(t, tool)
	}
	engine := dockertest.Start(t) // which takes root, as port 22 does
	cloud := ec2test.New(ec2test.Config{Boot: time.Millisecond, End: time.Millisecond})
	cloud.SetAddresses(func(n int) string { return fmt.Sprintf("127.%d.%d.%d", 1+os.Getpid()%250, n/250, 1+n%250) })
	require.NoError(t, os.MkdirAll("/run/sshd", 0o755))
	y := &yardSSH{t: t, cloud: cloud, dir: serverDir(t), env: "DOCKER_HOST=" + engine.Host, running: map[string]*exec.Cmd{}}
	t.Cleanup(func() {
		y.mu.Lock()
		defer y.mu.Unlock()
		for _, cmd := range y.running {
			if cmd.ProcessState == nil {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}
		}
	})
	return y
}

// At EC2, over the wire: a machine boots, reports its host key, and is ready
// when it was entered by SSH; operators drain, which is on record, and it ends.
func TestVMS01_VMS04_VMS13_EC2ServesMachines(t *testing.T) {
	y := newYardSSH(t)
	api := httptest.NewServer(y.cloud)
	t.Cleanup(api.Close)
	t.Setenv("TEST_EC2", "AKIAIOSFODNN7EXAMPLE")
	r := newRepo(t, hello)
	i := newSite(t, r.dir)
	i.more += fmt.Sprintf("machines:\n  %s  endpoint: %s\n  aws_authentication: keys\n  access_key: env:TEST_EC2\n  secret_key: env:TEST_EC2\n"+
		"  user: root\n  prealloc_machine: 1\n  forecast: false\n  listen: %s\n  report: http://%s/api/v2/rondo/machines\n", goodEC2, api.URL, freeAddress(t), i.listen)
	s := i.start()
	vms := func() (all []vmservice.Record) {
		y.boot()
		code, body := s.call("GET", "/api/v2/rondo/machines/vms", "")
		require.Equal(t, 200, code, body)
		var page struct{ Items []vmservice.Record }
		require.NoError(t, json.Unmarshal([]byte(body), &page))
		return page.Items
	}
	s.eventually("one machine waits", func() bool { all := vms(); return len(all) == 1 && all[0].State == vmservice.Ready })
	code, body := s.call("POST", "/api/v2/rondo/machines/admin/drain", "")
	require.Equal(t, 200, code, body)
	s.eventually("none is left", func() bool { return len(vms()) == 0 && len(y.cloud.Alive()) == 0 })
	_, body = s.call("GET", "/api/v2/rondo/audit?action=rondo.machines.drain", "")
	require.Contains(t, body, `"rondo.machines.drain"`)
	i.finish()
}
