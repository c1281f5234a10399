package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/audit/bucket"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/cmd/internal/datadir"
	"github.com/rondo-ci/rondo/proxy/certificate"
	"github.com/rondo-ci/rondo/storage/sqldb"
	"github.com/spf13/cobra"
)

// auditSigner returns what signs checkpoints, and the public keys of what did
// before. All of them are in audit.pub, the oldest first.
func auditSigner(folder *datadir.Folder, name string) (*audit.Signer, audit.Key, error) {
	seed, err := folder.Secret(auditKey, "")
	if err != nil {
		return nil, "", err
	}
	text, err := os.ReadFile(folder.Join(auditPublic))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, "", fmt.Errorf("read the keys of the audit log: %w", err)
	}
	kept := strings.Fields(string(text))
	if len(kept) > 0 {
		name, _, _ = strings.Cut(kept[0], "+") // the address may change, its name stays
	}
	signer, err := audit.NewSigner(name, []byte(seed))
	if err != nil {
		return nil, "", err
	}
	var earlier audit.Key
	for _, k := range kept {
		if audit.Key(k) == signer.Key() { // what is behind it is of a change that a crash has cut off
			return signer, earlier, nil
		}
		earlier = earlier.Then(audit.Key(k))
	}
	if len(kept) > 0 {
		return nil, "", fmt.Errorf("%s and %s of %s do not belong together; bring back what was there", auditKey, auditPublic, folder.Path)
	}
	return signer, "", certificate.WriteFile(folder.Join(auditPublic), []byte(signer.Key()+"\n"), 0o644)
}

func auditRotateKey(f *auditFlags) *cobra.Command {
	return &cobra.Command{
		Use: "rotate-key", Short: "Sign checkpoints with a new key from now on", Args: cobra.NoArgs,
		Long: `Rotate-key makes a new key that checkpoints of the audit log are signed with,
and forgets the secret of the old one. The public keys of both stay in audit.pub,
and verify wants them in this order: what an old key signs after the first
checkpoint of a newer one is not believed. Copy audit.pub to where you keep it.

The server must not run. Its change of key is on record in the log itself.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := f.rotate(cmd.Context())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "the new key, the last line of %s:\n%s\n", auditPublic, key)
			return err
		},
	}
}

// rotate makes the new key and returns its public half.
func (f *auditFlags) rotate(ctx context.Context) (audit.Key, error) {
	files, err := f.openBucket(ctx)
	if err != nil {
		return "", err
	}
	defer files.Close()
	if f.data == "" {
		return "", usageError{errors.New("--data or --config is missing: the key is in the data folder")}
	}
	folder, err := datadir.Open(f.data)
	if err != nil {
		return "", err
	}
	defer folder.Close()
	old, earlier, err := auditSigner(folder, "rondo")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(folder.Join(databaseFile)); err != nil {
		return "", fmt.Errorf("the book's database is not in %s, and a Postgres is not read here yet: %w", folder.Path, err)
	}
	db, err := sqldb.Open(ctx, folder.Join(databaseFile), sqldb.Config{})
	if err != nil {
		return "", err
	}
	defer db.Close()
	name, _, _ := strings.Cut(string(old.Key()), "+")
	seed := rand.Text()
	signer, err := audit.NewSigner(name, []byte(seed))
	if err != nil {
		return "", err
	}
	book := audit.New(db, bucket.New(files), old, audit.Config{Earlier: earlier})
	err = book.Record(ctx, ci.Act{
		Action: "rondo.audit.key.rotate", Success: true, Actor: ci.Actor{Kind: ci.ActorSystem, Login: "rondo-server audit rotate-key"},
		Target: map[string]string{"type": "installation", "key": string(signer.Key())},
	})
	if err != nil {
		return "", err
	}
	// What is being filed is filed by the key that it was begun with.
	if err := book.Seal(ctx, time.Now()); err != nil {
		return "", fmt.Errorf("file what is due before the key changes: %w", err)
	}
	all := earlier.Then(old.Key()).Then(signer.Key())
	if err := certificate.WriteFile(folder.Join(auditPublic), []byte(all+"\n"), 0o644); err != nil {
		return "", err
	}
	return signer.Key(), certificate.WriteFile(folder.Join(auditKey), []byte(seed+"\n"), 0o600)
}
