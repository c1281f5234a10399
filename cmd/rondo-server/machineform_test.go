package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/secrets/secretstest"
	"github.com/rondo-ci/rondo/storage/secrets/vault"
	"github.com/rondo-ci/rondo/vmservice/ec2/ec2test"
)

// amazon is an EC2 that one user's keys open, for a server that is told of it
// by the environment.
func amazon(t *testing.T) *ec2test.Cloud {
	cloud := ec2test.New(ec2test.Config{
		Keys: map[string]string{"AKIAIOSFODNN7EXAMPLE": "canary-secret"}, Boot: time.Millisecond, End: time.Millisecond,
	})
	api := httptest.NewServer(cloud)
	t.Cleanup(api.Close)
	t.Setenv("AWS_ENDPOINT_URL_EC2", api.URL)
	return cloud
}

// vmForm is a form that is filled in well.
func vmForm() url.Values {
	return url.Values{
		"section": {"vm_service"}, "do": {"save"}, "provider": {"ec2"}, "aws_region": {"us-west-2"}, "ec2_subnet_id": {"subnet-0000000a"},
		"ec2_security_group_id": {"sg-0000000a"}, "custom_vm_ami": {"ami-0000000a"}, "aws_instance_type": {"m5.large"},
		"aws_authentication": {"keys"}, "access_key": {"AKIAIOSFODNN7EXAMPLE"}, "secret_key": {"canary-secret"},
		"prealloc_remote_docker": {"1"}, "prealloc_machine": {"2"}, "listen": {"127.0.0.1:0"},
	}
}

// loggedIn returns a browser in which the owner has logged in.
func loggedIn(t *testing.T, s *server) func(method, path string, values url.Values) (int, string) {
	ask := browser(t, s)
	code, _ := ask("GET", "/login?token="+s.Token, nil)
	require.Less(t, code, 400)
	return ask
}

// The guide's form: each field reaches Amazon, the provider is asked before,
// saving is in force at once and after a restart, another provider ends what
// this one has, and no secret is anywhere.
func TestVMS01_VMS02_VMS03_VMS04_VMS05_TheForm(t *testing.T) {
	cloud := amazon(t)
	s, data := team(t, "")
	ask := loggedIn(t, s)
	code, text := ask("GET", "/settings", nil)
	require.Equal(t, 200, code)
	require.Contains(t, text, `id="vm_service"`)
	require.Contains(t, text, `value="none" checked`, "None is what a new installation has")

	form := vmForm()
	form.Set("do", "try")
	code, text = ask("POST", "/settings", form)
	require.Equal(t, 200, code, text)
	require.Contains(t, text, "good: ec2:RunInstances: allowed")
	require.Contains(t, text, "good: security group sg-0000000a: ports 22, 2376 and 54782 are open")
	require.NotContains(t, text, "canary-secret")
	require.Empty(t, cloud.Instances(), "nothing was made")

	form.Set("do", "save")
	code, text = ask("POST", "/settings", form)
	require.Equal(t, 200, code, text)
	require.Contains(t, text, "In force: ec2 us-west-2")
	require.NotContains(t, text, "canary-secret")
	s.eventually("three machines are asked for", func() bool { return len(cloud.Alive()) == 3 })
	kinds := map[string]int{}
	for _, i := range cloud.Alive() {
		require.Equal(t, "ami-0000000a", i.Image)
		require.Equal(t, "m5.large", i.Type)
		require.Equal(t, "subnet-0000000a", i.Subnet)
		require.Equal(t, "sg-0000000a", i.Request.Get("NetworkInterface.1.SecurityGroupId.1"))
		require.Contains(t, i.UserData, "http://ci.example.com/api/v2/rondo/machines/v1/machines/", "where it reports")
		kinds[i.Tags["rondo-kind"]]++
	}
	require.Equal(t, map[string]int{"machine": 2, "remote_docker": 1}, kinds)
	require.Equal(t, 0, s.stop(), s.errors())

	s = restart(t, data)
	ask = loggedIn(t, s)
	s.eventually("the machines are in the books still", func() bool {
		_, body := s.call("GET", "/api/v2/rondo/machines/vms", "")
		return strings.Count(body, `"provider":"ec2 us-west-2"`) == 3
	})
	form.Set("secret_key", "")
	form.Set("prealloc_machine", "0")
	code, text = ask("POST", "/settings", form)
	require.Equal(t, 200, code, "the secret need not be typed again: %s", text)
	code, text = ask("POST", "/settings", url.Values{"section": {"vm_service"}, "do": {"save"}, "provider": {"none"}})
	require.Equal(t, 200, code, text)
	require.NotContains(t, text, "In force: ec2")
	s.eventually("nothing is left at Amazon", func() bool { return len(cloud.Alive()) == 0 })
	require.Equal(t, 0, s.stop(), s.errors())
	require.NotContains(t, s.errors(), "canary-secret")
	raw, err := os.ReadFile(filepath.Join(data, "rondo.db"))
	require.NoError(t, err)
	require.NotContains(t, string(raw), "canary-secret")
}

