package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice/ec2"
)

// onEC2 is the provider of machines at Amazon.
const onEC2 = "ec2"

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

	typed *ec2.Auth // on the page, instead of what is read
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
	var wrong []error
	cfg := s.ec2()
	if s.typed == nil {
		wrong = append(wrong, s.AccessKey.check("machines.access_key", keys), s.SecretKey.check("machines.secret_key", keys))
	}
	if s.typed == nil && (s.AccessKey != "" || keys) { // read at the start
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
	if s.typed != nil { // the form has no such field
		c.Auth, c.Net.Endpoint = *s.typed, os.Getenv("AWS_ENDPOINT_URL_EC2")
	}
	return c
}

// ec2Driver returns the driver of the settings for one installation, whose
// machines trust what is in ca. It connects to nothing.
func (s machinesSettings) ec2Driver(install, ca string, client *http.Client) (*ec2.Driver, error) {
	cfg := s.ec2()
	cfg.Net.CA, cfg.Net.HTTP = ca, client
	var err error
	if cfg.Auth.Way == ec2.Keys && s.typed == nil {
		if cfg.Auth.AccessKey, err = s.AccessKey.read(); err != nil {
			return nil, fmt.Errorf("machines.access_key: %w", err)
		}
		if cfg.Auth.SecretKey, err = s.SecretKey.read(); err != nil {
			return nil, fmt.Errorf("machines.secret_key: %w", err)
		}
	}
	return ec2.New(install, cfg)
}
