package onhost

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
)

// The files in the folder of a machine.
const (
	fileRecord  = "machine.json"
	fileSeed    = "seed"    // what is laid over the image
	fileKeeper  = "keep.sh" // the script that keeps the machine
	fileAddress = "address"
	fileStarted = "started" // its init began: this machine never begins again
	fileEnded   = "ended"   // why it ended
	fileDisk    = "disk.img"
	fileLog     = "log" // of the keeper
)

// idForm is that of machines and volumes. IDs become names of files.
var idForm = regexp.MustCompile(`^[mv]-[0-9a-f]{16}$`)

// A record is what is written down of a machine before it is made.
type record struct {
	ID      string            `json:"id"`
	Key     string            `json:"key"`
	Model   vmservice.Model   `json:"model"`
	Tags    map[string]string `json:"tags"`
	Created time.Time         `json:"created"`
	User    string            `json:"user"`
	Allowed string            `json:"allowed"` // the public key of who may enter
	HostKey string            `json:"host_key"`
	Life    int64             `json:"life"` // seconds; 0 is forever
	DiskGB  int               `json:"disk_gb"`
	private []byte            // the host key's other half, until it is written to the seed
}

// A state is what folder and kernel say of a machine.
type state struct {
	record  record
	address netip.Addr
	started bool
	alive   bool // there are processes
	ended   string
	changed time.Time // when its folder last got a file
}

func (d *Driver) machineDir(id string) string { return filepath.Join(d.home, "machines", id) }

// draft returns the record of a new machine. Its ID follows from its key.
func (d *Driver) draft(key string, m vmservice.Model, b vmservice.Boot) (record, error) {
	arch := m.Arch
	switch {
	case key == "" || len(key) > 1000:
		return record{}, fmt.Errorf("the key has 1 to 1000 bytes: %w", ci.ErrInvalid)
	case arch != "" && arch != runtime.GOARCH:
		return record{}, settings("onhost", "this host is %s, and machines of %s are wanted", runtime.GOARCH, arch)
	case b.Zone != "":
		return record{}, settings("zones", "a host has no zones, and one in %q is wanted: leave zones out", b.Zone)
	case b.Life < 0:
		return record{}, fmt.Errorf("its life of %s is negative: %w", b.Life, ci.ErrInvalid)
	case strings.Contains(b.AuthorizedKey, "PRIVATE"):
		return record{}, fmt.Errorf("the key to authorise is a private one: %w", ci.ErrInvalid)
	case !userForm.MatchString(b.User) || b.User == "root":
		return record{}, fmt.Errorf("%.40q can't log in: name a user of the image such as circleci, not root: %w", b.User, ci.ErrInvalid)
	}
	allowed, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(b.AuthorizedKey))
	if err != nil || len(bytes.TrimSpace(rest)) > 0 {
		return record{}, fmt.Errorf("the key to authorise is no line of authorized_keys: %w", ci.ErrInvalid)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return record{}, err
	}
	host, err := ssh.NewPublicKey(public)
	if err != nil {
		return record{}, err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return record{}, err
	}
	tags := maps.Clone(b.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	tags[vmservice.TagInstall], tags[vmservice.TagKey] = d.install, key
	return record{
		ID: "m-" + digest(d.install, key)[:16], Key: key, Model: m, Tags: tags, Created: time.Now().UTC(), User: b.User,
		Allowed: line(allowed), HostKey: line(host), Life: int64(math.Ceil(b.Life.Seconds())), DiskGB: d.cfg.DiskGB,
		private: pem.EncodeToMemory(block),
	}, nil
}

// line returns a public key as in authorized_keys, without what else may stand
// in such a line.
func line(k ssh.PublicKey) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k))) }

//go:embed keep.sh
var keeper []byte

// place writes the folder of a machine, whole or not at all. One that is there
// already stays.
func (d *Driver) place(dir string, r record) error {
	if err := d.room(r.Key); err != nil {
		return err
	}
	if _, err := d.image(r.User); err != nil {
		return err
	}
	return whole(dir, fileRecord, r, func(draft string) error {
		if err := write(filepath.Join(draft, fileKeeper), keeper, 0o600); err != nil {
			return err
		}
		if err := d.seed(filepath.Join(draft, fileSeed), r); err != nil {
			return err
		}
		d.step("drafted")
		return nil
	})
}

// look returns what there is of a machine; fs.ErrNotExist if there is nothing.
func (d *Driver) look(id string) (state, error) {
	dir := d.machineDir(id)
	var s state
	text, err := os.ReadFile(filepath.Join(dir, fileRecord))
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s.record); err != nil || s.record.ID != id {
		// It is listed without a key, and so ended as one that nobody knows.
		d.cfg.Log.Warn("the record of a machine is damaged", "machine", id, "err", err)
		s.record = record{ID: id, Tags: map[string]string{vmservice.TagInstall: d.install}}
	}
	g, err := d.group(id)
	if err != nil {
		return s, err
	}
	// In this order: one that is born meanwhile must not look dead.
	s.started = exists(filepath.Join(dir, fileStarted))
	s.alive = g.populated()
	if text, err := os.ReadFile(filepath.Join(dir, fileEnded)); err == nil {
		s.ended = cmp.Or(strings.TrimSpace(string(text)), "it ended")
	}
	if text, err := os.ReadFile(filepath.Join(dir, fileAddress)); err == nil {
		s.address, _ = netip.ParseAddr(strings.TrimSpace(string(text)))
	}
	if info, err := os.Stat(dir); err == nil {
		s.changed = info.ModTime()
	}
	return s, nil
}

// why says why a machine that is gone ended.
func (s state) why() string {
	return cmp.Or(s.ended, "it ended without a word: it was killed, or the host was restarted")
}

// machine returns the state as the pool knows it.
func (s state) machine() vmservice.Machine {
	m := vmservice.Machine{
		ID: s.record.ID, Key: s.record.Key, Model: s.record.Model, HostKey: s.record.HostKey,
		Tags: s.record.Tags, Created: s.record.Created,
	}
	if s.address.IsValid() {
		m.Address = netip.AddrPortFrom(s.address, 22).String()
	}
	switch {
	case s.ended != "" && s.alive:
		m.State, m.Why = vmservice.MachineEnding, s.ended
	case s.ended != "" || s.started && !s.alive:
		m.State, m.Why = vmservice.MachineGone, s.why()
	case s.started:
		m.State = vmservice.MachineRunning
	default:
		m.State = vmservice.MachineBooting
	}
	return m
}
