package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// rulesOf are the ports of settings that have more than the least.
func rulesOf(t *testing.T, more string) (settings, []portRule) {
	t.Helper()
	if !strings.Contains(more, "url:") {
		more = "url: https://ci.example.com\n" + more
	}
	s, err := parseSettings([]byte("data: d\n" + more))
	require.NoError(t, err, more)
	return s, portRules(s)
}

const onNomad = "agents: 0.0.0.0:8585\nnomad: {address: \"https://nomad:4646\", door: \"http://ci:8585\"}\n"

// Every line of the guide's tables of ports, in its order: with which settings
// it has to be open, which port that is then, and which setting says so; or
// never, because Rondo has no need of it.
func TestPRT01_PRT02_PRT03_PRT04_PRT05_PRT06_PRT07_PRT08_EachLineOfTheGuide(t *testing.T) {
	t.Setenv("TEST_PORTS", "x")
	t.Setenv("TEST_PORTS_DATABASE", "postgres://rondo:canary@db:5433/rondo")
	const (
		statsd   = "metrics: {statsd: {listen: \"0.0.0.0:8125\"}}\n"
		database = "database: env:TEST_PORTS_DATABASE\n"
		hub      = "github: {token: \"env:TEST_PORTS\", webhook_secret: \"env:TEST_PORTS\"}\n"
		plainHub = "url: http://ci.example.com\n" + hub
		amazon   = "storage: {s3: {bucket: b}}\n"
		none     = "-"
		always   = ""
	)
	lines := []struct{ line, with, opens, here string }{
		{"Services Machine 80/tcp in End users", "listen: 0.0.0.0:8080\ntls: {self_signed: true, redirect: \"0.0.0.0:80\"}\n", "80", "tls.redirect: 0.0.0.0:80"},
		{"Services Machine 443/tcp in End users", always, "443", "by a proxy that serves https://ci.example.com"},
		{"Services Machine 4434/tcp in End users", "ports: {pages: [\"0.0.0.0:4434\"]}\n", "4434", "ports.pages"},
		{"Services Machine 7171/tcp in End users", "ports: {artifacts: [\"0.0.0.0:7171\"]}\n", "7171", "ports.artifacts"},
		{"Services Machine 8081/tcp in End users", "ports: {artifacts: [\"0.0.0.0:8081\"]}\n", "8081", "ports.artifacts"},
		{"Services Machine 22/tcp in Administrators", always, "22", "the host itself"},
		{"Services Machine 8800/tcp in Administrators", "ports: {pages: [\"0.0.0.0:8800\"]}\n", "8800", "ports.pages"},
		{"Services Machine 8125/udp in Nomad Clients", statsd, "8125", "metrics.statsd.listen"},
		{"Services Machine 8125/udp in Nomad Servers", statsd + onNomad, "8125", "metrics.statsd.listen"},
		{"Services Machine 8125/udp in All Database Servers", statsd + database, "8125", "metrics.statsd.listen"},
		{"Services Machine 4647/tcp both Nomad Clients", "nomad: {address: \"http://127.0.0.1:4646\", door: \"http://ci:8585\"}\n", "4647", "runs on this machine"},
		{"Services Machine 8585/tcp both Nomad Clients", onNomad, "8585", "agents: 0.0.0.0:8585"},
		{"Services Machine 7171/tcp both Nomad Clients", none, "", "through their door"},
		{"Services Machine 3001/tcp both Nomad Clients", "machines: {provider: onhost, listen: \"0.0.0.0:3001\"}\n", "3001", "machines.listen: 0.0.0.0:3001"},
		{"Services Machine 80/tcp both GitHub", plainHub, "80", "webhooks to http://ci.example.com"},
		{"Services Machine 443/tcp both GitHub", hub, "443", "webhooks to https://ci.example.com, API of https://github.com"},
		{"Services Machine 80/tcp out AWS API endpoints", amazon, "80", "169.254.169.254"},
		{"Services Machine 443/tcp out AWS API endpoints", amazon, "443", "storage.s3"},
		{"Services Machine 5432/tcp out PostgreSQL Servers", database, "5433", "database: postgres://db:5433"},
		{"Services Machine 27017/tcp out MongoDB Servers", none, "", "not used by Rondo"},
		{"Services Machine 5672/tcp out RabbitMQ Servers", none, "", "not used by Rondo"},
		{"Services Machine 6379/tcp out Redis Servers", none, "", "not used by Rondo"},
		{"Services Machine 4647/tcp out Nomad Servers", none, "", "4646"},
		{"Services Machine 443/tcp out CloudWatch endpoints", "metrics: {cloudwatch: {region: us-west-2, namespace: ci}}\n", "443", "metrics.cloudwatch"},
		{"Nomad Clients 64535-65535/tcp in End users", none, "", "not entered by SSH"},
		{"Nomad Clients 80/tcp in Administrators", none, "", "agents have no API"},
		{"Nomad Clients 443/tcp in Administrators", none, "", "agents have no API"},
		{"Nomad Clients 22/tcp in Administrators", onNomad, "22", "the host itself"},
		{"Nomad Clients 22/tcp out GitHub", onNomad, "22", "checkout"},
		{"Nomad Clients 4647/tcp both Services Machine", onNomad, "4647", "clients of Nomad call its servers"},
		{"Nomad Clients 8585/tcp both Services Machine", onNomad, "8585", "nomad.door: http://ci:8585"},
		{"Nomad Clients 7171/tcp both Services Machine", none, "", "through their door"},
		{"Nomad Clients 3001/tcp both Services Machine", none, "", "at their door"},
		{"Nomad Clients 443/tcp out Cloud storage provider", none, "", "through their door"},
		{"Nomad Clients 53/udp out Internal DNS server", onNomad, "53", "resolver"},
		{"GitHub 22/tcp in Services Machine", hub, "22", "checkout"},
		{"GitHub 22/tcp in Nomad Clients", hub, "22", "checkout"},
		{"GitHub 80/tcp in Nomad Clients", none, "", "call no API"},
		{"GitHub 443/tcp in Nomad Clients", hub, "443", "checkout"},
		{"GitHub 80/tcp both Services Machine", plainHub, "80", "webhooks"},
		{"GitHub 443/tcp both Services Machine", hub, "443", "API of https://github.com"},
		{"PostgreSQL Servers 5432/tcp both PostgreSQL Servers", database, "5433", "if the database has replicas"},
		{"MongoDB Servers 27017/tcp both MongoDB Servers", none, "", "not used by Rondo"},
		{"RabbitMQ Servers 5672/tcp in Services Machine", none, "", "not used by Rondo"},
		{"RabbitMQ Servers 5672/tcp both RabbitMQ Servers", none, "", "not used by Rondo"},
		{"Redis Servers 6379/tcp in Services Machine", none, "", "not used by Rondo"},
		{"Redis Servers 6379/tcp both Redis Servers", none, "", "not used by Rondo"},
		{"Nomad Servers 4646/tcp in Services Machine", onNomad, "4646", "nomad.address: https://nomad:4646"},
	}
	all := onNomad + statsd + database + hub + amazon
	for i, want := range lines {
		t.Run(want.line, func(t *testing.T) {
			at := func(more string) portRule {
				_, rules := rulesOf(t, more)
				r := rules[i]
				require.Equal(t, want.line, fmt.Sprintf("%s %s/%s %s %s", r.Machine, r.Port, r.Protocol, r.Direction, r.Peer))
				require.True(t, r.Guide)
				require.NotEmpty(t, r.Use)
				require.NotContains(t, r.Here, "canary")
				return r
			}
			if want.with == none {
				for _, more := range []string{"", strings.Replace(all, statsd, "", 1)} {
					r := at(more)
					require.False(t, r.Applies)
					require.Contains(t, r.Here, want.here)
				}
				return
			}
			r := at(want.with)
			require.True(t, r.Applies, r.Here)
			require.Equal(t, want.opens, r.Opens)
			require.Contains(t, r.Here, want.here)
			if want.with != always {
				r := at("")
				require.False(t, r.Applies, "%s: %s", want.line, r.Here)
				require.Contains(t, r.Here, "not used")
			}
		})
	}
	_, rules := rulesOf(t, "")
	require.Len(t, rules, len(lines), "every line has its test")
}

