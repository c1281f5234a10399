package onhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// fileForwarding names the devices whose forwarding was off before us.
const fileForwarding = "forwarding"

// metadata are where clouds tell any machine that asks who it is.
var metadata = []string{"169.254.0.0/16", "168.63.129.16/32", "100.100.100.200/32"}

// chains are those of the installation: to the host, from machines, to machines,
// and under which address.
func (d *Driver) chains() (host, from, to, under string) {
	c := "RONDO-" + d.tag
	return c + "-HOST", c + "-FROM", c + "-TO", c + "-NAT"
}

// jumps are the rules in the chains of the host that lead to ours. They are
// first there, whatever the host lets pass.
func (d *Driver) jumps() [][]string {
	host, from, to, under := d.chains()
	ours := d.prefix() + "+"
	return [][]string{
		{"filter", "INPUT", "-i", ours, "-j", host},
		{"filter", "FORWARD", "-o", ours, "-j", to},
		{"filter", "FORWARD", "-i", ours, "-j", from},
		{"nat", "POSTROUTING", "-s", d.cfg.Range.String(), "!", "-o", ours, "-j", under},
	}
}

// rules returns the chains of the installation with all that is in them.
func (d *Driver) rules() (string, error) {
	names, err := resolvers()
	if err != nil {
		return "", err
	}
	ways, err := uplinks()
	if err != nil {
		return "", err
	}
	host, from, to, under := d.chains()
	var filter []string
	add := func(chain, rule string) { filter = append(filter, "-A "+chain+" "+rule) }
	const refused = "-j REJECT --reject-with icmp-admin-prohibited"
	const answers = "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
	add(host, answers)
	add(to, answers)
	for _, chain := range []string{host, from} {
		for _, n := range names { // it may be the host's own, or where metadata are
			if d.cfg.Outside != Nowhere {
				add(chain, fmt.Sprintf("-d %s/32 -p udp --dport 53 -j ACCEPT", n))
				add(chain, fmt.Sprintf("-d %s/32 -p tcp --dport 53 -j ACCEPT", n))
			}
		}
	}
	add(host, refused)
	add(to, refused)
	for _, m := range append([]string{d.cfg.Range.String()}, metadata...) {
		add(from, "-d "+m+" "+refused)
	}
	add(from, "-m conntrack --ctstate DNAT "+refused) // ports of containers that the host publishes
	if d.cfg.Outside == Nowhere {
		add(from, refused)
	}
	for _, w := range ways { // what goes elsewhere is for the host's own rules
		add(from, "-o "+w+" -j ACCEPT")
	}
	nat := ""
	if d.cfg.Outside == NAT {
		nat = "-A " + under + " -j MASQUERADE\n"
	}
	return fmt.Sprintf("*filter\n:%s - [0:0]\n:%s - [0:0]\n:%s - [0:0]\n%s\nCOMMIT\n*nat\n:%s - [0:0]\n%sCOMMIT\n",
		host, from, to, strings.Join(filter, "\n"), under, nat), nil
}

// setRules sets the rules, also over older or damaged ones of ours, and lets the
// host forward. The caller holds the lock of the network.
func (d *Driver) setRules(ctx context.Context) error {
	text, err := d.rules()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(runDir, "rules-"+d.tag), nil, 0o600); err != nil {
		return err
	}
	if _, err := tool(ctx, text, "iptables-restore", "-w", "--noflush"); err != nil {
		return fmt.Errorf("set the rules of the firewall: %w", err)
	}
	for _, j := range d.jumps() {
		rule := append([]string{"-w", "-t", j[0]}, "-C")
		rule = append(rule, j[1:]...)
		if _, err := tool(ctx, "", "iptables", rule...); err == nil {
			continue
		}
		rule[3] = "-I"
		if _, err := tool(ctx, "", "iptables", rule...); err != nil {
			return fmt.Errorf("set the rules of the firewall: %w", err)
		}
	}
	if d.cfg.Outside == Nowhere {
		return nil
	}
	return forward()
}

// forward lets the host pass on what comes in by its uplinks. Only those are
// changed, and they are noted first.
func forward() error {
	ways, err := uplinks()
	if err != nil {
		return err
	}
	note := filepath.Join(runDir, fileForwarding)
	noted, err := os.ReadFile(note)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, w := range ways {
		file := forwardingFile(w)
		value, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(value)) != "0" {
			continue // it went just now, or it does so already
		}
		noted = fmt.Appendf(noted, "%s\n", w)
		if err := write(note, noted, 0o600); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte("1"), 0); err != nil {
			return fmt.Errorf("let the host forward: %w", err)
		}
	}
	return nil
}

func forwardingFile(device string) string {
	return filepath.Join("/proc/sys/net/ipv4/conf", device, "forwarding")
}

// tidyNetwork takes back the rules when the installation has no machine left,
// and the forwarding when no installation has one.
func (d *Driver) tidyNetwork(ctx context.Context) error {
	mark := filepath.Join(runDir, "rules-"+d.tag)
	if !exists(mark) {
		return nil
	}
	held, err := lockNetwork(ctx)
	if err != nil {
		return err
	}
	defer held.Close()
	left, err := links(d.prefix())
	if err != nil || len(left) > 0 {
		return err
	}
	for _, j := range d.jumps() {
		// One that is not there is what we want.
		_, _ = tool(ctx, "", "iptables", append([]string{"-w", "-t", j[0], "-D"}, j[1:]...)...)
	}
	host, from, to, under := d.chains()
	for _, c := range [][2]string{{"filter", host}, {"filter", from}, {"filter", to}, {"nat", under}} {
		if _, err := tool(ctx, "", "iptables", "-w", "-t", c[0], "-S", c[1]); err != nil {
			continue // it is not there
		}
		for _, how := range []string{"-F", "-X"} {
			if _, err := tool(ctx, "", "iptables", "-w", "-t", c[0], how, c[1]); err != nil {
				return fmt.Errorf("take back rules of the firewall: %w", err)
			}
		}
	}
	if err := os.Remove(mark); err != nil {
		return err
	}
	others, err := filepath.Glob(filepath.Join(runDir, "rules-*"))
	if err != nil || len(others) > 0 {
		return err
	}
	return unforward()
}

// unforward sets back what [forward] has set, unless somebody else has switched
// forwarding on for all devices meanwhile, as Docker does.
func unforward() error {
	note := filepath.Join(runDir, fileForwarding)
	noted, err := os.ReadFile(note)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	all, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err != nil {
		return err
	}
	for w := range strings.FieldsSeq(string(noted)) {
		if strings.TrimSpace(string(all)) != "0" {
			break
		}
		if err := os.WriteFile(forwardingFile(w), []byte("0"), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Remove(note)
}
