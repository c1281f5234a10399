package main

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"

	"github.com/rondo-ci/rondo/vmservice/ec2"
)

// outbound are the ports that the server calls.
func (p *portPlan) outbound() {
	s, out := p.set, func(port, peer, use string, x says) { p.add(true, hostServices, port, "tcp", "out", peer, use, x) }
	const amazon = "AWS API endpoints"
	machines, bucket, figures := s.Machines.Provider == onEC2, s.Storage.S3 != nil && s.Storage.S3.Endpoint == "", s.Metrics.CloudWatch != nil
	var users []string
	roles := false // of the machine, whose metadata service answers at port 80
	for _, u := range []struct {
		on, role bool
		what     string
	}{
		{machines, s.Machines.Auth != ec2.Keys, "machines"},
		{bucket, bucket && s.Storage.S3.AccessKey == "", "storage.s3"},
		{figures, figures && s.Metrics.CloudWatch.Auth != "keys", "metrics.cloudwatch"},
	} {
		if u.on {
			users, roles = append(users, u.what), roles || u.role
		}
	}
	if roles {
		out("80", amazon, "API", says{true, "", "the metadata service of the host, for its role (169.254.169.254)"})
	} else {
		out("80", amazon, "API", needless("not used: Amazon is called by HTTPS, and no role of the host is used"))
	}
	if len(users) > 0 {
		out("443", amazon, "API", says{true, "", fmt.Sprint("for ", users)})
	} else {
		out("443", amazon, "API", needless("not used: no setting names Amazon"))
	}
	out("5432", hostPostgres, "database", p.database())
	out("27017", hostMongo, "database", needless("not used by Rondo: all records are in the one database"))
	out("5672", hostRabbit, "queue", needless("not used by Rondo: queues are in the database"))
	out("6379", hostRedis, "cache", needless("not used by Rondo: caches are in the server"))
	out("4647", hostNomad, "RPC of Nomad", needless("not used by Rondo: it calls the HTTP API of Nomad, 4646"))
	if figures {
		out("443", "CloudWatch endpoints", "metrics", says{true, "", "metrics.cloudwatch"})
	} else {
		out("443", "CloudWatch endpoints", "metrics", needless("not used: metrics.cloudwatch is not set (a form that is saved on the page does the same)"))
	}
}

// database is a line for Postgres, at the port that its address has.
func (p *portPlan) database() says {
	if p.set.Database == "" {
		return needless("not used: the database is a file of this machine")
	}
	address, err := p.set.Database.read()
	if err != nil {
		return says{true, "", "database: its address cannot be read here, and this is the usual port"}
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return says{true, "", "database"}
	}
	u.User, u.RawQuery = nil, "" // which may be secret
	return calls("database", u.String())
}

// clients are the ports of the machines that jobs run on.
func (p *portPlan) clients() {
	nomad := p.set.Nomad != nil
	add := func(port, protocol, direction, peer, use string, x says) {
		p.add(true, hostClients, port, protocol, direction, peer, use, x)
	}
	const alone = "jobs run on the server's machine; nomad is not set"
	add("64535-65535", "tcp", "in", endUsers, "SSH into builds", needless("not used by Rondo: jobs are not entered by SSH"))
	for _, port := range []string{"80", "443"} {
		add(port, "tcp", "in", administrators, "admin API", needless("not used by Rondo: agents have no API"))
	}
	add("22", "tcp", "in", administrators, "SSH", says{true, "", "the SSH server of the host itself"}.only(nomad, alone))
	add("22", "tcp", "out", hostGitHub, "checkout over SSH", says{true, "", "checkout of projects by SSH"}.only(nomad, alone))
	rpc := says{true, "", "clients of Nomad call its servers"}.only(nomad, alone)
	add("4647", "tcp", "both", hostServices, "RPC of Nomad", rpc)
	door := p.agents()
	if nomad {
		door = calls("nomad.door", p.set.Nomad.Door)
	}
	add("8585", "tcp", "both", hostServices, "agents get work and report", door.only(nomad, alone))
	add("7171", "tcp", "both", hostServices, "artifacts", needless("not used by Rondo: agents store artifacts through their door, 8585"))
	add("3001", "tcp", "both", hostServices, "machines of jobs", needless("not used by Rondo: agents ask for machines at their door, 8585"))
	add("443", "tcp", "out", "Cloud storage provider", "artifacts", needless("not used by Rondo: agents store artifacts through their door, 8585"))
	add("53", "udp", "out", "Internal DNS server", "names that jobs look up", says{true, "", "the resolver of the host"}.only(nomad, alone))
}

