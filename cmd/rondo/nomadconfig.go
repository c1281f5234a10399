package main

import (
	"cmp"
	"embed"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
)

//go:embed nomadclient
var nomadClient embed.FS

// The sizes of clients, as the guide has them.
const (
	leastCPU, leastMemoryMB, leastDiskGB = 4, 16 << 10, 100
	mostCPU, mostMemoryMB                = 64, 128 << 10
)

// clientParts are the files, in the order in which they are made.
var clientParts = []struct {
	name, file, what string
	mode             os.FileMode
}{
	{"hcl", "client.hcl", "the configuration of Nomad", 0o644},
	{"unit", "nomad.service", "the unit of Nomad", 0o644},
	{"hook", "rondo-lifecycle.sh", "the hook that drains the machine before Amazon ends it", 0o755},
	{"hook-unit", "rondo-lifecycle.service", "the unit of the hook", 0o644},
	{"policy", "policy.hcl", "what the token of the Rondo server may do", 0o644},
	{"settings", "rondo.yml", "the chapter nomad of the Rondo server's settings", 0o644},
	{"user-data", "user-data.sh", "cloud user data that puts all of them in place", 0o644},
}

// clientFacts are what the files are made from.
type clientFacts struct {
	Datacenter, Region, Namespace, Class, Pool string
	Name, URL, Driver                          string
	Servers                                    []string
	TLS, ACL, Cloud                            bool
	CPUs, MachineMB                            int // of the machine; 0 is not said
	Oversize                                   bool

	HCL, Unit, Hook, HookUnit string
}

// LastCore is the last of the CPUs that the client keeps.
func (clientFacts) LastCore() int { return keptCPU - 1 }

// Space is the namespace of jobs.
func (f clientFacts) Space() string { return cmp.Or(f.Namespace, "default") }

// First is the host of the first server.
func (f clientFacts) First() string {
	if host, _, err := net.SplitHostPort(f.Servers[0]); err == nil {
		return host
	}
	return f.Servers[0]
}

// Memory is what the client keeps, in MiB.
func (clientFacts) Memory() int { return keptMemoryMB }

// Denied are the fingerprints that are not taken.
func (f clientFacts) Denied() string {
	if f.Cloud {
		return "env_azure,env_gce,env_digitalocean"
	}
	return "env_aws,env_azure,env_gce,env_digitalocean"
}

func clientConfigCommand() *cobra.Command {
	f := clientFacts{}
	var part, out string
	cmd := &cobra.Command{
		Use: "client-config", Short: "Print the complete configuration of a client: HCL, units, cloud user data, scale-in hook", Args: cobra.NoArgs,
		Long: `Client-config prints what makes a machine a client of the cluster. Each client
keeps 2 CPUs and 4096 MB for itself, and Nomad is told so, which makes its
placement agree with the guide: of 8 CPUs and 32 GB tasks may use 6 and 28.

Parts, for --part:
` + partsHelp() + `
A client has at least 4 CPUs, 16 GB and 100 GB of disk, and by default at most 64
CPUs and 128 GB: --cpus and --memory check the machine that you mean.`,
		Example: `  rondo nomad client-config --server 10.0.0.10 > client.hcl
  rondo nomad client-config --server nomad.internal --tls --acl --cloud --url https://ci.example.com --out client/
  rondo nomad client-config --server 10.0.0.10 --cloud --part user-data`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return codeError{exitUsage, err}
			}
			for _, warning := range f.warnings() {
				note("warning: %s", warning)
			}
			return f.write(cmd, part, out)
		},
	}
	s := cmd.Flags()
	s.StringSliceVar(&f.Servers, "server", nil, "address of a Nomad server, with or without its RPC port (4647); may be given again")
	s.StringVar(&f.Datacenter, "datacenter", "default", "of the client; Rondo's jobs take any")
	s.StringVar(&f.Region, "region", "global", "of the cluster")
	s.StringVar(&f.Namespace, "namespace", "", "where Rondo's jobs are, if not in the default one")
	s.StringVar(&f.Driver, "driver", "raw_exec", "by which agents are started: raw_exec, exec or docker")
	s.StringVar(&f.Class, "class", "linux-64bit", "node class")
	s.StringVar(&f.Pool, "pool", "", "node pool, where teams or levels of trust have their own")
	s.StringVar(&f.Name, "name", "", "of the node; else the host's, in a cloud the instance's")
	s.BoolVar(&f.TLS, "tls", false, "mutual TLS with the files in /etc/nomad.d/tls")
	s.BoolVar(&f.ACL, "acl", false, "the cluster has policies (ACL)")
	s.BoolVar(&f.Cloud, "cloud", false, "the machine is one of Amazon's, in an Auto Scaling group")
	s.StringVar(&f.URL, "url", "", "address of the Rondo server, for the hook")
	s.IntVar(&f.CPUs, "cpus", 0, "of the machine, to check")
	s.IntVar(&f.MachineMB, "memory", 0, "MB of the machine, to check")
	s.BoolVar(&f.Oversize, "oversize", false, "a machine of more than 64 CPUs or 128 GB is meant")
	s.StringVar(&part, "part", "hcl", "what to print, of the list above, or all")
	s.StringVar(&out, "out", "", "write all parts as files into this folder instead")
	return cmd
}

