package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
	"github.com/rondo-ci/rondo/metrics"
	"github.com/rondo-ci/rondo/metrics/cloudwatch"
	"github.com/rondo-ci/rondo/metrics/datadog"
	"github.com/rondo-ci/rondo/proxy/certificate"
)

// kindSettings is the kind of the documents with what was saved on the page of
// settings: a form each, its secrets sealed.
const kindSettings = "installation-settings"

// The forms, by their anchors. The first is the one that the guide links to.
const (
	formCloudWatch = "cloudwatch_metrics"
	formDataDog    = "datadog_metrics"
	formTLS        = "privacy"
)

// A settingsDesk is the installation's settings as the page asks for them.
type settingsDesk struct{ in *installation }

// webSettings is what the page of settings asks; nil in a server without such.
func (in *installation) webSettings() web.Installation {
	if in.figures == nil {
		return nil
	}
	return settingsDesk{in}
}

// saved returns what was saved of a form, with its secrets.
func (in *installation) saved(ctx context.Context, form string) (ci.Doc, map[string]string, error) {
	d, err := in.db.Doc(ctx, kindSettings, form)
	if errors.Is(err, ci.ErrNotFound) {
		return ci.Doc{Kind: kindSettings, ID: form}, map[string]string{}, nil
	}
	values, secrets := map[string]string{}, map[string]string{}
	if err == nil {
		err = json.Unmarshal(d.Body, &values)
	}
	if err == nil && d.Sealed != "" {
		var plain []byte
		if plain, err = in.keeper.OpenDoc(ctx, d); err == nil {
			err = json.Unmarshal(plain, &secrets)
		}
	}
	if err != nil {
		return d, nil, fmt.Errorf("settings of %s: %w", form, err)
	}
	for k, v := range secrets {
		values[k] = v
	}
	return d, values, nil
}

