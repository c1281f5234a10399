package nomadtest

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const configText = `
bind_addr = "127.0.0.1"
disable_update_check = true
log_level = "WARN"
region = %q
ports {
  http = %d
  rpc = %d
  serf = %d
}
client {
  network_interface = "lo"
  cpu_total_compute = 64000
  memory_total_mb = 32768
  options = { "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean" }
  %s
}
plugin "raw_exec" {
  config {
    enabled = true
  }
}
%s
`

// Options say what a real Nomad is started with. The zero Options are one that
// lets everybody in.
type Options struct {
	// ACL switches policies on; Real.Token may do everything then.
	ACL bool
	// CA, Cert and Key are files in PEM: with them it speaks TLS, and with
	// clients only that this CA has signed. They must be good for 127.0.0.1,
	// server.REGION.nomad and client.REGION.nomad.
	CA, Cert, Key string
	// Region is that of the server; "" is global.
	Region string
	// Docker is the address of the engine for the driver docker.
	Docker string
	// Chroot are the files of the host that the driver exec shows, and where;
	// nil is what Nomad does.
	Chroot map[string]string
}

// config is the file of settings.
func (o Options) config(ports []int) string {
	var client, more strings.Builder
	if o.Chroot != nil {
		client.WriteString("chroot_env {\n")
		for _, from := range slices.Sorted(maps.Keys(o.Chroot)) {
			fmt.Fprintf(&client, "    %q = %q\n", from, o.Chroot[from])
		}
		client.WriteString("  }")
	}
	if o.ACL {
		more.WriteString("acl {\n  enabled = true\n}\n")
	}
	if o.CA != "" {
		fmt.Fprintf(&more, "tls {\n  http = true\n  rpc = true\n  verify_https_client = true\n  ca_file = %q\n  cert_file = %q\n  key_file = %q\n}\n", o.CA, o.Cert, o.Key)
	}
	if o.Docker != "" {
		fmt.Fprintf(&more, "plugin \"docker\" {\n  config {\n    endpoint = %q\n  }\n}\n", o.Docker)
	}
	return fmt.Sprintf(configText, cmp.Or(o.Region, "global"), ports[0], ports[1], ports[2], client.String(), more.String())
}

// A Real is a real Nomad that runs.
type Real struct {
	Address string
	Token   string  // "" without policies
	With    Options // what it was started with
	Client  *http.Client
	stop    func()
}

// Stop ends it and removes all that it has written.
func (r *Real) Stop() { r.stop() }

// Binary returns a real Nomad of this machine: $NOMAD_BIN, or nomad on PATH.
func Binary() (string, bool) {
	if file := os.Getenv("NOMAD_BIN"); file != "" {
		return file, true
	}
	file, err := exec.LookPath("nomad")
	return file, err == nil
}

// StartReal starts a real Nomad, server and client in one, on free ports of
// 127.0.0.1, with 64 CPUs of 1000 MHz in name and the driver raw_exec. It
// returns when its node is ready. What goes wrong leaves nothing behind.
func StartReal(binary string, o Options) (*Real, error) {
	r := &Real{Client: http.DefaultClient, With: o}
	dir, err := os.MkdirTemp("", "rondo-nomad-")
	if err != nil {
		return nil, err
	}
	r.stop = func() { _ = os.RemoveAll(dir) }
	err = r.start(binary, dir, o)
	if err == nil {
		err = r.ready(o)
	}
	if err != nil {
		text, _ := os.ReadFile(filepath.Join(dir, "log"))
		r.stop()
		return nil, fmt.Errorf("start nomad: %w: %s", err, text)
	}
	return r, nil
}

// start starts it.
func (r *Real) start(binary, dir string, o Options) error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "nomad.hcl")
	if err := os.WriteFile(file, []byte(o.config(ports)), 0o600); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	r.Address = fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	if o.CA != "" {
		r.Address = fmt.Sprintf("https://127.0.0.1:%d", ports[0])
		pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(o.CA)
		if err != nil {
			return err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(text)
		r.Client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}}}
	}
	cmd := exec.Command(binary, "agent", "-dev", "-config", file)
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, append(os.Environ(), "TMPDIR="+dir)
	if err := cmd.Start(); err != nil {
		return err
	}
	r.stop = func() {
		_ = cmd.Process.Signal(os.Interrupt)
		done := make(chan struct{})
		go func() { _ = cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
		killAll(dir)
		unmount(dir)
		_ = os.RemoveAll(dir)
	}
	return nil
}

func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return nil, err
		}
		number, err := strconv.Atoi(port)
		if err != nil {
			return nil, err
		}
		ports = append(ports, number)
	}
	return ports, nil
}

// ready waits until the node is.
func (r *Real) ready(o Options) error {
	for range 300 {
		time.Sleep(200 * time.Millisecond)
		if o.ACL && r.Token == "" {
			var made struct{ SecretID string }
			if r.Call(http.MethodPost, "/v1/acl/bootstrap", nil, &made) != nil || made.SecretID == "" {
				continue
			}
			r.Token = made.SecretID
		}
		var nodes []struct{ Status string }
		if r.Call(http.MethodGet, "/v1/nodes", nil, &nodes) == nil && len(nodes) == 1 && nodes[0].Status == "ready" {
			return nil
		}
	}
	return errors.New("it does not get ready")
}

// Healthy reports whether its node can start tasks by a driver.
func (r *Real) Healthy(driver string) bool {
	for range 50 { // it looks at drivers one after the other
		var nodes []struct {
			Drivers map[string]struct{ Detected, Healthy bool }
		}
		if r.Call(http.MethodGet, "/v1/nodes", nil, &nodes) == nil && len(nodes) == 1 && nodes[0].Drivers[driver].Healthy {
			return true
		}
		time.Sleep(100 * time.Millisecond)
	}
	return false
}

// Call asks its API, with all rights. What is not 200 is an error.
func (r *Real) Call(method, path string, in, out any) error {
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, r.Address+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("X-Nomad-Token", r.Token)
	res, err := r.Client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if text, err = io.ReadAll(res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// killAll ends what the Nomad with this folder has left: it lets agents and
// their guardians live when it ends itself.
func killAll(dir string) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		env, err := os.ReadFile(file)
		pid, bad := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil && bad == nil && slices.Contains(strings.Split(string(env), "\x00"), "TMPDIR="+dir) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// unmount takes away what allocations have mounted below a folder.
func unmount(dir string) {
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return
	}
	var below []string
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			below = append(below, f[1])
		}
	}
	slices.Sort(below)
	for _, m := range slices.Backward(below) {
		_ = exec.Command("umount", m).Run()
	}
}
