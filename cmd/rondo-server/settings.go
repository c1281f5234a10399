package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/storage/secrets"
	"go.yaml.in/yaml/v3"
)

// settings are what the file of "rondo-server serve" says.
type settings struct {
	// URL is how people and code hosts reach the server.
	URL string `yaml:"url"`
	// Listen is the address of pages and API, Agents that of the agents' door.
	Listen string `yaml:"listen"`
	Agents string `yaml:"agents"`
	// Proxies are the networks of the proxies that stand before the server:
	// what they say of where a request comes from is believed.
	Proxies networks `yaml:"proxies"`
	// Data is the folder of all state.
	Data string `yaml:"data"`
	// Database is the address of a Postgres; "" is SQLite in Data.
	Database secretRef `yaml:"database"`
	// Lease is how long an agent may be silent before its task is given up; 0
	// is five and a half minutes.
	Lease time.Duration `yaml:"lease"`
	// Queue says how tasks wait.
	Queue struct {
		// OrgLimit is how many tasks of one organisation run at once; what is
		// more waits in the usage queue. 0 is no limit.
		OrgLimit int `yaml:"org_limit"`
	} `yaml:"queue"`
	// Log is "text" or "json".
	Log string `yaml:"log"`
	// Orbs is a folder of orbs besides the registry.
	Orbs string `yaml:"orbs"`
	// Folders are git folders of this machine whose new commits are built.
	Folders  []string         `yaml:"folders"`
	GitHub   *githubSettings  `yaml:"github"`
	Secrets  secretsSettings  `yaml:"secrets"`
	Webhooks webhooksSettings `yaml:"webhooks"`
	Audit    auditSettings    `yaml:"audit"`
	Proxy    *proxySettings   `yaml:"proxy"`
	Trust    []string         `yaml:"trust"`
	TLS      *tlsSettings     `yaml:"tls"`
	Metrics  metricsSettings  `yaml:"metrics"`
	Storage  storageSettings  `yaml:"storage"`
	Machines machinesSettings `yaml:"machines"`
	Ports    portsSettings    `yaml:"ports"`
	Auth     *authSettings    `yaml:"auth"`
	LDAP     *ldapSettings    `yaml:"ldap"`

	// file is where they stand, to read a part again.
	file     string
	Executor executorSettings `yaml:"executor"`
	Nomad    *nomadSettings   `yaml:"nomad"`
	// Cluster says that this is one of several servers; nil is the only one.
	Cluster *clusterSettings `yaml:"cluster"`
}

// githubSettings say how to reach GitHub, or a GitHub Enterprise of one's own.
type githubSettings struct {
	Host          string    `yaml:"host"` // "" is https://github.com
	Token         secretRef `yaml:"token"`
	WebhookSecret secretRef `yaml:"webhook_secret"`
	StatusPrefix  string    `yaml:"status_prefix"`
	CA            string    `yaml:"ca"` // file of certificates in PEM
}

// secretsSettings say what protects stored secrets: a Vault or the keyset of
// this server, which a passphrase or a key file opens. With both, Use says
// which one new secrets are sealed by, and what the other one has sealed
// follows.
type secretsSettings struct {
	Use        string         `yaml:"use"` // vault or local; "" is vault if there is one
	Passphrase secretRef      `yaml:"passphrase"`
	Key        string         `yaml:"key"` // file of 32 bytes, outside of data
	Vault      *vaultSettings `yaml:"vault"`
}

// vaultSettings name a transit key of a Vault.
type vaultSettings struct {
	Address string    `yaml:"address"`
	Token   secretRef `yaml:"token"`
	Mount   string    `yaml:"mount"` // "" is transit
	Key     string    `yaml:"key"`   // "" is rondo
	CA      string    `yaml:"ca"`
}

// root returns what opens the keyset of this server, and false if nothing is
// said about it.
func (s secretsSettings) root() (secrets.Root, bool) {
	switch {
	case s.Passphrase != "":
		kind, name, _ := strings.Cut(string(s.Passphrase), ":")
		if kind == "env" {
			return secrets.PassphraseEnv(name), true
		}
		return secrets.PassphraseFile(name), true // which others must not read
	case s.Key != "":
		return secrets.KeyFile(s.Key), true
	}
	return secrets.Root{}, false
}

// key is the name of the transit key.
func (v *vaultSettings) key() string { return cmp.Or(v.Key, "rondo") }

// webhooksSettings say where outbound webhooks may go besides public
// addresses.
type webhooksSettings struct {
	Allow networks `yaml:"allow"`
}

// networks are networks of addresses, as in 10.0.0.0/8.
type networks []netip.Prefix

// UnmarshalYAML implements yaml.Unmarshaler.
func (n *networks) UnmarshalYAML(node *yaml.Node) error {
	var texts []string
	if err := node.Decode(&texts); err != nil {
		return err
	}
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("line %d: %q is no network, as in 10.0.0.0/8", node.Line, text)
		}
		*n = append(*n, prefix)
	}
	return nil
}

// contain reports whether the address is in one of the networks.
func (n networks) contain(a netip.Addr) bool {
	return slices.ContainsFunc(n, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) })
}

// A secretRef says where a secret is, so that the file of settings holds none:
// env:NAME or file:PATH.
type secretRef string

// read returns the secret, without the line's end.
func (r secretRef) read() (string, error) {
	kind, name, _ := strings.Cut(string(r), ":")
	var value string
	switch kind {
	case "env":
		value = os.Getenv(name)
		if value == "" {
			return "", fmt.Errorf("the environment variable %s is empty", name)
		}
	case "file":
		text, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		if value = strings.TrimRight(string(text), "\r\n"); value == "" {
			return "", fmt.Errorf("%s is empty", name)
		}
	}
	return value, nil
}

