package ec2test

import (
	"slices"
	"time"
)

// What answers look like, by the element names of the API reference.
type (
	tagXML struct {
		Key   string `xml:"key"`
		Value string `xml:"value"`
	}
	stateXML struct {
		Code int    `xml:"code"`
		Name string `xml:"name"`
	}
	reasonXML struct {
		Code    string `xml:"code"`
		Message string `xml:"message"`
	}
	changeXML struct {
		ID  string   `xml:"instanceId"`
		Now stateXML `xml:"currentState"`
		Was stateXML `xml:"previousState"`
	}
	mappingXML struct {
		Device string `xml:"deviceName"`
		Volume string `xml:"ebs>volumeId"`
		Status string `xml:"ebs>status"`
	}
	instanceXML struct {
		ID        string       `xml:"instanceId"`
		Image     string       `xml:"imageId"`
		State     stateXML     `xml:"instanceState"`
		Type      string       `xml:"instanceType"`
		Launch    time.Time    `xml:"launchTime"`
		Zone      string       `xml:"placement>availabilityZone"`
		Private   string       `xml:"privateIpAddress,omitempty"`
		Public    string       `xml:"ipAddress,omitempty"`
		Subnet    string       `xml:"subnetId"`
		Reason    *reasonXML   `xml:"stateReason"`
		Token     string       `xml:"clientToken"`
		Lifecycle string       `xml:"instanceLifecycle,omitempty"`
		Devices   []mappingXML `xml:"blockDeviceMapping>item"`
		Tags      []tagXML     `xml:"tagSet>item"`
	}
	reservationXML struct {
		ID        string        `xml:"reservationId"`
		Instances []instanceXML `xml:"instancesSet>item"`
	}
	instancesAnswer struct {
		Reservations []reservationXML `xml:"reservationSet>item"`
		Next         string           `xml:"nextToken,omitempty"`
	}
	terminateAnswer struct {
		Items []changeXML `xml:"instancesSet>item"`
	}
	doneAnswer struct {
		Return bool `xml:"return"`
	}
	attachmentXML struct {
		Volume   string `xml:"volumeId"`
		Instance string `xml:"instanceId"`
		Device   string `xml:"device"`
		Status   string `xml:"status"`
	}
	volumeXML struct {
		ID          string          `xml:"volumeId"`
		Size        int             `xml:"size"`
		Zone        string          `xml:"availabilityZone"`
		Status      string          `xml:"status"`
		Created     time.Time       `xml:"createTime"`
		Encrypted   bool            `xml:"encrypted"`
		Type        string          `xml:"volumeType"`
		Attachments []attachmentXML `xml:"attachmentSet>item"`
		Tags        []tagXML        `xml:"tagSet>item"`
	}
	volumesAnswer struct {
		Volumes []volumeXML `xml:"volumeSet>item"`
		Next    string      `xml:"nextToken,omitempty"`
	}
)

func tagList(tags map[string]string) []tagXML {
	var all []tagXML
	for k, v := range tags {
		all = append(all, tagXML{k, v})
	}
	slices.SortFunc(all, func(a, b tagXML) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	return all
}

func (c *Cloud) reservation(i *instance, now time.Time) reservationXML {
	code, name := i.state(now)
	x := instanceXML{
		ID: i.ID, Image: i.Image, State: stateXML{code, name}, Type: i.Type, Launch: i.Created, Zone: i.Zone,
		Subnet: i.Subnet, Token: i.token, Tags: tagList(i.Tags),
	}
	if name != "terminated" {
		x.Private = i.Address
		if i.Request.Get("NetworkInterface.1.AssociatePublicIpAddress") == "true" && name == "running" {
			x.Public = "198.51.100.7"
		}
	}
	if i.Spot {
		x.Lifecycle = "spot"
	}
	if i.reason != "" {
		x.Reason = &reasonXML{i.reason, i.message}
	}
	for device, id := range i.devices {
		if device == "/dev/sda1" || c.holds(i, device) {
			x.Devices = append(x.Devices, mappingXML{device, id, "attached"})
		}
	}
	return reservationXML{"r-" + i.ID[2:], []instanceXML{x}}
}

func (c *Cloud) volumeAnswer(v *volume, now time.Time) volumeXML {
	x := volumeXML{
		ID: v.ID, Size: v.GB, Zone: v.Zone, Status: v.state(now), Created: v.created.UTC(), Encrypted: v.Encrypted, Type: v.Type, Tags: tagList(v.Tags),
	}
	if v.machine != "" {
		x.Attachments = []attachmentXML{{v.ID, v.machine, v.device, v.attachment(now)}}
	}
	return x
}
