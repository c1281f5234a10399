package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
	"github.com/rondo-ci/rondo/vmservice/ec2"
)

// A machineForm is the guide's form "VM Service".
type machineForm struct{ *garage }

func (f machineForm) section() web.SettingsSection {
	x := web.SettingsSection{
		ID: formMachines, Title: "VM Service", Try: "Ask the provider",
		Help: "Where machines for the machine executor and remote Docker come from. It is in force at once: machines of another provider that no job has are ended, jobs keep theirs, and the volumes with Docker layers there are removed. To go to another account of Amazon, save None first and wait until rondo vm list is empty.",
		Fields: []web.SettingsField{
			{Name: "provider", Label: "VM Provider", Kind: "choice", Options: [][2]string{{noMachines, "None"}, {onEC2, "AWS EC2"}, {onThisHost, "On-Host"}},
				Help: "With None, jobs of the machine executor run where all jobs run, and remote Docker is refused."},
			{Name: "aws_region", Label: "AWS Region", Kind: "text", Help: "As in us-west-2. Required for AWS EC2."},
			{Name: "ec2_subnet_id", Label: "EC2 Subnet ID", Kind: "text", Help: "Where machines are made, as in subnet-0123456789abcdef0; in the region above. Required for AWS EC2."},
			{Name: "ec2_security_group_id", Label: "EC2 Security Group ID", Kind: "text", Help: "Of all machines, as in sg-0123456789abcdef0; it lets agents in on ports 22, 2376 and 54782. Required for AWS EC2."},
			{Name: "custom_vm_ami", Label: "Custom VM AMI", Kind: "text", Help: "The image of machines, as in ami-0123456789abcdef0; empty is the newest Ubuntu 24.04. rondo-server machines image makes a template of one."},
			{Name: "aws_instance_type", Label: "AWS Instance Type", Kind: "text", Help: "As in m5.large. Required for AWS EC2."},
			{Name: "aws_authentication", Label: "AWS Authentication", Kind: "choice", Options: [][2]string{{string(ec2.InstanceProfile), "IAM Instance Profile"}, {string(ec2.Keys), "IAM User (Key+Secret)"}}},
			{Name: "access_key", Label: "Access Key", Kind: "text", Help: "Of the IAM user, as in AKIA..."},
			{Name: "secret_key", Label: "Secret Key", Kind: "secret", Help: "Of the IAM user."},
			{Name: "prealloc_remote_docker", Label: "VM Preallocation: Remote Docker", Kind: "text", Help: "How many machines wait for jobs that set up remote Docker; 0 makes them on demand only."},
			{Name: "prealloc_machine", Label: "VM Preallocation: Machine Executor", Kind: "text", Help: "How many machines wait for jobs of the machine executor; 0 makes them on demand only."},
			{Name: "onhost.dir", Label: "On-Host: folder", Kind: "text", Help: "Where machines and volumes are kept; empty is /var/lib/rondo-machines. The server has to be root."},
			{Name: "onhost.image", Label: "On-Host: image", Kind: "text", Help: "The folder that rondo-server machines image --onhost has filled; empty is image in the folder above."},
			{Name: "listen", Label: "Address of /status and /load", Kind: "text", Help: "Of this host, as in 0.0.0.0:3001; empty is 127.0.0.1:3001."},
		},
	}
	if f.locked {
		x.Locked = "It is set in the file of settings (machines.provider)."
	}
	return x
}

func (f machineForm) fill(ctx context.Context, x *web.SettingsSection) error {
	if s := f.fleet.Status(); s.Provider != "" {
		x.State = fmt.Sprintf("In force: %s, %d machines.", s.Provider, len(f.fleet.Machines(0)))
	}
	return f.in.fillSaved(ctx, x)
}

