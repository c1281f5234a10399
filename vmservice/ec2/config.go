package ec2

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// Config says where machines are booted, and as whom. Errors name its fields
// as the settings do, given here in brackets.
type Config struct {
	// Region is where all the rest is: us-west-2. [aws_region]
	Region string
	// Subnet is where machines are, and Subnets are tried after it, in order,
	// when it has no room. [ec2_subnet_id, subnets]
	Subnet  string
	Subnets []string
	// SecurityGroup lets the server and its agents reach ports 22, 2376 and
	// 54782 of machines. [ec2_security_group_id]
	SecurityGroup string
	// Image is the AMI of all machines; "" is the newest Ubuntu 24.04 of
	// Canonical, which gets Docker at its first boot. [custom_vm_ami]
	Image string
	// InstanceType is that of classes which Classes do not name: m5.large.
	// [aws_instance_type]
	InstanceType string
	// Auth is as whom. [aws_authentication]
	Auth Auth
	// Classes say what a resource class is, by its name. [classes]
	Classes map[string]Class
	// Images are AMIs by the names that configurations call them. A name that
	// is not here is the Image, as it is in the guide. [images]
	Images map[string]string
	// Disk is the machines' own. [disk]
	Disk Disk
	// Spot are the kinds of machines that may be taken away in their work, and
	// are cheaper. [spot]
	Spot []ci.MachineKind
	// Net says how machines and Amazon are reached.
	Net Net
}

// A Class is what a resource class means.
type Class struct {
	// Types are tried in order; machines of any of them will do. [types]
	Types []string
	// Image is an AMI instead of the common one: for arm64, say. [custom_vm_ami]
	Image string
}

// Disk says what machines have for a root disk. It is gp3, encrypted, and ends
// with the machine.
type Disk struct {
	GB     int    // 0 is 100. [disk.size_gb]
	KMSKey string // "" is the account's own. [disk.kms_key]
}

// Net says how machines and Amazon are reached.
type Net struct {
	// Public gives machines public addresses and uses those. [public_address]
	Public bool
	// Endpoint is the address of the EC2 API instead of Amazon's: that of a
	// VPC endpoint. [endpoint]
	Endpoint string
	// Metadata is the address of the metadata service of the server's own
	// machine; "" is Amazon's.
	Metadata string
	// HTTP is the client; nil is one that goes by the proxy of the
	// environment, except to the metadata service.
	HTTP *http.Client
	// CA are the certificates, in PEM, by which machines know the server when
	// they report; "" are those of the image.
	CA string
}

// A Way says how the installation proves itself to Amazon.
type Way string

// The two ways of the guide's form.
const (
	InstanceProfile Way = "instance_profile" // the role of the server's machine, by IMDSv2 only
	Keys            Way = "keys"             // those of an IAM user
)

// Auth is a way with what it needs.
type Auth struct {
	Way       Way    // "" is InstanceProfile
	AccessKey string // [access_key]
	SecretKey string // [secret_key]
}

// The forms of Amazon's names.
const (
	regionForm = `^[a-z]{2}(-[a-z]+)+-\d+$`
	typeForm   = `^[a-z][a-z0-9-]*\.[a-z0-9-]+$`
	idForm     = `^%s-([0-9a-f]{8}|[0-9a-f]{17})$`
)

// Check returns what is wrong with the settings without asking Amazon: all of
// it, each as an error that begins with the name of a setting and wraps
// [ci.ErrInvalid].
func (c Config) Check() error {
	var w wrongs
	w.form("aws_region", c.Region, regionForm, "us-west-2", true)
	w.id("ec2_subnet_id", c.Subnet, "subnet", true)
	for i, s := range c.Subnets {
		w.id(fmt.Sprintf("subnets[%d]", i), s, "subnet", true)
	}
	w.id("ec2_security_group_id", c.SecurityGroup, "sg", true)
	w.id("custom_vm_ami", c.Image, "ami", false)
	w.form("aws_instance_type", c.InstanceType, typeForm, "m5.large", true)
	w.auth(c.Auth)
	for _, name := range sortedKeys(c.Classes) {
		w.class("classes."+name, c.Classes[name])
	}
	for _, name := range sortedKeys(c.Images) {
		w.id("images."+name, c.Images[name], "ami", true)
	}
	if c.Disk.GB != 0 && (c.Disk.GB < 8 || c.Disk.GB > 65536) {
		w.bad("disk.size_gb", "is %d: gp3 has 8 to 65536", c.Disk.GB)
	}
	for _, k := range c.Spot {
		if k != ci.MachineForJob && k != ci.MachineForDocker {
			w.bad("spot", "%q is neither %s nor %s", k, ci.MachineForJob, ci.MachineForDocker)
		}
	}
	if c.Net.Endpoint != "" {
		if u, err := url.Parse(c.Net.Endpoint); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			w.bad("endpoint", "is no address such as https://vpce-0abc.ec2.us-west-2.vpce.amazonaws.com: leave it out for Amazon's own")
		}
	}
	return errors.Join(w...)
}

// wrongs are what is wrong with settings.
type wrongs []error

func (w *wrongs) bad(setting, format string, args ...any) {
	*w = append(*w, fmt.Errorf("%s %s: %w", setting, fmt.Sprintf(format, args...), ci.ErrInvalid))
}

func (w *wrongs) form(setting, value, form, example string, required bool) {
	switch {
	case value == "" && required:
		w.bad(setting, "is missing: write one such as %s", example)
	case value != "" && !regexp.MustCompile(form).MatchString(value):
		w.bad(setting, "%.80q is none: write one such as %s", value, example)
	}
}

func (w *wrongs) id(setting, value, prefix string, required bool) {
	w.form(setting, value, fmt.Sprintf(idForm, prefix), prefix+"-0123456789abcdef0", required)
}

func (w *wrongs) auth(a Auth) {
	switch a.Way {
	case "", InstanceProfile:
		if a.AccessKey != "" || a.SecretKey != "" {
			w.bad("aws_authentication", "is instance_profile: leave out access_key and secret_key, or write keys")
		}
	case Keys:
		if a.AccessKey == "" {
			w.bad("access_key", "is missing: aws_authentication is keys, so give that of an IAM user")
		} else if !regexp.MustCompile(`^[A-Z0-9]{16,128}$`).MatchString(a.AccessKey) {
			w.bad("access_key", "has not the form of one: 20 capital letters and digits, as in AKIA...; is it the secret key?")
		}
		if a.SecretKey == "" {
			w.bad("secret_key", "is missing: aws_authentication is keys, so give that of an IAM user")
		} else if strings.ContainsAny(a.SecretKey, " \t\r\n") {
			w.bad("secret_key", "has blanks in it: copy it again")
		}
	default:
		w.bad("aws_authentication", "%.40q is neither instance_profile nor keys", a.Way)
	}
}

func (w *wrongs) class(setting string, c Class) {
	if len(c.Types) == 0 {
		w.bad(setting+".types", "is missing: name at least one such as m5.large")
	}
	for i, t := range c.Types {
		w.form(fmt.Sprintf("%s.types[%d]", setting, i), t, typeForm, "m5.large", true)
	}
	w.id(setting+".custom_vm_ami", c.Image, "ami", false)
}

// class returns what a resource class is.
func (c Config) class(name string) Class {
	k, ok := c.Classes[name]
	if !ok {
		k.Types = []string{c.InstanceType}
	}
	return k
}

// subnets returns all of them, each once.
func (c Config) subnets() []string {
	all := []string{c.Subnet}
	for _, s := range c.Subnets {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
