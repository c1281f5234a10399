package ec2test

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"
)

// An Instance is what a test may look at.
type Instance struct {
	ID, Type, Image, Subnet, Zone string
	Address                       string
	State                         string // pending, running, shutting-down, terminated
	Spot                          bool
	Tags                          map[string]string
	UserData                      string
	Created                       time.Time
	Request                       url.Values // by which it was made
}

type instance struct {
	Instance
	token, sum string
	made       time.Time // Created is in whole seconds, as at Amazon
	running    time.Time
	ended      time.Time // when its end was asked for; zero is not
	gone       time.Time // zero is not yet
	reason     string
	message    string
	stuck      bool
	devices    map[string]string // volume by name of device
}

// Instances returns all that there ever were, in the order of their making.
func (c *Cloud) Instances() []Instance {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	c.settle(now)
	var all []Instance
	for _, i := range c.instances {
		x := i.Instance
		_, x.State = i.state(now)
		x.Tags = maps.Clone(i.Tags)
		all = append(all, x)
	}
	return all
}

// SetAddresses gives the machines that are made from now on other addresses
// than 10.0.x.y: those where a test answers for them. It is asked with numbers
// that never come again.
func (c *Cloud) SetAddresses(of func(n int) string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.address = of
}

// Alive returns those that are not terminated.
func (c *Cloud) Alive() []Instance {
	return slices.DeleteFunc(c.Instances(), func(i Instance) bool { return i.State == "terminated" })
}

func (i *instance) state(now time.Time) (int, string) {
	switch {
	case !i.gone.IsZero():
		return 48, "terminated"
	case !i.ended.IsZero():
		return 32, "shutting-down"
	case now.Before(i.running):
		return 0, "pending"
	}
	return 16, "running"
}

// end begins the end.
func (i *instance) end(now time.Time) {
	if i.ended.IsZero() {
		i.ended = now
	}
}

// settle lets pass what time has brought.
func (c *Cloud) settle(now time.Time) {
	for _, i := range c.instances {
		if i.ended.IsZero() || !i.gone.IsZero() || i.stuck || now.Before(i.ended.Add(c.cfg.End)) {
			continue
		}
		i.gone = now
		for _, v := range c.volumes {
			if v.machine == i.ID {
				v.free()
			}
		}
	}
	for _, v := range c.volumes {
		if !v.detached.IsZero() && !now.Before(v.detached) && !v.stuck {
			v.free()
		}
	}
}

