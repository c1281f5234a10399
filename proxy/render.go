package proxy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

func renderEnvironment(s Settings, r *Rendering) {
	s, lost := s.open("/etc/environment")
	vars, more := s.variables()
	r.Lost = append(lost, more...)
	for _, v := range vars {
		r.Text += v[0] + "=" + v[1] + "\n" // no shell reads this: neither export nor quotes
	}
	options, more := s.javaOptions()
	r.Lost = append(r.Lost, more...)
	if len(options) > 0 {
		r.Text += `JVM_OPTS="` + strings.Join(options, " ") + "\"\n"
	}
}

func renderSecretFile(s Settings, r *Rendering) {
	vars, lost := s.variables()
	r.Lost = lost
	for _, v := range vars {
		r.Text += v[0] + "=" + v[1] + "\n"
	}
}

func exports(s Settings, r *Rendering) {
	vars, lost := s.variables()
	r.Lost = append(r.Lost, lost...)
	for _, v := range vars {
		r.Text += "export " + v[0] + "=" + quoteShell(v[1]) + "\n"
	}
}

func renderShell(s Settings, r *Rendering) { exports(s, r) }

func renderCustomizations(s Settings, r *Rendering) {
	s, r.Lost = s.open("the file")
	exports(s, r)
	options, lost := s.javaOptions()
	r.Lost = append(r.Lost, lost...)
	if len(options) > 0 { // the shell that reads the file keeps what it had; of two -D the last holds
		r.Text += `export JVM_OPTS="${JVM_OPTS-} ` + strings.Join(options, " ") + "\"\n"
	}
}

func renderSystemd(s Settings, r *Rendering) {
	if s.IsZero() {
		return
	}
	r.Text = "[Service]\n"
	if s.HTTP.pass != "" || s.HTTPS.pass != "" {
		path := forms()[SecretFile].path
		r.Text += "EnvironmentFile=" + path + "\n"
		r.Lost = append(r.Lost, Loss{s.HTTP.String(), "units may be read by every user of the machine", "write " + path + " with the target " + string(SecretFile)})
		return
	}
	vars, lost := s.variables()
	r.Lost = lost
	for _, v := range vars {
		r.Text += `Environment="` + v[0] + "=" + strings.ReplaceAll(v[1], "%", "%%") + "\"\n"
	}
}

// goList returns NO_PROXY for programs that follow Go's rules in full.
func (s Settings) goList() string {
	var items []string
	for _, r := range s.Rules() {
		items = append(items, r.String())
	}
	return strings.Join(items, ",")
}

// setJSON makes the text from keys and values; every key is a path.
func (r *Rendering) setJSON(pairs ...any) {
	doc := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		path := strings.Split(pairs[i].(string), "/")
		if pairs[i+1] == "" {
			continue
		}
		at := doc
		for _, name := range path[:len(path)-1] {
			next, ok := at[name].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[name] = next
			}
			at = next
		}
		at[path[len(path)-1]] = pairs[i+1]
		r.keys = append(r.keys, path)
	}
	r.Text = writeJSON(doc)
}

func writeJSON(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return "" // strings and maps of them can always be written
	}
	return b.String()
}

func renderDockerDaemon(s Settings, r *Rendering) {
	s, r.Lost = s.open("daemon.json")
	if s.IsZero() {
		r.setJSON()
		return
	}
	r.setJSON("proxies/http-proxy", s.HTTP.text(), "proxies/https-proxy", s.HTTPS.text(), "proxies/no-proxy", s.goList())
	r.Lost = append(r.Lost, Loss{"proxies", "engines before 23.0 do not read it", "use the target " + string(Systemd) + " for those; restart the engine after either"})
}

func renderDockerConfig(s Settings, r *Rendering) {
	if s.IsZero() {
		r.setJSON()
		return
	}
	items, lost := s.list()
	r.Lost = lost
	r.setJSON("proxies/default/httpProxy", s.HTTP.text(), "proxies/default/httpsProxy", s.HTTPS.text(), "proxies/default/noProxy", strings.Join(items, ","))
}

func renderReplicated(s Settings, r *Rendering) {
	s, r.Lost = s.open("the file")
	a := s.HTTP
	if a.IsZero() {
		a = s.HTTPS
	}
	r.setJSON("HttpProxy", a.text())
	if !a.IsZero() && s.HTTPS != s.HTTP {
		r.Lost = append(r.Lost, Loss{s.HTTPS.String(), "the file has one proxy for both protocols", ""})
	}
}

