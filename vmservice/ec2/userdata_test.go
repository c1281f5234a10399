package ec2

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/rondo-ci/rondo/vmservice"
)

// Whatever the texts are, they stay values: nothing in them becomes a key of the
// document or a command.
func TestUserData_IsYAMLWhateverIsInIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := vmservice.Boot{
			User: rapid.String().Draw(t, "user") + "u", AuthorizedKey: "ssh-ed25519 " + rapid.String().Draw(t, "key"),
			Report: rapid.String().Draw(t, "report") + "r", Token: rapid.String().Draw(t, "token"), Life: time.Hour,
		}
		if strings.Contains(b.AuthorizedKey, "PRIVATE") {
			t.Skip("refused")
		}
		text, err := userData("key", b, "")
		require.NoError(t, err)
		again, err := userData("key", b, "")
		require.NoError(t, err)
		require.Equal(t, text, again, "or the client token is refused")
		var doc struct {
			Users []struct {
				Name string   `yaml:"name"`
				Keys []string `yaml:"ssh_authorized_keys"`
			} `yaml:"users"`
			Files []struct {
				Path    string `yaml:"path"`
				Content string `yaml:"content"`
			} `yaml:"write_files"`
			Run [][]string `yaml:"runcmd"`
		}
		require.NoError(t, yaml.Unmarshal([]byte(text), &doc))
		require.Len(t, doc.Users, 1)
		require.Equal(t, strings.TrimSpace(b.AuthorizedKey), doc.Users[0].Keys[0])
		require.Equal(t, "/run/rondo/report", doc.Files[0].Path)
		require.Len(t, doc.Run, 2)
	})
}

// The shell in it is one that sh can read.
func TestUserData_ItsShell(t *testing.T) {
	text, err := userData("key", vmservice.Boot{User: "circleci", AuthorizedKey: "ssh-ed25519 AAAA", Report: "https://ci", Token: "t", Life: time.Hour}, "PEM")
	require.NoError(t, err)
	var doc struct {
		Boot  [][]string `yaml:"bootcmd"`
		Files []struct {
			Path    string `yaml:"path"`
			Content string `yaml:"content"`
		} `yaml:"write_files"`
		Run [][]string `yaml:"runcmd"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(text), &doc))
	var scripts []string
	for _, c := range append(doc.Boot, doc.Run...) {
		if len(c) == 3 && c[1] == "-c" {
			scripts = append(scripts, c[2])
		}
	}
	for _, f := range doc.Files {
		if strings.HasSuffix(f.Path, ".sh") {
			scripts = append(scripts, f.Content)
		}
		if f.Path == "/run/rondo/report" {
			require.Contains(t, f.Content, `header = "Rondo-Token: t"`)
			require.Contains(t, f.Content, "cacert")
		}
	}
	require.Len(t, scripts, 3)
	for _, s := range scripts {
		c := exec.Command("bash", "-n")
		c.Stdin = strings.NewReader(s)
		out, err := c.CombinedOutput()
		require.NoError(t, err, "%s: %s", s, out)
	}
}

// The real curl does with the file what the pool's door wants.
func TestUserData_TheReportByCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl: see .ci/run")
	}
	config := curlConfig("http://127.0.0.1:1/v1/machines/k/host-key", "to\"ken\\", false)
	c := exec.Command("curl", "-K", "-", "--retry", "0", "--libcurl", "-", "--output", "/dev/null")
	c.Stdin = strings.NewReader(strings.ReplaceAll(config, "@/etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAA"))
	out, _ := c.Output() // nobody listens there: what it would have sent is what counts
	require.Contains(t, string(out), `"Rondo-Token: to\"ken\\"`)
	require.Contains(t, string(out), "ssh-ed25519 AAAA")
	require.Contains(t, string(out), "/v1/machines/k/host-key")
}

func TestPRX04_MetadataIsNeverProxied(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://proxy.example.com:3128")
	t.Setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
	t.Setenv("NO_PROXY", "")
	for _, address := range []string{"http://169.254.169.254/latest/api/token", "http://[fd00:ec2::254]/latest/api/token"} {
		r, err := http.NewRequest(http.MethodPut, address, nil)
		require.NoError(t, err)
		proxy, err := proxyOf(r)
		require.NoError(t, err)
		require.Nil(t, proxy)
	}
	r, err := http.NewRequest(http.MethodPost, "https://ec2.us-west-2.amazonaws.com/", nil)
	require.NoError(t, err)
	proxy, err := proxyOf(r)
	require.NoError(t, err)
	require.NotNil(t, proxy, "the API is")
}