// What only Rondo has is in the manifest too.
func TestPRT06_PortsThatOnlyRondoHas(t *testing.T) {
	_, rules := rulesOf(t, `ldap: {type: openldap, hostname: ldap, port: 636, base_dn: "dc=x", user_search_dn: "ou=p", username_field: uid, search_user: "cn=a,dc=x", search_password: "env:TEST_PORTS", encryption: ldaps}
secrets: {vault: {address: "https://vault:8200", token: "env:TEST_PORTS"}}
machines:
  `+goodEC2)
	var ours []string
	for _, r := range rules {
		if !r.Guide && r.Applies {
			ours = append(ours, r.Machine+" "+r.Opens)
		}
	}
	require.Equal(t, []string{"Machines of jobs 22", "Machines of jobs 22", "Machines of jobs 2376", "Directory 636", "Vault 8200"}, ours)
}

const oldDoors = `listen: 0.0.0.0:443
tls: {self_signed: true, redirect: "0.0.0.0:80"}
ports: {pages: ["0.0.0.0:3000", "0.0.0.0:8800", "0.0.0.0:8082"], artifacts: ["0.0.0.0:8081"]}
`

// The guide's listeners of a load balancer and its security group, made from
// settings that have all of them.
func TestCRT05_CRT06_TemplateOfTheLoadBalancer(t *testing.T) {
	s, rules := rulesOf(t, oldDoors)
	raw, err := json.Marshal(formation(s, rules))
	require.NoError(t, err)
	var template struct {
		Parameters map[string]any
		Resources  struct {
			Balancer struct {
				Properties struct {
					Listeners []struct{ LoadBalancerPort, Protocol, InstancePort, InstanceProtocol string }
				}
			}
			Server, BalancerGroup struct {
				Properties struct {
					SecurityGroupIngress []struct {
						FromPort, ToPort int
						IpProtocol       string
						CidrIp           struct{ Ref string }
					}
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal(raw, &template))
	var listeners []string
	for _, l := range template.Resources.Balancer.Properties.Listeners {
		listeners = append(listeners, strings.Join([]string{l.Protocol, l.LoadBalancerPort, l.InstanceProtocol, l.InstancePort}, " "))
	}
	require.Equal(t, []string{
		"HTTP 80 HTTP 80", "SSL 443 SSL 443", "SSL 3000 SSL 3000", "HTTPS 8800 HTTPS 8800", "SSL 8082 SSL 8082", "SSL 8081 SSL 8081",
	}, listeners)
	var open []string
	for _, r := range template.Resources.Server.Properties.SecurityGroupIngress {
		open = append(open, fmt.Sprintf("%s %d-%d %s", r.IpProtocol, r.FromPort, r.ToPort, r.CidrIp.Ref))
		require.Contains(t, template.Parameters, r.CidrIp.Ref)
	}
	slices.Sort(open)
	require.Equal(t, []string{
		"tcp 22-22 Administrators", "tcp 3000-3000 Users", "tcp 443-443 Users", "tcp 80-80 Users", "tcp 8081-8081 Users",
		"tcp 8082-8082 Users", "tcp 8800-8800 Administrators",
	}, open, "64535-65535 is not used by Rondo")
	require.NotContains(t, string(raw), `"Clients":`)
	s, rules = rulesOf(t, onNomad)
	raw, err = json.Marshal(formation(s, rules))
	require.NoError(t, err)
	require.Contains(t, string(raw), `"Clients":`)
}

func TestPRT08_TheCommandPrintsTheManifest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rondo.yml")
	require.NoError(t, os.WriteFile(file, []byte("url: https://ci.example.com\ndata: d\n"+oldDoors), 0o600))
	run := func(args ...string) string {
		var out bytes.Buffer
		cmd := portsCommand()
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		cmd.SetOut(&out)
		cmd.SetArgs(append(args, "--config", file))
		require.NoError(t, cmd.ExecuteContext(t.Context()))
		return out.String()
	}
	text := run()
	require.Regexp(t, `(?m)^Services Machine +443/tcp +in +End users +web pages over HTTPS +listen: 0.0.0.0:443$`, text)
	require.NotContains(t, text, "27017")
	require.Regexp(t, `(?m)^MongoDB Servers +27017/tcp +both +.*not used by Rondo$`, run("--all"))
	var rules []portRule
	require.NoError(t, json.Unmarshal([]byte(run("--json")), &rules))
	require.Len(t, rules, 50)
	require.Contains(t, run("--cloudformation"), "AWS::ElasticLoadBalancing::LoadBalancer")
}

// The doors of old speak TLS where the pages do, behind a balancer that passes
// connections on with the PROXY protocol too.
func TestCRT05_PRT01_TheDoorsBehindABalancer(t *testing.T) {
	pages, artifacts := freePort(t), freePort(t)
	dir := serverDir(t)
	file := filepath.Join(dir, "rondo.yml")
	text := fmt.Sprintf("url: https://ci.example.com\nlisten: 127.0.0.1:0\nagents: 127.0.0.1:0\ndata: %s/data\nproxies: [127.0.0.0/8]\n"+
		"tls: {self_signed: true, proxy_protocol: true}\nports: {pages: [%q], artifacts: [%q]}\n", dir, pages, artifacts)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	s := start(t, program(t, "serve", "--json", "--config", file))
	for _, header := range []string{"", "PROXY TCP4 203.0.113.9 203.0.113.1 40000 443\r\n"} {
		for address, want := range map[string]int{pages: 401, artifacts: 404} {
			client := http.Client{Transport: &http.Transport{
				TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
				DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					c, err := (&net.Dialer{}).DialContext(ctx, network, address)
					if err == nil {
						_, err = c.Write([]byte(header))
					}
					return c, err
				},
			}}
			reply, err := client.Get("https://" + address + "/api/v2/me")
			require.NoError(t, err)
			require.NoError(t, reply.Body.Close())
			client.CloseIdleConnections()
			require.Equal(t, want, reply.StatusCode, "%s %q", address, header)
			require.Equal(t, "ci.example.com", reply.TLS.PeerCertificates[0].DNSNames[0])
		}
	}
	require.Equal(t, 0, s.stop(), s.errors())
}
