package web

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// fileRows is how many artifacts a page lists.
const fileRows = 500

// A filesView is the artifacts of a job.
type filesView struct {
	Rows  []fileRow
	More  bool
	Nodes bool // there is more than one node
}

// Sample is how a job stores artifacts.
func (filesView) Sample() string { return "- store_artifacts:\n    path: coverage\n" }

// A fileRow is an artifact on a page.
type fileRow struct {
	ci.File
	Node      int
	Get, Open string // addresses; Open is "" where it would not be safe or of use
}

// files lists the artifacts of all nodes of a job.
func (s *site) files(ctx context.Context, at jobPlace) (filesView, error) {
	v := filesView{Nodes: len(at.job.Tasks) > 1}
	if s.cfg.Artifacts == nil {
		return v, nil
	}
	for node, t := range at.job.Tasks {
		if t.Epoch == 0 {
			continue
		}
		like := ci.File{Kind: ci.FileArtifact, Task: at.job.ID.Task(node), Epoch: t.Epoch}
		for f, err := range s.cfg.Artifacts.FindFiles(ctx, at.project.ID, like) {
			if err != nil {
				return v, err
			}
			if len(v.Rows) == fileRows {
				v.More = true
				return v, nil
			}
			row := fileRow{File: f, Node: node, Get: artifactPath("get", at.job.ID, node, f.Name)}
			if kindOf(f.Name).open {
				row.Open = artifactPath("open", at.job.ID, node, f.Name)
			}
			v.Rows = append(v.Rows, row)
		}
	}
	return v, nil
}

// A kind is how a file is served: its content type, and whether a browser may
// show it.
type kind struct {
	mime string
	open bool
}

// kindOf goes by the name's ending and by a list of what is known; the rest is
// bytes to keep.
func kindOf(name string) kind {
	switch strings.ToLower(path.Ext(name)) {
	case ".html", ".htm":
		return kind{"text/html; charset=utf-8", true} // in a sandbox, without scripts
	case ".txt", ".log", ".md", ".xml", ".csv", ".tap", ".yml", ".yaml", ".toml", ".diff", ".patch", ".out":
		return kind{"text/plain; charset=utf-8", true}
	case ".json":
		return kind{"application/json", true}
	case ".css":
		return kind{"text/css; charset=utf-8", true}
	case ".png":
		return kind{"image/png", true}
	case ".jpg", ".jpeg":
		return kind{"image/jpeg", true}
	case ".gif":
		return kind{"image/gif", true}
	case ".webp":
		return kind{"image/webp", true}
	case ".svg":
		return kind{"image/svg+xml", true} // in a sandbox
	}
	return kind{"application/octet-stream", false}
}

// sandbox is what an artifact may do in a browser: show itself, with the
// styles and pictures that lie beside it. It has no scripts, no forms and an
// origin of its own.
const sandbox = "sandbox; default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// artifact serves a file of a job.
func (s *site) artifact(w http.ResponseWriter, r *http.Request) error {
	at, f, err := s.findArtifact(r)
	if err != nil {
		return err
	}
	if r.Header.Get("Service-Worker") != "" {
		return fmt.Errorf("artifact: may not be a service worker: %w", ci.ErrDenied)
	}
	k := kindOf(f.Name)
	disposition := "attachment"
	switch verb := r.PathValue("verb"); {
	case verb == "open" && k.open:
		disposition = "inline"
	case verb != "get" && verb != "open":
		return ci.ErrNotFound
	}
	var content io.ReadCloser
	if r.Method != http.MethodHead {
		if content, err = s.cfg.Artifacts.OpenFile(r.Context(), at.project.ID, f); err != nil {
			return err
		}
		defer content.Close()
	}
	h := w.Header()
	h.Set("Content-Security-Policy", sandbox)
	if r.PathValue("verb") == "open" {
		// In its sandbox a report is foreign to the files beside it.
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	}
	h.Set("Content-Type", k.mime)
	h.Set("Content-Disposition", dispose(disposition, f.Name))
	h.Set("Content-Length", itoa(f.Size))
	h.Set("Cache-Control", "private, max-age=3600")
	if f.SHA256 != "" {
		h.Set("ETag", `"`+clean(f.SHA256, 64, false)+`"`)
	}
	if content == nil {
		return nil
	}
	out := steadily(w)
	defer out.close()
	if _, err := io.Copy(out, content); err != nil {
		return s.broken(r, err)
	}
	return nil
}

// findArtifact returns the file that an address names.
func (s *site) findArtifact(r *http.Request) (jobPlace, ci.File, error) {
	ctx := r.Context()
	id, name := ci.JobID(r.PathValue("job")), r.PathValue("name")
	missing := fmt.Errorf("artifact: %w", ci.ErrNotFound)
	node, err := strconv.ParseUint(r.PathValue("node"), 10, 31)
	if err != nil || s.cfg.Artifacts == nil {
		return jobPlace{}, ci.File{}, missing
	}
	wid, err := s.read.JobWorkflow(ctx, id)
	if err != nil {
		return jobPlace{}, ci.File{}, err
	}
	at := jobPlace{node: int(node)}
	if at.workflow, err = s.read.Workflow(ctx, wid); err != nil {
		return at, ci.File{}, err
	}
	j := at.workflow.Attempt(id)
	if j == nil || at.node >= len(j.Tasks) {
		return at, ci.File{}, missing
	}
	at.job = *j
	if at.project, err = s.read.Project(ctx, at.workflow.Project); err != nil {
		return at, ci.File{}, err
	}
	like := ci.File{Kind: ci.FileArtifact, Task: at.task(), Epoch: at.state().Epoch, Name: name}
	for f, err := range s.cfg.Artifacts.FindFiles(ctx, at.project.ID, like) {
		if err != nil {
			return at, ci.File{}, err
		}
		if f.Name == name {
			return at, f, nil
		}
	}
	return at, ci.File{}, missing
}

// dispose returns the Content-Disposition for a file: its last name, in a form
// that no name can break out of.
func dispose(how, name string) string {
	name = strings.TrimLeft(clean(path.Base(name), 200, false), "-.")
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune("/\\:*?\"<>|\t", r) {
			return '_'
		}
		return r
	}, name)
	if name == "" {
		name = "artifact"
	}
	if v := mime.FormatMediaType(how, map[string]string{"filename": name}); v != "" {
		return v
	}
	return how
}
