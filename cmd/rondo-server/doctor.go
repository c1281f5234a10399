package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci/doctor"
	"github.com/rondo-ci/rondo/cmd/internal/screen"
	"github.com/spf13/cobra"
)

// doctorCommand looks at what stands around the server.
func doctorCommand() *cobra.Command {
	var file, resolver string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "doctor", Args: cobra.NoArgs,
		Short: "Look at DNS, the bucket and Nomad, and name what is wrong",
		Long: `Doctor reads the settings and looks at what stands around the server: whether the
name in url leads to this machine (an address of its own, or one of the networks
in proxies), whether the bucket of storage.s3 may be written, and whether address,
certificates and rights at Nomad are good. It changes nothing.

Each finding has a code, for scripts; the exit code is 1 if something is wrong.`,
		Example: `  rondo-server doctor --config /etc/rondo/rondo.yml
  rondo-server doctor --config rondo.yml --resolver 1.1.1.1:53 --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings(file)
			if err != nil {
				return usageError{err}
			}
			found, err := s.examine(cmd.Context(), resolver)
			if err != nil {
				return err
			}
			return tellFindings(cmd.OutOrStdout(), found, asJSON)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "rondo.yml", "the file of settings")
	cmd.Flags().StringVar(&resolver, "resolver", "", "host:port of the name server to ask, to see what others see; without, that of this machine")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// doctorTime is how long each look may take.
const doctorTime = 10 * time.Second

// examine looks at everything.
func (s settings) examine(ctx context.Context, resolver string) ([]doctor.Finding, error) {
	own, err := doctor.Own()
	if err != nil {
		return nil, err
	}
	asked := net.DefaultResolver
	if resolver != "" {
		if _, _, err := net.SplitHostPort(resolver); err != nil {
			return nil, usageError{fmt.Errorf("--resolver: %q is not host:port, as in 192.0.2.1:53", resolver)}
		}
		asked = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, resolver)
		}}
	}
	limited, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	found := []doctor.Finding{doctor.Names(limited, asked, hostName(s.URL), own, s.Proxies)}
	r, err := s.reach(nil)
	if err != nil {
		return nil, err
	}
	if s.Storage.S3 != nil {
		found = append(found, finding("bucket", "The bucket of storage.s3", s.Storage.try(ctx, r)))
	}
	if s.Nomad != nil {
		found = append(found, finding("nomad", "Nomad", s.Nomad.try(ctx, r)))
	}
	return found, nil
}

// finding is what trying something has shown.
func finding(code, what string, err error) doctor.Finding {
	if err == nil {
		return doctor.Finding{Code: code + "_good", Text: what + " answers, and lets us do what is needed."}
	}
	return doctor.Finding{
		Code: code + "_bad", Bad: true, Text: what + " cannot be used as the settings say.",
		Fix: "What is missing stands above; mend it there, or in the settings.", Evidence: strings.Split(err.Error(), "\n"),
	}
}

// tellFindings prints them, and is an error if one is bad.
func tellFindings(w io.Writer, found []doctor.Finding, asJSON bool) error {
	bad := 0
	for _, f := range found {
		if f.Bad {
			bad++
		}
	}
	if asJSON {
		if err := json.NewEncoder(w).Encode(map[string]any{"findings": found}); err != nil {
			return err
		}
	}
	for _, f := range found {
		if asJSON {
			break
		}
		fmt.Fprintf(w, "%s: %s\n", f.Code, screen.Text(f.Text))
		for _, e := range f.Evidence {
			fmt.Fprintf(w, "  %s\n", screen.Text(e))
		}
		if f.Fix != "" {
			fmt.Fprintf(w, "  %s\n", f.Fix)
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d looks found something wrong", bad, len(found))
	}
	return nil
}
