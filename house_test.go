package rondo_test

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/rondo-ci/rondo"

// The rooms, by the folder in which their trees begin. A room inside ci is any
// folder there. A new one at the top needs a line here and in doc.go.
var (
	topRooms = []string{"scheduler", "vmservice", "storage", "auth", "audit", "metrics", "proxy"}
	roof     = []string{"cmd", "examples", "bench"}
)

// thirdParties are all modules that the house may use outside its tests, each
// with the reason why we do not do without it and the rooms that it may enter.
var thirdParties = []struct{ path, rooms, reason string }{
	{"github.com/DataDog/datadog-go/v5", "metrics", "DogStatsD to an agent of DataDog, in metrics/datadog only"},
	{"github.com/aws/aws-sdk-go-v2", "metrics scheduler storage suites vmservice", "CloudWatch, in metrics/cloudwatch only; Auto Scaling, in scheduler/autoscale/asg only; S3, in storage/s3 only; EC2, in vmservice/ec2 only; its signer checks ours in ci/agent/ecr/ecrtest"},
	{"github.com/aws/smithy-go", "metrics scheduler storage vmservice", "the errors and the wire form of the SDK of Amazon"},
	{"github.com/bmatcuk/doublestar/v4", "ci/agent cmd", "** in globs of workspaces, artifacts and tests, as the configuration language promises"},
	{"github.com/coder/websocket", "ci/api ci/web", "the Pusher protocol of live pages (SEC-06)"},
	{"github.com/containerd/errdefs", "ci/agent", "how the engine's client says that something is not there"},
	{"github.com/dlclark/regexp2", "ci/config", "filters are Java regular expressions; real ones use look-ahead, which RE2 lacks"},
	{"github.com/go-acme/lego/v5", "proxy", "ACME by DNS-01, in proxy/acme only"},
	{"github.com/go-asn1-ber/asn1-ber", "auth", "the packets of go-ldap, to ask for StartTLS before its client reads anything"},
	{"github.com/go-ldap/ldap/v3", "auth", "the protocol of directories: packets, filters and names"},
	{"github.com/google/go-github", "ci/forge", "GitHub's REST API, with its limits, pages and errors"},
	{"github.com/go-jose/go-jose/v4", "scheduler", "verifies what Nomad signs about its workloads, in scheduler/nomad only"},
	{"github.com/hashicorp/nomad/api", "scheduler", "the official client of Nomad, in scheduler/nomad only"},
	{"github.com/hashicorp/vault/api", "storage", "the official client of Vault's transit engine, in storage/secrets/vault only"},
	{"github.com/influxdata/telegraf", "metrics", "Telegraf as a library, in the module metrics/telegraf only"},
	{"github.com/jackc/pgx/v5", "storage", "the Postgres driver behind database/sql"},
	{"github.com/klauspost/compress", "ci/agent storage", "zstd of caches, workspaces and sealed logs"},
	{"github.com/mattn/go-isatty", "cmd", "live tables on a terminal, plain lines elsewhere"},
	{"github.com/moby/moby/api", "ci/agent", "the nouns of a Docker engine, in ci/agent/docker only"},
	{"github.com/moby/moby/client", "ci/agent", "the engine's own client, in ci/agent/docker only"},
	{"github.com/pires/go-proxyproto", "cmd", "the PROXY protocol of load balancers"},
	{"github.com/pressly/goose/v3", "storage", "migrations of both dialects, resumable"},
	{"github.com/prometheus/client_golang", "metrics", "the text forms that Prometheus reads"},
	{"github.com/robfig/cron/v3", "ci/forge ci/config ci/schedule cmd", "parses the five fields of a schedule"},
	{"github.com/santhosh-tekuri/jsonschema/v6", "ci/config", "validates against the published schema of the language"},
	{"github.com/spf13/cobra", "cmd", "commands and their help"},
	{"github.com/spf13/pflag", "cmd", "flags of cobra"},
	{"go.yaml.in/yaml/v3", "ci/config cmd", "YAML with places of nodes"},
	{"go.yaml.in/yaml/v4", "ci/config", "YAML with places of nodes"},
	{"gocloud.dev", "audit storage cmd", "one bucket interface over files, S3 and memory; secrets likewise"},
	{"go.opentelemetry.io/otel", "metrics", "traces in the form that collectors take, in metrics/otel only"},
	{"golang.org/x/crypto", "auth ci/secret storage vmservice", "argon2id of local passwords; reads and writes the private SSH keys of projects and machines in the forms of OpenSSH; argon2id of the passphrase of a keyset; the SSH client of machines"},
	{"golang.org/x/net", "proxy", "httpproxy, the code by which Go programs decide about a proxy"},
	{"golang.org/x/oauth2", "auth", "the exchange of codes of a login at GitHub, with PKCE"},
	{"golang.org/x/sync", "*", "errgroup: goroutines that somebody owns"},
	{"golang.org/x/sys", "ci/agent scheduler storage vmservice cmd", "process groups, boot-time clock, fsync of folders; devices and processes of machines on the host, in vmservice/onhost only"},
	{"golang.org/x/term", "cmd", "the width of a terminal"},
	{"golang.org/x/text", "auth ci/config", "Unicode normal forms of names"},
	{"modernc.org/sqlite", "storage", "SQLite without cgo: one binary, nothing to install"},
	{"github.com/stretchr/testify", "suites", "the assertions of the conformance suites"},
	{"github.com/google/go-cmp", "suites", "differences of structures in the suites"},
	{"pgregory.net/rapid", "suites", "random histories in the suites"},
}

