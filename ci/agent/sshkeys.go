package agent

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/archive"
)

// addSSHKeys gives keys of the project to the steps that follow.
func (s *session) addSSHKeys(st *step, spec ci.StepSpec) result {
	keys := s.work.SSHKeys
	if len(spec.Fingerprints) > 0 {
		keys = nil
		for _, f := range spec.Fingerprints {
			i := slices.IndexFunc(s.work.SSHKeys, func(k ci.SSHKey) bool { return isFingerprint(k, f) })
			if i < 0 {
				return failed("the project has no SSH key with the fingerprint %s", f)
			}
			keys = append(keys, s.work.SSHKeys[i])
		}
	}
	if len(keys) == 0 {
		fmt.Fprintln(st.out, "The project has no SSH keys.")
		return result{status: ci.Success}
	}
	if err := s.installKeys(keys); err != nil {
		return failed("%v", err)
	}
	for _, k := range keys {
		host := k.Host
		if host == "" {
			host = "all hosts"
		}
		fmt.Fprintf(st.out, "Installed key %s for %s\n", k.Fingerprint, host)
	}
	return result{status: ci.Success}
}

// isFingerprint reports whether the text names the key: in SHA256 form, or in
// the MD5 form with colons, with or without the name of the algorithm.
func isFingerprint(k ci.SSHKey, text string) bool {
	text = strings.TrimSpace(text)
	if strings.EqualFold(strings.TrimPrefix(strings.ToUpper(text), "MD5:"), strings.TrimPrefix(strings.ToUpper(k.MD5), "MD5:")) && k.MD5 != "" {
		return true
	}
	bare := func(s string) string { return strings.TrimRight(strings.TrimPrefix(s, "SHA256:"), "=") }
	return k.Fingerprint != "" && bare(text) == bare(k.Fingerprint)
}

// installKeys writes keys and a configuration for them into ~/.ssh, and makes
// git and ssh use it. OpenSSH takes the home directory from the user database
// and not from HOME, hence the explicit file. Twice with the same key is
// allowed.
func (s *session) installKeys(keys []ci.SSHKey) error {
	dir := filepath.Join(s.layout.Home, ".ssh")
	config := filepath.Join(dir, "config")
	if err := s.within(func() error { return os.MkdirAll(dir, 0o700) }); err != nil {
		return fmt.Errorf("install ssh keys: %w", err)
	}
	var text strings.Builder
	old := s.read(config)
	text.WriteString(old)
	if old == "" {
		fmt.Fprintf(&text, "Host *\n  StrictHostKeyChecking accept-new\n  UserKnownHostsFile %s\n  BatchMode yes\n", quoted(filepath.Join(dir, "known_hosts")))
	}
	for _, k := range keys {
		name := filepath.Join(dir, "id_rondo_"+fileName(k.Fingerprint))
		host := k.Host
		if host == "" || strings.ContainsAny(host, "\r\n\"") {
			host = "*"
		}
		block := fmt.Sprintf("Host %s\n  IdentitiesOnly yes\n  IdentityFile %s\n", host, quoted(name))
		if strings.Contains(text.String(), block) {
			continue
		}
		key := strings.TrimRight(strings.ReplaceAll(k.Private, "\r\n", "\n"), "\n") + "\n"
		if err := s.write(name, []byte(key), 0o600); err != nil {
			return fmt.Errorf("install ssh keys: %w", err)
		}
		text.WriteString(block)
	}
	if err := s.write(config, []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("install ssh keys: %w", err)
	}
	return s.useConfig(config)
}

// read returns the content of a small file of the steps, "" if it is none.
func (s *session) read(file string) string {
	var text []byte
	_ = s.within(func() error {
		f, _, err := archive.OpenFile(file)
		if err != nil {
			return err
		}
		defer f.Close()
		text, _ = io.ReadAll(io.LimitReader(f, 1<<20))
		return nil
	})
	return string(text)
}

// useConfig makes the programs that speak SSH read the configuration.
func (s *session) useConfig(config string) error {
	if _, ok := s.env["GIT_SSH_COMMAND"]; !ok {
		s.env["GIT_SSH_COMMAND"] = "ssh -F " + quoted(config)
	}
	for _, program := range []string{"ssh", "scp", "sftp"} {
		real := s.lookPath(program)
		if real == "" {
			continue
		}
		wrapper := fmt.Sprintf("#!/bin/sh\nexec %s -F %s \"$@\"\n", quoted(real), quoted(config))
		if err := s.write(filepath.Join(s.bin(), program), []byte(wrapper), 0o755); err != nil {
			return fmt.Errorf("install ssh keys: %w", err)
		}
	}
	return nil
}

// lookPath returns the absolute path at which the steps find a program, but
// for what the agent itself has put there; "" if they do not find it.
func (s *session) lookPath(program string) string {
	found := ""
	_ = s.within(func() error {
		for _, dir := range filepath.SplitList(s.env["PATH"]) {
			file := filepath.Join(dir, program)
			if !filepath.IsAbs(file) || dir == s.bin() {
				continue
			}
			if i, err := os.Stat(file); err == nil && i.Mode().IsRegular() && i.Mode()&0o111 != 0 {
				found = file
				break
			}
		}
		return nil
	})
	return found
}

// quoted puts a path in quotes as shells and ssh read them.
func quoted(path string) string { return `"` + path + `"` }

// fileName returns a text as part of a file's name.
func fileName(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, text)
}
