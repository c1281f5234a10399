package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice/ec2/ec2test"
)

// portOf returns the port of an address.
func portOf(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	return port
}

// block makes the lane refuse a port of this machine to whoever is in it, or
// lets it pass again.
func (l *lane) block(on bool, port string) {
	l.t.Helper()
	verb := map[bool]string{true: "-A", false: "-D"}[on]
	out, err := exec.Command("ip", "netns", "exec", l.netns, "iptables", "-w", verb, "OUTPUT", "-p", "tcp", "--dport", port, "-j", "REJECT", "--reject-with", "tcp-reset").CombinedOutput()
	if err != nil {
		l.t.Skipf("no rules of a firewall can be made here: %v %s", err, out)
	}
}

// curl asks from inside of the lane, and returns the status of the answer; 0 is
// none.
func (l *lane) curl(address, token string) int {
	l.t.Helper()
	needsTool(l.t, "curl")
	args := []string{"netns", "exec", l.netns, "curl", "-s", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}", address}
	if token != "" {
		args = append(args, "-H", "Circle-Token: "+token)
	}
	out, _ := exec.Command("ip", args...).Output() // it fails where nothing answers
	code := 0
	_, err := fmt.Sscan(string(out), &code)
	require.NoError(l.t, err, "%s", out)
	return code
}

// The doors of old and the others, from a network of its own: artifacts are at
// 7171 and 8081 with a token only, and nothing else is there. Each port that is
// blocked takes away its own function and no other.
func TestPRT01_PRT02_PRT04_EachPortThatIsBlocked(t *testing.T) {
	needsTool(t, "iptables")
	l := newLane(t)
	b := newBench(t, "      - run: 'mkdir -p out && echo whole > out/report.txt'\n      - store_artifacts: {path: out}\n")
	doors := map[string]string{}
	for _, name := range []string{"pages", "https", "console", "artifacts 7171", "artifacts 8081", "machines"} {
		_, port, _ := strings.Cut(freeAddress(t), ":")
		doors[name] = l.here + ":" + port
	}
	b.listen, b.agents = doors["pages"], l.here+":"+portOf(t, freeAddress(t))
	b.detour = "netns=" + l.netns + ",door=http://" + b.agents
	b.more += fmt.Sprintf("ports: {pages: [%q, %q], artifacts: [%q, %q]}\n", doors["https"], doors["console"], doors["artifacts 7171"], doors["artifacts 8081"])
	cloud := httptest.NewServer(ec2test.New(ec2test.Config{}))
	t.Cleanup(cloud.Close)
	t.Setenv("TEST_PORTS", "AKIAIOSFODNN7EXAMPLE")
	b.more += fmt.Sprintf("machines:\n  %s  listen: %s\n  endpoint: %s\n  aws_authentication: keys\n  access_key: env:TEST_PORTS\n  secret_key: env:TEST_PORTS\n", goodEC2, doors["machines"], cloud.URL)
	b.start()
	pipeline, job := b.run()
	b.end(pipeline)
	require.Equal(t, ci.Success, b.status(pipeline), b.s.errors())
	code, body := b.s.call("GET", "/api/v2/rondo/job/"+job.ID+"/artifacts", "")
	require.Equal(t, http.StatusOK, code)
	_, path, _ := strings.Cut(body, "http://ci.example.com")
	path, _, _ = strings.Cut(path, `"`)
	require.Contains(t, path, "report.txt")

	for name, want := range map[string][4]int{ // an artifact with and without a token, pages, API
		"pages": {200, 401, 200, 200}, "https": {200, 401, 200, 200}, "console": {200, 401, 200, 200},
		"artifacts 7171": {200, 401, 404, 404}, "artifacts 8081": {200, 401, 404, 404},
	} {
		at := "http://" + doors[name]
		require.Equal(t, want, [4]int{
			l.curl(at+path, b.token), l.curl(at+path, ""), l.curl(at+"/settings", b.token), l.curl(at+"/api/v2/me", b.token),
		}, name)
	}
	for cut := range doors {
		l.block(true, portOf(t, doors[cut]))
		for name, at := range doors {
			what := path
			if name == "machines" {
				what = "/status"
			}
			got := l.curl("http://"+at+what, b.token)
			require.Equal(t, map[bool]int{true: 0, false: 200}[name == cut], got, "%s is blocked, %s is asked", cut, name)
		}
		if cut != "pages" { // by which the test asks for jobs too
			pipeline, _ = b.run()
			require.Equal(t, ci.Success, b.status(pipeline), "jobs run without %s", cut)
		}
		l.block(false, portOf(t, doors[cut]))
	}
	b.finish()
}

// Port 8585 is blocked: the job waits, the page of the job and the API say
// which port it is, and everything else works. When it is open again, the job
// goes on.
func TestPRT04_TRB13_TheAgentsDoorIsBlocked(t *testing.T) {
	needsTool(t, "iptables")
	l := newLane(t)
	b := newBench(t, "")
	b.agents = l.here + ":" + portOf(t, b.agents)
	b.detour = "netns=" + l.netns + ",door=http://" + b.agents
	l.block(true, portOf(t, b.agents))
	b.start()
	id, status := b.trigger()
	require.Equal(t, http.StatusCreated, status)
	var job string
	b.s.eventually("it is said which port is blocked", func() bool {
		jobs := b.s.jobs(id)
		if len(jobs) == 0 {
			return false
		}
		job = jobs[0].ID
		code, body := b.s.call("GET", "/api/v2/rondo/placements/"+job+".0", "")
		return code == http.StatusOK && strings.Contains(body, "agents_door_blocked")
	})
	ask := loggedIn(t, b.s)
	code, page := ask("GET", "/jobs/"+job, nil)
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, page, "the agents&#39; door, port 8585, is blocked")
	code, _ = b.s.call("GET", "/api/v2/me", "")
	require.Equal(t, http.StatusOK, code, "users see nothing of it")
	l.block(false, portOf(t, b.agents))
	b.end(id)
	require.Equal(t, ci.Success, b.status(id), b.s.errors())
	b.finish()
}

