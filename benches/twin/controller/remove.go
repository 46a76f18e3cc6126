package main

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// poll is when a removal under way is looked at again, if no event comes first.
const poll = 500 * time.Millisecond

// quickGrace is what a pod gets whose data goes as well.
const quickGrace = 1

// remove takes a deletion one step further: pods and StatefulSet, then the rest, then the record, then the finalizer. The
// record is deleted first and held by its finalizer, so that it says what is going on.
func (r *reconciler) remove(ctx context.Context, database *Database) (reconcile.Result, error) {
	if !controllerutil.ContainsFinalizer(database, databaseFinalizer) {
		return reconcile.Result{}, nil
	}
	with := r.valuesOf(database)
	of := client.ObjectKeyFromObject(database)
	if r.recent.is(of, stepApplied) {
		// What the caches do not show yet would be left behind.
		return reconcile.Result{RequeueAfter: settle}, nil
	}
	if err := r.tell(ctx, database, r.databaseStatus(database, &with, phaseDeleting)); err != nil {
		return reconcile.Result{}, err
	}
	record, err := r.deleteRecord(ctx, of.Namespace, with[slotDeployment])
	if err != nil {
		return reconcile.Result{}, err
	}
	workload, rest, err := r.children(ctx, database, with[slotDeployment])
	if err != nil {
		return reconcile.Result{}, err
	}
	if !r.recent.is(of, stepRestDeleted) {
		pods, err := r.pods(ctx, of.Namespace, with[slotDeployment])
		if err != nil {
			return reconcile.Result{}, err
		}
		if len(pods)+len(workload) > 0 {
			return r.deleteWorkload(ctx, of, pods, workload)
		}
	}
	if len(rest) > 0 {
		return r.deleteRest(ctx, of, rest)
	}
	if err := r.release(ctx, record, recordFinalizer); err != nil {
		return reconcile.Result{}, err
	}
	r.recent.forget(of)
	return reconcile.Result{}, r.release(ctx, database, databaseFinalizer)
}

// deleteRecord asks for the removal of the record, unless that was done, and gives it where it is there.
func (r *reconciler) deleteRecord(ctx context.Context, namespace, name string) (client.Object, error) {
	record := &ServiceInstance{}
	err := r.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, record)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err == nil && record.DeletionTimestamp.IsZero() {
		err = r.client.Delete(ctx, record, client.Preconditions{UID: &record.UID})
	}
	return record, client.IgnoreNotFound(err)
}

// children are the StatefulSet and the other objects of an instance that go with it. Claims and the Secret stay unless
// the data is to go.
func (r *reconciler) children(ctx context.Context, database *Database, deployment string) (workload, rest []client.Object, err error) {
	keep := database.Spec.DeletionPolicy != "" && database.Spec.DeletionPolicy != "Delete"
	of := []client.ListOption{client.InNamespace(database.Namespace), client.MatchingFields{deploymentIndex: deployment}}
	for _, kind := range children {
		list := kind.list()
		if err := r.client.List(ctx, list, of...); err != nil {
			return nil, nil, err
		}
		found := kind.items(list)
		switch {
		case kind.isWorkload():
			workload = append(workload, found...)
		case !keep || !kind.isData():
			rest = append(rest, found...)
		}
	}
	return workload, rest, nil
}

// pods are read from the API server, as KIDP does: to cache every pod for the moment of its removal is not worth it.
func (r *reconciler) pods(ctx context.Context, namespace, deployment string) ([]metav1.PartialObjectMetadata, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "PodList"})
	err := r.live.List(ctx, list, client.InNamespace(namespace), client.MatchingLabels{deploymentLabel: deployment})
	return list.Items, err
}

// deleteWorkload deletes the pods, whose data goes as well, and then their StatefulSet.
func (r *reconciler) deleteWorkload(
	ctx context.Context, of client.ObjectKey, pods []metav1.PartialObjectMetadata, sets []client.Object,
) (reconcile.Result, error) {
	again := reconcile.Result{RequeueAfter: poll}
	if len(sets) > 0 && r.recent.is(of, stepWorkloadDeleted) {
		return again, nil
	}
	podKind := corev1.SchemeGroupVersion.WithKind("Pod")
	going := make([]client.Object, 0, len(pods))
	for at := range pods {
		pods[at].SetGroupVersionKind(podKind)
		going = append(going, &pods[at])
	}
	if err := r.deleteAll(ctx, going, client.GracePeriodSeconds(quickGrace)); err != nil {
		return reconcile.Result{}, err
	}
	if err := r.deleteAll(ctx, sets); err != nil {
		return reconcile.Result{}, err
	}
	r.recent.note(of, stepWorkloadDeleted)
	return again, nil
}

// deleteRest deletes what is left; the events of its end bring the next look.
func (r *reconciler) deleteRest(ctx context.Context, of client.ObjectKey, rest []client.Object) (reconcile.Result, error) {
	if !r.recent.is(of, stepRestDeleted) {
		if err := r.deleteAll(ctx, rest); err != nil {
			return reconcile.Result{}, err
		}
		r.recent.note(of, stepRestDeleted)
	}
	return reconcile.Result{RequeueAfter: settle}, nil
}

// deleteAll deletes at the same time what is not being deleted yet.
func (r *reconciler) deleteAll(ctx context.Context, objects []client.Object, options ...client.DeleteOption) error {
	all, within := errgroup.WithContext(ctx)
	for _, object := range objects {
		if !object.GetDeletionTimestamp().IsZero() {
			continue
		}
		uid := object.GetUID()
		with := append([]client.DeleteOption{
			client.PropagationPolicy(metav1.DeletePropagationBackground), client.Preconditions{UID: &uid},
		}, options...)
		all.Go(func() error { return client.IgnoreNotFound(r.client.Delete(within, object, with...)) })
	}
	return all.Wait()
}

// release takes a finalizer off. An object that is gone is as good.
func (r *reconciler) release(ctx context.Context, object client.Object, finalizer string) error {
	if object == nil {
		return nil
	}
	before, _ := object.DeepCopyObject().(client.Object)
	if !controllerutil.RemoveFinalizer(object, finalizer) {
		return nil
	}
	return client.IgnoreNotFound(r.client.Patch(ctx, object, lockedMerge(before), client.FieldOwner(fieldManager)))
}
