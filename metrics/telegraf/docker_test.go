package telegraf_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci/agent/docker/dockertest"
	"github.com/stretchr/testify/require"
)

// The fifth family of the guide, from a real engine with a container.
func TestMET02_DockerToInflux(t *testing.T) {
	engine := dockertest.Start(t)
	require.NoError(t, engine.Import("rondo-figures:1", dockertest.Busybox()))
	out, err := exec.Command("docker", "-H", engine.Host, "run", "-d", "--name", "figures", "rondo-figures:1", "/bin/sleep", "600").CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Cleanup(func() { _ = exec.Command("docker", "-H", engine.Host, "rm", "-f", "figures").Run() })
	db := newInflux(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "all.conf"), fmt.Sprintf("%s[global_tags]\n  Env = \"staging\"\n[[inputs.docker]]\n  endpoint = %q\n[[outputs.influxdb]]\n  urls = [%q]\n  database = \"testdb\"\n", agentPart, engine.Host, db.URL))
	run(t, dir)
	require.Eventually(t, db.has("docker,Env=staging,", "n_containers_running=1i",
		"docker_container_mem,Env=staging,", "container_name=figures", "usage=", "docker_container_cpu,Env=staging,", "usage_percent=",
		"docker_container_net,Env=staging,", "rx_bytes=", "docker_container_status,Env=staging,", "pid="), 60*time.Second, 50*time.Millisecond, "MET-02, MET-13")
}
