// Rondo-telegraf runs real configurations of Telegraf beside a Rondo server:
// figures of the host and of Docker, and any platform that Telegraf writes to.
//
//	rondo-telegraf /etc/circleconfig/telegraf
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/rondo-ci/rondo/metrics/telegraf"
)

const usage = `usage: rondo-telegraf PATH...

Runs the configurations of Telegraf in the files and folders (*.conf), which are
read again when they change. Old spellings such as [[output.influxdb]] and url are
understood and told; "rondo metrics doctor PATH" explains and mends them.

The Rondo server sends its own figures to an [[inputs.statsd]] with
datadog_extensions = true, when its settings say metrics: {datadog: {agent:
"127.0.0.1:8125"}}.

Authorities in /usr/local/share/ca-certificates are trusted besides those of the
system, as they are at the start.
`

func main() {
	flag.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	if os.Getenv("SSL_CERT_DIR") == "" { // what Go looks at, and the folder of the server
		_ = os.Setenv("SSL_CERT_DIR", "/etc/ssl/certs:/etc/pki/tls/certs:/usr/local/share/ca-certificates") // the name is a good one
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := telegraf.New(telegraf.Config{Paths: flag.Args(), Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}).Run(ctx)
	if err != nil {
		fmt.Fprintf(os.Stderr, "rondo-telegraf: %v\n", err)
		stop()
		os.Exit(1)
	}
}
