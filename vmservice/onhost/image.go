package onhost

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// ImageConfig says what an image has besides what every one has. The zero
// ImageConfig works.
type ImageConfig struct {
	// Packages are more packages of the host's distribution.
	Packages []string
	// Sources is a file of apt's with the archives to take packages from; "" is
	// those that the host has of its own distribution.
	Sources string
}

// A Manifest says what an image has.
type Manifest struct {
	OS       string            `json:"os"`
	Arch     string            `json:"arch"` // in the words of Go
	User     string            `json:"user"` // of jobs
	Built    time.Time         `json:"built"`
	Packages map[string]string `json:"packages"` // version by name
}

// user is who jobs are on a machine, by the guide.
const user = "circleci"

// The files of an image. All machines that run have the version open that was
// current when they booted.
const (
	fileCurrent  = "current" // a link to the version
	fileTree     = "root"
	fileManifest = "manifest.json"
)

// packages are those of every image.
var packages = []string{
	"bash", "ca-certificates", "curl", "dbus", "docker.io", "e2fsprogs", "git", "gzip", "iproute2", "iptables", "jq", "less", "make",
	"openssh-client", "openssh-server", "procps", "python3", "rsync", "sudo", "systemd-sysv", "tar", "unzip", "wget", "xz-utils", "zip", "zstd",
}

//go:embed setup.sh
var setup string

// BuildImage makes the image of machines in dir, from the packages of the host's
// distribution, and tells progress in lines. It takes root, mmdebstrap, about
// 600 MB and a minute. An image that is there is replaced when the new one is
// whole; machines that run keep the one that they have.
func BuildImage(ctx context.Context, dir string, cfg ImageConfig, progress io.Writer) (Manifest, error) {
	m, err := buildImage(ctx, dir, cfg, progress)
	return m, explain("build an image of machines in "+dir, err)
}