// Sections returns the forms with what is in force.
func (s settingsDesk) Sections(ctx context.Context, by ci.Actor) ([]web.SettingsSection, error) {
	if err := s.in.allowed(ctx, by, auth.RoleRead); err != nil {
		return nil, err
	}
	all := []web.SettingsSection{
		{ID: formCloudWatch, Title: "CloudWatch metrics", Help: "Figures go to Amazon CloudWatch. Every name with every combination of dimensions is billed by Amazon.", Fields: []web.SettingsField{
			{Name: "enabled", Label: "Enabled", Kind: "check"},
			{Name: "auth", Label: "Authentication", Kind: "choice", Options: [][2]string{{"instance_profile", "IAM instance profile"}, {"keys", "IAM user"}}},
			{Name: "access_key", Label: "Access key ID", Kind: "text", Help: "Of the IAM user."},
			{Name: "secret_key", Label: "Secret key", Kind: "secret", Help: "Of the IAM user."},
			{Name: "region", Label: "Region", Kind: "text", Help: "As in us-west-2. Empty is that of the machine, with an instance profile."},
			{Name: "namespace", Label: "Namespace", Kind: "text", Help: "As in ci_metrics."},
		}, Try: "Send a test point"},
		{ID: formDataDog, Title: "DataDog metrics", Help: "Figures go to DataDog.", Fields: []web.SettingsField{
			{Name: "enabled", Label: "Enabled", Kind: "check"},
			{Name: "api_key", Label: "API key", Kind: "secret", Help: "32 hexadecimal digits."},
			{Name: "site", Label: "Site", Kind: "text", Help: "As in datadoghq.eu. Empty is datadoghq.com."},
		}, Try: "Send a test point"},
		{ID: formTLS, Title: "Certificate", Help: "What browsers and code hosts see. It is in force at once, without a restart.", Fields: []web.SettingsField{
			{Name: "cert", Label: "Certificate", Kind: "area", Help: "PEM: the host's certificate first, then who signed it, and so on. Another order is put right."},
			{Name: "key", Label: "Private key", Kind: "secret", Help: "PEM, without a passphrase."},
		}, Try: "Verify TLS settings"},
	}
	file := s.in.metering
	if file.CloudWatch != nil {
		all[0].Locked = "It is set in the file of settings (metrics.cloudwatch)."
	}
	if file.DataDog != nil {
		all[1].Locked = "It is set in the file of settings (metrics.datadog)."
	}
	switch t := s.in.tls; {
	case t == nil:
		all[2].Locked = "TLS is off: write tls: {self_signed: true} into the file of settings, and then upload a certificate here."
	case t.Cert != "":
		all[2].Locked = "The file of settings names " + t.Cert + ": replace that file. It is read again within a minute."
	case t.ACME != nil:
		all[2].Locked = "The certificate is renewed by ACME (tls.acme in the file of settings)."
	}
	if s.in.shown != nil {
		all[2].State = fmt.Sprintf("The certificate holds for %d more days.", s.in.shown.DaysLeft())
	}
	for i := range all {
		if err := s.fill(ctx, &all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// fill puts what is in force into a form.
func (s settingsDesk) fill(ctx context.Context, x *web.SettingsSection) error {
	if x.ID == formTLS {
		if s.in.shown != nil {
			text, err := os.ReadFile(s.in.folder.Join("tls.crt"))
			if err == nil {
				x.Fields[0].Value = string(text)
			}
			x.Fields[1].Set = err == nil
		}
		return nil
	}
	_, values, err := s.in.saved(ctx, x.ID)
	if err != nil {
		return err
	}
	for i := range x.Fields {
		f := &x.Fields[i]
		if f.Kind == "secret" {
			f.Set = values[f.Name] != ""
			continue
		}
		f.Value = values[f.Name]
	}
	if x.ID == formCloudWatch && x.Fields[1].Value == "" {
		x.Fields[1].Value = "instance_profile"
	}
	return nil
}

// whole returns the values with secrets that were left empty as they are kept.
func (s settingsDesk) whole(ctx context.Context, form string, values map[string]string) (ci.Doc, map[string]string, error) {
	d, kept, err := s.in.saved(ctx, form)
	if err != nil {
		return d, nil, err
	}
	all := map[string]string{}
	for k, v := range values {
		all[k] = strings.TrimSpace(v)
		if all[k] == "" && (k == "secret_key" || k == "api_key") {
			all[k] = kept[k]
		}
	}
	if all["auth"] != "keys" && form == formCloudWatch { // the other choice's fields do not count
		all["access_key"], all["secret_key"] = "", ""
	}
	return d, all, nil
}

// sinkOf makes the sink that a form describes; nil when it is off.
func (s settingsDesk) sinkOf(ctx context.Context, form string, v map[string]string) (metrics.Sink, error) {
	if v["enabled"] == "" {
		return nil, nil
	}
	sink, err := s.sink(ctx, form, v)
	if errors.Is(err, ci.ErrInvalid) { // the form says already what it is about
		var all []string
		for line := range strings.SplitSeq(err.Error(), "\n") {
			_, text, _ := strings.Cut(strings.TrimPrefix(line, "invalid: "), ": ")
			all = append(all, text)
		}
		return nil, fmt.Errorf("%s: %w", strings.Join(all, "; "), ci.ErrInvalid)
	}
	return sink, err
}

func (s settingsDesk) sink(ctx context.Context, form string, v map[string]string) (metrics.Sink, error) {
	if form == formDataDog {
		host, _ := os.Hostname() // without, figures have no host
		return datadog.New(datadog.Config{Key: v["api_key"], Site: v["site"], Host: host, HTTP: s.in.figures.client})
	}
	return cloudwatch.New(ctx, cloudwatch.Config{
		Auth: cloudwatch.Auth(v["auth"]), AccessKey: v["access_key"], SecretKey: v["secret_key"], Region: v["region"], Namespace: v["namespace"],
		Endpoint: os.Getenv("AWS_ENDPOINT_URL_CLOUDWATCH"), HTTP: s.in.figures.client,
	})
}

// Save keeps the values and puts them into force.
func (s settingsDesk) Save(ctx context.Context, form string, values map[string]string, by ci.Actor) error {
	if err := s.in.allowed(ctx, by, auth.RoleWrite); err != nil {
		return err
	}
	act := ci.Act{Action: "rondo.settings.update", Actor: by, Target: map[string]string{"type": "installation", "id": hostName(s.in.url), "form": form}}
	if form == formTLS {
		return s.saveCertificate(ctx, values, act)
	}
	d, all, err := s.whole(ctx, form, values)
	if err != nil {
		return err
	}
	if _, err := s.sinkOf(ctx, form, all); err != nil {
		return err
	}
	secrets := map[string]string{}
	for _, name := range []string{"secret_key", "api_key"} {
		if all[name] != "" {
			secrets[name] = all[name]
		}
		delete(all, name)
	}
	if d.Body, err = json.Marshal(all); err != nil {
		return err
	}
	plain, err := json.Marshal(secrets)
	if err == nil {
		d, err = s.in.keeper.SealDoc(ctx, d, plain)
	}
	if err != nil {
		return err
	}
	if err := s.in.recorded(ctx, act, func() error { _, err := s.in.db.WriteDocs(ctx, ci.DocChange{Doc: d}); return err }); err != nil {
		return err
	}
	return s.in.figures.use(ctx, *s.in.metering)
}

// saveCertificate checks a certificate, writes the two files and shows it.
func (s settingsDesk) saveCertificate(ctx context.Context, values map[string]string, act ci.Act) error {
	r, key, err := s.inspect(values)
	if err != nil {
		return err
	}
	if !r.OK() {
		var wrong []error
		for _, f := range r.Findings {
			if f.Severity == certificate.Error && f.Code != certificate.WrongOrder {
				wrong = append(wrong, fmt.Errorf("%s: %s", f.Text, f.Fix))
			}
		}
		if len(wrong) > 0 {
			return fmt.Errorf("%w: %w", errors.Join(wrong...), ci.ErrInvalid)
		}
	}
	return s.in.recorded(ctx, act, func() error {
		err := certificate.WriteFile(s.in.folder.Join("tls.key"), key, 0o600)
		if err == nil {
			err = certificate.WriteFile(s.in.folder.Join("tls.crt"), r.Fixed, 0o644)
		}
		if err == nil {
			_, err = s.in.shown.Reload()
		}
		return err
	})
}

// inspect checks what was typed, with the key that is there if none was.
func (s settingsDesk) inspect(values map[string]string) (certificate.Report, []byte, error) {
	key := []byte(values["key"])
	if strings.TrimSpace(values["key"]) == "" {
		var err error
		if key, err = os.ReadFile(s.in.folder.Join("tls.key")); err != nil {
			return certificate.Report{}, nil, fmt.Errorf("the private key is missing: %w", ci.ErrInvalid)
		}
	}
	return certificate.Inspect([]byte(values["cert"]), key, certificate.Options{Host: hostName(s.in.url), Roots: s.in.reach.pool()}), key, nil
}

// Try sends a test point, or says what is wrong with a certificate.
func (s settingsDesk) Try(ctx context.Context, form string, values map[string]string, by ci.Actor) ([]string, error) {
	if err := s.in.allowed(ctx, by, auth.RoleWrite); err != nil {
		return nil, err
	}
	if form == formTLS {
		r, _, err := s.inspect(values)
		if err != nil {
			return nil, err
		}
		var all []string
		for _, f := range r.Findings {
			all = append(all, fmt.Sprintf("%s: %s; %s", f.Severity, f.Text, f.Fix))
		}
		if r.OK() {
			all = append(all, fmt.Sprintf("Clients will accept it, for %d more days.", r.DaysLeft))
		}
		return all, nil
	}
	_, all, err := s.whole(ctx, form, values)
	if err != nil {
		return nil, err
	}
	all["enabled"] = "on"
	sink, err := s.sinkOf(ctx, form, all)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	start := time.Now()
	if err := sink.Write(ctx, []metrics.Sample{{Name: "circle.self_test", Kind: metrics.Gauge, Value: 1, Time: start}}); err != nil {
		return []string{"It was not taken: " + err.Error()}, nil
	}
	return []string{fmt.Sprintf("It was taken, after %d ms.", time.Since(start).Milliseconds())}, nil
}

// savedSinks are those of the page, beside those of the file.
func (in *installation) savedSinks(ctx context.Context, file metricsSettings) ([]metrics.Named[metrics.Sink], error) {
	var sinks []metrics.Named[metrics.Sink]
	for form, name := range map[string]string{formCloudWatch: "cloudwatch", formDataDog: "datadog"} {
		if name == "cloudwatch" && file.CloudWatch != nil || name == "datadog" && file.DataDog != nil {
			continue
		}
		_, values, err := in.saved(ctx, form)
		if err != nil {
			return nil, err
		}
		sink, err := settingsDesk{in}.sinkOf(ctx, form, values)
		if err != nil {
			return nil, fmt.Errorf("settings of %s: %w", form, err)
		}
		if sink != nil {
			sinks = append(sinks, metrics.Named[metrics.Sink]{Name: name, T: sink})
		}
	}
	return sinks, nil
}
