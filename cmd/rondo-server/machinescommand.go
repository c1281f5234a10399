package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/ec2/image"
	"github.com/rondo-ci/rondo/vmservice/onhost"
)

func machinesCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "machines", Short: "Find out whether machines for jobs will boot, and make their image"}
	cmd.AddCommand(preflightCommand(), imageCommand())
	return cmd
}

func preflightCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "preflight",
		Short: "Ask the provider whether machines would boot, without making one",
		Long: `Preflight looks at all that the settings name. At Amazon it asks about each call
that the server will make: Amazon answers whether it would do it, and does not.
On this host it looks at tools, kernel, image and addresses. It prints a line for
each; the exit code is 1 when one is bad.

  machines:
    provider: onhost                 # containers of this host, which takes root
    onhost:                          # all of it may be left out
      dir: /var/lib/rondo-machines   # machines, volumes, and the image
      image: /srv/rondo-image        # by rondo-server machines image --onhost
      range: 198.18.64.0/18          # addresses of machines
      outside: nat                   # or routed, none
      disk_gb: 20                    # that a machine can write
    classes: [{name: medium, vcpus: 2, memory_mb: 4096}] # bounds; the first is the default

At Amazon:

  machines:
    provider: ec2
    aws_region: us-east-1
    ec2_subnet_id: subnet-0123456789abcdef0
    ec2_security_group_id: sg-0123456789abcdef0 # opens 22, 2376 and 54782 to the agents
    aws_instance_type: m5.large      # of classes that do not say otherwise
    aws_authentication: instance_profile # or keys, with the two below
    access_key: env:AWS_ACCESS_KEY_ID
    secret_key: file:/etc/rondo/aws-secret-key

All of the following may be left out:

    custom_vm_ami: ami-0123456789abcdef0 # default: the newest Ubuntu 24.04
    subnets: [subnet-0fedcba9876543210]  # tried when the first has no room
    classes: [{name: large, vcpus: 4, types: [m5.xlarge, m5a.xlarge], custom_vm_ami: ami-0123456789abcdef1}]
    images: {"android:2026": ami-0123456789abcdef2} # by the names in configurations
    disk: {size_gb: 100, kms_key: alias/ci} # gp3, always encrypted
    spot: [machine]                  # kinds that Amazon may take away, for less
    public_address: true             # default: private addresses
    endpoint: https://vpce-0abc.ec2.us-east-1.vpce.amazonaws.com`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings(file)
			if err == nil && !s.Machines.on() {
				err = fmt.Errorf("%s: machines.provider is none: there is nobody to ask; what was saved on the page of settings has a button there", file)
			}
			if err != nil {
				return usageError{err}
			}
			// With the tag of the installation it finds machines of ours to ask
			// about; a server that has never run has none.
			install := "preflight"
			if text, err := os.ReadFile(filepath.Join(s.Data, "installation")); err == nil && len(bytes.TrimSpace(text)) > 0 {
				install = string(bytes.TrimSpace(text))
			}
			r, err := s.reach(nil)
			if err != nil {
				return err
			}
			d, err := s.Machines.driver(install, "", r.client(time.Minute))
			if err != nil {
				return usageError{err}
			}
			all, err := d.Check(cmd.Context())
			if err != nil {
				return fmt.Errorf("machines preflight: %w", err)
			}
			return printAdvice(cmd.OutOrStdout(), all)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "rondo.yml", "the file of settings")
	return cmd
}

// printAdvice prints a table, and returns an error if a line of it is bad.
func printAdvice(w io.Writer, all []vmservice.Advice) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	bad := 0
	for _, a := range all {
		if a.Verdict == vmservice.VerdictBad {
			bad++
		}
		if _, err := fmt.Fprintf(table, "%s\t%s\t%s\n", a.Verdict, a.Subject, adviceText(a)); err != nil {
			return err
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if bad > 0 {
		return fmt.Errorf("machines preflight: %d of %d are bad", bad, len(all))
	}
	return nil
}

// adviceText is the text of a line, which names the setting to mend.
func adviceText(a vmservice.Advice) string {
	text := strings.Join(strings.Fields(a.Text), " ")
	if a.Verdict != vmservice.VerdictGood && a.Setting != "" && !strings.Contains(text, a.Setting) {
		text = a.Setting + ": " + text
	}
	return text
}

func imageCommand() *cobra.Command {
	var lint, here bool
	var packages []string
	var sources string
	cmd := &cobra.Command{
		Use:   "image DIR",
		Short: "Make the image of this host's machines, or a template of Amazon's for Packer",
		Long: `With --onhost, image fills DIR with the tree that machines of this host share:
Debian with systemd, an SSH server, Docker, git and the user circleci, from the
package sources of the host itself. It takes root, mmdebstrap, and a minute. Put
DIR into machines.onhost.image, or make it /var/lib/rondo-machines/image, which is
where it is looked for. An image that is there is replaced when the new one is
whole: machines that run keep theirs, those that boot later have the new one.

Without, it writes aws-vm.json with all that it needs into the folder, which must not
have such files yet. Change it as you like, look at it with --lint, then build:

  cd DIR && packer build -var region=us-east-1 -var ami_users=123456789012 aws-vm.json

The keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. ami_users names
the accounts that may boot the image besides yours; ami_groups=all would be
everybody. Put the AMI that it prints into machines.custom_vm_ami.`,
		Example: `  rondo-server machines image --onhost /var/lib/rondo-machines/image
  rondo-server machines image --onhost DIR --package nodejs --package npm
  rondo-server machines image vm/`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case here:
				made, err := onhost.BuildImage(cmd.Context(), args[0], onhost.ImageConfig{Packages: packages, Sources: sources}, cmd.ErrOrStderr())
				if err == nil {
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s for %s, user %s, Docker %s\n", args[0], made.OS, made.Arch, made.User, made.Packages["docker.io"])
				}
				return err
			case lint:
				return image.Lint(os.DirFS(args[0]))
			}
			return writeImage(args[0])
		},
	}
	cmd.Flags().BoolVar(&lint, "lint", false, "tell what is wrong with the files of a template that are there")
	cmd.Flags().BoolVar(&here, "onhost", false, "make the image of machines of this host")
	cmd.Flags().StringSliceVar(&packages, "package", nil, "with --onhost: one more package; may be given again")
	cmd.Flags().StringVar(&sources, "sources", "", "with --onhost: a file of apt's with the archives to take packages from")
	cmd.MarkFlagsMutuallyExclusive("lint", "onhost")
	return cmd
}

// writeImage writes the template, over nothing that is there.
func writeImage(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	from := image.Files()
	return fs.WalkDir(from, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(from, p)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(filepath.Join(dir, p), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return fmt.Errorf("write the template: %w", err)
		}
		_, err = f.Write(text)
		return errors.Join(err, f.Close())
	})
}