func buildImage(ctx context.Context, dir string, cfg ImageConfig, progress io.Writer) (Manifest, error) {
	var none Manifest
	if os.Geteuid() != 0 {
		return none, fmt.Errorf("only root can: run it with sudo: %w", ci.ErrDenied)
	}
	for _, p := range cfg.Packages {
		if !packageForm(p) {
			return none, fmt.Errorf("%.40q is no name of a package: %w", p, ci.ErrInvalid)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return none, err
	}
	held, err := lock(ctx, dir, os.O_RDONLY)
	if err != nil {
		return none, err
	}
	defer held.Close()
	if err := sweepImage(dir); err != nil {
		return none, err
	}
	codename, sources, err := archives(ctx, cfg.Sources)
	if err != nil {
		return none, err
	}
	draft, err := os.MkdirTemp(dir, ".new-*")
	if err != nil {
		return none, err
	}
	defer os.RemoveAll(draft)
	if err := os.Chmod(draft, 0o755); err != nil {
		return none, err
	}
	tree := filepath.Join(draft, fileTree)
	if err := bootstrap(ctx, tree, codename, sources, cfg.Packages, progress); err != nil {
		return none, err
	}
	m, err := describe(ctx, tree)
	if err != nil {
		return none, err
	}
	if err := judgeTree(tree, user); err != nil {
		return none, err
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return none, err
	}
	if err := write(filepath.Join(draft, fileManifest), text, 0o644); err != nil {
		return none, err
	}
	version := "v" + m.Built.Format("20060102-150405.000000")
	if err := os.Rename(draft, filepath.Join(dir, version)); err != nil {
		return none, err
	}
	link := filepath.Join(dir, ".current")
	if err := errors.Join(ignoreMissing(os.Remove(link)), os.Symlink(version, link), os.Rename(link, filepath.Join(dir, fileCurrent))); err != nil {
		return none, err
	}
	fmt.Fprintf(progress, "the image is in %s: %s, docker %s, user %s\n", dir, m.OS, m.Packages["docker.io"], m.User)
	return m, sweepImage(dir)
}

func packageForm(name string) bool {
	return name != "" && len(name) < 100 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789+.-") == "" && name[0] != '-' && name[0] != '+'
}

// bootstrap fills a tree.
func bootstrap(ctx context.Context, tree, codename, sources string, more []string, progress io.Writer) error {
	program, err := toolPath("mmdebstrap")
	if err != nil {
		return err
	}
	names := append(slices.Clone(packages), more...)
	compose := "docker-compose"
	if out, err := tool(ctx, "", "apt-cache", "search", "--names-only", "^docker-compose-v2$"); err == nil && out != "" {
		compose = "docker-compose-v2"
	}
	args := []string{
		"--variant=minbase", "--mode=root", "--aptopt=APT::Install-Recommends false", "--include=" + strings.Join(append(names, compose), ","),
		"--customize-hook=printf %s \"$RONDO_SETUP\" | sh -s \"$1\"",
	}
	for _, path := range []string{"man", "doc", "locale", "info"} { // nobody reads in a machine
		args = append(args, "--dpkgopt=path-exclude=/usr/share/"+path+"/*")
	}
	if proxies, err := tool(ctx, "", "apt-config", "dump", "--no-empty", "--format", "%F \"%v\";%n", "Acquire"); err == nil {
		for line := range strings.Lines(proxies) {
			if strings.Contains(line, "::Proxy") {
				args = append(args, "--aptopt="+strings.TrimSpace(line))
			}
		}
	}
	cmd := exec.CommandContext(ctx, program, append(args, codename, tree, "-")...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PATH="+path, "RONDO_SETUP="+setup)
	cmd.Stdin = strings.NewReader(sources)
	var said bytes.Buffer
	cmd.Stdout = progress
	cmd.Stderr = io.MultiWriter(progress, &said)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("mmdebstrap: %w: %w", errors.Join(ctx.Err(), err), lastWords(said.Bytes()))
	}
	return nil
}

// archives returns the host's release, and where its packages come from as
// lines of sources.list.
func archives(ctx context.Context, file string) (codename, sources string, err error) {
	release, err := osRelease("/etc/os-release")
	if err != nil {
		return "", "", err
	}
	codename = release["VERSION_CODENAME"]
	if codename == "" || !slices.Contains([]string{"debian", "ubuntu"}, release["ID"]) {
		return "", "", settings("onhost.image", "this host is %s: an image can be built on Debian and Ubuntu only, and copied from there", cmp.Or(release["PRETTY_NAME"], "no Linux that we know"))
	}
	if file != "" {
		text, err := os.ReadFile(file)
		return codename, string(text), err
	}
	for try := range 2 {
		if try == 1 { // the host has never looked, or has thrown away what it saw
			if _, err := tool(ctx, "", "apt-get", "-q", "update"); err != nil {
				return "", "", err
			}
		}
		out, err := tool(ctx, "", "apt-get", "indextargets", "--format", "$(ORIGIN) $(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages")
		if err != nil {
			return "", "", err
		}
		if sources = ownArchives(out, release["ID"], codename); sources != "" {
			return codename, sources, nil
		}
	}
	return "", "", settings("onhost.image", "apt on this host knows no archive of %s: name a file of sources", codename)
}

// ownArchives picks from what apt knows the archives of the host's own release:
// what others have may not fit.
func ownArchives(known, id, codename string) string {
	sources := ""
	for line := range strings.Lines(known) {
		f := strings.Fields(line)
		if len(f) != 4 || !strings.EqualFold(f[0], id) {
			continue
		}
		rest, ours := strings.CutPrefix(f[1], codename)
		if ours && slices.Contains([]string{"", "-updates", "-security"}, rest) {
			sources += fmt.Sprintf("deb %s %s %s\n", f[3], f[1], f[2])
		}
	}
	return sources
}

// osRelease reads a file of the form of /etc/os-release.
func osRelease(file string) (map[string]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), "="); ok {
			all[name] = strings.Trim(value, `"'`)
		}
	}
	return all, nil
}

