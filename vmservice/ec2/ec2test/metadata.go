package ec2test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// metadata is the metadata service of the machine that the server runs on.
type metadata struct {
	role    string // "" is none
	handed  int    // credentials, so far
	asked   int    // requests
	without int    // of them without a token
}

// Role gives the machine of the caller a role, whose credentials its metadata
// service hands out, to requests with a session token only.
func (c *Cloud) Role(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.metadata.role = name
}

// MetadataCalls returns how often the metadata service was asked, and how often
// of these without a session token.
func (c *Cloud) MetadataCalls() (all, without int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.metadata.asked, c.metadata.without
}

func (m *metadata) key() string     { return fmt.Sprintf("ASIAROLE%08d", m.handed) }
func (m *metadata) session() string { return fmt.Sprintf("session-%d", m.handed) }

func isMetadata(r *http.Request) bool {
	return r.URL.Hostname() == "169.254.169.254" || strings.HasPrefix(r.URL.Path, "/latest/")
}

// The parts of the metadata service that credentials need.
const (
	tokenPath = "/latest/api/token"
	rolesPath = "/latest/meta-data/iam/security-credentials/"
	session   = "metadata-session"
)

func (c *Cloud) serveMetadata(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.metadata.asked++
	path := strings.TrimSuffix(r.URL.Path, "/") + "/"
	switch {
	case r.URL.Path == tokenPath && r.Method == http.MethodPut && r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") != "":
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds"))
		say(w, session)
	case r.Header.Get("X-Aws-Ec2-Metadata-Token") != session:
		c.metadata.without++
		w.WriteHeader(http.StatusUnauthorized)
	case c.metadata.role == "" || !strings.HasPrefix(path, rolesPath):
		w.WriteHeader(http.StatusNotFound)
	case path == rolesPath:
		say(w, c.metadata.role)
	case path == rolesPath+c.metadata.role+"/":
		c.metadata.handed++
		now := c.cfg.Now().UTC()
		text, err := json.Marshal(map[string]any{
			"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": now, "AccessKeyId": c.metadata.key(), "SecretAccessKey": "role-secret",
			"Token": c.metadata.session(), "Expiration": now.Add(6 * time.Hour),
		})
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		say(w, string(text))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func say(w io.Writer, text string) { _, _ = io.WriteString(w, text) } // a client that has gone needs nothing
