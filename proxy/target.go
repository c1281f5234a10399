package proxy

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// A Target is a form in which programs read settings of proxies.
type Target string

// The targets, each with the file that it usually is.
const (
	Environment    Target = "environment"    // /etc/environment: logins, and the first processes of a machine
	SecretFile     Target = "secret-file"    // /etc/rondo/proxy.env: for EnvironmentFile= of units; may hold a login
	Shell          Target = "shell"          // exports, for a file that a shell reads
	Customizations Target = "customizations" // /etc/circle-installation-customizations: exports, and JVM_OPTS
	Systemd        Target = "systemd"        // a drop-in of a unit
	DockerDaemon   Target = "docker-daemon"  // /etc/docker/daemon.json: what the engine itself fetches
	DockerConfig   Target = "docker-config"  // ~/.docker/config.json: what containers get
	AptConf        Target = "apt"            // /etc/apt/apt.conf.d/95proxy
	JVMOptions     Target = "jvm"            // one line of options
	GitConfig      Target = "git"            // /etc/gitconfig
	NpmConfig      Target = "npm"            // /etc/npmrc
	NomadUserData  Target = "nomad-userdata" // the beginning of a Nomad client's cloud script
	Replicated     Target = "replicated"     // /etc/replicated.conf, as the guide has it
)

// A Loss is what a target cannot say, or says only in part.
type Loss struct {
	Item    string // the rule or the address
	Why     string
	Instead string // what to do about it; may be ""
}

// String returns the loss as one sentence for people.
func (l Loss) String() string {
	if l.Instead == "" {
		return l.Item + ": " + l.Why
	}
	return l.Item + ": " + l.Why + "; " + l.Instead
}

// A Rendering is settings in the form of a target.
type Rendering struct {
	Target Target
	Path   string      // where the target usually is; "" is nowhere in particular
	Mode   fs.FileMode // that a new file gets
	Text   string
	Lost   []Loss
	// keys are those of a JSON file that are ours, each a path.
	keys [][]string
	// comment begins a line that the target does not read; "" is a JSON file.
	comment string
}

// form is what differs between targets.
type form struct {
	path    string
	mode    fs.FileMode
	comment string
	render  func(Settings, *Rendering)
}

// forms knows all targets.
func forms() map[Target]form {
	return map[Target]form{
		Environment:    {"/etc/environment", 0o644, "#", renderEnvironment},
		SecretFile:     {"/etc/rondo/proxy.env", 0o600, "#", renderSecretFile},
		Shell:          {"", 0o644, "#", renderShell},
		Customizations: {"/etc/circle-installation-customizations", 0o644, "#", renderCustomizations},
		Systemd:        {"/etc/systemd/system/docker.service.d/http-proxy.conf", 0o644, "#", renderSystemd},
		DockerDaemon:   {"/etc/docker/daemon.json", 0o644, "", renderDockerDaemon},
		DockerConfig:   {"/root/.docker/config.json", 0o600, "", renderDockerConfig},
		AptConf:        {"/etc/apt/apt.conf.d/95proxy", 0o644, "//", renderApt},
		JVMOptions:     {"", 0o644, "#", renderJVM},
		GitConfig:      {"/etc/gitconfig", 0o644, "#", renderGit},
		NpmConfig:      {"/etc/npmrc", 0o644, ";", renderNpm},
		NomadUserData:  {"", 0o644, "#", renderNomadUserData},
		Replicated:     {"/etc/replicated.conf", 0o644, "", renderReplicated},
	}
}

// Targets returns all targets by name.
func Targets() []Target {
	var all []Target
	for t := range forms() {
		all = append(all, t)
	}
	slices.Sort(all)
	return all
}

// Render writes the settings for a target. An unknown target is an error that
// wraps [ci.ErrInvalid] and names them all.
func (s Settings) Render(t Target) (Rendering, error) {
	f, ok := forms()[t]
	if !ok {
		var names []string
		for _, t := range Targets() {
			names = append(names, string(t))
		}
		return Rendering{}, fmt.Errorf("%w: no target %q: choose %s", ci.ErrInvalid, t, strings.Join(names, ", "))
	}
	r := Rendering{Target: t, Path: f.path, Mode: f.mode, comment: f.comment}
	f.render(s, &r)
	return r, nil
}

// list returns NO_PROXY in the form that all tools read alike as far as it can
// be had: commas without blanks, no *. before a name, no dot after it, no
// ports; networks, and then the known addresses in them for tools that know no
// networks. What no form says for all tools is lost.
func (s Settings) list() ([]string, []Loss) {
	var items []string
	var lost []Loss
	add := func(text string) {
		if !slices.Contains(items, text) {
			items = append(items, text)
		}
	}
	builtins := len(always())
	for i, r := range s.Rules() {
		switch {
		case r.Port != 0:
			lost = append(lost, Loss{r.String(), "most tools know no ports here", "name the host without a port to reach all its ports directly"})
		case r.All:
			lost = append(lost, Loss{"*", "wget and apt do not read it", "set no proxy at all instead"})
			add("*")
		case r.Below:
			lost = append(lost, Loss{r.String(), "curl and Python take it for " + r.Host + " as well", ""})
			add(r.String())
		case r.Net.IsValid() && !r.single():
			known := 0
			for _, a := range s.Known {
				if r.Net.Contains(a) {
					add(a.String())
					known++
				}
			}
			add(r.String())
			if r.Net.Addr().IsLoopback() {
				add("127.0.0.1")
			} else if i >= builtins && known == 0 {
				lost = append(lost, Loss{r.String(), "wget, Python and apt know no networks", "name the addresses in it that they use"})
			}
		default:
			add(r.String())
		}
	}
	return items, lost
}

// variables are the six that the environment has, lower case first, since some
// tools read one case only.
func (s Settings) variables() ([][2]string, []Loss) {
	items, lost := s.list()
	var all [][2]string
	for _, v := range [][2]string{{"http_proxy", s.HTTP.text()}, {"https_proxy", s.HTTPS.text()}, {"no_proxy", strings.Join(items, ",")}} {
		if v[1] != "" {
			all = append(all, v, [2]string{strings.ToUpper(v[0]), v[1]})
		}
	}
	if s.IsZero() {
		return nil, nil
	}
	return all, lost
}

// Environ returns the environment of a job or a program: the six variables, as
// NAME=value, and what they cannot say.
func (s Settings) Environ() ([]string, []Loss) {
	vars, lost := s.variables()
	var env []string
	for _, v := range vars {
		env = append(env, v[0]+"="+v[1])
	}
	return env, lost
}

// open returns the settings without logins, for a form that everybody on the
// machine may read, and what that loses.
func (s Settings) open(where string) (Settings, []Loss) {
	var lost []Loss
	for _, a := range []*Address{&s.HTTP, &s.HTTPS} {
		if a.pass == "" {
			continue
		}
		l := Loss{a.String(), where + " may be read by every user of the machine, so the login is left out", "use the target " + string(SecretFile)}
		a.User, a.pass = "", ""
		if !slices.Contains(lost, l) {
			lost = append(lost, l)
		}
	}
	return s, lost
}