// exceptions to the rules, each with its reason. One that no longer excepts
// anything fails the tests, so the table stays small. Subject is as the rule
// prints it.
var exceptions = []struct{ rule, subject, reason string }{
	{"functions", "storage/memdb.mustClone", "a value that was cloned once can be cloned again; else the fake itself is wrong"},
	{"functions", "scheduler/nomad/nomadtest.Server.ServeHTTP", "http.ErrAbortHandler is how a handler breaks a connection, which is what the fake is for"},
	{"type size", "storage.lister", "the driver interface of gocloud.dev lists without a context; it lives as long as one listing"},
	{"type size", "storage.dirWriter", "io.Writer has none; it lives as long as one upload"},
	{"type size", "ci/agent.keeper", "it is the lease's own context, which ends with the lease and is handed to the steps"},
	{"type size", "ci/config.compiler", "one compilation, dropped when the call returns; only orbs wait"},
}

// A pkg is one folder of Go files.
type pkg struct {
	dir   string // slash-separated, "." is the root
	name  string
	files []*file // without tests
	tests []*file
}

// A file is one parsed Go file.
type file struct {
	path  string
	lines int
	ast   *ast.File
	fset  *token.FileSet
}

// at returns file:line of a node, for messages.
func (f *file) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", f.path, f.fset.Position(n.Pos()).Line)
}

// house returns all packages by folder, parsed once.
var house = sync.OnceValues(func() ([]*pkg, error) {
	byDir := map[string]*pkg{}
	err := walk(func(p string, text []byte) error {
		if path.Ext(p) != ".go" {
			return nil
		}
		fset := token.NewFileSet()
		parsed, err := parser.ParseFile(fset, p, text, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := path.Dir(p)
		if byDir[dir] == nil {
			byDir[dir] = &pkg{dir: dir}
		}
		k := byDir[dir]
		f := &file{path: p, ast: parsed, fset: fset, lines: strings.Count(string(text), "\n")}
		if strings.HasSuffix(p, "_test.go") {
			k.tests = append(k.tests, f)
			k.name = cmp.Or(k.name, strings.TrimSuffix(parsed.Name.Name, "_test"))
		} else {
			k.files = append(k.files, f)
			k.name = parsed.Name.Name
		}
		return nil
	})
	var all []*pkg
	for _, k := range byDir {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b *pkg) int { return strings.Compare(a.dir, b.dir) })
	return all, err
})

// walk calls visit for every file that belongs to the repository.
func walk(visit func(path string, text []byte) error) error {
	root := os.DirFS(".")
	return fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && p != "." && (name == "testdata" || name == "bin" || name == "dist" || name[0] == '.' && name != ".ci"):
			return fs.SkipDir
		case !d.Type().IsRegular() || path.Ext(name) == ".test" || path.Ext(name) == ".prof":
			return nil
		}
		text, err := fs.ReadFile(root, p)
		if err != nil {
			return err
		}
		return visit(p, text)
	})
}

// A verdict collects what breaks one rule.
type verdict struct {
	rule   string
	broken []string // subject: what is wrong
}

func (v *verdict) breaks(subject, format string, args ...any) {
	v.broken = append(v.broken, subject+": "+fmt.Sprintf(format, args...))
}

// judge applies check to every package and fails the test for each break that
// is not excepted.
func judge(t *testing.T, rule string, check func(v *verdict, k *pkg)) {
	t.Helper()
	all, err := house()
	require.NoError(t, err)
	require.NotEmpty(t, all)
	v := &verdict{rule: rule}
	for _, k := range all {
		check(v, k)
	}
	report(t, v)
}

func report(t *testing.T, v *verdict) {
	t.Helper()
	used := map[int]bool{}
	for _, b := range v.broken {
		i := slices.IndexFunc(exceptions, func(e struct{ rule, subject, reason string }) bool {
			return e.rule == v.rule && e.reason != "" && strings.HasPrefix(b, e.subject+":")
		})
		if i < 0 {
			t.Errorf("%s: %s", v.rule, b)
		}
		used[i] = true
	}
	for i, e := range exceptions {
		if e.rule == v.rule && !used[i] {
			t.Errorf("%s: exception for %s is not needed any more", e.rule, e.subject)
		}
	}
}

