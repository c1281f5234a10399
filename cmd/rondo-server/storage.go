package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/s3"
	"github.com/spf13/cobra"
	"gocloud.dev/blob"
)

// storageHelp is what the help of serve says of storageSettings.
const storageHelp = `  storage:                           # leave out for the folder files of data
    s3:                              # caches, artifacts, logs, audit log
      bucket: rondo                  # which exists, private
      region: eu-central-1           # default us-east-1
      endpoint: https://s3.example.com # leave out for Amazon
      path_style: true               # what most other servers want
      ca: /etc/rondo/ca.pem          # trust these alone; leave out to trust whom all do
      proxy: http://proxy.example.com:3128 # leave out to go as all do (see proxy)
      access_key: env:S3_ACCESS_KEY  # leave both out for the machine's credentials
      secret_key: file:/etc/rondo/s3-secret
      prefix: ci                     # of all names
      sse: AES256                    # or aws:kms, with kms_key
      direct: auto                   # agents send files from 8 MiB to the bucket themselves, if it
                                     # can do that; off: all pass through the server; always: no start
                                     # with a bucket that cannot`

// checkSettings says that settings are good, and whether the bucket is too.
func checkSettings(cmd *cobra.Command, file string, s settings, online bool) error {
	if online {
		r, err := s.reach(nil)
		if err == nil {
			err = errors.Join(s.Storage.try(cmd.Context(), r), s.Nomad.try(cmd.Context(), r))
		}
		if err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: the settings are good\n", file)
	return err
}

// checkTime is how long the bucket may take to answer when it is tried.
const checkTime = 30 * time.Second

// storageSettings say where caches, workspaces, artifacts, logs of jobs that
// have ended and the files of the audit log are. Without, they are in the
// folder files of the data folder.
type storageSettings struct {
	S3 *filesAtS3 `yaml:"s3"`
}

// filesAtS3 name the bucket of files.
type filesAtS3 struct {
	s3Settings `yaml:",inline"`
	// Direct says whether agents send large files to the bucket themselves: auto
	// if it can do that, which is "" too, off, or always.
	Direct string `yaml:"direct"`
}

// The ways of direct.
const (
	directAuto   = "auto"
	directOff    = "off"
	directAlways = "always"
)

// s3Settings name a bucket.
type s3Settings struct {
	Bucket    string    `yaml:"bucket"`
	Region    string    `yaml:"region"`   // "" is us-east-1
	Endpoint  string    `yaml:"endpoint"` // "" is Amazon's
	PathStyle bool      `yaml:"path_style"`
	CA        string    `yaml:"ca"`    // file of certificates in PEM
	Proxy     string    `yaml:"proxy"` // "" is that of all
	AccessKey secretRef `yaml:"access_key"`
	SecretKey secretRef `yaml:"secret_key"` // without both, those of the machine
	Prefix    string    `yaml:"prefix"`
	SSE       string    `yaml:"sse"`     // AES256 or aws:kms
	KMSKey    string    `yaml:"kms_key"` // of aws:kms
}

func (s storageSettings) check() error {
	if s.S3 == nil {
		return nil
	}
	err := s.S3.check("storage.s3")
	if !slices.Contains([]string{"", directAuto, directOff, directAlways}, s.S3.Direct) {
		err = errors.Join(err, fmt.Errorf("storage.s3.direct: %.40q: it is auto, off or always: %w", s.S3.Direct, ci.ErrInvalid))
	}
	return err
}

func (s s3Settings) check(where string) error {
	wrong := []error{
		s.AccessKey.check(where+".access_key", s.SecretKey != ""),
		s.SecretKey.check(where+".secret_key", s.AccessKey != ""),
	}
	if err := s.config().Valid(); err != nil {
		wrong = append(wrong, fmt.Errorf("%s: %w", where, err))
	}
	return errors.Join(wrong...)
}

// config is the configuration without what is in other files.
func (s s3Settings) config() s3.Config {
	return s3.Config{
		Bucket: s.Bucket, Region: s.Region, Endpoint: s.Endpoint, PathStyle: s.PathStyle, Proxy: s.Proxy,
		Prefix: s.Prefix, Encryption: s.SSE, KMSKey: s.KMSKey,
	}
}

func (s s3Settings) open(ctx context.Context, r *reach) (*s3.Store, error) {
	cfg := s.config()
	for ref, to := range map[secretRef]*string{s.AccessKey: &cfg.AccessKey, s.SecretKey: &cfg.SecretKey} {
		if ref == "" {
			continue
		}
		value, err := ref.read()
		if err != nil {
			return nil, fmt.Errorf("the keys of bucket %s: %w", s.Bucket, err)
		}
		*to = value
	}
	var err error
	if cfg.Roots, err = poolOf(s.CA); err != nil {
		return nil, fmt.Errorf("the authorities of bucket %s: %w", s.Bucket, err)
	}
	cfg.Wrap = r.wrap
	if s.Proxy != "" {
		cfg.Wrap = r.trusting
	}
	return s3.Open(ctx, cfg)
}

// try tries the bucket, if there is one.
func (s storageSettings) try(ctx context.Context, r *reach) error {
	if s.S3 == nil {
		return nil
	}
	store, err := s.S3.open(ctx, r)
	if err != nil {
		return err
	}
	defer store.Blobs().Close()
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if err := store.Check(ctx); err != nil || s.S3.Direct != directAlways {
		return err
	}
	return store.TryLinks(ctx)
}

// openFiles opens the bucket of all files. A bucket that is away is no reason
// not to start: jobs that do not need it go on.
func (in *installation) openFiles(ctx context.Context) (*blob.Bucket, error) {
	if in.storing.S3 == nil {
		return storage.OpenDir(in.folder.Join("files"))
	}
	store, err := in.storing.S3.open(ctx, in.reach)
	if err != nil {
		return nil, err
	}
	trying, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	switch err := store.Check(trying); {
	case errors.Is(err, ci.ErrInvalid): // it would lose files
		_ = store.Blobs().Close()
		return nil, err
	case err != nil:
		in.log.Error("the bucket of storage.s3 cannot be used now; caches, artifacts and logs wait for it", "err", err)
	}
	in.store = store
	in.parts = append(in.parts, func(ctx context.Context) error {
		return store.Run(ctx, func(err error) { in.log.Warn("remove uploads that were cut off", "err", err) })
	})
	return store.Blobs(), nil
}

// linksAgain is how often a bucket that could not be asked is asked again
// whether files may go there directly.
const linksAgain = time.Minute

// openDirect lets agents send files to the bucket themselves, if there is one
// that can do that, as soon as it can be asked.
func (in *installation) openDirect(ctx context.Context) (storage.Direct, error) {
	if in.store == nil || in.storing.S3.Direct == directOff {
		return nil, nil
	}
	decided, err := in.tryLinks(ctx)
	switch {
	case err != nil && in.storing.S3.Direct == directAlways:
		return nil, fmt.Errorf("storage.s3.direct is always: %w", err)
	case !decided:
		in.parts = append(in.parts, func(ctx context.Context) error {
			again := time.NewTicker(linksAgain)
			defer again.Stop()
			for !decided {
				select {
				case <-ctx.Done():
					return nil
				case <-again.C:
					decided, _ = in.tryLinks(ctx)
				}
			}
			return nil
		})
	}
	return in.store, nil
}

// tryLinks asks the bucket whether agents may send files there. A bucket that
// cannot be asked is not decided, and one that refuses an error.
func (in *installation) tryLinks(ctx context.Context) (decided bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	err = in.store.TryLinks(ctx)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, ci.ErrInvalid):
		in.log.Info("all files pass through the server, since agents cannot send them to the bucket of storage.s3", "err", err)
		return true, err
	}
	return false, nil
}
