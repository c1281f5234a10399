package main

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// services is what this installation is made of, in the words of the guide's
// list of containers: one line for each, and what does its work here. All of
// it is this process and those that it talks to.
func (in *installation) services(ctx context.Context, by ci.Actor) ([]ci.Service, error) {
	if err := in.mayOperate(ctx, by); err != nil {
		return nil, err
	}
	page, agents := "", ""
	if in.page != nil {
		page = port(in.page.Addr())
	}
	if in.agents != nil {
		agents = port(in.agents.Addr())
	}
	database := "up"
	if _, err := in.db.LastEvent(ctx); err != nil {
		database = "down"
	}
	queue := "down"
	if in.engine.Scheduler.State().Ready {
		queue = "up"
	}
	here := func(role, what, state string, ports ...string) ci.Service {
		s := ci.Service{Role: role, Here: what, Version: version, State: state, Ports: []string{}}
		for _, p := range ports {
			if p != "" {
				s.Ports = append(s.Ports, p)
			}
		}
		if state == "up" {
			s.Up = int64(time.Since(in.began).Seconds())
		}
		return s
	}
	none := func(role, why string) ci.Service {
		return ci.Service{Role: role, Here: why, State: "not needed", Ports: []string{}}
	}
	machines := none("vm-service", "no provider of machines is chosen")
	if in.garage != nil {
		switch s := in.garage.fleet.Status(); {
		case s.Off != "":
			machines = here("vm-service", s.Off, "down")
		case s.Provider != "":
			machines = here("vm-service", "machines of "+s.Provider, "up", in.garage.served()+"/tcp")
		}
	}
	return []ci.Service{
		here("frontend", "pages and API", "up", page),
		here("slanger", "live events, at /app/ of the same port", "up", page),
		here("picard-output-processor", "the agents' door", "up", append([]string{agents}, in.doorPorts()...)...),
		here("picard-dispatcher", "compiles configurations, starts workflows", "up"),
		here("picard-scheduler", "the queue and the leases", queue),
		here("cron", "schedules", "up"),
		machines,
		here("postgres", "the database", database),
		none("mongo", "all records are in the one database"),
		none("redis", "caches and queues are in this process"),
		none("redis (second)", "live events need no broker"),
		none("exim", "Rondo sends no mail; webhooks tell others"),
		none("logrotate", "the log goes to standard error, for the service manager to keep"),
	}, nil
}

// doorPorts are the ports of further doors of agents.
func (in *installation) doorPorts() []string {
	var ports []string
	for _, l := range in.doorsOpen {
		ports = append(ports, port(l.Addr()))
	}
	return ports
}

// port shows where something listens, as docker ps does.
func port(a net.Addr) string { return a.String() + "/" + strings.TrimPrefix(a.Network(), "tcp+") }

// reachable makes an address that one listens on one that can be called: all
// addresses of this machine include the loopback one.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