// restart starts the server of a data folder again.
func restart(t *testing.T, data string) *server {
	t.Helper()
	s := start(t, program(t, "serve", "--json", "--config", filepath.Join(filepath.Dir(data), "rondo.yml")))
	token, err := os.ReadFile(filepath.Join(data, "token"))
	require.NoError(t, err)
	s.Token = strings.TrimSpace(string(token))
	return s
}

// A server that dies after another provider was saved ends what the one before
// has, by the settings that it has kept for that.
func TestVMS12_ProviderBeforeIsEndedAfterACrash(t *testing.T) {
	cloud := amazon(t)
	s, data := team(t, "")
	ask := loggedIn(t, s)
	code, text := ask("POST", "/settings", vmForm())
	require.Equal(t, 200, code, text)
	s.eventually("machines", func() bool { return len(cloud.Alive()) == 3 })
	cloud.Script(ec2test.Rule{Action: "TerminateInstances", Code: "Unavailable"})
	code, text = ask("POST", "/settings", url.Values{"section": {"vm_service"}, "do": {"save"}, "provider": {"none"}})
	require.Equal(t, 200, code, text)
	s.kill()
	cloud.Heal()
	s = restart(t, data)
	s.eventually("nothing is left", func() bool { return len(cloud.Alive()) == 0 })
	s.eventually("and nothing is kept for it", func() bool { return strings.Contains(s.errors(), "nothing is left of earlier machines") })
}

// Each field of the guide's form says what is wrong with it and what to write.
func TestVMS02_VMS03_VMS04_VMS05_EachFieldOfTheForm(t *testing.T) {
	for _, c := range []struct{ field, value, want string }{
		{"provider", "azure", `VM Provider: "azure" is none of none, ec2, onhost`},
		{"aws_region", "", "AWS Region is missing: write one such as us-west-2"},
		{"aws_region", "Oregon", `AWS Region "Oregon" is none: write one such as us-west-2`},
		{"ec2_subnet_id", "", "EC2 Subnet ID is missing: write one such as subnet-0123456789abcdef0"},
		{"ec2_subnet_id", "10.0.0.0/24", "EC2 Subnet ID"},
		{"ec2_security_group_id", "", "EC2 Security Group ID is missing"},
		{"ec2_security_group_id", "default", `EC2 Security Group ID "default" is none: write one such as sg-`},
		{"custom_vm_ami", "ubuntu", `Custom VM AMI "ubuntu" is none: write one such as ami-`},
		{"aws_instance_type", "", "AWS Instance Type is missing"},
		{"aws_instance_type", "big", `AWS Instance Type "big" is none: write one such as m5.large`},
		{"aws_authentication", "magic", `AWS Authentication "magic" is neither instance_profile nor keys`},
		{"access_key", "", "Access Key is missing: aws_authentication is keys"},
		{"access_key", "canary-secret", "Access Key has not the form of one"},
		{"secret_key", "", "Secret Key is missing"},
		{"secret_key", "canary-secret with blanks", "Secret Key has blanks in it"},
		{"prealloc_remote_docker", "two", `VM Preallocation: Remote Docker: "two" is no number`},
		{"prealloc_remote_docker", "-1", "VM Preallocation: Remote Docker: -1 is not between 0 and 1000"},
		{"prealloc_machine", "1001", "VM Preallocation: Machine Executor: 1001 is not between 0 and 1000"},
		{"listen", "3001", `Address of /status and /load: "3001" is not host:port`},
	} {
		t.Run(c.field+" "+c.value, func(t *testing.T) {
			values := map[string]string{}
			for k, v := range vmForm() {
				values[k] = v[0]
			}
			_, err := typedMachines(machinesSettings{}, values)
			require.NoError(t, err)
			values[c.field] = c.value
			_, err = typedMachines(machinesSettings{}, values)
			require.ErrorIs(t, err, ci.ErrInvalid)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "canary-secret")
		})
	}
	s, _ := team(t, "")
	ask := loggedIn(t, s)
	form := vmForm()
	form.Set("aws_region", "Oregon")
	code, text := ask("POST", "/settings", form)
	require.Equal(t, 400, code)
	require.Contains(t, text, "AWS Region")
	require.Contains(t, text, `value="sg-0000000a"`, "what was typed is kept")
	require.NotContains(t, text, "canary-secret")
	code, text = ask("POST", "/settings", url.Values{"section": {"vm_service"}, "do": {"save"}, "provider": {"onhost"}, "onhost.dir": {"here"}})
	require.Equal(t, 400, code)
	require.Contains(t, text, "On-Host: folder")
	require.Contains(t, text, "is no absolute path")
}