// describe returns the manifest of a tree.
func describe(ctx context.Context, tree string) (Manifest, error) {
	m := Manifest{Arch: runtime.GOARCH, User: user, Built: time.Now().UTC(), Packages: map[string]string{}}
	release, err := osRelease(filepath.Join(tree, "usr/lib/os-release"))
	if err != nil {
		return m, err
	}
	m.OS = strings.TrimSpace(release["ID"] + " " + release["VERSION_ID"])
	out, err := tool(ctx, "", "dpkg-query", "--admindir="+filepath.Join(tree, "var/lib/dpkg"), "--show", "--showformat=${Package} ${Version}\n")
	if err != nil {
		return m, err
	}
	for line := range strings.Lines(out) {
		if name, version, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			m.Packages[name] = version
		}
	}
	return m, nil
}

// sweepImage removes versions that nobody uses: neither new machines nor those
// that run, which have them locked.
func sweepImage(dir string) error {
	current, err := os.Readlink(filepath.Join(dir, fileCurrent))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || e.Name() == current || !strings.HasPrefix(e.Name(), "v2") && !strings.HasPrefix(e.Name(), ".new-") {
			continue
		}
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		free := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
		if free {
			err = os.RemoveAll(f.Name())
		}
		f.Close()
		if err != nil {
			return fmt.Errorf("remove an old image: %w", err)
		}
	}
	return nil
}

// image returns the folder of the current version of the image, if that is whole
// and has the user.
func (d *Driver) image(user string) (string, error) {
	version, err := os.Readlink(filepath.Join(d.cfg.Image, fileCurrent))
	if errors.Is(err, fs.ErrNotExist) {
		return "", settings("onhost.image", "there is no image in %s: make one with rondo-server machines image --onhost %[1]s", d.cfg.Image)
	} else if err != nil {
		return "", settings("onhost.image", "%s is no image: %v", d.cfg.Image, err)
	}
	dir := filepath.Join(d.cfg.Image, filepath.Base(version))
	m, err := readManifest(dir)
	if err != nil {
		return "", err
	}
	if m.Arch != runtime.GOARCH {
		return "", settings("onhost.image", "the image in %s is for %s, and this host is %s", d.cfg.Image, m.Arch, runtime.GOARCH)
	}
	return dir, judgeTree(filepath.Join(dir, fileTree), user)
}

func readManifest(dir string) (Manifest, error) {
	var m Manifest
	text, err := os.ReadFile(filepath.Join(dir, fileManifest))
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return m, settings("onhost.image", "the image in %s is not whole: make it again: %v", dir, err)
	}
	return m, nil
}

// judgeTree says what a tree lacks to be an image: the user of jobs for one.
func judgeTree(tree, user string) error {
	text, err := os.ReadFile(filepath.Join(tree, "etc/passwd"))
	if err != nil {
		return settings("onhost.image", "the image in %s is not whole: %v", tree, err)
	}
	has := false
	for line := range strings.Lines(string(text)) {
		f := strings.Split(line, ":")
		has = has || len(f) > 6 && f[0] == user && f[2] != "0"
	}
	if !has {
		return settings("onhost.image", "the image in %s has no user %s: jobs log in as that one, so make it again with such a user", tree, user)
	}
	for _, w := range []struct{ file, what string }{
		{"usr/sbin/sshd", "SSH server: add openssh-server"}, {"usr/sbin/dockerd", "Docker engine: add docker.io"},
		{"lib/systemd/systemd", "init: add systemd-sysv"}, {"usr/bin/sudo", "sudo: add it"},
	} {
		if !exists(filepath.Join(tree, w.file)) && !exists(filepath.Join(tree, "usr", "bin", filepath.Base(w.file))) && !exists(filepath.Join(tree, "usr", w.file)) {
			return settings("onhost.image", "the image in %s has no %s", tree, w.what)
		}
	}
	return nil
}