// check tells what is wrong with the reference itself. It does not repeat it:
// it may be the secret.
func (r secretRef) check(key string, needed bool) error {
	kind, name, _ := strings.Cut(string(r), ":")
	switch {
	case r == "" && needed:
		return fmt.Errorf("%s is missing: write env:NAME or file:PATH", key)
	case r != "" && (name == "" || kind != "env" && kind != "file"):
		return fmt.Errorf("%s: write env:NAME or file:PATH, not the secret itself", key)
	}
	return nil
}

// loadSettings reads and checks the file.
func loadSettings(path string) (settings, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return settings{}, fmt.Errorf("read settings: %w", err)
	}
	s, err := parseSettings(text)
	if err != nil {
		return settings{}, fmt.Errorf("%s: %w", path, err)
	}
	s.file = path
	return s, nil
}

// parseSettings reads settings, fills in what is left out and checks the rest.
// It names every mistake that it finds.
func parseSettings(text []byte) (settings, error) {
	s := settings{Listen: "127.0.0.1:8080", Agents: "127.0.0.1:8585", Log: "text"}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&s); err != nil && !errors.Is(err, io.EOF) {
		return s, plainYAML(err)
	}
	return s, s.check()
}

var goType = regexp.MustCompile(` in type main\.\w+`)

// plainYAML writes the decoder's error in the words of who wrote the file.
func plainYAML(err error) error {
	text := goType.ReplaceAllString(err.Error(), "")
	text = strings.TrimPrefix(text, "yaml: ")
	text = strings.TrimPrefix(text, "unmarshal errors:\n  ")
	text = strings.ReplaceAll(text, "\n  ", "; ")
	text = strings.ReplaceAll(text, "field ", "key ")
	text = strings.ReplaceAll(text, " not found", " is not known (see rondo-server serve --help)")
	for name, why := range notNeeded() {
		text = strings.ReplaceAll(text, "key "+name+" is not known (see rondo-server serve --help)", "Rondo needs no "+name+": "+why+"; take it out")
	}
	return errors.New(text)
}

// notNeeded are the services that the guide lets people run outside, and Rondo
// does without, by the keys that settings from there may have, and why.
func notNeeded() map[string]string {
	const broker, events, records = "queues are in this process and its database", "live events are served at /app/ of the pages' address", "all records are in the one database (database:)"
	return map[string]string{
		"redis": "caches and " + broker, "rabbitmq": broker, "slanger": events, "pusher": events,
		"mongo": records, "mongodb": records, "exim": "it sends no mail, webhooks tell others",
	}
}

func (s *settings) check() error {
	var wrong []error
	add := func(err error) {
		if err != nil {
			wrong = append(wrong, err)
		}
	}
	u, err := url.Parse(s.URL)
	switch {
	case s.URL == "":
		add(errors.New("url is missing: the address under which people and code hosts reach this server, as in https://ci.example.com"))
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		add(fmt.Errorf("url: %q is no address of a server, as in https://ci.example.com", s.URL))
	}
	s.URL = strings.TrimRight(s.URL, "/")
	for key, address := range map[string]string{"listen": s.Listen, "agents": s.Agents} {
		if _, _, err := net.SplitHostPort(address); err != nil {
			add(fmt.Errorf("%s: %q is not host:port, as in 0.0.0.0:8080", key, address))
		}
	}
	if s.Data == "" {
		add(errors.New("data is missing: the folder where the server keeps its state, as in /var/lib/rondo"))
	}
	if s.Lease != 0 && (s.Lease < 5*time.Second || s.Lease > time.Hour) {
		add(fmt.Errorf("lease: %s is not between 5s and 1h", s.Lease))
	}
	if s.Queue.OrgLimit < 0 {
		add(errors.New("queue.org_limit is not negative"))
	}
	if s.Log != "text" && s.Log != "json" {
		add(fmt.Errorf("log: %q is neither text nor json", s.Log))
	}
	if g := s.GitHub; g != nil {
		add(g.Token.check("github.token", true))
		add(g.WebhookSecret.check("github.webhook_secret", true))
	}
	add(s.Database.check("database", false))
	if s.LDAP != nil {
		add(s.LDAP.check())
	}
	add(s.Cluster.check(s))
	add(s.Secrets.check())
	add(s.Audit.check())
	add(s.Metrics.check())
	add(s.Proxy.check())
	add(s.TLS.check(s.URL, s.Proxies))
	add(s.Storage.check())
	add(s.Machines.check())
	add(s.Ports.check())
	add(s.Executor.check())
	add(s.Nomad.check())
	add(s.Auth.check())
	return errors.Join(wrong...)
}

func (s secretsSettings) check() error {
	switch {
	case s.Passphrase != "" && s.Key != "":
		return errors.New("secrets: choose one of passphrase and key")
	case s.Use != "" && s.Use != "vault" && s.Use != "local":
		return fmt.Errorf("secrets.use: %q is neither vault nor local", s.Use)
	case s.Use == "vault" && s.Vault == nil:
		return errors.New("secrets.use is vault, and secrets.vault is missing")
	}
	if s.Vault != nil && s.Vault.Address == "" {
		return errors.New("secrets.vault.address is missing, as in https://vault.example.com:8200")
	}
	if s.Vault != nil {
		return s.Vault.Token.check("secrets.vault.token", true)
	}
	return s.Passphrase.check("secrets.passphrase", false)
}
