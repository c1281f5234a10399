package api

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// An artifact is a [ci.File] for people on the wire.
type artifact struct {
	Path string `json:"path"`
	Node int    `json:"node_index"`
	URL  string `json:"url"`
	Size int64  `json:"size"`
}

// An artifactKey is where a page of artifacts ends.
type artifactKey struct {
	Node int    `json:"n"`
	Path string `json:"p"`
}

func (c *call) listArtifacts() (any, error) {
	f, err := c.job(false)
	if err != nil {
		return nil, err
	}
	var after artifactKey
	if err := c.pageKey(&after); err != nil {
		return nil, err
	}
	var items []artifact
	for i, t := range f.job.Tasks {
		if i < after.Node || t.Epoch == 0 {
			continue
		}
		like := ci.File{Kind: ci.FileArtifact, Task: f.job.ID.Task(i), Epoch: t.Epoch}
		for file, err := range c.files.FindFiles(c.r.Context(), f.project.ID, like) {
			if err != nil {
				return nil, err
			}
			if i == after.Node && file.Name <= after.Path {
				continue
			}
			if len(items) == artifactPage {
				last := items[len(items)-1]
				return pageOf(items, artifactKey{last.Node, last.Path}), nil
			}
			items = append(items, artifact{file.Name, i, c.artifactURL(f.job.ID, i, file.Name), file.Size})
		}
	}
	return pageOf(items, nil), nil
}

// artifactURL returns the address of an artifact's bytes.
func (c *call) artifactURL(id ci.JobID, node int, name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return fmt.Sprintf("%s%s/rondo/job/%s/artifacts/%d/%s", c.cfg.URL, root, url.PathEscape(string(id)), node, strings.Join(parts, "/"))
}

// openArtifact sends an artifact as a download: whatever a job has written must
// not run as a page of this server.
func (c *call) openArtifact() (any, error) {
	f, err := c.job(false)
	if err != nil {
		return nil, err
	}
	node, err := strconv.Atoi(c.r.PathValue("node"))
	if err != nil || node < 0 || node >= len(f.job.Tasks) {
		return nil, ci.ErrNotFound
	}
	like := ci.File{
		Kind: ci.FileArtifact, Task: f.job.ID.Task(node), Epoch: f.job.Tasks[node].Epoch, Name: c.r.PathValue("path"),
	}
	var file ci.File
	for found, err := range c.files.FindFiles(c.r.Context(), f.project.ID, like) {
		if err != nil {
			return nil, err
		}
		if found.Name == like.Name {
			file = found
			break
		}
	}
	if file.Name == "" {
		return nil, refuse(http.StatusNotFound, "Artifact not found")
	}
	r, err := c.files.OpenFile(c.r.Context(), f.project.ID, file)
	if err != nil {
		return nil, named(err, "Artifact")
	}
	defer r.Close()
	h := c.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", "attachment; filename*=UTF-8''"+url.PathEscape(path.Base(file.Name)))
	h.Set("Content-Length", strconv.FormatInt(file.Size, 10))
	h.Set("ETag", `"`+file.SHA256+`"`)
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method == http.MethodHead {
		return written, nil
	}
	s := newStream(c.w)
	defer s.close()
	// A file that turns out damaged ends before its announced length, which the
	// client notices.
	_, err = io.CopyBuffer(struct{ io.Writer }{s}, struct{ io.Reader }{r}, make([]byte, 256<<10))
	return written, err
}

// A stream writes a long reply to a client that may be slow, but not dead: each
// write has a while to get through.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	moved   time.Time
}

const writeTimeout = 30 * time.Second

func newStream(w http.ResponseWriter) *stream {
	return &stream{w: w, control: http.NewResponseController(w)}
}

func (s *stream) Write(p []byte) (int, error) {
	if now := time.Now(); now.Sub(s.moved) > time.Second {
		s.moved = now
		_ = s.control.SetWriteDeadline(now.Add(writeTimeout))
	}
	return s.w.Write(p)
}

func (s *stream) flush() error { return s.control.Flush() }

// close takes the deadline back, which would outlive the request.
func (s *stream) close() { _ = s.control.SetWriteDeadline(time.Time{}) }
