// The controller twin: a controller-runtime manager that does for a Database what KIDP's operator and broker do together, for
// `cargo xtask scale` to measure the two against each other: the same objects, by the same calls in the same order, and
// nothing written in steady state, also after a restart.
//
// It is kinder to itself than KIDP is, where the two could differ. It is one process, without the HTTP, the callbacks and the
// choice of a broker between operator and broker. It renders nothing: the objects come from a template, which is split
// once. It validates nothing, looks for no drift but a missing object or note, compares no versions and checks for no
// collisions; a Database whose spec changes later stays as it was made. It reads objects from caches of metadata where
// KIDP reads them from the API server, and keeps of a StatefulSet what readiness needs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/manager/signals"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const (
	// grace is what requests under way get at the end.
	grace = 500 * time.Millisecond
	// retryMin and retryMax are the first and the longest wait after an error.
	retryMin = 5 * time.Millisecond
	retryMax = 30 * time.Second
)

type options struct {
	kubeconfig, namespace, template string
	workers                         int
}

func main() {
	var given options
	flag.StringVar(&given.kubeconfig, "kubeconfig", "", "cluster")
	flag.StringVar(&given.namespace, "namespace", "", "the namespace that is watched")
	flag.StringVar(&given.template, "template", "", "file with the objects of an instance, as JSON")
	flag.IntVar(&given.workers, "workers", 10, "Databases that are worked on at once")
	flag.Parse()
	logger := logr.FromSlogHandler(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	log.SetLogger(logger)
	klog.SetLogger(logger)
	if err := runUntil(signals.SetupSignalHandler(), given); err != nil {
		logger.Error(err, "ended")
		os.Exit(1)
	}
}

// runUntil runs until a signal, and then as long as the grace: what does not end within it is no failure.
func runUntil(signal context.Context, given options) error {
	ended := make(chan error, 1)
	go func() { ended <- run(signal, given) }()
	select {
	case err := <-ended:
		return err
	case <-signal.Done():
	}
	select {
	case <-ended:
	case <-time.After(grace):
	}
	return nil
}

func run(ctx context.Context, given options) error {
	if given.namespace == "" {
		return errors.New("--namespace is missing")
	}
	read, err := readTemplate(given.template)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", given.kubeconfig)
	if err != nil {
		return err
	}
	// No rate limit on this side.
	config.QPS = -1
	config.UserAgent = fieldManager
	mgr, err := manager.New(config, manager.Options{
		Scheme:  newScheme(),
		Cache:   cacheOptions(given.namespace),
		Metrics: server.Options{BindAddress: "0"},
		// The process sees to the end itself.
		GracefulShutdownTimeout: ptr.To(time.Duration(0)),
	})
	if err != nil {
		return err
	}
	reconciler := &reconciler{
		client:   mgr.GetClient(),
		live:     mgr.GetAPIReader(),
		events:   mgr.GetEventRecorder(fieldManager),
		template: read,
		recent:   newRecent(),
	}
	ready := func() { fmt.Println("ready") }
	if err := setUp(ctx, mgr, reconciler, given.workers, ready); err != nil {
		return err
	}
	return mgr.Start(ctx)
}
