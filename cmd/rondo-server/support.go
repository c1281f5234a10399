package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci/support"
	"github.com/rondo-ci/rondo/proxy/certificate"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// supportCommand writes a support bundle.
func supportCommand() *cobra.Command {
	var file, out, log string
	cmd := &cobra.Command{
		Use: "support", Args: cobra.NoArgs,
		Short: "Write a support bundle: logs, health, settings, queue, without secrets",
		Long: `Support writes an archive (tar.gz) for somebody who is to help: versions, the
settings, what doctor finds, and of a server that runs on this machine its parts,
nodes, queue, hand-outs, figures and the end of its log. Of a server that is down
it has what can be had without it, and the log that --log names.

No secret is in it: the values that the settings name, the keys in the data folder
and whatever looks like a key, a token or a password is replaced by ` + support.Mark + `,
and manifest.json counts how often in which file. It is sent nowhere: read it before you give it away.`,
		Example: `  rondo-server support --config /etc/rondo/rondo.yml --out bundle.tar.gz
  journalctl -u rondo -n 10000 > rondo.log && rondo-server support --log rondo.log`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings(file)
			if err != nil {
				return usageError{err}
			}
			b := bundle{settings: s, files: map[string][]byte{}}
			b.redactor = support.New(b.secrets()...)
			b.collect(cmd.Context(), log)
			if err := b.write(out); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %d files, %d secrets taken out, %d things could not be had (manifest.json says which)\n", out, len(b.files)+1, b.masked(), len(b.Missing))
			return err
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "rondo.yml", "the file of settings")
	cmd.Flags().StringVar(&out, "out", "rondo-support.tar.gz", "the archive to write")
	cmd.Flags().StringVar(&log, "log", "", "a file with the log of the server, besides what the server itself remembers")
	return cmd
}

// A bundle is what goes into the archive. The exported fields are its manifest.
type bundle struct {
	Version string         `json:"version"`
	Go      string         `json:"go"`
	Made    time.Time      `json:"made"`
	Masked  map[string]int `json:"secrets_taken_out"` // by file
	Missing []string       `json:"could_not_be_had"`

	settings settings
	redactor *support.Redactor
	files    map[string][]byte
}

// secrets are all that can be known: what the settings refer to, and the keys in
// the data folder.
func (b *bundle) secrets() []string {
	var all []string
	text, _ := os.ReadFile(b.settings.file)
	var root yaml.Node
	if yaml.Unmarshal(text, &root) == nil {
		walkYAML(&root, func(n *yaml.Node) {
			if ref := secretRef(n.Value); ref.check("", true) == nil {
				if value, err := ref.read(); err == nil {
					_, password, _ := strings.Cut(value, ":")
					all = append(all, value, password)
				}
			}
		})
	}
	keys, _ := filepath.Glob(filepath.Join(b.settings.Data, "*.key"))
	for _, name := range append(keys, filepath.Join(b.settings.Data, "token")) {
		if key, err := os.ReadFile(name); err == nil {
			all = append(all, string(key))
		}
	}
	return all
}

// walkYAML visits every scalar.
func walkYAML(n *yaml.Node, visit func(*yaml.Node)) {
	if n.Kind == yaml.ScalarNode {
		visit(n)
	}
	for _, c := range n.Content {
		walkYAML(c, visit)
	}
}

// maxPart is how many bytes of one thing go into the archive: the end of it.
const maxPart = 16 << 20

// add puts a file into the archive, without its secrets.
func (b *bundle) add(name string, text []byte) {
	if len(text) > maxPart {
		text = text[len(text)-maxPart:]
	}
	clean, n := b.redactor.Text(strings.ToValidUTF8(string(text), "?"))
	b.files[name] = []byte(clean)
	if n > 0 {
		b.Masked[name] += n
	}
}

// miss notes what could not be had, and why.
func (b *bundle) miss(what string, err error) {
	text, _ := b.redactor.Text(fmt.Sprintf("%s: %v", what, err))
	b.Missing = append(b.Missing, text)
}

func (b *bundle) masked() (n int) {
	for _, m := range b.Masked {
		n += m
	}
	return n
}

// collect gathers everything. What cannot be had is noted.
func (b *bundle) collect(ctx context.Context, log string) {
	b.Version, b.Go, b.Made, b.Masked, b.Missing = version, runtime.Version(), time.Now().UTC(), map[string]int{}, []string{}
	if text, err := b.plainSettings(); err != nil {
		b.miss("settings", err)
	} else {
		b.add("settings.yml", text)
	}
	if found, err := b.settings.examine(ctx, ""); err != nil {
		b.miss("doctor", err)
	} else if text, err := json.MarshalIndent(found, "", "  "); err == nil {
		b.add("doctor.json", text)
	}
	for name, path := range map[string]string{
		"health.json": "/api/v2/rondo/services", "nodes.json": "/api/v2/rondo/nodes", "queue.json": "/api/v2/rondo/queue?n=20",
		"placements.json": "/api/v2/rondo/placements", "log.txt": logPath, "figures.txt": "/metrics",
	} {
		text, err := b.ask(ctx, path)
		if err != nil {
			b.miss(name, err)
			continue
		}
		b.add(name, text)
	}
	if log != "" {
		text, err := os.ReadFile(log)
		if err != nil {
			b.miss("--log", err)
			return
		}
		b.add("log-"+filepath.Base(log), text)
	}
}

// plainSettings are the settings without their comments, which may say anything.
func (b *bundle) plainSettings() ([]byte, error) {
	text, err := os.ReadFile(b.settings.file)
	if err != nil {
		return nil, err
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, plainYAML(err)
	}
	var bare func(n *yaml.Node)
	bare = func(n *yaml.Node) {
		n.HeadComment, n.LineComment, n.FootComment = "", "", ""
		for _, c := range n.Content {
			bare(c)
		}
	}
	bare(&root)
	return yaml.Marshal(&root)
}

// askTime is how long the server may take over each answer.
const askTime = 30 * time.Second

// ask asks the server that runs on this machine.
func (b *bundle) ask(ctx context.Context, path string) ([]byte, error) {
	address, err := os.ReadFile(filepath.Join(b.settings.Data, addressFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, errors.New("the server does not run")
	} else if err != nil {
		return nil, err
	}
	token, err := os.ReadFile(filepath.Join(b.settings.Data, "token"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSpace(string(address))+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Circle-Token", strings.TrimSpace(string(token)))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answers %s", res.Status)
	}
	return io.ReadAll(io.LimitReader(res.Body, maxPart))
}

// write writes the archive, whole or not at all, for its owner only.
func (b *bundle) write(out string) error {
	var archive bytes.Buffer
	err := b.pack(&archive)
	if err == nil {
		err = certificate.WriteFile(out, archive.Bytes(), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", out, err)
	}
	return nil
}

// pack packs the files with their manifest.
func (b *bundle) pack(to io.Writer) error {
	manifest, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	files := maps.Clone(b.files)
	files["manifest.json"] = manifest
	z := gzip.NewWriter(to)
	w := tar.NewWriter(z)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: "rondo-support/" + name, Mode: 0o600, Size: int64(len(text)), ModTime: b.Made}); err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	return errors.Join(w.Close(), z.Close())
}
