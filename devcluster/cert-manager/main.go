// Program cert-manager runs one component of cert-manager: its controller, its webhook or its CA injector.
//
// Upstream keeps the three `main` packages in modules of their own, which no module proxy serves, and everything they
// call in the root module, which is served. So this program is the missing entry point and nothing else: every
// control loop, admission plugin and default is upstream's.
//
// Two things follow. The module's path lies below upstream's, as the paths of upstream's own programs do, since the
// webhook is in an `internal` package. And there is no leader election: the development cluster runs one replica of
// each component, which is stopped before the next one starts.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	logsapi "k8s.io/component-base/logs/api/v1"

	logf "github.com/cert-manager/cert-manager/pkg/logs"
)

var components = map[string]func(ctx context.Context, args []string) error{
	"controller": runController,
	"webhook":    runWebhook,
	"cainjector": runCAInjector,
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: cert-manager controller|webhook|cainjector [flags]")
	}
	component, known := components[args[0]]
	if !known {
		return fmt.Errorf("no component %q: there are controller, webhook and cainjector", args[0])
	}
	logf.InitLogs()
	defer logf.FlushLogs()
	logging := logsapi.NewLoggingConfiguration()
	logging.Verbosity = logf.InfoLevel
	if err := logf.ValidateAndApply(logging); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return component(logf.NewContext(ctx, logf.Log, args[0]), args[1:])
}