// A job looks names up at the DNS server of its network.
func TestPRT07_JobsUseTheInternalDNS(t *testing.T) {
	l := newLane(t)
	conn, err := net.ListenPacket("udp", l.here+":53")
	if err != nil {
		t.Skipf("port 53 is not ours here: %v", err)
	}
	defer conn.Close()
	go answerNames(conn, "build.internal.", [4]byte{198, 51, 100, 7})
	etc := filepath.Join("/etc/netns", l.netns)
	require.NoError(t, os.MkdirAll(etc, 0o755))
	t.Cleanup(func() { _ = os.RemoveAll(etc) })
	require.NoError(t, os.WriteFile(filepath.Join(etc, "resolv.conf"), []byte("nameserver "+l.here+"\n"), 0o644))
	b := newBench(t, "      - run: '[ \"$(getent ahostsv4 build.internal | head -1 | cut -d\" \" -f1)\" = 198.51.100.7 ]'\n")
	b.agents = l.here + ":" + portOf(t, b.agents)
	b.detour = "netns=" + l.netns + ",door=http://" + b.agents
	b.start()
	id, job := b.run()
	b.end(id)
	require.Equal(t, ci.Success, b.status(id), "%s", b.s.log(job.ID, 0, 2))
	b.finish()
}

// answerNames is a DNS server that knows one name.
func answerNames(conn net.PacketConn, name string, address [4]byte) {
	buffer := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buffer[:n]) != nil || len(m.Questions) == 0 {
			continue
		}
		q := m.Questions[0]
		m.Header = dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}
		m.Additionals = nil
		if q.Name.String() != name {
			m.RCode = dnsmessage.RCodeNameError
		} else if q.Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: address},
			}}
		}
		if text, err := m.Pack(); err == nil {
			_, _ = conn.WriteTo(text, from)
		}
	}
}

// A server whose settings name nobody calls nobody: no Amazon, database, queue,
// cache, Nomad or code host.
func TestPRT06_WhatIsNotSetIsNotCalled(t *testing.T) {
	needsStrace(t)
	b := newBench(t, "")
	calls := filepath.Join(serverDir(t), "calls")
	b.wrap = []string{"strace", "-f", "-q", "-e", "trace=connect", "-o", calls, "--"}
	b.start()
	id, _ := b.run()
	b.end(id)
	require.Equal(t, ci.Success, b.status(id))
	for _, pid := range children(b.s.cmd.Process.Pid) { // the server below strace
		require.NoError(t, syscall.Kill(pid, syscall.SIGTERM))
	}
	require.NoError(t, b.s.cmd.Wait())
	text, err := os.ReadFile(calls)
	require.NoError(t, err)
	for line := range strings.SplitSeq(string(text), "\n") {
		if strings.Contains(line, "AF_INET") && !strings.Contains(line, "127.0.0.1") && !strings.Contains(line, `"::1"`) {
			require.NotContains(t, line, "connect(", "it calls somebody")
		}
	}
	require.Contains(t, string(text), "connect(", "calls were seen at all")
}

// Port 4647 between clients and servers of Nomad is blocked: Nomad loses its
// clients, jobs wait, and the page says which port to look at. Pages and code
// host see nothing of it, and the jobs run when the clients are back. (What
// Nomad itself does then is its own: the fake says what it says.)
func TestPRT04_NomadLosesItsClients(t *testing.T) {
	fake, address := fakeNomad(t)
	door := freeAddress(t)
	r := newRepo(t, hello)
	require.True(t, fake.SetNode("n1", "down"))
	s, file := teamAt(t, door, fmt.Sprintf("folders: [%s]\nnomad:\n  address: %s\n  door: http://%s\n", r.dir, address, door))
	token, err := os.ReadFile(filepath.Join(filepath.Dir(file), "data", "token"))
	require.NoError(t, err)
	s.Token = strings.TrimSpace(string(token))
	var job string
	s.eventually("it is said what to look at", func() bool {
		all := s.pipelines()
		if len(all) == 0 || len(s.jobs(all[0].ID)) == 0 {
			return false
		}
		job = s.jobs(all[0].ID)[0].ID
		code, body := s.call("GET", "/api/v2/rondo/placements/"+job+".0", "")
		return code == http.StatusOK && strings.Contains(body, "nodes_down") && strings.Contains(body, "4647")
	})
	ask := loggedIn(t, s)
	code, page := ask("GET", "/jobs/"+job, nil)
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, page, "port 4647")
	require.True(t, fake.SetNode("n1", "ready"))
	require.Equal(t, ci.Success, s.waitEnd(ci.WorkflowEnded, "main").Status, s.errors())
	require.Equal(t, 0, s.stop(), s.errors())
}
