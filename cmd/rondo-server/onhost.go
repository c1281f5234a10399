package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/rondo-ci/rondo/vmservice/onhost"
)

// onThisHost is the provider of machines that are containers of this host.
const onThisHost = "onhost"

// onhostSettings say how machines of this host are made.
type onhostSettings struct {
	Dir     string         `yaml:"dir"` // "" is /var/lib/rondo-machines
	Image   string         `yaml:"image"`
	Kind    onhost.Kind    `yaml:"kind"`
	Range   string         `yaml:"range"`
	Outside onhost.Outside `yaml:"outside"`
	DiskGB  int            `yaml:"disk_gb"`
}

// onhost returns the words of package onhost.
func (s machinesSettings) onhost() (onhost.Config, error) {
	o := s.OnHost
	c := onhost.Config{Dir: o.Dir, Image: o.Image, Kind: o.Kind, Outside: o.Outside, DiskGB: o.DiskGB, Classes: map[string]onhost.Class{}}
	for _, k := range s.Classes {
		c.Classes[k.Name] = onhost.Class{CPUs: float64(k.VCPUs), MemoryMB: k.MemoryMB}
	}
	if o.Range == "" {
		return c, nil
	}
	var err error
	if c.Range, err = netip.ParsePrefix(o.Range); err != nil {
		return c, fmt.Errorf("onhost.range %.40q is no network: write one such as 198.18.64.0/18", o.Range)
	}
	return c, nil
}

// checkOnHost names what is wrong with the settings of this host's machines.
func (s machinesSettings) checkOnHost() error {
	if s.Provider != onThisHost {
		return nil
	}
	c, err := s.onhost()
	if err := errors.Join(err, c.Check()); err != nil {
		var wrong []error
		for line := range strings.SplitSeq(err.Error(), "\n") {
			wrong = append(wrong, errors.New("machines."+line))
		}
		return errors.Join(wrong...)
	}
	return nil
}

// onhostDriver returns the driver of the settings for one installation.
func (s machinesSettings) onhostDriver(install string) (*onhost.Driver, error) {
	c, err := s.onhost()
	if err != nil {
		return nil, err
	}
	return onhost.New(install, c)
}

// folder is where machines of this host are.
func (o onhostSettings) folder() string { return cmp.Or(o.Dir, "/var/lib/rondo-machines") }
