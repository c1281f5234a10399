package ec2

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
)

// maxUserData is Amazon's limit before base64.
const maxUserData = 16 << 10

// firstBoot is read by cloud-init. All values are quoted strings; none is
// part of a shell's text, the report is a file of options of curl.
//
// The timer ends the machine when nobody else does: shutting down is ending,
// see InstanceInitiatedShutdownBehavior. It is set before there is a network.
var firstBoot = template.Must(template.New("user data").Funcs(template.FuncMap{"q": quoted}).Parse(`#cloud-config
hostname: {{q .Host}}
manage_etc_hosts: true
ssh_pwauth: false
disable_root: true
groups: [docker]
users:
  - name: {{q .User}}
    shell: /bin/bash
    lock_passwd: true
    groups: [docker]
    sudo: "ALL=(ALL) NOPASSWD:ALL"
    ssh_authorized_keys: [{{q .Key}}]
{{- if .Seconds}}
bootcmd:
  - [sh, -c, "systemd-run --unit=rondo-life --on-active={{.Seconds}}s /bin/systemctl poweroff || { sleep {{.Seconds}}; /sbin/poweroff -f; } &"]
{{- end}}
write_files:
{{- if .Report}}
  - path: /run/rondo/report
    permissions: "0600"
    content: {{q .Curl}}
{{- if .CA}}
  - path: /run/rondo/ca.pem
    content: {{q .CA}}
{{- end}}
{{- end}}
  - path: /run/rondo/docker.sh
    content: |
      command -v dockerd >/dev/null && exit 0
      export DEBIAN_FRONTEND=noninteractive
      for try in 1 2 3 4 5; do
        apt-get update -q && apt-get install -qy docker.io && exit 0
        sleep 5
      done
      exit 1
runcmd:
{{- if .Report}}
  - [sh, -c, "curl -K /run/rondo/report; rm -f /run/rondo/report"]
{{- end}}
  - [sh, /run/rondo/docker.sh]
`))

// userData returns what the machine does at its first boot. The same arguments
// give the same text, or the client token would be refused.
func userData(key string, b vmservice.Boot, ca string) (string, error) {
	if b.User == "" || b.AuthorizedKey == "" {
		return "", fmt.Errorf("create machine %s: it needs a user and a public key: %w", key, ci.ErrInvalid)
	}
	if strings.Contains(b.AuthorizedKey, "PRIVATE") {
		return "", fmt.Errorf("create machine %s: the key to authorise is a private one: %w", key, ci.ErrInvalid)
	}
	var text bytes.Buffer
	err := firstBoot.Execute(&text, map[string]any{
		"Host": hostname(key), "User": b.User, "Key": strings.TrimSpace(b.AuthorizedKey), "Report": b.Report, "CA": ca,
		"Curl": curlConfig(b.Report, b.Token, ca != ""), "Seconds": int64(math.Ceil(b.Life.Seconds())),
	})
	if err != nil {
		return "", fmt.Errorf("create machine %s: write user data: %w", key, err)
	}
	if text.Len() > maxUserData {
		return "", fmt.Errorf("create machine %s: user data have %d bytes, Amazon takes %d: is the bundle of certificates too large? %w", key, text.Len(), maxUserData, ci.ErrInvalid)
	}
	return text.String(), nil
}

// curlConfig is a file of options for curl: no secret is on a command line,
// where every process sees it.
func curlConfig(address, token string, ca bool) string {
	lines := []string{
		"url = " + curlQuoted(address),
		"header = " + curlQuoted("Rondo-Token: "+token),
		`header = "Content-Type: text/plain"`,
		`data-binary = "@/etc/ssh/ssh_host_ed25519_key.pub"`,
		"fail", "silent", "show-error",
		"retry = 60", "retry-delay = 2", "retry-max-time = " + fmt.Sprint(int(5*time.Minute/time.Second)), "retry-connrefused",
		"max-time = 20",
	}
	if ca {
		lines = append(lines, `cacert = "/run/rondo/ca.pem"`)
	}
	return strings.Join(lines, "\n") + "\n"
}

// hostname returns a name that a host can have, from a key of any form.
func hostname(key string) string { return "rondo-" + digest(key)[:12] }

// digest returns 64 hexadecimal digits: as many as a client token may have.
func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

// quoted returns the text as YAML: what Go writes for ASCII is that.
func quoted(text string) string { return strconv.QuoteToASCII(text) }

// curlQuoted returns the text as a value in a file of options of curl, which
// knows two escapes that matter.
func curlQuoted(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`).Replace(text) + `"`
}