// typedMachines are the settings of the form's values, checked. What the form
// has no field for, as budgets and classes, is that of the file.
func typedMachines(file machinesSettings, v map[string]string) (machinesSettings, error) {
	var wrong []error
	number := func(name string) int {
		n, err := strconv.Atoi(cmp.Or(v[name], "0"))
		if err != nil {
			wrong = append(wrong, fmt.Errorf("machines.%s: %q is no number: write one such as 2", name, v[name]))
		}
		return n
	}
	s := file
	s.Provider, s.Listen = cmp.Or(v["provider"], noMachines), cmp.Or(v["listen"], file.Listen)
	s.RemoteDocker, s.Machine = number("prealloc_remote_docker"), number("prealloc_machine")
	s.OnHost.Dir, s.OnHost.Image = cmp.Or(v["onhost.dir"], file.OnHost.Dir), cmp.Or(v["onhost.image"], file.OnHost.Image)
	s.Region, s.Subnet, s.SecurityGroup = v["aws_region"], v["ec2_subnet_id"], v["ec2_security_group_id"]
	s.Image, s.InstanceType, s.Auth = v["custom_vm_ami"], v["aws_instance_type"], ec2.Way(v["aws_authentication"])
	s.typed = &ec2.Auth{Way: s.Auth}
	if s.Auth == ec2.Keys { // the other choice's fields do not count
		s.typed.AccessKey, s.typed.SecretKey = v["access_key"], v["secret_key"]
	}
	wrong = append(wrong, s.check())
	if err := errors.Join(wrong...); err != nil {
		return s, byLabel(err, "machines.", machineForm{&garage{}}.section().Fields)
	}
	return s, nil
}

func (f machineForm) save(ctx context.Context, values map[string]string, act ci.Act) error {
	f.saving.Lock()
	defer f.saving.Unlock()
	d, all, err := f.in.whole(ctx, formMachines, values)
	if err != nil {
		return err
	}
	s, err := typedMachines(f.file, all)
	if err != nil {
		return err
	}
	if s.on() { // what the driver refuses is not saved
		if _, err := f.driver(s); err != nil {
			return err
		}
	}
	changes, err := f.earlier(ctx, s)
	if err != nil {
		return err
	}
	if d, err = f.in.sealed(ctx, d, all); err != nil {
		return err
	}
	changes = append(changes, ci.DocChange{Doc: d})
	if err := f.in.recorded(ctx, act, func() error { _, err := f.in.db.WriteDocs(ctx, changes...); return err }); err != nil {
		return err
	}
	if err := f.use(ctx, s, f.gone(s.provider())); err != nil {
		return fmt.Errorf("it is saved, and not all of it is in force: %w: %w", err, ci.ErrConflict)
	}
	f.in.mender.good(formMachines)
	return nil
}

// earlier returns what keeps the settings that are in force until now, if they
// are of another provider: without them what it has could not be ended after a
// restart.
func (f machineForm) earlier(ctx context.Context, next machinesSettings) ([]ci.DocChange, error) {
	var changes []ci.DocChange
	if provider := next.provider(); provider != "" {
		d, err := f.in.db.Doc(ctx, kindSettings, formMachines+"/"+provider)
		if err == nil { // it is in force again
			changes = append(changes, ci.DocChange{Doc: d, Delete: true})
		} else if !errors.Is(err, ci.ErrNotFound) {
			return nil, err
		}
	}
	_, values, err := f.in.saved(ctx, formMachines)
	if err != nil && !errors.Is(err, errSealed) {
		return nil, err
	}
	now, wrong := typedMachines(f.file, values)
	if now.provider() == "" || now.provider() == next.provider() || wrong != nil && err == nil {
		return changes, nil
	}
	if err != nil {
		return nil, fmt.Errorf("machines of %s may be left, and the secrets that end them cannot be opened now: save the secrets of %s anew first, or wait: %w: %w", now.provider(), now.provider(), err, ci.ErrConflict)
	}
	kept, err := f.in.db.Doc(ctx, kindSettings, formMachines+"/"+now.provider())
	if errors.Is(err, ci.ErrNotFound) {
		kept, err = ci.Doc{Kind: kindSettings, ID: formMachines + "/" + now.provider()}, nil
	}
	if err == nil {
		kept, err = f.in.sealed(ctx, kept, values)
	}
	return append(changes, ci.DocChange{Doc: kept}), err
}

// tryTime is how long the provider may take to answer all questions.
const tryTime = 90 * time.Second

func (f machineForm) try(ctx context.Context, values map[string]string) ([]string, error) {
	_, all, err := f.in.whole(ctx, formMachines, values)
	if err != nil {
		return nil, err
	}
	s, err := typedMachines(f.file, all)
	if err != nil {
		return nil, err
	}
	if !s.on() {
		return []string{"There would be no machines."}, nil
	}
	d, err := f.driver(s)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	found, err := d.Check(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the provider: %w: %w", err, ci.ErrConflict)
	}
	var lines []string
	for _, a := range found {
		lines = append(lines, fmt.Sprintf("%s: %s: %s", a.Verdict, a.Subject, adviceText(a)))
	}
	return lines, nil
}