// room returns the room that a folder belongs to: "" for the root, "ci" for
// the ground, "roof" for the roof.
func room(dir string) (string, bool) {
	parts := strings.Split(dir, "/")
	switch {
	case dir == ".":
		return "", true
	case dir == "ci":
		return "ci", true
	case parts[0] == "ci":
		return "ci/" + parts[1], true
	case slices.Contains(roof, parts[0]):
		return "roof", true
	}
	return parts[0], slices.Contains(topRooms, parts[0])
}

// suite reports whether the package is x/xtest: a conformance suite.
func (k *pkg) suite() bool {
	parent := path.Base(path.Dir(k.dir))
	return path.Base(k.dir) == parent+"test"
}

// imports returns the paths that a file imports.
func (f *file) imports() []string {
	var out []string
	for _, i := range f.ast.Imports {
		out = append(out, strings.Trim(i.Path.Value, `"`))
	}
	return out
}

// No arrow runs up, none sideways.
func TestHouse_Arrows(t *testing.T) {
	judge(t, "arrows", func(v *verdict, k *pkg) {
		from, known := room(k.dir)
		if !known {
			v.breaks(k.dir, "not a room of the plan")
		}
		for _, f := range k.files {
			for _, imported := range f.imports() {
				rest, ours := strings.CutPrefix(imported, module)
				if !ours {
					continue
				}
				to, _ := room(strings.TrimPrefix(cmp.Or(rest, "/."), "/"))
				switch {
				case from == "roof":
				case from == "ci" || from == "":
					v.breaks(f.path, "imports %s; %s imports the standard library only", imported, cmp.Or(from, "the root"))
				case to != "ci" && to != from:
					v.breaks(f.path, "imports %s; a room imports ci and its own tree only", imported)
				}
			}
		}
	})
}

// Whatever comes from outside is in the list, with a reason and a place.
func TestHouse_ThirdParties(t *testing.T) {
	judge(t, "third parties", func(v *verdict, k *pkg) {
		from, _ := room(k.dir)
		if from == "roof" {
			from = strings.Split(k.dir, "/")[0]
		}
		for _, f := range k.files {
			for _, imported := range f.imports() {
				first, _, _ := strings.Cut(imported, "/")
				if !strings.Contains(first, ".") || strings.HasPrefix(imported, module) {
					continue
				}
				i := slices.IndexFunc(thirdParties, func(p struct{ path, rooms, reason string }) bool {
					return imported == p.path || strings.HasPrefix(imported, p.path+"/")
				})
				switch {
				case i < 0:
					v.breaks(f.path, "imports %s, which is not in the list", imported)
				case from == "ci" || from == "":
					v.breaks(f.path, "imports %s; the ground imports the standard library only", imported)
				case thirdParties[i].rooms == "*", from == "examples", from == "bench":
				case k.suite() && slices.Contains(strings.Fields(thirdParties[i].rooms), "suites"):
				case !slices.Contains(strings.Fields(thirdParties[i].rooms), from):
					v.breaks(f.path, "imports %s, which may enter %s only", imported, thirdParties[i].rooms)
				}
			}
		}
	})
	for _, p := range thirdParties {
		require.NotEmpty(t, p.reason, "reason for %s", p.path)
	}
}

// Code that ships does not carry the test framework, and no room leans on a
// suite.
func TestHouse_TestingStaysInTests(t *testing.T) {
	judge(t, "testing", func(v *verdict, k *pkg) {
		for _, f := range k.files {
			for _, imported := range f.imports() {
				parent, last := path.Split(imported)
				if k.suite() || strings.HasPrefix(k.dir, "examples") {
					continue
				}
				if imported == "testing" || strings.HasPrefix(imported, "testing/") {
					v.breaks(f.path, "imports %s", imported)
				}
				if strings.HasPrefix(imported, module) && last == path.Base(parent)+"test" {
					v.breaks(f.path, "imports the suite %s", imported)
				}
			}
		}
	})
}

// What the ground and the compiler drag along is known: no cloud SDK, no
// database, no command line.
func TestHouse_LightFoundations(t *testing.T) {
	allowed := map[string][]string{
		"ci":        nil,
		"ci/config": {"github.com/dlclark/regexp2", "github.com/santhosh-tekuri/jsonschema/v6", "go.yaml.in/yaml/v3", "go.yaml.in/yaml/v4", "golang.org/x/text"},
	}
	for dir, modules := range allowed {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./"+dir)
		list.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=mod")
		out, err := list.Output()
		require.NoError(t, err)
		for _, m := range strings.Fields(string(out)) {
			if m != module && !slices.Contains(modules, m) {
				t.Errorf("%s drags %s along", dir, m)
			}
		}
	}
}
