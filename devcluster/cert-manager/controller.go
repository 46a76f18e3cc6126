// The controller: issues and renews certificates with the self-signed and the CA issuer. The issuers that ask a server
// outside of this machine (ACME, Vault, Venafi) are left out, since the cluster reaches none; an Issuer of theirs stays
// not ready.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/cert-manager/cert-manager/pkg/controller"
	"github.com/cert-manager/cert-manager/pkg/healthz"
	logf "github.com/cert-manager/cert-manager/pkg/logs"

	// Control loops and issuers register themselves.
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/metrics"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
)

// Upstream's defaults.
const (
	workers       = 5
	queriesSecond = 20
	queriesBurst  = 50
	backoffFirst  = time.Hour
	backoffLast   = 32 * time.Hour
	healthAddress = ":9403"
	healthTimeout = 20 * time.Second
	shutdownLimit = 5 * time.Second
)

func runController(ctx context.Context, args []string) error {
	flags := pflag.NewFlagSet("controller", pflag.ContinueOnError)
	namespace := flags.String("cluster-resource-namespace", "kube-system", "where a ClusterIssuer's Secrets are")
	if err := flags.Parse(args); err != nil {
		return err
	}
	factory, err := controller.NewContextFactory(ctx, controller.ContextOptions{
		KubernetesAPIQPS:   queriesSecond,
		KubernetesAPIBurst: queriesBurst,
		IssuerOptions:      controller.IssuerOptions{ClusterResourceNamespace: *namespace},
		CertificateOptions: controller.CertificateOptions{
			CopiedAnnotationPrefixes: []string{
				"*", "-kubectl.kubernetes.io/", "-fluxcd.io/", "-argocd.argoproj.io/",
			},
			CertificateRequestMinimumBackoffDuration: backoffFirst,
			CertificateRequestMaximumBackoffDuration: backoffLast,
		},
	})
	if err != nil {
		return err
	}
	shared, err := factory.Build()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	if err := startLoops(ctx, group, factory); err != nil {
		return err
	}
	shared.SharedInformerFactory.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	if err := serve(ctx, group, shared); err != nil {
		return err
	}
	return group.Wait()
}

// startLoops starts every control loop; each waits by itself until the informers' caches are filled.
func startLoops(ctx context.Context, group *errgroup.Group, factory *controller.ContextFactory) error {
	for name, construct := range controller.Known() {
		loop, err := construct(factory)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		group.Go(func() error {
			logf.FromContext(ctx).V(logf.InfoLevel).Info("starting control loop", "controller", name)
			return loop.Run(workers, ctx)
		})
	}
	return nil
}

// serve answers Prometheus and the kubelet's probes.
func serve(ctx context.Context, group *errgroup.Group, shared *controller.Context) error {
	listen := net.ListenConfig{}
	health, err := listen.Listen(ctx, "tcp", healthAddress)
	if err != nil {
		return err
	}
	group.Go(func() error { return healthz.NewServer(healthTimeout).Start(ctx, health) })
	metrics, err := listen.Listen(ctx, "tcp", metricsAddress)
	if err != nil {
		return err
	}
	server := shared.Metrics.NewServer(metrics)
	group.Go(func() error {
		<-ctx.Done()
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
		defer cancel()
		return server.Shutdown(limit)
	})
	group.Go(func() error {
		if err := server.Serve(metrics); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return nil
}