func TestVMS01_FormIsLockedByTheFile(t *testing.T) {
	s, _ := team(t, "machines: {provider: none}\n")
	ask := loggedIn(t, s)
	code, text := ask("GET", "/settings", nil)
	require.Equal(t, 200, code)
	require.Contains(t, text, "It is set in the file of settings (machines.provider).")
	code, text = ask("POST", "/settings", vmForm())
	require.Equal(t, 409, code, text)
}

// A Vault that is away when the server starts: it starts, says what is not in
// force and why, and mends that by itself.
func TestVMS01_MET01_SavedFormsHealWhenTheVaultIsBack(t *testing.T) {
	cloud := amazon(t)
	var away atomic.Bool
	transit := secretstest.NewVault()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			http.Error(w, `{"errors":["Vault is sealed"]}`, http.StatusServiceUnavailable)
			return
		}
		transit.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	key, err := vault.New("rondo", vault.Config{Address: server.URL, Token: func() (string, error) { return "root", nil }})
	require.NoError(t, err)
	require.NoError(t, key.Create(t.Context()))
	t.Setenv("TEST_VAULT_TOKEN", "root")
	more := fmt.Sprintf("secrets: {vault: {address: %q, token: \"env:TEST_VAULT_TOKEN\"}}\n", server.URL)
	s, data := team(t, more)
	ask := loggedIn(t, s)
	form := vmForm()
	port := freePort(t)
	form.Set("listen", port)
	code, text := ask("POST", "/settings", form)
	require.Equal(t, 200, code, text)
	s.eventually("machines", func() bool { return len(cloud.Alive()) == 3 })
	code, text = ask("POST", "/settings", url.Values{"section": {"datadog_metrics"}, "do": {"save"}, "enabled": {"on"}, "api_key": {strings.Repeat("0", 32)}})
	require.Equal(t, 200, code, text)

	away.Store(true)
	s.kill()
	s = restart(t, data)
	ask = loggedIn(t, s)
	code, text = ask("GET", "/settings", nil)
	require.Equal(t, 200, code, "the server runs")
	require.Equal(t, 2, strings.Count(text, "What was saved is not in force, and is tried again"), text)
	require.Contains(t, text, "its secrets cannot be opened")
	require.Contains(t, text, `value="subnet-0000000a"`, "what is no secret is shown")
	require.Equal(t, 2, strings.Count(text, "Set. Empty leaves it as it is."))
	code, body := s.call("GET", "/api/v2/rondo/machines/status", "")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "machines are off, and it is tried again")
	require.Contains(t, s.errors(), "saved settings are not in force")
	form.Set("secret_key", "")
	code, text = ask("POST", "/settings", form)
	require.Equal(t, 400, code)
	require.Contains(t, text, "type it again, or wait")
	code, text = ask("POST", "/settings", url.Values{"section": {"datadog_metrics"}, "do": {"save"}, "enabled": {"on"}, "api_key": {strings.Repeat("1", 32)}})
	require.Equal(t, 409, code)
	require.Contains(t, text, "nothing was saved")

	away.Store(false)
	s.eventually("the machines are in the books", func() bool {
		code, _ := s.call("GET", "/api/v2/rondo/machines/status", "")
		_, body := s.call("GET", "/api/v2/rondo/machines/vms", "")
		return code == 200 && strings.Count(body, `"provider":"ec2 us-west-2"`) == 3
	})
	s.eventually("the page says nothing more", func() bool {
		_, text := ask("GET", "/settings", nil)
		return !strings.Contains(text, "is not in force")
	})
	reply, err := http.Get("http://" + port + "/status")
	require.NoError(t, err)
	require.NoError(t, reply.Body.Close())
	require.Equal(t, 200, reply.StatusCode, "its own port is open again too")
	require.NotContains(t, s.errors(), "canary-secret")
}

// What the form has no field for is that of the file: bounds hold for machines
// of the form too.
func TestDLC05_FormKeepsTheBoundsOfTheFile(t *testing.T) {
	cloud := amazon(t)
	s, _ := team(t, "machines: {budgets: {all: {machines: 3}}, classes: [{name: large, vcpus: 4, types: [m5.xlarge]}]}\n")
	ask := loggedIn(t, s)
	form := vmForm()
	form.Set("prealloc_machine", "5")
	code, text := ask("POST", "/settings", form)
	require.Equal(t, 400, code)
	require.Contains(t, text, "fewer than the 6 that are to be kept ready")
	form.Set("prealloc_machine", "1")
	code, text = ask("POST", "/settings", form)
	require.Equal(t, 200, code, text)
	s.eventually("machines", func() bool { return len(cloud.Alive()) == 2 })
	require.Equal(t, "m5.xlarge", cloud.Alive()[0].Type)
}
