package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rondo-ci/rondo/proxy/certificate"
	"github.com/rondo-ci/rondo/proxy/trust"
	"github.com/spf13/cobra"
)

func tlsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tls",
		Short: "Check certificates, mend them, and fetch those of other servers",
	}
	cmd.AddCommand(tlsVerifyCommand(), tlsFetchCommand())
	return cmd
}

func tlsVerifyCommand() *cobra.Command {
	var cert, key, host, at, callback, fix string
	var behind, asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Say what is wrong with a certificate, and mend its file",
		Long: `Verify checks a file of certificates and its private key as an operator would
upload them: form, key, order, signatures, host name, dates, trust. With --at it
checks what a running server shows as well. Every finding has a code, what is
wrong and what to do.

With --fix the chain is written in the right order, without what nobody needs.

It ends with 0 when clients will accept the certificate, and with 1 otherwise.`,
		Example: `  rondo tls verify --cert fullchain.pem --key privkey.pem --host ci.example.com
  rondo tls verify --cert mixed.pem --key privkey.pem --fix fullchain.pem
  rondo tls verify --at ci.example.com:443`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cert == "" && at == "" {
				return codeError{exitUsage, errors.New("name files with --cert and --key, or a server with --at")}
			}
			roots, err := trust.Open(trust.Config{})
			if err != nil {
				return err
			}
			o := certificate.Options{Host: host, Roots: roots.Pool(), BehindBalancer: behind, Callback: callback, Now: time.Now()}
			reports := map[string]certificate.Report{}
			var text []byte
			if cert != "" {
				var private []byte
				var err error
				if text, err = os.ReadFile(cert); err != nil {
					return err
				}
				if key == "" {
					key = cert
				}
				if private, err = os.ReadFile(key); err != nil {
					return err
				}
				reports["file"] = certificate.Inspect(text, private, o)
			}
			if at != "" {
				reports["server"] = certificate.Served(cmd.Context(), at, text, o)
			}
			if fix != "" {
				if err := mend(cmd.OutOrStdout(), reports["file"], fix); err != nil {
					return err
				}
			}
			return showReports(cmd.OutOrStdout(), reports, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cert, "cert", "", "file with the certificate and its signers, in PEM form")
	f.StringVar(&key, "key", "", "file with the private key (default: the file of --cert)")
	f.StringVar(&host, "host", "", "the name under which clients come")
	f.StringVar(&at, "at", "", "check what the server at host:port shows")
	f.StringVar(&callback, "callback", "", "the callback address that the code host has")
	f.StringVar(&fix, "fix", "", "write the chain as it should be into this file")
	f.BoolVar(&behind, "behind-balancer", false, "clients see the certificate of a load balancer instead")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// mend writes the chain of a report.
func mend(w io.Writer, r certificate.Report, path string) error {
	if len(r.Fixed) == 0 {
		return codeError{exitFailed, errors.New("there is no chain to write: see what verify says without --fix")}
	}
	if err := certificate.WriteFile(path, r.Fixed, 0o644); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s: written, %d certificates\n", path, len(r.Chain))
	return err
}

func showReports(w io.Writer, reports map[string]certificate.Report, asJSON bool) error {
	bad := false
	for _, what := range []string{"file", "server"} {
		r, ok := reports[what]
		if !ok {
			continue
		}
		bad = bad || !r.OK()
		if asJSON {
			continue
		}
		for _, f := range r.Findings {
			fmt.Fprintf(w, "%s: %s %s: %s\n    %s\n", what, f.Severity, f.Code, f.Text, f.Fix)
		}
		if r.OK() {
			fmt.Fprintf(w, "%s: good, for %d more days\n", what, r.DaysLeft)
		}
	}
	if asJSON {
		if err := json.NewEncoder(w).Encode(reports); err != nil {
			return err
		}
	}
	if bad {
		return codeError{code: exitFailed}
	}
	return nil
}

func tlsFetchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "fetch HOST:PORT",
		Short: "Print the certificates that a server shows",
		Long: `Fetch prints the chain that a server shows, the server's own certificate first,
in PEM form: what openssl s_client -showcerts prints. To trust a server, put the
certificate of its authority (the last one, if that is a root) into
/usr/local/share/ca-certificates, after a look at its fingerprint on another way.`,
		Example: `  rondo tls fetch ghe.example.com:443 > chain.pem`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, chain, err := certificate.Capture(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			for _, c := range chain {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s, signed by %s, until %s\n", c.Subject, c.Issuer, c.NotAfter.Format(time.DateOnly))
			}
			if last := chain[len(chain)-1]; !last.IsCA {
				fmt.Fprintln(cmd.ErrOrStderr(), "no certificate of an authority is among them: ask whoever runs the server for it")
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
}