func partsHelp() string {
	var b strings.Builder
	for _, p := range clientParts {
		fmt.Fprintf(&b, "  %-10s %-24s %s\n", p.name, p.file, p.what)
	}
	return b.String()
}

// check refuses what would not be a configuration.
func (f clientFacts) check() error {
	if len(f.Servers) == 0 {
		return fmt.Errorf("which Nomad servers? give the address of one with --server, as in --server 10.0.0.10")
	}
	word := regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/\[\]-]*$`)
	for _, v := range append(slices.Clone(f.Servers), f.Datacenter, f.Region, f.Class) {
		if !word.MatchString(v) {
			return fmt.Errorf("%q is no name or address", v)
		}
	}
	if f.Driver != "raw_exec" && f.Driver != "exec" && f.Driver != "docker" {
		return fmt.Errorf("--driver: %q is none of raw_exec, exec and docker", f.Driver)
	}
	for _, v := range []string{f.Pool, f.Name, f.URL, f.Namespace} {
		if v != "" && !word.MatchString(v) {
			return fmt.Errorf("%q is no name or address", v)
		}
	}
	if f.CPUs != 0 && f.CPUs <= keptCPU || f.MachineMB != 0 && f.MachineMB <= keptMemoryMB {
		return fmt.Errorf("a client keeps %d CPUs and %d MB for itself: of %d CPUs and %d MB nothing is left for tasks", keptCPU, keptMemoryMB, f.CPUs, f.MachineMB)
	}
	return nil
}

// warnings say where the machine is not as the guide has it.
func (f clientFacts) warnings() []string {
	var out []string
	if f.CPUs != 0 && f.CPUs < leastCPU || f.MachineMB != 0 && f.MachineMB < leastMemoryMB {
		out = append(out, fmt.Sprintf("the least for a client are %d CPUs, %d MB and %d GB of disk", leastCPU, leastMemoryMB, leastDiskGB))
	}
	if (f.CPUs > mostCPU || f.MachineMB > mostMemoryMB) && !f.Oversize {
		out = append(out, fmt.Sprintf("a client has at most %d CPUs and %d MB unless a larger one is meant: this one has %s; say --oversize if it is, or take several smaller ones, which fail one at a time",
			mostCPU, mostMemoryMB, size(f.CPUs, f.MachineMB)))
	}
	return out
}

func size(cpus, memoryMB int) string {
	var all []string
	if cpus > 0 {
		all = append(all, strconv.Itoa(cpus)+" CPUs")
	}
	if memoryMB > 0 {
		all = append(all, strconv.Itoa(memoryMB)+" MB")
	}
	return strings.Join(all, " and ")
}

// render returns all parts by name.
func (f clientFacts) render() (map[string]string, error) {
	parts := map[string]string{}
	for _, p := range clientParts {
		text, err := nomadClient.ReadFile("nomadclient/" + p.file)
		if err != nil {
			return nil, err
		}
		t, err := template.New(p.file).Funcs(template.FuncMap{"quoted": quotedList}).Parse(string(text))
		if err != nil {
			return nil, err
		}
		var b strings.Builder
		if err := t.Execute(&b, f); err != nil {
			return nil, err
		}
		parts[p.name] = b.String()
		f.HCL, f.Unit, f.Hook, f.HookUnit = parts["hcl"], parts["unit"], parts["hook"], parts["hook-unit"]
	}
	return parts, nil
}

func quotedList(all []string) string {
	var out []string
	for _, s := range all {
		out = append(out, strconv.Quote(s))
	}
	return strings.Join(out, ", ")
}

func (f clientFacts) write(cmd *cobra.Command, part, out string) error {
	parts, err := f.render()
	if err != nil {
		return err
	}
	if out != "" {
		if err := os.MkdirAll(out, 0o755); err != nil {
			return err
		}
		for _, p := range clientParts {
			name := filepath.Join(out, p.file)
			if err := os.WriteFile(name, []byte(parts[p.name]), p.mode); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", name, p.what)
		}
		return nil
	}
	if part == "all" {
		for _, p := range clientParts {
			fmt.Fprintf(cmd.OutOrStdout(), "==> %s <==\n%s\n", p.file, parts[p.name])
		}
		return nil
	}
	text, ok := parts[part]
	if !ok {
		return codeError{exitUsage, fmt.Errorf("there is no part %q; there are:\n%s  all", part, partsHelp())}
	}
	fmt.Fprint(cmd.OutOrStdout(), text)
	return nil
}
