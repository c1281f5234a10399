// Package image says what is on the machine image of jobs, and how to make one.
//
// Its nouns: a [Manifest] is what jobs may count on; [Files] are a template for
// Packer with all that it needs, which teams copy and change; [Lint] finds in a
// changed one what would make machines useless or unsafe. The package builds
// nothing and talks to nobody.
package image

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

//go:embed files
var files embed.FS

// Files are the template and what belongs to it: aws-vm.json, which "packer
// build aws-vm.json" takes, aws_user_data, setup.sh, check.sh and manifest.json.
func Files() fs.FS {
	sub, err := fs.Sub(files, "files")
	if err != nil { // the name is one of the two lines above
		return files
	}
	return sub
}

// A Manifest is what jobs find on a machine. Versions are the lowest.
//
// The image of the guide had Ubuntu 14.04 or 16.04, Docker 17.03.0-ce and
// docker-compose 1.9.0; ours has what is maintained today, under the same names.
type Manifest struct {
	OS     string            `json:"os"`
	User   string            `json:"user"`
	Docker string            `json:"docker"`
	Tools  map[string]string `json:"tools"`
}

// Read returns the manifest in dir, as [ci.ErrInvalid] if it is none.
func Read(dir fs.FS) (Manifest, error) {
	var m Manifest
	text, err := fs.ReadFile(dir, "manifest.json")
	if err != nil {
		return m, fmt.Errorf("read the manifest of the image: %w", err)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("read the manifest of the image: %w: %w", ci.ErrInvalid, err)
	}
	if m.User == "" || m.Docker == "" {
		return m, fmt.Errorf("read the manifest of the image: it names no user or no Docker: %w", ci.ErrInvalid)
	}
	return m, nil
}

// template is what Lint looks at in one for Packer.
type template struct {
	Variables map[string]string `json:"variables"`
	Builders  []builder         `json:"builders"`
}

type builder struct {
	Type      string `json:"type"`
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
	User      string `json:"ssh_username"`
	UserData  string `json:"user_data_file"`
	AMIGroups any    `json:"ami_groups"`
	Encrypted bool   `json:"encrypt_boot"`
	IMDS      string `json:"imds_support"`
}

// Lint returns what is wrong with the template aws-vm.json in dir and its files,
// all of it, each a line that says what to do and wraps [ci.ErrInvalid].
func Lint(dir fs.FS) error {
	var wrong []error
	bad := func(file, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("%s: %s: %w", file, fmt.Sprintf(format, args...), ci.ErrInvalid))
	}
	m, err := Read(dir)
	if err != nil {
		return err
	}
	text, err := fs.ReadFile(dir, "aws-vm.json")
	if err != nil {
		return fmt.Errorf("read the template of the image: %w", err)
	}
	var t template
	if err := json.Unmarshal(text, &t); err != nil {
		return fmt.Errorf("aws-vm.json: %w: %w", ci.ErrInvalid, err)
	}
	for _, name := range []string{"access_key", "secret_key"} {
		if v := t.Variables[name]; v != "" && !strings.HasPrefix(v, "{{env ") {
			bad("aws-vm.json", "variable %s has a value: keep keys in the environment", name)
		}
	}
	if len(t.Builders) == 0 {
		bad("aws-vm.json", "there is no builder: take amazon-ebs")
	}
	for _, b := range t.Builders {
		b.lint(m, dir, bad)
	}
	for _, name := range []string{"setup.sh", "check.sh"} {
		script, err := fs.ReadFile(dir, name)
		switch {
		case err != nil:
			bad(name, "it is missing, so nobody looks at the image before it is used")
		case regexp.MustCompile(`(?i)StrictHostKeyChecking[ =]+(no|off)`).Match(withoutComments(script)) && name == "setup.sh":
			bad(name, "StrictHostKeyChecking no lets anybody be the code host")
		}
	}
	return errors.Join(wrong...)
}

func (b builder) lint(m Manifest, dir fs.FS, bad func(file, format string, args ...any)) {
	const file = "aws-vm.json"
	if b.Type != "amazon-ebs" {
		bad(file, "builder %q: machines need amazon-ebs", b.Type)
	}
	for name, v := range map[string]string{"access_key": b.AccessKey, "secret_key": b.SecretKey} {
		if v != "" && !strings.HasPrefix(v, "{{") {
			bad(file, "%s is written down: take {{user `%s`}}", name, name)
		}
	}
	if groups := fmt.Sprint(b.AMIGroups); slices.Contains(strings.FieldsFunc(groups, func(r rune) bool { return strings.ContainsRune("[] ,", r) }), "all") {
		bad(file, "ami_groups is all: everybody at Amazon could boot the image; name accounts in ami_users")
	}
	if b.User != m.User {
		bad(file, "ssh_username is %q, and the image's user %q: agents log in as that one", b.User, m.User)
	}
	if !b.Encrypted {
		bad(file, "encrypt_boot is not true")
	}
	if b.IMDS != "v2.0" {
		bad(file, "imds_support is not v2.0: jobs could read the metadata service without a token")
	}
	data, err := fs.ReadFile(dir, b.UserData)
	if err != nil {
		bad(file, "user_data_file %q is missing", b.UserData)
		return
	}
	plain := string(withoutComments(data))
	if !strings.HasPrefix(string(data), "#cloud-config\n") {
		bad(b.UserData, "it does not begin with #cloud-config, so cloud-init does not read it")
	}
	if !regexp.MustCompile(`(?m)^\s*(- )?name:\s*"?` + regexp.QuoteMeta(m.User) + `"?\s*$`).MatchString(plain) {
		bad(b.UserData, "it makes no user %s: write system_info: {default_user: {name: %[1]s}}", m.User)
	}
	if !regexp.MustCompile(`(?m)^ssh_pwauth:\s*(false|no|0)\s*$`).MatchString(plain) {
		bad(b.UserData, "ssh_pwauth is not false: people could get in by password")
	}
}

// withoutComments returns a text without the lines that are comments.
func withoutComments(text []byte) []byte {
	return regexp.MustCompile(`(?m)^\s*#.*$`).ReplaceAll(text, nil)
}