func (c *Cloud) runInstances(form url.Values, now time.Time) (any, *fault) {
	subnetID := cmp.Or(form.Get("NetworkInterface.1.SubnetId"), form.Get("SubnetId"))
	group := cmp.Or(form.Get("NetworkInterface.1.SecurityGroupId.1"), form.Get("SecurityGroupId.1"))
	typ := form.Get("InstanceType")
	net, ok := c.lookups.subnets[subnetID]
	if !ok {
		return nil, bad("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", subnetID)
	}
	if g, ok := c.lookups.groups[group]; !ok || g.VPC != net.VPC {
		return nil, bad("InvalidGroup.NotFound", "The security group '%s' does not exist in VPC '%s'", group, net.VPC)
	}
	if _, ok := c.lookups.images[form.Get("ImageId")]; !ok {
		return nil, bad("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", form.Get("ImageId"))
	}
	kind, ok := c.lookups.types[typ]
	if !ok {
		return nil, bad("InvalidParameterValue", "Invalid value '%s' for InstanceType.", typ)
	}
	data, err := base64.StdEncoding.DecodeString(form.Get("UserData"))
	if err != nil || len(data) > 16<<10 {
		return nil, bad("InvalidParameterValue", "User data is limited to 16384 bytes")
	}
	token := form.Get("ClientToken")
	if len(token) > 64 {
		return nil, bad("InvalidParameterValue", "ClientToken is limited to 64 ASCII characters")
	}
	if f := dry(form); f != nil {
		return nil, f
	}
	if form.Get("MinCount") != "1" || form.Get("MaxCount") != "1" {
		return nil, bad("InvalidParameterCombination", "this cloud makes one instance a call")
	}
	for _, i := range c.instances {
		if token != "" && i.token == token {
			if i.sum != sum(form) {
				return nil, bad("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
			}
			return c.reservation(i, now), nil
		}
	}
	if f := c.room(typ, net, kind.vcpus); f != nil {
		return nil, f
	}
	n := c.id()
	i := &instance{
		Instance: Instance{
			ID: fmt.Sprintf("i-%017x", n), Type: typ, Image: form.Get("ImageId"), Subnet: subnetID, Zone: net.Zone,
			Address: c.address(n), Spot: form.Get("InstanceMarketOptions.MarketType") == "spot",
			Tags: tagsFor(form, "instance"), UserData: string(data), Created: now.UTC().Truncate(time.Second), Request: form,
		},
		token: token, sum: sum(form), made: now, running: now.Add(c.cfg.Boot), devices: map[string]string{"/dev/sda1": fmt.Sprintf("vol-%017x", c.id())},
	}
	c.instances = append(c.instances, i)
	return c.reservation(i, now), nil
}

// room says whether there is room for one more.
func (c *Cloud) room(typ string, net Subnet, vcpus int) *fault {
	here, used, addresses := 0, 0, 0
	for _, i := range c.instances {
		if !i.gone.IsZero() {
			continue
		}
		used += c.lookups.types[i.Type].vcpus
		if i.Subnet == net.ID {
			addresses++
		}
		if i.Type == typ && i.Zone == net.Zone {
			here++
		}
	}
	switch limit := c.full[[2]string{typ, net.Zone}]; {
	case limit > 0 && here >= limit-1:
		return &fault{500, "InsufficientInstanceCapacity", fmt.Sprintf("We currently do not have sufficient %s capacity in the Availability Zone you requested (%s).", typ, net.Zone)}
	case c.cfg.VCPUs > 0 && used+vcpus > c.cfg.VCPUs:
		return bad("VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit of %d allows", c.cfg.VCPUs)
	case addresses >= net.Addresses:
		return bad("InsufficientFreeAddressesInSubnet", "There are not enough free addresses in subnet '%s' to satisfy the requested number of instances.", net.ID)
	}
	return nil
}

// find returns an instance that can be seen.
func (c *Cloud) find(id string, now time.Time) (*instance, *fault) {
	for _, i := range c.instances {
		if i.ID == id && !i.hidden(now, c.cfg.Lag) {
			return i, nil
		}
	}
	if len(id) != 19 && len(id) != 10 {
		return nil, bad("InvalidInstanceID.Malformed", "Invalid id: \"%s\"", id)
	}
	return nil, bad("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", id)
}

// hidden reports whether it can't be seen: not yet, or no longer.
func (i *instance) hidden(now time.Time, lag time.Duration) bool {
	return now.Before(i.made.Add(lag)) || !i.gone.IsZero() && now.After(i.gone.Add(time.Hour))
}

func (c *Cloud) describeInstances(form url.Values, now time.Time) (any, *fault) {
	if f := dry(form); f != nil {
		return nil, f
	}
	ids := list(form, "InstanceId")
	for _, id := range ids {
		if _, f := c.find(id, now); f != nil {
			return nil, f
		}
	}
	var all []*instance
	for _, i := range c.instances {
		if i.hidden(now, c.cfg.Lag) || len(ids) > 0 && !slices.Contains(ids, i.ID) {
			continue
		}
		_, state := i.state(now)
		ok, f := filtered(form, i.Tags, func(name string) (string, bool) {
			v, ok := map[string]string{"instance-id": i.ID, "instance-state-name": state, "client-token": i.token, "subnet-id": i.Subnet}[name]
			return v, ok
		})
		if f != nil {
			return nil, f
		}
		if ok {
			all = append(all, i)
		}
	}
	shown, next, f := page(c, form, all)
	if f != nil {
		return nil, f
	}
	out := instancesAnswer{Next: next}
	for _, i := range shown {
		out.Reservations = append(out.Reservations, c.reservation(i, now))
	}
	return out, nil
}

func (c *Cloud) terminateInstances(form url.Values, now time.Time) (any, *fault) {
	var all []*instance
	for _, id := range list(form, "InstanceId") { // one wrong ID, and none is ended
		i, f := c.find(id, now)
		if f != nil {
			return nil, f
		}
		all = append(all, i)
	}
	if f := dry(form); f != nil {
		return nil, f
	}
	var out terminateAnswer
	for _, i := range all {
		before, name := i.state(now)
		i.end(now)
		if i.reason == "" {
			i.reason, i.message = "Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown"
		}
		code, after := i.state(now)
		out.Items = append(out.Items, changeXML{i.ID, stateXML{code, after}, stateXML{before, name}})
	}
	return out, nil
}

func (c *Cloud) createTags(form url.Values, now time.Time) (any, *fault) {
	for _, id := range list(form, "ResourceId") {
		tags, f := c.tagsOf(id, now)
		if f != nil {
			return nil, f
		}
		if f := dry(form); f != nil {
			return nil, f
		}
		for j := 1; form.Has(fmt.Sprintf("Tag.%d.Key", j)); j++ {
			tags[form.Get(fmt.Sprintf("Tag.%d.Key", j))] = form.Get(fmt.Sprintf("Tag.%d.Value", j))
		}
	}
	return doneAnswer{true}, nil
}

func (c *Cloud) tagsOf(id string, now time.Time) (map[string]string, *fault) {
	if v, f := c.findVolume(id, now); f == nil {
		return v.Tags, nil
	}
	i, f := c.find(id, now)
	if f != nil {
		return nil, f
	}
	return i.Tags, nil
}
