package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/rondo-ci/rondo/proxy"
	"github.com/rondo-ci/rondo/proxy/certificate"
	"github.com/rondo-ci/rondo/proxy/trust"
	"github.com/spf13/cobra"
)

// proxyFlags say where the settings of the proxy commands come from.
type proxyFlags struct {
	from, http, https, direct string
}

func proxyCommand() *cobra.Command {
	var f proxyFlags
	cmd := &cobra.Command{
		Use:   "proxy",
		Short: "Tell every program of a machine which HTTP proxy to use, and check what they do",
		Long: `An HTTP proxy has to be told to many programs, each in its own form and with
its own idea of what NO_PROXY means. These commands write all the forms from one
setting, and foretell what curl, git, wget, Python, apt, Go, Docker and Java do
with an address.

The settings are those of the flags; without them those of --from, a file that
other programs read (/etc/environment, /etc/circle-installation-customizations,
/etc/replicated.conf, daemon.json); without that those of the environment.

A proxy is written <protocol>://<host>:<port>, as in http://10.0.0.33:3128.
This machine and the metadata addresses of clouds are never proxied.`,
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&f.from, "from", "", "read the settings from this file")
	flags.StringVar(&f.http, "http", "", "the proxy for http:// addresses")
	flags.StringVar(&f.https, "https", "", "the proxy for https:// addresses (default: that of --http)")
	flags.StringVar(&f.direct, "direct", "", "what is reached directly: hosts, .domains, addresses, networks, with commas")
	cmd.AddCommand(proxyCheckCommand(&f), proxyRenderCommand(&f), proxyApplyCommand(&f))
	return cmd
}

// settings returns the settings, having said on w what is odd about a file.
func (f proxyFlags) settings(w io.Writer) (proxy.Settings, error) {
	var s proxy.Settings
	var err error
	switch {
	case f.http != "" || f.https != "":
		s, err = proxy.Parse(f.http, f.https, f.direct)
	case f.from != "":
		var text []byte
		if text, err = os.ReadFile(f.from); err != nil {
			return s, err
		}
		var odd []string
		if s, odd, err = proxy.Import(text); err != nil {
			err = fmt.Errorf("%s: %w", f.from, err)
		}
		for _, o := range odd {
			fmt.Fprintf(w, "%s: %s\n", f.from, o)
		}
	default:
		s, err = proxy.FromEnviron(os.LookupEnv)
	}
	if err == nil && f.direct != "" && f.http == "" && f.https == "" {
		var more []proxy.Rule
		more, err = proxy.ParseRules(f.direct)
		s = s.Add(more...)
	}
	if err != nil {
		return s, codeError{exitUsage, err}
	}
	return s, nil
}

// proxied are addresses that an installation usually needs.
var proxied = []string{
	"https://github.com/", "https://api.github.com/", "https://s3.amazonaws.com/", "https://ec2.us-east-1.amazonaws.com/",
	"http://169.254.169.254/latest/meta-data/", "http://localhost:8585/",
}

func proxyCheckCommand(f *proxyFlags) *cobra.Command {
	var asJSON, live bool
	cmd := &cobra.Command{
		Use:   "check [ADDRESS...]",
		Short: "Say for each program and address whether the proxy is asked",
		Long: `Check says for each program and each address whether it would ask the proxy, and
where a program cannot be told what the settings mean. With --live each address
is reached once, by the settings, and a failure is explained: a login that is
missing, rules of the proxy, TLS that it reads.

It ends with 1 when something differs from what the settings mean.`,
		Example: `  rondo proxy check --http http://10.0.0.33:3128 --direct 10.0.1.0/24,ghe.example.com https://ghe.example.com/
  rondo proxy check --from /etc/circle-installation-customizations --live`,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.settings(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if len(args) == 0 {
				args = proxied
			}
			var all []*url.URL
			for _, a := range args {
				if !strings.Contains(a, "://") {
					a = "https://" + a
				}
				u, err := url.Parse(a)
				if err != nil || u.Host == "" {
					return codeError{exitUsage, fmt.Errorf("%q is no address such as https://github.com/", a)}
				}
				all = append(all, u)
			}
			found := s.Check(all...)
			var probes []proxy.Probe
			if live {
				roots, err := trust.Open(trust.Config{})
				if err != nil {
					return err
				}
				for _, u := range all {
					probes = append(probes, s.Try(cmd.Context(), u, roots.Pool(), 0))
				}
			}
			if asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"findings": found, "probes": probes})
			} else {
				err = printCheck(cmd.OutOrStdout(), s, found, probes)
			}
			if err != nil {
				return err
			}
			for _, x := range found {
				if x.Advice != "" {
					return codeError{code: exitFailed}
				}
			}
			for _, p := range probes {
				if p.Advice != "" {
					return codeError{code: exitFailed}
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&live, "live", false, "reach each address too")
	return cmd
}

