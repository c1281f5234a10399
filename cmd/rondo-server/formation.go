package main

import (
	"cmp"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// formation is the ports as a template of CloudFormation: a security group for
// the server, one for its clients if there are some, and a load balancer for
// whatever of the guide's listeners these settings have.
func formation(s settings, rules []portRule) map[string]any {
	parameter := func(kind, text string, more ...string) map[string]any {
		p := map[string]any{"Type": kind, "Description": text}
		if len(more) > 0 {
			p["Default"] = more[0]
		}
		return p
	}
	groups := map[string]any{"Server": group("The server of Rondo", ingress(rules, hostServices))}
	if s.Nomad != nil {
		groups["Clients"] = group("The machines that jobs run on", ingress(rules, hostClients))
	}
	_, page, _ := net.SplitHostPort(s.Listen)
	listeners := balancer(s)
	groups["Balancer"] = map[string]any{
		"Type": "AWS::ElasticLoadBalancing::LoadBalancer",
		"Properties": map[string]any{
			"Listeners": listeners, "Subnets": ref("Subnets"), "SecurityGroups": []any{ref("BalancerGroup")},
			"HealthCheck": map[string]any{"Target": "TCP:" + page, "HealthyThreshold": "2", "UnhealthyThreshold": "3", "Interval": "10", "Timeout": "5"},
		},
	}
	groups["BalancerGroup"] = group("The load balancer of Rondo", balancerIngress(listeners))
	return map[string]any{
		"AWSTemplateFormatVersion": "2010-09-09",
		"Description":              "What has to be open for Rondo, by rondo-server ports",
		"Parameters": map[string]any{
			"Vpc":            parameter("AWS::EC2::VPC::Id", "Where all of it is"),
			"Subnets":        parameter("List<AWS::EC2::Subnet::Id>", "Of the load balancer"),
			"Certificate":    parameter("String", "ARN of the certificate of the load balancer"),
			"Users":          parameter("String", "Who may reach the pages", "0.0.0.0/0"),
			"Administrators": parameter("String", "Who may reach SSH and the console", "10.0.0.0/8"),
			"CodeHost":       parameter("String", "Where webhooks come from", "0.0.0.0/0"),
			"Inside":         parameter("String", "The network of databases and of Nomad", "10.0.0.0/8"),
		},
		"Resources": groups,
	}
}

func ref(name string) map[string]any { return map[string]any{"Ref": name} }

func group(text string, rules []map[string]any) map[string]any {
	return map[string]any{
		"Type":       "AWS::EC2::SecurityGroup",
		"Properties": map[string]any{"GroupDescription": text, "VpcId": ref("Vpc"), "SecurityGroupIngress": rules},
	}
}

// sources says which parameter a peer of the table is.
func source(peer string) map[string]any {
	switch peer {
	case endUsers:
		return ref("Users")
	case administrators:
		return ref("Administrators")
	case hostGitHub:
		return ref("CodeHost")
	}
	return ref("Inside")
}

// ingress are the rules of what comes to a machine.
func ingress(rules []portRule, machine string) []map[string]any {
	all := []map[string]any{}
	seen := map[string]bool{}
	for _, r := range rules {
		from, to, ranged := strings.Cut(r.Opens, "-")
		if !ranged {
			to = from
		}
		who := source(r.Peer)
		id := r.Opens + r.Protocol + who["Ref"].(string)
		if r.Machine != machine || !r.Applies || r.Direction == "out" || seen[id] {
			continue
		}
		if host := strings.Contains(r.Here, "API of ") && !strings.Contains(r.Here, "webhooks"); host { // it is called, and calls nobody
			continue
		}
		seen[id] = true
		low, _ := strconv.Atoi(from)
		high, _ := strconv.Atoi(to)
		all = append(all, map[string]any{"IpProtocol": r.Protocol, "FromPort": low, "ToPort": high, "CidrIp": who, "Description": r.Use + ", for " + r.Peer})
	}
	return all
}

// balancer are the guide's listeners of a load balancer that these settings
// have something behind: 80 for the redirect, 443 for the pages, and the doors
// of old.
func balancer(s settings) []map[string]any {
	var all []map[string]any
	add := func(port, protocol, to string) {
		l := map[string]any{"LoadBalancerPort": port, "Protocol": protocol, "InstancePort": to, "InstanceProtocol": protocol}
		if protocol == "SSL" || protocol == "HTTPS" {
			l["SSLCertificateId"] = ref("Certificate")
			if s.TLS == nil { // the balancer ends the encryption
				l["InstanceProtocol"] = map[string]string{"SSL": "TCP", "HTTPS": "HTTP"}[protocol]
			}
		}
		all = append(all, l)
	}
	_, page, _ := net.SplitHostPort(s.Listen)
	if s.TLS != nil && s.TLS.Redirect != "" {
		_, plain, _ := net.SplitHostPort(s.TLS.Redirect)
		add("80", "HTTP", plain)
	}
	u, err := url.Parse(s.URL)
	switch {
	case err == nil && u.Scheme == "http":
		add(cmp.Or(u.Port(), "80"), "HTTP", page)
	case err == nil:
		add(cmp.Or(u.Port(), "443"), "SSL", page)
	}
	for _, address := range slices.Concat(s.Ports.Pages, s.Ports.Artifacts) {
		_, port, _ := net.SplitHostPort(address)
		protocol := "SSL"
		if port == "8800" {
			protocol = "HTTPS"
		}
		add(port, protocol, port)
	}
	return all
}

// balancerIngress lets users reach the listeners, and administrators the console.
func balancerIngress(listeners []map[string]any) []map[string]any {
	var all []map[string]any
	for _, l := range listeners {
		port, _ := strconv.Atoi(l["LoadBalancerPort"].(string))
		who := ref("Users")
		if port == 8800 {
			who = ref("Administrators")
		}
		all = append(all, map[string]any{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "CidrIp": who, "Description": "listener"})
	}
	return all
}
