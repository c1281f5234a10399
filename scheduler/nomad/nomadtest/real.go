package nomadtest

import (
	"encoding/json"
	"fmt"
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
}
plugin "raw_exec" {
  config {
    enabled = true
  }
}
`

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
// returns its address when its node is ready. stop ends it and removes all that
// it has written.
func StartReal(binary string) (address string, stop func(), err error) {
	dir, err := os.MkdirTemp("", "rondo-nomad-")
	if err != nil {
		return "", nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return "", nil, err
	}
	config := fmt.Sprintf(configText, ports[0], ports[1], ports[2])
	file := filepath.Join(dir, "nomad.hcl")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return "", nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return "", nil, err
	}
	cmd := exec.Command(binary, "agent", "-dev", "-config", file)
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, append(os.Environ(), "TMPDIR="+dir)
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
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
	address = fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	if ready(address) {
		return address, stop, nil
	}
	text, _ := os.ReadFile(filepath.Join(dir, "log"))
	stop()
	return "", nil, fmt.Errorf("nomad does not get ready: %s", text)
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
func ready(address string) bool {
	for range 300 {
		time.Sleep(200 * time.Millisecond)
		reply, err := http.Get(address + "/v1/nodes")
		if err != nil {
			continue
		}
		var nodes []struct{ Status string }
		err = json.NewDecoder(reply.Body).Decode(&nodes)
		_ = reply.Body.Close()
		if err == nil && len(nodes) == 1 && nodes[0].Status == "ready" {
			return true
		}
	}
	return false
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
