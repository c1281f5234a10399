package onhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// sshd is the configuration of the SSH server of machines. Nobody logs in with
// a password, and what the image had in its place is not asked.
const sshd = `# Written for this machine by Rondo.
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/rondo_keys/%%u
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
AllowUsers %s
UsePAM yes
UseDNS no
MaxStartups 100
MaxSessions 100
Subsystem sftp internal-sftp
`

// seed writes what is laid over the image: who the machine is and who may
// enter.
func (d *Driver) seed(dir string, r record) error {
	names, err := resolvers()
	if err != nil {
		return err
	}
	resolv := ""
	for _, n := range names {
		resolv += "nameserver " + n.String() + "\n"
	}
	name := hostname(r.ID)
	for _, f := range []struct {
		path, text string
		mode       os.FileMode
	}{
		{"etc/hostname", name + "\n", 0o644},
		{"etc/hosts", "127.0.0.1 localhost\n127.0.1.1 " + name + "\n", 0o644},
		{"etc/resolv.conf", resolv, 0o644},
		{"etc/machine-id", digest(r.ID)[:32] + "\n", 0o444},
		{"etc/ssh/sshd_config", fmt.Sprintf(sshd, r.User), 0o644},
		{"etc/ssh/ssh_host_ed25519_key", string(r.private), 0o600},
		{"etc/ssh/ssh_host_ed25519_key.pub", r.HostKey + "\n", 0o644},
		{"etc/ssh/rondo_keys/" + r.User, r.Allowed + "\n", 0o644},
	} {
		path := filepath.Join(dir, f.path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(f.text), f.mode); err != nil {
			return err
		}
		if err := os.Chmod(path, f.mode); err != nil { // whatever the umask is
			return err
		}
	}
	// cp -a gives folders the modes that they have here.
	return filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			err = os.Chmod(path, 0o755)
		}
		return err
	})
}

// hostname is what the machine calls itself.
func hostname(id string) string { return "rondo-" + strings.TrimPrefix(id, "m-") }

// boot makes the disk and the network of a machine and starts its keeper, which
// outlives us. The caller holds the lock of its folder.
func (d *Driver) boot(ctx context.Context, r record) error {
	if err := d.stop(ctx, r.ID); err != nil { // what a server that died has begun
		return err
	}
	dir := d.machineDir(r.ID)
	image, err := d.image(r.User)
	if err != nil {
		return err
	}
	tree, err := os.Open(image)
	if err != nil {
		return err
	}
	defer tree.Close()
	if err := flock(ctx, tree, syscall.LOCK_SH); err != nil { // as long as the keeper has it open
		return err
	}
	for _, name := range []string{"lower", "disk", "root"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	if err := makeDisk(ctx, filepath.Join(dir, fileDisk), r.DiskGB); err != nil {
		return err
	}
	d.step("disk")
	g, err := d.group(r.ID)
	if err != nil {
		return err
	}
	if err := g.make(d.cfg.Classes[r.Model.Class]); err != nil {
		return err
	}
	if err := g.allow(nil); err != nil {
		return err
	}
	d.step("group")
	return d.keep(ctx, r, g, tree)
}

// keep starts the keeper of a machine and waits until the machine is up.
func (d *Driver) keep(ctx context.Context, r record, g group, tree *os.File) error {
	dir := d.machineDir(r.ID)
	host, err := d.claimAddress(ctx, r.ID)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, fileLog))
	if err != nil {
		return err
	}
	defer log.Close()
	up, upWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	defer up.Close()
	defer upWrite.Close()
	gateway := ""
	if d.cfg.Outside != Nowhere {
		gateway = host.gateway.String()
	}
	shell, err := toolPath("sh")
	if err != nil {
		return err
	}
	cmd := exec.Command(shell, filepath.Join(dir, fileKeeper), filepath.Join(tree.Name(), fileTree), g.box(),
		host.machine.String()+"/30", gateway, strconv.FormatInt(r.Life, 10), hostname(r.ID))
	cmd.Dir, cmd.Stderr, cmd.Env = dir, log, []string{"PATH=" + path, "LC_ALL=C"}
	cmd.ExtraFiles = []*os.File{upWrite, tree}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	defer stdin.Close()
	if err := g.start(cmd); err != nil {
		return fmt.Errorf("start its keeper: %w", err)
	}
	go func() { _ = cmd.Wait() }() // it ends with the machine: what it says is in its files
	upWrite.Close()
	d.step("keeper")
	if err := d.link(ctx, r.ID, host, cmd.Process.Pid); err != nil {
		return err
	}
	d.step("link")
	stop := context.AfterFunc(ctx, func() { up.Close() })
	defer stop()
	if _, err := io.WriteString(stdin, "go\n"); err != nil {
		return fmt.Errorf("start its keeper: %w", err)
	}
	word, err := io.ReadAll(up)
	if string(word) != "up\n" {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("mount its disk and image: %w", errors.Join(ctx.Err(), err, lastWords(text)))
	}
	return nil
}

// lastWords is the end of what a program has said.
func lastWords(text []byte) error {
	text = bytes.TrimSpace(text)
	if len(text) > 500 {
		text = text[len(text)-500:]
	}
	if len(text) == 0 {
		return errors.New("it ended without a word")
	}
	return errors.New(string(text))
}

// path is where the tools are. That of the server may be anything.
const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// tool runs a program of the host and returns what it prints.
func tool(ctx context.Context, stdin string, name string, args ...string) (string, error) {
	program, err := toolPath(name)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{"PATH=" + path, "LC_ALL=C"}
	cmd.Stdin = strings.NewReader(stdin)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %w", name, errors.Join(ctx.Err(), err), lastWords(said.Bytes()))
	}
	return out.String(), nil
}

// toolPath finds a program of the host.
func toolPath(name string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", settings("onhost", "there is no %s on this host: install the package %s", name, tools[name])
}

// tools are the programs that machines need, with their packages in Debian.
var tools = map[string]string{
	"systemd-nspawn": "systemd-container", "ip": "iproute2", "iptables": "iptables", "iptables-restore": "iptables",
	"mkfs.ext4": "e2fsprogs", "losetup": "mount", "mount": "mount", "timeout": "coreutils", "cp": "coreutils", "sh": "dash",
	"mmdebstrap": "mmdebstrap", "apt-get": "apt", "apt-cache": "apt", "apt-config": "apt", "dpkg-query": "dpkg",
}

// builds are those of the programs that only the making of an image needs.
var builds = map[string]bool{"mmdebstrap": true, "apt-get": true, "apt-cache": true, "apt-config": true, "dpkg-query": true}

// makeDisk makes the sparse disk of a machine. It has no journal: it is thrown
// away with the machine.
func makeDisk(ctx context.Context, file string, gb int) error {
	if err := sparse(file, gb); err != nil {
		return err
	}
	_, err := tool(ctx, "", "mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard", file)
	if err != nil {
		return fmt.Errorf("format its disk: %w", err)
	}
	return nil
}

// sparse makes a file that takes no room yet.
func sparse(file string, gb int) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(int64(gb)<<30), f.Close())
}
