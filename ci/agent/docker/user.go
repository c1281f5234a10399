package docker

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci/agent/archive"
)

// An account is who steps run as.
type account struct {
	uid, gid uint32
	groups   []uint32
	home     string
}

// maxUsers bounds how much of /etc/passwd and /etc/group is read.
const maxUsers = 4 << 20

// lookUp finds a user in the files of an image's /etc, as engines do: a name or
// number, and after a colon a group. "" is root. It is called within the place.
func lookUp(etc, user string) (account, error) {
	name, group, hasGroup := strings.Cut(user, ":")
	if name == "" {
		name = "0"
	}
	a, known := account{home: "/"}, false
	number, err := strconv.ParseUint(name, 10, 31)
	if err == nil {
		a.uid, known = uint32(number), true
	}
	login := name
	err = fields(filepath.Join(etc, "passwd"), 6, func(f []string) bool {
		uid, errUID := strconv.ParseUint(f[2], 10, 31)
		gid, errGID := strconv.ParseUint(f[3], 10, 31)
		if errUID != nil || errGID != nil || f[0] != name && !(known && uint32(uid) == a.uid) {
			return true
		}
		a.uid, a.gid, login, known = uint32(uid), uint32(gid), f[0], true
		if f[5] != "" {
			a.home = f[5]
		}
		return false
	})
	if err != nil {
		return a, err
	}
	if !known {
		return a, invalid("user %q: the image has no such user", user)
	}
	found := !hasGroup
	if number, err := strconv.ParseUint(group, 10, 31); hasGroup && err == nil {
		a.gid, found = uint32(number), true
	}
	err = fields(filepath.Join(etc, "group"), 4, func(f []string) bool {
		gid, err := strconv.ParseUint(f[2], 10, 31)
		switch {
		case err != nil:
		case hasGroup && f[0] == group:
			a.gid, found = uint32(gid), true
		case !hasGroup && slices.Contains(strings.Split(f[3], ","), login) && len(a.groups) < 1000:
			a.groups = append(a.groups, uint32(gid))
		}
		return true
	})
	if err != nil {
		return a, err
	}
	if !found {
		return a, invalid("user %q: the image has no such group", user)
	}
	return a, nil
}

// fields calls visit for the lines of a file of accounts that have as many
// fields, until it returns false. A file that is not there has none.
func fields(file string, least int, visit func([]string) bool) error {
	f, _, err := archive.OpenFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return invalid("%s of the image: %v", file, err)
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, maxUsers))
	for lines.Scan() {
		if parts := strings.Split(lines.Text(), ":"); len(parts) >= least && !visit(parts) {
			return nil
		}
	}
	return nil
}
