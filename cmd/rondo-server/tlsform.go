package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
	"github.com/rondo-ci/rondo/proxy/certificate"
)

// A tlsForm is the form of the certificate.
type tlsForm struct{ in *installation }

func (f tlsForm) section() web.SettingsSection {
	x := web.SettingsSection{
		ID: formTLS, Title: "Certificate", Try: "Verify TLS settings",
		Help: "What browsers and code hosts see. It is in force at once, without a restart.",
		Fields: []web.SettingsField{
			{Name: "cert", Label: "Certificate", Kind: "area", Help: "PEM: the host's certificate first, then who signed it, and so on. Another order is put right."},
			{Name: "key", Label: "Private key", Kind: "secret", Help: "PEM, without a passphrase."},
		},
	}
	switch t := f.in.tls; {
	case t == nil:
		x.Locked = "TLS is off: write tls: {self_signed: true} into the file of settings, and then upload a certificate here."
	case t.Cert != "":
		x.Locked = "The file of settings names " + t.Cert + ": replace that file. It is read again within a minute."
	case t.ACME != nil:
		x.Locked = "The certificate is renewed by ACME (tls.acme in the file of settings)."
	}
	return x
}

func (f tlsForm) fill(_ context.Context, x *web.SettingsSection) error {
	if f.in.shown == nil {
		return nil
	}
	x.State = fmt.Sprintf("The certificate holds for %d more days.", f.in.shown.DaysLeft())
	text, err := os.ReadFile(f.in.folder.Join("tls.crt"))
	if err == nil {
		x.Fields[0].Value = string(text)
	}
	x.Fields[1].Set = err == nil
	return nil
}

// save checks a certificate, writes the two files and shows it.
func (f tlsForm) save(ctx context.Context, values map[string]string, act ci.Act) error {
	r, key, err := f.inspect(values)
	if err != nil {
		return err
	}
	if !r.OK() {
		var wrong []error
		for _, x := range r.Findings {
			if x.Severity == certificate.Error && x.Code != certificate.WrongOrder {
				wrong = append(wrong, fmt.Errorf("%s: %s", x.Text, x.Fix))
			}
		}
		if len(wrong) > 0 {
			return fmt.Errorf("%w: %w", errors.Join(wrong...), ci.ErrInvalid)
		}
	}
	return f.in.recorded(ctx, act, func() error {
		err := certificate.WriteFile(f.in.folder.Join("tls.key"), key, 0o600)
		if err == nil {
			err = certificate.WriteFile(f.in.folder.Join("tls.crt"), r.Fixed, 0o644)
		}
		if err == nil {
			_, err = f.in.shown.Reload()
		}
		return err
	})
}

// inspect checks what was typed, with the key that is there if none was.
func (f tlsForm) inspect(values map[string]string) (certificate.Report, []byte, error) {
	key := []byte(values["key"])
	if strings.TrimSpace(values["key"]) == "" {
		var err error
		if key, err = os.ReadFile(f.in.folder.Join("tls.key")); err != nil {
			return certificate.Report{}, nil, fmt.Errorf("the private key is missing: %w", ci.ErrInvalid)
		}
	}
	return certificate.Inspect([]byte(values["cert"]), key, certificate.Options{Host: hostName(f.in.url), Roots: f.in.reach.roots.Pool()}), key, nil
}

func (f tlsForm) try(_ context.Context, values map[string]string) ([]string, error) {
	r, _, err := f.inspect(values)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, x := range r.Findings {
		all = append(all, fmt.Sprintf("%s: %s; %s", x.Severity, x.Text, x.Fix))
	}
	if r.OK() {
		all = append(all, fmt.Sprintf("Clients will accept it, for %d more days.", r.DaysLeft))
	}
	return all, nil
}
