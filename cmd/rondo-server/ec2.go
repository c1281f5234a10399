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

	"github.com/spf13/cobra"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/ec2"
	"github.com/rondo-ci/rondo/vmservice/ec2/image"
)

// onEC2 is the provider of machines at Amazon.
const onEC2 = "ec2"

// errEC2Guest says what is not there yet: machines boot, and nothing sets up
// Docker and volumes inside of them.
var errEC2Guest = errors.New("machines.provider: ec2 can be checked by rondo-server machines preflight, and can't serve jobs yet: " +
	"what sets up Docker inside of machines is not in this release; write none")

// ec2Settings are the fields of the guide's form for machines at Amazon, in the
// part machines, and what goes beyond it.
type ec2Settings struct {
	Region        string            `yaml:"aws_region"`
	Subnet        string            `yaml:"ec2_subnet_id"`
	Subnets       []string          `yaml:"subnets"`
	SecurityGroup string            `yaml:"ec2_security_group_id"`
	Image         string            `yaml:"custom_vm_ami"`
	InstanceType  string            `yaml:"aws_instance_type"`
	Auth          ec2.Way           `yaml:"aws_authentication"`
	AccessKey     secretRef         `yaml:"access_key"`
	SecretKey     secretRef         `yaml:"secret_key"`
	Images        map[string]string `yaml:"images"`
	Disk          ec2Disk           `yaml:"disk"`
	Spot          []ci.MachineKind  `yaml:"spot"`
	Public        bool              `yaml:"public_address"`
	Endpoint      string            `yaml:"endpoint"`
}

type ec2Disk struct {
	GB     int    `yaml:"size_gb"`
	KMSKey string `yaml:"kms_key"`
}

// checkEC2 names what is wrong with the settings of EC2, without reading
// secrets.
func (s machinesSettings) checkEC2() error {
	if s.Provider != onEC2 {
		return nil
	}
	keys := s.Auth == ec2.Keys
	wrong := []error{s.AccessKey.check("machines.access_key", keys), s.SecretKey.check("machines.secret_key", keys)}
	cfg := s.ec2()
	if s.AccessKey != "" || keys { // read at the start
		cfg.Auth.AccessKey, cfg.Auth.SecretKey = "AKIAREADLATERREADLATER", "read-later"
	}
	if err := cfg.Check(); err != nil {
		for _, line := range strings.Split(err.Error(), "\n") {
			wrong = append(wrong, fmt.Errorf("machines.%s", line))
		}
	}
	return errors.Join(wrong...)
}

// ec2 returns the words of package ec2, without what has to be read.
func (s machinesSettings) ec2() ec2.Config {
	c := ec2.Config{
		Region: s.Region, Subnet: s.Subnet, Subnets: s.Subnets, SecurityGroup: s.SecurityGroup, Image: s.Image, InstanceType: s.InstanceType,
		Auth: ec2.Auth{Way: s.Auth}, Images: s.Images, Disk: ec2.Disk(s.Disk), Spot: s.Spot, Classes: map[string]ec2.Class{},
		Net: ec2.Net{Public: s.Public, Endpoint: s.Endpoint},
	}
	for _, k := range s.Classes {
		if len(k.Types) > 0 || k.Image != "" {
			types := k.Types
			if len(types) == 0 {
				types = []string{s.InstanceType}
			}
			c.Classes[k.Name] = ec2.Class{Types: types, Image: k.Image}
		}
	}
	return c
}

// ec2Driver returns the driver of the settings for one installation. It
// connects to nothing.
func (s machinesSettings) ec2Driver(install string) (*ec2.Driver, error) {
	cfg := s.ec2()
	var err error
	if cfg.Auth.Way == ec2.Keys {
		if cfg.Auth.AccessKey, err = s.AccessKey.read(); err != nil {
			return nil, fmt.Errorf("machines.access_key: %w", err)
		}
		if cfg.Auth.SecretKey, err = s.SecretKey.read(); err != nil {
			return nil, fmt.Errorf("machines.secret_key: %w", err)
		}
	}
	return ec2.New(install, cfg)
}

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
		Long: `Preflight looks at all that the settings name, and asks Amazon about each call
that the server will make: Amazon answers whether it would do it, and does not.
It prints a line for each; the exit code is 1 when one is bad.

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
			if err == nil && s.Machines.Provider != onEC2 {
				err = fmt.Errorf("%s: machines.provider is %q; preflight asks ec2", file, s.Machines.Provider)
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
			d, err := s.Machines.ec2Driver(install)
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
		text := strings.Join(strings.Fields(a.Text), " ")
		if a.Verdict != vmservice.VerdictGood && a.Setting != "" && !strings.Contains(text, a.Setting) {
			text = a.Setting + ": " + text
		}
		if a.Verdict == vmservice.VerdictBad {
			bad++
		}
		if _, err := fmt.Fprintf(table, "%s\t%s\t%s\n", a.Verdict, a.Subject, text); err != nil {
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

func imageCommand() *cobra.Command {
	lint := false
	cmd := &cobra.Command{
		Use:   "image DIR",
		Short: "Write a template for Packer into a folder, or look at a changed one",
		Long: `Image writes aws-vm.json with all that it needs into the folder, which must not
have such files yet. Change it as you like, look at it with --lint, then build:

  cd DIR && packer build -var region=us-east-1 -var ami_users=123456789012 aws-vm.json

The keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. ami_users names
the accounts that may boot the image besides yours; ami_groups=all would be
everybody. Put the AMI that it prints into machines.custom_vm_ami.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if lint {
				return image.Lint(os.DirFS(args[0]))
			}
			return writeImage(args[0])
		},
	}
	cmd.Flags().BoolVar(&lint, "lint", false, "tell what is wrong with the files that are there")
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
