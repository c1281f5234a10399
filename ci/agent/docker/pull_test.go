//go:build linux

package docker_test

import (
	"testing"

	"github.com/moby/moby/client"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent"
	"github.com/rondo-ci/rondo/ci/agent/agenttest"
	"github.com/rondo-ci/rondo/ci/agent/docker"
	"github.com/rondo-ci/rondo/ci/agent/docker/dockertest"
	"github.com/rondo-ci/rondo/ci/agent/ecr"
	"github.com/rondo-ci/rondo/ci/agent/ecr/ecrtest"
	"github.com/stretchr/testify/require"
)

// Private images are pulled with the job's own words, in both forms of auth.
func TestARC02_PrivateImages(t *testing.T) {
	for _, token := range []bool{false, true} {
		name := map[bool]string{false: "basic", true: "token"}[token]
		t.Run(name, func(t *testing.T) {
			registry := dockertest.NewRegistry(t, engine(t), token)
			e := executor(t, nil)
			image := ci.Image{Image: registry.Host + "/box:1", Auth: map[string]string{"username": "kim", "password": "$REGISTRY_PASSWORD"}}
			job := func(password string) ci.Work {
				w := work(image, agenttest.Run("cat /etc/os-release; echo $FROM"))
				if password != "" {
					w.Environment = []ci.Var{{Name: "REGISTRY_PASSWORD", Value: password, Secret: true}}
				}
				return w
			}
			r, out := run(t, e, job(""))
			require.Equal(t, ci.Failed, r.Status)
			require.Contains(t, r.Reason, "names the variable REGISTRY_PASSWORD, which neither the project nor a context of the job has", out)
			r, out = run(t, e, job("wrong-password"))
			require.Equal(t, ci.Failed, r.Status, r.Reason)
			require.Contains(t, r.Reason, "refuses the user name and password", out)
			require.NotContains(t, out+r.Reason, "wrong-password")
			w := job("")
			w.Job.Executor.Images[0].Auth = nil
			r, _ = run(t, e, w)
			require.Equal(t, ci.Failed, r.Status)
			require.Contains(t, r.Reason, "or it needs auth with a user name and password")

			r, out = run(t, e, job(registry.Password))
			require.Equal(t, ci.Success, r.Status, "%s %s", r.Reason, out)
			require.Contains(t, out, "NAME=pulled\nregistry\n")
			require.Contains(t, out, "Pulling image "+registry.Host+"/box:1\n")
			require.Contains(t, out, "Pull complete")
			require.Contains(t, out, "using image "+registry.Host+"/box@"+registry.Digest())
			require.NotContains(t, out, registry.Password)
			pulls := registry.Pulls.Load()
			r, out = run(t, e, job(registry.Password))
			require.Equal(t, ci.Success, r.Status)
			require.NotContains(t, out, "Pulling")
			require.Equal(t, pulls, registry.Pulls.Load(), "it is here")

			// Who pulls always lets nobody use what another one has pulled.
			always := executor(t, func(c *docker.Config) { c.Always = true })
			r, _ = run(t, always, job("wrong-password"))
			require.Equal(t, ci.Failed, r.Status)
			w = job(registry.Password)
			w.Job.Executor.Images[0].Image = registry.Host + "/box:2"
			r, _ = run(t, always, w)
			require.Equal(t, ci.Failed, r.Status)
			require.Contains(t, r.Reason, "there is no such image")
			_, err := engine(t).Client.ImageRemove(t.Context(), registry.Host+"/box:1", client.ImageRemoveOptions{Force: true})
			require.NoError(t, err)
		})
	}
}

// A registry of AWS is asked with the password that ECR gives for the keys of
// the job; wrong ones fail the job in words.
func TestAWSAuth(t *testing.T) {
	registry := dockertest.NewRegistry(t, engine(t), false)
	registry.User = "AWS"
	amazon := ecrtest.New(t, registry.Password)
	job := func(secret string) ci.Work {
		w := work(ci.Image{Image: registry.Host + "/box:1", AWSAuth: map[string]string{"aws_access_key_id": "$ID", "aws_secret_access_key": "$KEY"}}, agenttest.Run("true"))
		w.Environment = []ci.Var{{Name: "ID", Value: amazon.ID}, {Name: "KEY", Value: secret, Secret: true}}
		return w
	}
	r, _ := run(t, executor(t, nil), job(amazon.Secret))
	require.Equal(t, ci.Failed, r.Status)
	require.Contains(t, r.Reason, "aws_auth, which this installation does not know")
	e := executor(t, func(c *docker.Config) { c.ECR = ecr.New(ecr.Config{Endpoint: amazon.Endpoint}).Password })
	r, out := run(t, e, job("wr0ng-secret-of-a-key"))
	require.Equal(t, ci.Failed, r.Status, "it is the job's fault")
	require.Contains(t, r.Reason, "aws_auth: the aws_secret_access_key does not belong to the aws_access_key_id")
	require.NotContains(t, r.Reason+out, "wr0ng-secret-of-a-key")
	r, out = run(t, e, job(amazon.Secret))
	require.Equal(t, ci.Success, r.Status, out)
	real := executor(t, func(c *docker.Config) { c.Always, c.ECR = true, ecr.New(ecr.Config{}).Password })
	r, _ = run(t, real, job(amazon.Secret))
	require.Equal(t, ci.Failed, r.Status)
	require.Contains(t, r.Reason, "is no registry of Amazon")
}

// A cancel does not wait for a registry that does not answer.
func TestCancelDuringPull(t *testing.T) {
	l, err := engine(t).Listen()
	require.NoError(t, err)
	defer l.Close()
	e := executor(t, nil)
	s := &agenttest.Server{}
	w := work(ci.Image{Image: l.Addr().String() + "/box:1"}, agenttest.Run("true"))
	s.Add(w)
	a := agent.New(s, s, agent.Config{Executor: e})
	done := make(chan error, 1)
	go func() { done <- a.Run(t.Context(), w.Lease.Task, 1) }()
	caller, err := l.Accept()
	require.NoError(t, err)
	defer caller.Close()
	a.Cancel("enough")
	require.NoError(t, <-done)
	r, _ := s.Report(w.Lease.Task)
	require.Equal(t, ci.Canceled, r.Status, r.Reason)
	nothingLeft(t)
}

func TestEngineThatIsAwayIsNotTheJobsFault(t *testing.T) {
	e, err := docker.New(docker.Config{Host: "unix:///no/such/socket", Dir: t.TempDir(), Tool: dockertest.Tool(t, shared.tools)})
	require.NoError(t, err)
	r, _ := run(t, e, work(box, agenttest.Run("true")))
	require.Equal(t, ci.InfraFailed, r.Status)
	require.Contains(t, r.Reason, "docker engine unix:///no/such/socket")
}
