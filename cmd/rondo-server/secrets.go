package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/rondo-ci/rondo/storage/secrets"
	"github.com/spf13/cobra"
)

func secretsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secrets",
		Short: "Change what protects the stored secrets of a server",
		Long: `The secrets that people store in a server (variables of contexts and projects,
SSH keys, secrets of webhooks) are encrypted with keys of a keyset in the data
folder, or with those of a Vault. The keyset itself is encrypted by a
passphrase or by a key file that lies elsewhere.

To make a new key while the server runs, and have everything follow:

  curl -X POST -H "Circle-Token: $TOKEN" $URL/api/v2/rondo/keys/rotate

To move to a Vault, or back: name both in the settings, say which one seals
with secrets.use, and start the server again. What is stored follows while it
runs; when "uses" of the old keys is 0 at $URL/api/v2/rondo/keys, take the old
one out of the settings.`,
	}
	cmd.AddCommand(protectCommand())
	return cmd
}

func protectCommand() *cobra.Command {
	var file, to string
	cmd := &cobra.Command{
		Use:   "protect",
		Short: "Encrypt the keyset by another passphrase or key file",
		Long: `Protect encrypts the keyset in the data folder anew. It takes a moment, touches
no stored secret, and may be done while the server runs. Change the settings
in the same way afterwards, before the next start.`,
		Example: `  rondo-server secrets protect --config rondo.yml --to file:/etc/rondo/new-passphrase
  rondo-server secrets protect --config rondo.yml --to key:/etc/rondo/secrets.key`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings(file)
			if err != nil {
				return usageError{err}
			}
			next, err := rootNamed(to)
			if err != nil {
				return usageError{err}
			}
			root, given := s.Secrets.root()
			if !given {
				key, err := defaultKey()
				if err != nil {
					return err
				}
				root = secrets.KeyFile(key)
			}
			data, err := filepath.Abs(s.state())
			if err != nil {
				return err
			}
			keyset, err := secrets.OpenKeyset(filepath.Join(data, keysetFile), root, secrets.KeysetConfig{Data: data})
			if err != nil {
				return err
			}
			if err := keyset.ChangeRoot(cmd.Context(), next); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "The keyset in %s is protected by %s now. Say so in %s, under secrets.\n", data, to, file)
			return err
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "rondo.yml", "the file of settings")
	cmd.Flags().StringVar(&to, "to", "", "env:NAME or file:PATH of a passphrase, or key:PATH of a file of 32 random bytes, made if it is not there")
	_ = cmd.MarkFlagRequired("to") // it exists
	return cmd
}

// rootNamed returns the root that --to names.
func rootNamed(to string) (secrets.Root, error) {
	kind, name, _ := strings.Cut(to, ":")
	switch {
	case name == "":
	case kind == "env":
		return secrets.PassphraseEnv(name), nil
	case kind == "file":
		return secrets.PassphraseFile(name), nil
	case kind == "key":
		if err := makeKeyFile(name); err != nil {
			return secrets.Root{}, err
		}
		return secrets.KeyFile(name), nil
	}
	return secrets.Root{}, errors.New("--to: write env:NAME, file:PATH or key:PATH")
}
