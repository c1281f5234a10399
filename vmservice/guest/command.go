package guest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// An engine is how a Docker engine is started.
type engine struct {
	systemd  bool
	args     []string // its command line; with systemd the words of ExecStart
	file     string   // where its settings are
	settings string   // JSON; "" is none
}

// readEngine reads what show_engine of serveScript has said.
func readEngine(said []string) (engine, error) {
	var e engine
	for _, line := range said {
		key, value, _ := strings.Cut(line, " ")
		if key == "systemd" {
			e.systemd = true
			continue
		}
		text, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return engine{}, fmt.Errorf("what it says of its engine cannot be read: %.80q", line)
		}
		switch key {
		case "line":
			e.args = strings.Fields(string(text))
		case "args":
			e.args = strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
		case "file":
			e.file = string(text)
		case "settings":
			e.settings = string(text)
		}
	}
	if len(e.args) == 0 || e.args[0] == "" || !strings.HasPrefix(e.file, "/") {
		return engine{}, errors.New("it does not tell how its Docker engine is started: is docker.service that of Docker?")
	}
	return e, nil
}

// ours are the settings that are no longer what they were.
var ours = [...]string{"hosts", "tls", "tlsverify", "tlscacert", "tlscert", "tlskey"}

// serving returns the engine as it serves by TLS at host, besides where it
// served before. Docker refuses a setting that is a flag as well, so those of
// the command line become settings.
func (e engine) serving(host string) (engine, error) {
	settings := map[string]any{}
	if strings.TrimSpace(e.settings) != "" {
		if err := json.Unmarshal([]byte(e.settings), &settings); err != nil || settings == nil {
			return engine{}, fmt.Errorf("its %s is no JSON object: %w", e.file, ci.ErrInvalid)
		}
	}
	hosts, args := e.split()
	if old, ok := settings["hosts"].([]any); ok {
		for _, h := range old {
			if h, ok := h.(string); ok {
				hosts = append(hosts, h)
			}
		}
	}
	// What listens without TLS on a network would do so with it now, at another
	// port than everybody expects.
	hosts = slices.DeleteFunc(hosts, func(h string) bool { return strings.HasPrefix(h, "tcp:") || !strings.Contains(h, "://") })
	if !slices.ContainsFunc(hosts, func(h string) bool { return strings.HasPrefix(h, "unix:") || strings.HasPrefix(h, "fd:") }) {
		hosts = append(hosts, "unix:///var/run/docker.sock")
	}
	every := "0.0.0.0"
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		every = "::"
	}
	hosts = append(hosts, "tcp://"+net.JoinHostPort(every, dockerPort))
	slices.Sort(hosts)
	for _, name := range ours {
		delete(settings, name)
	}
	settings["hosts"], settings["tlsverify"] = slices.Compact(hosts), true
	for name, file := range map[string]string{"tlscacert": "ca", "tlscert": "cert", "tlskey": "key"} {
		settings[name] = "/etc/docker/rondo/" + file + ".pem"
	}
	text, err := json.MarshalIndent(settings, "", "  ")
	if err != nil {
		return engine{}, err
	}
	e.args, e.settings = args, string(text)+"\n"
	return e, nil
}

// split takes addresses and TLS out of the command line. A flag's value is its
// own word, or stands behind = or, for -H, right behind it.
func (e engine) split() (hosts, args []string) {
	for i := 0; i < len(e.args); i++ {
		word := e.args[i]
		name, value, given := strings.Cut(word, "=")
		if strings.HasPrefix(word, "-H") && word != "-H" && !given || strings.HasPrefix(word, "-H") && len(name) > 2 {
			name, value, given = "-H", strings.TrimPrefix(word[2:], "="), true
		}
		flag := strings.TrimPrefix(name, "--")
		switch {
		case i == 0:
			args = append(args, word)
		case name == "-H" || name == "--host":
			if !given && i+1 < len(e.args) {
				i++
				value = e.args[i]
			}
			hosts = append(hosts, value)
		case name == "--tls" || name == "--tlsverify": // switches, whose value stands behind =
		case strings.HasPrefix(name, "--") && slices.Contains(ours[:], flag):
			if !given {
				i++
			}
		default:
			args = append(args, word)
		}
	}
	return hosts, args
}

// line is the command line as it is stored: a drop-in of systemd, or the words
// with a NUL behind each.
func (e engine) line() string {
	if e.systemd {
		return "# Written by Rondo: the addresses are in " + e.file + ".\n[Service]\nExecStart=\nExecStart=" + strings.Join(e.args, " ") + "\n"
	}
	return strings.Join(e.args, "\x00") + "\x00"
}
