package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/audit/bucket"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage"
	"gocloud.dev/blob"
)

// auditSettings say where the book of who did what is sent besides the files
// that it makes.
type auditSettings struct {
	Sinks []sinkSettings `yaml:"sinks"`
	// MaxWaiting is how many events may wait for the bucket before acts that
	// must be on record are refused; 0 is 1,000,000.
	MaxWaiting uint64 `yaml:"max_waiting"`
}

// sinkSettings name one sink: a syslog server, a webhook, a folder or a bucket.
type sinkSettings struct {
	Name    string    `yaml:"name"`
	Syslog  string    `yaml:"syslog"` // host:port, over TLS
	CA      string    `yaml:"ca"`     // file of certificates in PEM, of syslog
	Webhook string    `yaml:"webhook"`
	Secret  secretRef `yaml:"secret"` // signs what the webhook gets
	Folder  string    `yaml:"folder"` // gets a copy of each file
	// S3 gets a copy of each file, in a bucket besides that of storage.s3.
	S3 *s3Settings `yaml:"s3"`
}

func (a auditSettings) check() error {
	var wrong []error
	seen := map[string]bool{}
	for i, s := range a.Sinks {
		n := 0
		for _, where := range []string{s.Syslog, s.Webhook, s.Folder} {
			if where != "" {
				n++
			}
		}
		if s.S3 != nil {
			n++
			wrong = append(wrong, s.S3.check("audit.sinks: "+s.Name+".s3"))
		}
		switch {
		case s.Name == "" || seen[s.Name]:
			wrong = append(wrong, fmt.Errorf("audit.sinks: number %d needs a name that no other sink has", i+1))
		case n != 1:
			wrong = append(wrong, fmt.Errorf("audit.sinks: %s: name one of syslog, webhook, folder and s3", s.Name))
		case s.Webhook != "":
			wrong = append(wrong, s.Secret.check("audit.sinks: "+s.Name+".secret", true))
		}
		seen[s.Name] = true
	}
	return errors.Join(wrong...)
}

// auditKey is the file of the secret that checkpoints are signed with, and
// auditPublic that of the key that they are checked with.
const (
	auditKey    = "audit.key"
	auditPublic = "audit.pub"
)

// openAudit opens the book, whose files are in the bucket of all files.
func (in *installation) openAudit(files *blob.Bucket) error {
	signer, earlier, err := auditSigner(in.folder, hostOf(in.url))
	if err != nil {
		return err
	}
	in.book = audit.New(in.db, bucket.New(files), signer, audit.Config{
		Log: in.log, May: in.mayAudit, MaxWaiting: in.auditing.MaxWaiting, Earlier: earlier,
	})
	return nil
}

// startAudit runs the book and its sinks.
func (in *installation) startAudit() error {
	in.parts = append(in.parts, in.book.Run, func(ctx context.Context) error {
		return in.book.Follow(ctx, in.db, in.engine.Server.Follow)
	})
	for _, s := range in.auditing.Sinks {
		if s.Folder != "" || s.S3 != nil {
			b, err := s.openBucket(context.Background(), in.reach)
			if err != nil {
				return fmt.Errorf("audit.sinks: %s: %w", s.Name, err)
			}
			in.parts = append(in.parts, func(ctx context.Context) error {
				defer b.Close()
				return in.book.Mirror(ctx, s.Name, bucket.New(b))
			})
			continue
		}
		sink, err := s.open(in.reach)
		if err != nil {
			return fmt.Errorf("audit.sinks: %s: %w", s.Name, err)
		}
		in.parts = append(in.parts, func(ctx context.Context) error { return in.book.Stream(ctx, s.Name, sink) })
	}
	return nil
}

// openBucket opens the bucket that gets a copy of each file.
func (s sinkSettings) openBucket(ctx context.Context, r *reach) (*blob.Bucket, error) {
	if s.S3 == nil {
		return storage.OpenDir(s.Folder)
	}
	store, err := s.S3.open(ctx, r)
	if err != nil {
		return nil, err
	}
	return store.Blobs(), nil
}

func (s sinkSettings) open(r *reach) (audit.Sink, error) {
	if s.Webhook != "" {
		secret, err := s.Secret.read()
		return audit.NewWebhook(s.Webhook, []byte(secret), r.client(30*time.Second)), err
	}
	only, err := poolOf(s.CA)
	if err != nil {
		return nil, err
	}
	return audit.NewSyslog(s.Syslog, audit.SyslogConfig{TLS: &tls.Config{RootCAs: only}, Roots: r.roots.Pool}), nil
}

// known names each request for the events that it causes.
func (in *installation) known(next http.Handler) http.Handler {
	from := in.rate.From
	if from == nil {
		from = clientAddress(nil)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := ci.Request{ID: ci.NewID(), Address: from(r)}
		next.ServeHTTP(w, r.WithContext(ci.WithRequest(r.Context(), asked)))
	})
}

// recorded puts an act on record, does it, and puts on record that it failed
// if it did. It is for what is not written as documents.
func (in *installation) recorded(ctx context.Context, act ci.Act, do func() error) error {
	act.Success = true
	if err := in.book.Record(ctx, act); err != nil {
		return err
	}
	err := do()
	if err != nil {
		act.Success, act.Reason = false, err.Error()
		err = errors.Join(err, in.book.Record(context.WithoutCancel(ctx), act))
	}
	return err
}

func projectTarget(p ci.Project) map[string]string {
	return map[string]string{"type": "project", "id": string(p.ID), "name": p.Slug, "org": p.OrgSlug()}
}

// putProject writes the settings of a project for somebody.
func (in *installation) putProject(ctx context.Context, p ci.Project) error {
	act := ci.Act{Action: "project.settings.update", Actor: ci.RequestIn(ctx).Actor, Target: projectTarget(p)}
	return in.recorded(ctx, act, func() error { return in.db.PutProject(ctx, p) })
}

// follow makes a code host tell of pushes, or no longer, for somebody.
func (in *installation) follow(ctx context.Context, slug string, follow bool, by ci.Actor) (p ci.Project, err error) {
	known, err := in.db.ProjectBySlug(ctx, slug)
	isNew := errors.Is(err, ci.ErrNotFound)
	if err != nil && !isNew {
		return p, err
	}
	known.Slug = slug
	action := "project.follow"
	if !follow {
		action = "project.unfollow"
	}
	act := ci.Act{Action: action, Actor: by, Target: projectTarget(known)}
	if err := in.recorded(ctx, act, func() error { p, err = in.code.Follow(ctx, slug, follow, by); return err }); err != nil {
		return p, err
	}
	switch act.Success, act.Target = true, projectTarget(p); {
	case follow && isNew:
		act.Action = "project.add"
	case !follow:
		act.Action = "project.stop_building"
	default:
		return p, nil
	}
	return p, in.book.Record(context.WithoutCancel(ctx), act)
}

// bookedKeyring is the keyring, whose changes are on record.
type bookedKeyring struct {
	*keyring
	in *installation
}

// RotateKeys makes a new primary key.
func (k bookedKeyring) RotateKeys(ctx context.Context, by ci.Actor) (made ci.SealingKey, err error) {
	act := ci.Act{Action: "rondo.keys.rotate", Actor: by, Target: map[string]string{"type": "installation"}}
	err = k.in.recorded(ctx, act, func() error { made, err = k.keyring.RotateKeys(ctx, by); return err })
	return made, err
}

// auditFolder is where the files of a data folder are.
func auditFolder(data string) string { return filepath.Join(data, "files") }
