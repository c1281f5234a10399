//go:build linux

package dockertest

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/moby/moby/client"
)

// A Tree is the files of an image by path, without a leading slash. A path
// that ends in a slash is a directory; text that begins with -> is a link.
type Tree map[string]string

// With returns a copy with more files.
func (t Tree) With(more Tree) Tree {
	all := Tree{}
	for _, from := range []Tree{t, more} {
		for k, v := range from {
			all[k] = v
		}
	}
	return all
}

// Busybox returns a small system: one static program under many names, root,
// and the user circleci (1000) with a home directory.
func Busybox() Tree {
	t := Tree{
		"etc/passwd":     "root:x:0:0:root:/root:/bin/sh\ncircleci:x:1000:1000::/home/circleci:/bin/sh\n",
		"etc/group":      "root:x:0:\ncircleci:x:1000:\nextra:x:2000:circleci\n",
		"etc/os-release": "NAME=busybox\n",
		"root/":          "",
		"home/circleci/": "",
		"tmp/":           "",
	}
	path, err := exec.LookPath("busybox")
	if err != nil {
		return t
	}
	program, _ := os.ReadFile(path)
	t["bin/busybox"] = string(program)
	for _, name := range []string{
		"sh", "cat", "echo", "ls", "sleep", "true", "false", "kill", "id", "env", "ps", "mkdir", "rm", "ln", "pwd", "grep", "sed", "head",
		"wc", "test", "touch", "chmod", "nc", "ip", "dd", "stat", "seq", "setsid", "nohup", "tr", "hostname", "find", "wget", "mount", "tail", "cp", "printf", "yes", "sort",
	} {
		t["bin/"+name] = "->/bin/busybox"
	}
	return t
}

// tar returns the tree as an archive.
func (t Tree) tar() (io.Reader, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	var names []string
	for name := range t {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		text := t[name]
		h := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg}
		switch {
		case name == "tmp/":
			h.Typeflag, h.Mode = tar.TypeDir, 0o1777
		case name[len(name)-1] == '/':
			h.Typeflag = tar.TypeDir
		case len(text) > 2 && text[:2] == "->":
			h.Typeflag, h.Linkname, h.Size, text = tar.TypeSymlink, text[2:], 0, ""
		}
		if slices.Contains([]string{"home/circleci/"}, name) {
			h.Uid, h.Gid = 1000, 1000
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, text); err != nil {
			return nil, err
		}
	}
	return &b, w.Close()
}

// Write makes the files below a folder that exists.
func (t Tree) Write(dir string) error {
	for name, text := range t {
		path, err := filepath.Join(dir, name), error(nil)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		switch link, isLink := strings.CutPrefix(text, "->"); {
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		case isLink:
			err = os.Symlink(link, path)
		default:
			err = os.WriteFile(path, []byte(text), 0o755)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Import makes an image of the tree. Changes are lines of a Dockerfile.
func (e *Engine) Import(name string, t Tree, changes ...string) error {
	files, err := t.tar()
	if err != nil {
		return err
	}
	r, err := e.Client.ImageImport(context.Background(), client.ImageImportSource{Source: files, SourceName: "-"}, name, client.ImageImportOptions{Changes: changes})
	if err != nil {
		return fmt.Errorf("import image %s: %w", name, err)
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return err
}