// others are the ports of the machines beside.
func (p *portPlan) others() {
	add := func(machine, port, direction, peer, use string, x says) {
		p.add(true, machine, port, "tcp", direction, peer, use, x)
	}
	ssh := says{true, "", "checkout of projects by SSH"}.only(p.set.GitHub != nil, "github is not set")
	add(hostGitHub, "22", "in", hostServices, "git", ssh)
	add(hostGitHub, "22", "in", hostClients, "git", ssh)
	add(hostGitHub, "80", "in", hostClients, "API", needless("not used by Rondo: agents call no API of a code host"))
	https := says{true, "", "checkout of projects by HTTPS"}.only(p.set.GitHub != nil, "github is not set")
	add(hostGitHub, "443", "in", hostClients, "API", https)
	for _, port := range []string{"80", "443"} {
		add(hostGitHub, port, "both", hostServices, "webhooks and API", p.github(port))
	}
	replicas := p.database()
	if replicas.applies {
		replicas.here += ": if the database has replicas, which Rondo does not know of"
	}
	add(hostPostgres, "5432", "both", hostPostgres, "replication", replicas)
	for _, m := range []struct{ machine, port, use, peers string }{
		{hostMongo, "27017", "", "replication"}, {hostRabbit, "5672", "queue", "mirroring"}, {hostRedis, "6379", "cache", "replication"},
	} {
		none := needless("not used by Rondo")
		if m.use != "" {
			add(m.machine, m.port, "in", hostServices, m.use, none)
		}
		add(m.machine, m.port, "both", m.machine, m.peers, none)
	}
	api := needless("not used: nomad is not set")
	if p.set.Nomad != nil {
		api = calls("nomad.address", p.set.Nomad.Address)
	}
	add(hostNomad, "4646", "in", hostServices, "HTTP API of Nomad", api)
}

// ours are ports that the guide does not have.
func (p *portPlan) ours() {
	add := func(machine, port, direction, peer, use string, x says) {
		p.add(false, machine, port, "tcp", direction, peer, use, x)
	}
	for _, d := range []struct {
		use, setting string
		all          []string
	}{{"web pages", "ports.pages", p.set.Ports.Pages}, {"artifacts", "ports.artifacts", p.set.Ports.Artifacts}} {
		for _, address := range d.all {
			_, port, _ := net.SplitHostPort(address)
			if !slices.Contains([]string{"4434", "8800", "7171", "8081"}, port) { // which are the guide's
				add(hostServices, port, "in", endUsers, d.use, listens(d.setting, address))
			}
		}
	}
	if c := p.set.Cluster; c != nil {
		x := calls("cluster.advertise", c.Advertise)
		add(hostServices, x.opens, "both", hostServers, "one server passes on to the other", x)
	}
	if p.set.Machines.Provider == onEC2 {
		for _, peer := range []string{hostServices, hostClients} {
			add(hostMachines, "22", "in", peer, "SSH", says{true, "", "machines: the server and its agents enter machines"})
		}
		add(hostMachines, "2376", "in", hostClients, "remote Docker over TLS", says{true, "", "machines: jobs call the engine of their machine"})
	}
	if l := p.set.LDAP; l != nil {
		add(hostLDAP, strconv.Itoa(l.Port), "in", hostServices, "logins", says{true, "", "ldap.hostname: " + l.Hostname})
	}
	if v := p.set.Secrets.Vault; v != nil {
		add(hostVault, "8200", "in", hostServices, "secrets", calls("secrets.vault.address", v.Address))
	}
}