func printCheck(w io.Writer, s proxy.Settings, found []proxy.Finding, probes []proxy.Probe) error {
	if s.IsZero() {
		fmt.Fprintln(w, "There is no proxy: everything is reached directly.")
	}
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprint(table, "ADDRESS\tMEANT")
	for _, t := range proxy.Tools() {
		fmt.Fprint(table, "\t", strings.ToUpper(string(t)))
	}
	n := len(proxy.Tools())
	var advice []string
	for i, x := range found {
		if i%n == 0 {
			fmt.Fprintf(table, "\n%s\t%s", x.URL, way(x.Meant != ""))
		}
		mark := way(x.Proxy != "")
		if x.Advice != "" {
			mark += " !"
			advice = append(advice, "! "+x.URL+": "+x.Advice)
		}
		fmt.Fprint(table, "\t", mark)
	}
	fmt.Fprintln(table)
	if err := table.Flush(); err != nil {
		return err
	}
	for _, a := range advice {
		fmt.Fprintln(w, a)
	}
	for _, p := range probes {
		state := fmt.Sprintf("answered %d after %d ms", p.Status, p.First.Milliseconds())
		if p.Advice != "" {
			state = p.Advice
		}
		if _, err := fmt.Fprintf(w, "%s: %s\n", p.URL, state); err != nil {
			return err
		}
	}
	return nil
}

func way(proxied bool) string {
	if proxied {
		return "proxy"
	}
	return "direct"
}

func targetNames() string {
	var names []string
	for _, t := range proxy.Targets() {
		names = append(names, string(t))
	}
	return strings.Join(names, ", ")
}

// printLost says what a form leaves out.
func printLost(w io.Writer, r proxy.Rendering) {
	for _, l := range r.Lost {
		fmt.Fprintf(w, "%s: %s\n", r.Target, l)
	}
}

func proxyRenderCommand(f *proxyFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "render TARGET",
		Short: "Print the settings in the form that a program reads",
		Long: `Render prints the settings in the form of one target, and on standard error what
that form cannot say. The targets: ` + targetNames() + `.`,
		Example: `  rondo proxy render --http http://10.0.0.33:3128 environment`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.settings(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			r, err := s.Render(proxy.Target(args[0]))
			if err != nil {
				return codeError{exitUsage, err}
			}
			printLost(cmd.ErrOrStderr(), r)
			_, err = io.WriteString(cmd.OutOrStdout(), r.Text)
			return err
		},
	}
}

func proxyApplyCommand(f *proxyFlags) *cobra.Command {
	var path string
	var diff, revert bool
	cmd := &cobra.Command{
		Use:   "apply TARGET",
		Short: "Write the settings into the file that a program reads",
		Long: `Apply puts the settings into the file of a target: between two marks, or in a
JSON file as the keys that are ours. The rest of the file stays. The first time,
the file as it was is kept beside it with .before-rondo behind its name. Applying
twice is applying once; applying without a proxy takes the settings out again.

The targets: ` + targetNames() + `.`,
		Example: `  rondo proxy apply --http http://10.0.0.33:3128 --diff docker-daemon
  rondo proxy apply --revert environment`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.settings(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			r, err := s.Render(proxy.Target(args[0]))
			if err != nil {
				return codeError{exitUsage, err}
			}
			if path == "" {
				path = r.Path
			}
			if path == "" {
				return codeError{exitUsage, fmt.Errorf("the target %s is no file: name one with --file", r.Target)}
			}
			old, now, err := edited(r, path, revert)
			if err != nil {
				return err
			}
			if !revert {
				printLost(cmd.ErrOrStderr(), r)
			}
			switch {
			case diff:
				return printDiff(cmd.OutOrStdout(), path, now)
			case bytes.Equal(old, now):
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: nothing to change\n", path)
				return err
			}
			if err := replaceFile(path, old, now, r.Mode); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: written\n", path)
			return err
		},
	}
	cmd.Flags().StringVar(&path, "file", "", "the file (default: where the program looks)")
	cmd.Flags().BoolVar(&diff, "diff", false, "only show what would change")
	cmd.Flags().BoolVar(&revert, "revert", false, "take the settings out, and put back what they replaced")
	return cmd
}

// backupOf is where a file is kept as it was before the first change.
func backupOf(path string) string { return path + ".before-rondo" }

// edited returns the file as it is (nil: it does not exist) and as it is to be.
func edited(r proxy.Rendering, path string, revert bool) (old, now []byte, err error) {
	if old, err = os.ReadFile(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	if revert {
		backup, err := os.ReadFile(backupOf(path))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, nil, err
		}
		now, err = r.Revert(old, backup)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		return old, now, nil
	}
	if now, err = r.Edit(old); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return old, now, nil
}

// replaceFile writes the file as a whole, keeping its mode, or not at all.
func replaceFile(path string, old, now []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
		if _, err := os.Stat(backupOf(path)); errors.Is(err, os.ErrNotExist) {
			if err := certificate.WriteFile(backupOf(path), old, mode); err != nil {
				return err
			}
		}
	}
	return certificate.WriteFile(path, now, mode)
}

// printDiff shows the change with the diff of the machine.
func printDiff(w io.Writer, path string, now []byte) error {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		path = os.DevNull
	}
	cmd := exec.Command("diff", "-u", path, "-")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(now), w, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 { // they differ
		return nil
	}
	return err
}
