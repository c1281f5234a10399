package onhost

import (
	"os"
	"path/filepath"
	"strings"
)

// SetStep lets f be called at each step of what the driver does.
func (d *Driver) SetStep(f func(string)) { d.step = f }

// Recipe names what images are made of.
func Recipe() string { return digest(append([]string{setup}, packages...)...)[:16] }

// Traces returns all that the host has for the installation, but for records of
// machines that have ended, and volumes.
func (d *Driver) Traces() []string {
	var all []string
	add := func(pattern string) {
		files, _ := filepath.Glob(pattern)
		all = append(all, files...)
	}
	add("/sys/fs/cgroup/*/rondo-" + d.tag)
	add("/sys/fs/cgroup/rondo-" + d.tag)
	devices, _ := links(d.prefix())
	all = append(all, devices...)
	add(filepath.Join(runDir, "rules-"+d.tag))
	machines := filepath.Join(globbed(d.home), "machines", "*")
	add(filepath.Join(globbed(d.home), "*", ".new-*"))
	for _, name := range []string{fileDisk, fileSeed} {
		add(filepath.Join(machines, name))
	}
	loops, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, file := range loops {
		if text, err := os.ReadFile(file); err == nil && strings.HasPrefix(string(text), d.home) {
			all = append(all, strings.TrimSpace(string(text)))
		}
	}
	return all
}

// Chains returns the names of the chains of the firewall.
func (d *Driver) Chains() string { return "RONDO-" + d.tag }

// Age makes a machine that has ended look old.
func (d *Driver) Age(id string) error {
	long := keepGone + keepGone
	info, err := os.Stat(d.machineDir(id))
	if err != nil {
		return err
	}
	return os.Chtimes(d.machineDir(id), info.ModTime().Add(-long), info.ModTime().Add(-long))
}
