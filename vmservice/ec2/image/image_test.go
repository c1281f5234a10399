package image_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice/ec2/image"
)

// The manifest says what a machine has.
func Example() {
	m, err := image.Read(image.Files())
	fmt.Println(m.OS, m.User, err)
	fmt.Println(image.Lint(image.Files()))
	// Output:
	// ubuntu 24.04 circleci <nil>
	// <nil>
}

func TestVMS08_TheManifest(t *testing.T) {
	m, err := image.Read(image.Files())
	require.NoError(t, err)
	require.Equal(t, "circleci", m.User)
	require.NotEmpty(t, m.Docker)
	require.Contains(t, m.Tools, "docker-compose")
	require.Contains(t, m.Tools, "git")
}

// copied returns the files, for a test that changes them.
func copied(t *testing.T) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	require.NoError(t, fs.WalkDir(image.Files(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(image.Files(), p)
		out[p] = &fstest.MapFile{Data: text}
		return err
	}))
	return out
}

func TestVMS09_TheTemplateLintsAndEachMistakeIsSaid(t *testing.T) {
	require.NoError(t, image.Lint(image.Files()))
	for _, c := range []struct{ file, old, new, want string }{
		{"aws_user_data", "name: circleci", "name: ubuntu", "it makes no user circleci"},
		{"aws_user_data", "ssh_pwauth: false", "ssh_pwauth: true", "by password"},
		{"aws_user_data", "#cloud-config", "#!/bin/sh", "#cloud-config"},
		{"aws-vm.json", `"access_key": "{{user ` + "`access_key`" + `}}"`, `"access_key": "AKIAIOSFODNN7EXAMPLE"`, "access_key is written down"},
		{"aws-vm.json", "{{env `AWS_SECRET_ACCESS_KEY`}}", "secret", "keep keys in the environment"},
		{"aws-vm.json", `"ami_groups": "{{user ` + "`ami_groups`" + `}}"`, `"ami_groups": ["all"]`, "ami_groups is all"},
		{"aws-vm.json", `"ssh_username": "circleci"`, `"ssh_username": "ubuntu"`, "ssh_username"},
		{"aws-vm.json", `"encrypt_boot": true`, `"encrypt_boot": false`, "encrypt_boot"},
		{"aws-vm.json", `"imds_support": "v2.0"`, `"imds_support": ""`, "imds_support"},
		{"aws-vm.json", `"type": "amazon-ebs"`, `"type": "virtualbox"`, "amazon-ebs"},
		{"aws-vm.json", `"user_data_file": "aws_user_data"`, `"user_data_file": "none"`, "is missing"},
		{"setup.sh", "apt-get clean", "echo 'StrictHostKeyChecking no' >>/etc/ssh/ssh_config", "anybody be the code host"},
		{"manifest.json", `"circleci"`, `""`, "names no user"},
	} {
		t.Run(c.want, func(t *testing.T) {
			dir := copied(t)
			before := string(dir[c.file].Data)
			require.Contains(t, before, c.old)
			dir[c.file].Data = []byte(strings.Replace(before, c.old, c.new, 1))
			err := image.Lint(dir)
			require.ErrorIs(t, err, ci.ErrInvalid)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "AKIAIOSFODNN7EXAMPLE")
		})
	}
}

func TestVMS09_FilesAreWhatTheySayTheyAre(t *testing.T) {
	dir := copied(t)
	require.NoError(t, json.Unmarshal(dir["aws-vm.json"].Data, &map[string]any{}))
	var data struct {
		System struct {
			User struct {
				Name string `yaml:"name"`
			} `yaml:"default_user"`
		} `yaml:"system_info"`
	}
	require.NoError(t, yaml.Unmarshal(dir["aws_user_data"].Data, &data))
	require.Equal(t, "circleci", data.System.User.Name)
	for _, script := range []string{"setup.sh", "check.sh"} {
		c := exec.Command("bash", "-n")
		c.Stdin = strings.NewReader(string(dir[script].Data))
		out, err := c.CombinedOutput()
		require.NoError(t, err, "%s: %s", script, out)
	}
}

// self runs the check of an image on this machine, with programs in front of
// its own: what they print, by name; "" fails.
func self(t *testing.T, programs map[string]string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	text, err := fs.ReadFile(image.Files(), "check.sh")
	require.NoError(t, err)
	manifest := `{"user": "circleci", "docker": "27.0", "tools": {"git": "2.43"}}`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "manifest.json"), []byte(manifest), 0o600))
	jq := map[string]string{
		"-er .user": "circleci", "-r .docker": "27.0", "-r .tools": "git 2.43",
	}
	var cases strings.Builder
	for args, out := range jq {
		fmt.Fprintf(&cases, "\"%s\"*) echo '%s';;\n", args, out)
	}
	all := map[string]string{
		"id": "circleci docker", "sudo": "ok", "docker": "Docker version 28.1.0, build 1", "git": "git version 2.47.1",
		"sshd": "port 22\npasswordauthentication no",
	}
	for name, out := range programs {
		all[name] = out
	}
	for name, out := range all {
		body := "#!/bin/sh\nexit 1\n"
		if out != "" {
			body = "#!/bin/sh\ncat <<'END'\n" + strings.ReplaceAll(out, " docker", "\ndocker") + "\nEND\n"
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(body), 0o700))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "jq"), []byte("#!/bin/sh\ncase \"$*\" in\n"+cases.String()+"esac\n"), 0o700))
	c := exec.Command("bash", "-s", filepath.Join(dir, "manifest.json"))
	c.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	c.Stdin = strings.NewReader(string(text))
	out, err := c.CombinedOutput()
	return string(out), err
}

func TestVMS08_VMS09_TheImageChecksItself(t *testing.T) {
	out, err := self(t, nil)
	require.NoError(t, err, out)
	require.Contains(t, out, "the image is good")
	for _, c := range []struct {
		program, says, want string
	}{
		{"id", "", "there is no user circleci"},
		{"id", "circleci", "not in the group docker"},
		{"sudo", "", "sudo without a password"},
		{"docker", "Docker version 17.03.0-ce", "docker is 17.03.0: the image needs 27.0"},
		{"git", "", "git is missing"},
		{"sshd", "passwordauthentication yes", "by password"},
	} {
		out, err := self(t, map[string]string{c.program: c.says})
		require.Error(t, err)
		require.Contains(t, out, c.want)
	}
}
