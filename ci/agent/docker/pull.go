package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"
	"github.com/rondo-ci/rondo/ci"
)

// reference is what names of images look like, as far as it matters that they
// are nothing else.
var reference = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,511}$`)

// fullName returns the name with a tag or digest. A name without would also
// match the beginning of the ID of an image that is somebody else's.
func fullName(name string) (string, error) {
	last := name[strings.LastIndexByte(name, '/')+1:]
	switch {
	case !reference.MatchString(name), strings.HasPrefix(name, "sha256:"):
		return "", invalid("%q is no name of an image", name)
	case strings.Contains(name, "@"), strings.Contains(last, ":"):
		return name, nil
	}
	return name + ":latest", nil
}

// registryOf returns the host of the registry that an image is in.
func registryOf(name string) string {
	first, _, ok := strings.Cut(name, "/")
	if ok && (strings.ContainsAny(first, ".:") || first == "localhost") {
		return first
	}
	return "docker.io"
}

// find returns an image, pulling it if need be.
func (e *Executor) find(ctx context.Context, i ci.Image, vars []ci.Var, out io.Writer) (image.InspectResponse, error) {
	name, err := fullName(i.Image)
	if err != nil {
		return image.InspectResponse{}, err
	}
	found, err := e.engine.ImageInspect(ctx, name)
	if err == nil && !e.cfg.Always {
		return found.InspectResponse, nil
	}
	if err != nil && !cerrdefs.IsNotFound(err) {
		return image.InspectResponse{}, fmt.Errorf("docker engine %s: look for image %s: %w", e.cfg.Host, name, err)
	}
	auth, err := e.credentials(ctx, i, vars)
	if err != nil {
		return image.InspectResponse{}, err
	}
	fmt.Fprintf(out, "Pulling image %s\n", name)
	pulling, err := e.engine.ImagePull(ctx, name, client.ImagePullOptions{RegistryAuth: auth})
	if err == nil {
		err = follow(ctx, pulling, out)
	}
	if err != nil {
		return image.InspectResponse{}, pullError(name, auth != "", err)
	}
	if found, err = e.engine.ImageInspect(ctx, name); err != nil {
		return image.InspectResponse{}, fmt.Errorf("docker engine %s: look for image %s: %w", e.cfg.Host, name, err)
	}
	return found.InspectResponse, nil
}

// pullError tells a mistake of the job from a fault of the network.
func pullError(name string, auth bool, err error) error {
	text := strings.ToLower(err.Error())
	for _, mark := range []string{"unauthorized", "denied", "authentication required", "no basic auth"} {
		if strings.Contains(text, mark) || cerrdefs.IsUnauthorized(err) || cerrdefs.IsPermissionDenied(err) {
			if auth {
				return invalid("image %s: the registry refuses the user name and password of its auth: %v", name, err)
			}
			return invalid("image %s: there is no such image, or it needs auth with a user name and password: %v", name, err)
		}
	}
	for _, mark := range []string{"not found", "manifest unknown", "name unknown", "no matching manifest"} {
		if strings.Contains(text, mark) || cerrdefs.IsNotFound(err) {
			return invalid("image %s: there is no such image: %v", name, err)
		}
	}
	return fmt.Errorf("pull image %s: %w", name, err)
}

// credentials returns what the engine sends to the registry, "" for nothing.
func (e *Executor) credentials(ctx context.Context, i ci.Image, vars []ci.Var) (string, error) {
	var c registry.AuthConfig
	switch {
	case len(i.AWSAuth) > 0:
		if e.cfg.ECR == nil {
			return "", invalid("image %s has aws_auth, which this installation does not know; use auth", i.Image)
		}
		auth, err := expand(i.Image, "aws_auth", i.AWSAuth, vars)
		if err != nil {
			return "", err
		}
		if c.Password, err = e.cfg.ECR(ctx, registryOf(i.Image), auth); err != nil {
			return "", fmt.Errorf("image %s: aws_auth: %w", i.Image, err)
		}
		c.Username = "AWS"
	case len(i.Auth) > 0:
		auth, err := expand(i.Image, "auth", i.Auth, vars)
		if err != nil {
			return "", err
		}
		c.Username, c.Password = auth["username"], auth["password"]
	default:
		return "", nil
	}
	c.ServerAddress = registryOf(i.Image)
	return authconfig.Encode(c)
}

// expand replaces $NAME by variables of project and contexts. No value is ever
// part of an error.
func expand(name, key string, values map[string]string, vars []ci.Var) (map[string]string, error) {
	known := map[string]string{}
	for _, v := range vars {
		known[v.Name] = v.Value
	}
	out := map[string]string{}
	var missing error
	for k, v := range values {
		out[k] = os.Expand(v, func(name2 string) string {
			value, ok := known[name2]
			if !ok {
				missing = invalid("image %s: its %s names the variable %s, which neither the project nor a context of the job has", name, key, name2)
			}
			return value
		})
		if !strings.Contains(v, "$") {
			out[k] = v
		}
	}
	return out, missing
}

// Bounds of what a pull may print, and how often it tells of its progress.
const (
	pullLines = 200
	pullEvery = 5 * time.Second
)

// follow reads the progress of a pull to its end and tells of it in few lines.
func follow(ctx context.Context, p client.ImagePullResponse, out io.Writer) error {
	defer p.Close()
	lines, next := 0, time.Now().Add(pullEvery)
	now, total := map[string]int64{}, map[string]int64{}
	for m, err := range p.JSONMessages(ctx) {
		if err != nil {
			return err
		}
		if m.Error != nil {
			return errors.New(m.Error.Message)
		}
		line := statusLine(m)
		if m.Progress != nil && len(now) < 1000 {
			now[m.ID], total[m.ID] = m.Progress.Current, max(m.Progress.Total, total[m.ID])
			if time.Now().After(next) {
				next = time.Now().Add(pullEvery)
				line = fmt.Sprintf("  %s of %s", mega(now), mega(total))
			}
		}
		if line == "" || lines >= pullLines {
			continue
		}
		if lines++; lines == pullLines {
			line = "  ..."
		}
		fmt.Fprintln(out, line)
	}
	return nil
}

func mega(parts map[string]int64) string {
	var sum int64
	for _, n := range parts {
		sum += max(n, 0)
	}
	return fmt.Sprintf("%.1f MB", float64(sum)/1e6)
}

// statusLine returns what of a message people want to know. A registry has a
// say in it, so it is cut and stripped.
func statusLine(m jsonstream.Message) string {
	switch m.Status {
	case "Pulling fs layer", "Waiting", "Downloading", "Extracting", "Verifying Checksum", "Download complete":
		return ""
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, cmp.Or(m.ID, " ")+": "+m.Status)
	if len(text) > 200 {
		text = text[:200]
	}
	if m.Status == "" {
		return ""
	}
	return "  " + strings.TrimPrefix(text, " : ")
}

// describe names an image and its digest.
func describe(name string, i image.InspectResponse) string {
	for _, d := range i.RepoDigests {
		if _, digest, ok := strings.Cut(d, "@"); ok {
			return name + "\n  using image " + d[:strings.IndexByte(d, '@')] + "@" + digest
		}
	}
	return name + "\n  using image " + i.ID
}