func renderApt(s Settings, r *Rendering) {
	s, r.Lost = s.open("apt.conf")
	for _, p := range []struct {
		name string
		a    Address
	}{{"http", s.HTTP}, {"https", s.HTTPS}} {
		if p.a.IsZero() {
			continue
		}
		r.Text += fmt.Sprintf("Acquire::%s::Proxy \"%s\";\n", p.name, p.a.text())
		for _, rule := range s.Rules() {
			if host := exact(rule); host != "" {
				r.Text += fmt.Sprintf("Acquire::%s::Proxy::%s \"DIRECT\";\n", p.name, host)
			}
		}
	}
	if s.IsZero() {
		return
	}
	for _, rule := range s.Direct {
		if rule.Host != "" || exact(rule) == "" {
			r.Lost = append(r.Lost, Loss{rule.String(), "apt knows single hosts only, without what is below them", "name each mirror that is reached directly"})
		}
	}
}

// exact returns the one host that a rule is about, or "".
func exact(r Rule) string {
	switch {
	case r.Port != 0 || r.Below || r.All:
		return ""
	case r.single() && r.Net.Addr().Is4():
		return r.Net.Addr().String()
	}
	return r.Host
}

func renderJVM(s Settings, r *Rendering) {
	options, lost := s.javaOptions()
	r.Lost = lost
	if len(options) > 0 {
		r.Text = strings.Join(options, " ") + "\n"
	}
}

func renderGit(s Settings, r *Rendering) {
	s, r.Lost = s.open("/etc/gitconfig")
	if s.HTTPS.IsZero() {
		if !s.HTTP.IsZero() {
			r.Text = "[http \"http://\"]\n\tproxy = " + s.HTTP.text() + "\n"
		}
		return
	}
	r.Text = "[http]\n\tproxy = " + s.HTTPS.text() + "\n"
	if s.HTTP != s.HTTPS {
		r.Lost = append(r.Lost, Loss{s.HTTP.String(), "git has one proxy for both protocols: that of https is used", ""})
	}
	for _, rule := range s.Rules() {
		hosts := []string{rule.Host, "*." + rule.Host}
		switch {
		case rule.Port != 0 || rule.All || rule.Net.IsValid() && !rule.single():
			if len(r.Text) > 0 && !slices.Contains(always(), rule) {
				r.Lost = append(r.Lost, Loss{rule.String(), "git knows single hosts only", "name the hosts"})
			}
			continue
		case rule.single():
			hosts = []string{(Rule{Net: rule.Net, Port: 0}).String()}
			if rule.Net.Addr().Is6() {
				hosts[0] = "[" + hosts[0] + "]"
			}
		case rule.Below:
			hosts = hosts[1:]
		}
		for _, h := range hosts {
			for _, scheme := range []string{"http", "https"} {
				r.Text += fmt.Sprintf("[http \"%s://%s/\"]\n\tproxy =\n", scheme, h)
			}
		}
	}
	r.Lost = append(r.Lost, Loss{"ssh", "git over SSH asks no HTTP proxy", "clone by https, or set a ProxyCommand in ssh_config"})
}

func renderNpm(s Settings, r *Rendering) {
	s, r.Lost = s.open("npmrc")
	if s.IsZero() {
		return
	}
	for _, v := range [][2]string{{"proxy", s.HTTP.text()}, {"https-proxy", s.HTTPS.text()}} {
		if v[1] != "" {
			r.Text += v[0] + "=" + v[1] + "\n"
		}
	}
	items, lost := s.list()
	r.Lost = append(r.Lost, lost...)
	r.Text += "noproxy=" + strings.Join(items, ",") + "\n"
}

func renderNomadUserData(s Settings, r *Rendering) {
	exports(s, r)
	if s.IsZero() {
		return
	}
	var apt Rendering
	renderApt(s, &apt)
	r.Text += "cat > " + forms()[AptConf].path + " <<'APT'\n" + apt.Text + "APT\n"
	var unit Rendering
	renderSystemd(s, &unit)
	if s.HTTP.pass != "" || s.HTTPS.pass != "" {
		var secret Rendering
		renderSecretFile(s, &secret)
		path := forms()[SecretFile].path
		r.Text += "install -D -m 600 /dev/stdin " + path + " <<'ENV'\n" + secret.Text + "ENV\n"
		r.Lost = append(r.Lost, Loss{s.HTTP.String(), "whoever reaches the metadata address reads the user data, the login too", "let the proxy know the clients by their network"})
	}
	for _, name := range []string{"docker", "containerd", "nomad"} {
		r.Text += "install -D -m 644 /dev/stdin /etc/systemd/system/" + name + ".service.d/http-proxy.conf <<'UNIT'\n" + unit.Text + "UNIT\n"
	}
	r.Text += "systemctl daemon-reload\n"
}
