package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
	"github.com/rondo-ci/rondo/metrics"
	"github.com/rondo-ci/rondo/metrics/cloudwatch"
	"github.com/rondo-ci/rondo/metrics/datadog"
)

// A sinkForm is the form of CloudWatch or DataDog.
type sinkForm struct {
	in *installation
	id string
}

func (f sinkForm) section() web.SettingsSection {
	x := web.SettingsSection{ID: f.id, Try: "Send a test point"}
	if f.id == formDataDog {
		x.Title, x.Help = "DataDog metrics", "Figures go to DataDog."
		x.Fields = []web.SettingsField{
			{Name: "enabled", Label: "Enabled", Kind: "check"},
			{Name: "api_key", Label: "API key", Kind: "secret", Help: "32 hexadecimal digits."},
			{Name: "site", Label: "Site", Kind: "text", Help: "As in datadoghq.eu. Empty is datadoghq.com."},
		}
		if f.in.figures.inForce().DataDog != nil {
			x.Locked = "It is set in the file of settings (metrics.datadog)."
		}
		return x
	}
	x.Title = "CloudWatch metrics"
	x.Help = "Figures go to Amazon CloudWatch. Every name with every combination of dimensions is billed by Amazon."
	x.Fields = []web.SettingsField{
		{Name: "enabled", Label: "Enabled", Kind: "check"},
		{Name: "auth", Label: "Authentication", Kind: "choice", Options: [][2]string{{"instance_profile", "IAM instance profile"}, {"keys", "IAM user"}}},
		{Name: "access_key", Label: "Access key ID", Kind: "text", Help: "Of the IAM user."},
		{Name: "secret_key", Label: "Secret key", Kind: "secret", Help: "Of the IAM user."},
		{Name: "region", Label: "Region", Kind: "text", Help: "As in us-west-2. Empty is that of the machine, with an instance profile."},
		{Name: "namespace", Label: "Namespace", Kind: "text", Help: "As in ci_metrics."},
	}
	if f.in.figures.inForce().CloudWatch != nil {
		x.Locked = "It is set in the file of settings (metrics.cloudwatch)."
	}
	return x
}

func (f sinkForm) fill(ctx context.Context, x *web.SettingsSection) error {
	return f.in.fillSaved(ctx, x)
}

// whole are the values with what is kept; those of the choice that was not made
// do not count.
func (f sinkForm) whole(ctx context.Context, values map[string]string) (ci.Doc, map[string]string, error) {
	d, all, err := f.in.whole(ctx, f.id, values)
	if err == nil && f.id == formCloudWatch && all["auth"] != "keys" {
		all["access_key"], all["secret_key"] = "", ""
	}
	return d, all, err
}

func (f sinkForm) save(ctx context.Context, values map[string]string, act ci.Act) error {
	d, all, err := f.whole(ctx, values)
	if err != nil {
		return err
	}
	if _, err := f.sinkOf(ctx, all); err != nil {
		return err
	}
	if d, err = f.in.sealed(ctx, d, all); err != nil {
		return err
	}
	if err := f.in.recorded(ctx, act, func() error { _, err := f.in.db.WriteDocs(ctx, ci.DocChange{Doc: d}); return err }); err != nil {
		return err
	}
	return f.in.figures.again(ctx)
}

func (f sinkForm) try(ctx context.Context, values map[string]string) ([]string, error) {
	_, all, err := f.whole(ctx, values)
	if err != nil {
		return nil, err
	}
	all["enabled"] = "on"
	sink, err := f.sinkOf(ctx, all)
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

// sinkOf makes the sink that values describe; nil when it is off.
func (f sinkForm) sinkOf(ctx context.Context, v map[string]string) (metrics.Sink, error) {
	if v["enabled"] == "" {
		return nil, nil
	}
	sink, err := f.sink(ctx, v)
	if errors.Is(err, ci.ErrInvalid) { // the form says already what it is about
		var all []string
		for _, text := range faults(err) {
			all = append(all, text)
		}
		return nil, fmt.Errorf("%s: %w", strings.Join(all, "; "), ci.ErrInvalid)
	}
	return sink, err
}

func (f sinkForm) sink(ctx context.Context, v map[string]string) (metrics.Sink, error) {
	client := f.in.figures.client
	if f.id == formDataDog {
		host, _ := os.Hostname() // without, figures have no host
		return datadog.New(datadog.Config{Key: v["api_key"], Site: v["site"], Host: host, HTTP: client})
	}
	return cloudwatch.New(ctx, cloudwatch.Config{
		Auth: cloudwatch.Auth(v["auth"]), AccessKey: v["access_key"], SecretKey: v["secret_key"], Region: v["region"], Namespace: v["namespace"],
		Endpoint: os.Getenv("AWS_ENDPOINT_URL_CLOUDWATCH"), HTTP: client,
	})
}

// savedSinks are those of the page, beside those of the file. One that cannot
// be made is left out and tried again.
func (in *installation) savedSinks(ctx context.Context, file metricsSettings) []metrics.Named[metrics.Sink] {
	var sinks []metrics.Named[metrics.Sink]
	for id, name := range map[string]string{formCloudWatch: "cloudwatch", formDataDog: "datadog"} {
		if name == "cloudwatch" && file.CloudWatch != nil || name == "datadog" && file.DataDog != nil {
			in.mender.good(id)
			continue
		}
		_, values, err := in.saved(ctx, id)
		var sink metrics.Sink
		if err == nil {
			sink, err = sinkForm{in, id}.sinkOf(ctx, values)
		}
		if err == nil && sink != nil {
			sinks = append(sinks, metrics.Named[metrics.Sink]{Name: name, T: sink})
		}
		in.mender.note(id, err, func(ctx context.Context) {
			if err := in.figures.again(ctx); err != nil {
				in.log.Error("put the settings of metrics into force again", "err", err)
			}
		})
	}
	return sinks
}
