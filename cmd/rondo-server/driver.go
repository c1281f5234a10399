package main

import (
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/guest"
)

// A machineDriver makes machines and can tell beforehand whether it will.
type machineDriver interface {
	vmservice.Driver
	vmservice.Checker
}

// machineGuest is what acts inside of machines, whoever makes them.
func machineGuest() vmservice.Guest { return guest.Visitor{Free: 1 << 30} }

// driver returns what makes machines by the settings, which are on.
func (g *garage) driver(s machinesSettings) (machineDriver, error) {
	install, err := g.in.folder.Secret("installation", "")
	if err != nil {
		return nil, err
	}
	ca, err := g.in.proof()
	if err != nil {
		return nil, err
	}
	return s.driver(install, ca, g.in.reach.client(time.Minute))
}

// proof is what machines have to trust, as PEM, to know this server.
func (in *installation) proof() (string, error) {
	if in.tls == nil || !in.tls.SelfSigned {
		return in.reach.trusted(), nil
	}
	text, err := os.ReadFile(in.folder.Join("tls.crt"))
	return string(text) + in.reach.trusted(), err
}

// driver returns what makes machines for one installation. Those of EC2 trust
// what is in ca, and Amazon is asked by the client; nil is Go's own.
func (s machinesSettings) driver(install, ca string, client *http.Client) (machineDriver, error) {
	switch s.Provider {
	case onEC2:
		return s.ec2Driver(install, ca, client)
	case onThisHost:
		return s.onhostDriver(install)
	}
	return nil, fmt.Errorf("machines.provider: %q makes no machines: %w", s.Provider, ci.ErrInvalid)
}
