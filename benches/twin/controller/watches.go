package main

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// deploymentIndex finds an instance's objects for its removal, by their label.
const deploymentIndex = "deployment"

// child is a kind of which an instance has objects. They are the kinds that KIDP's broker watches; as there, all but
// StatefulSet are watched by their metadata alone.
type child struct{ schema.GroupVersionKind }

var children = []child{
	{appsv1.SchemeGroupVersion.WithKind("StatefulSet")},
	{corev1.SchemeGroupVersion.WithKind("ConfigMap")},
	{corev1.SchemeGroupVersion.WithKind("Secret")},
	{corev1.SchemeGroupVersion.WithKind("Service")},
	{corev1.SchemeGroupVersion.WithKind("ServiceAccount")},
	{corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim")},
	{policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget")},
	{networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy")},
}

func (c child) isWorkload() bool { return c.Kind == "StatefulSet" }

func (c child) isData() bool { return c.Kind == "Secret" || c.Kind == "PersistentVolumeClaim" }

// object is an empty one of the kind, in the form that it is cached in.
func (c child) object() client.Object {
	if c.isWorkload() {
		return &appsv1.StatefulSet{}
	}
	return metadataOf(c.GroupVersionKind)
}

func (c child) list() client.ObjectList {
	if c.isWorkload() {
		return &appsv1.StatefulSetList{}
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(c.GroupVersion().WithKind(c.Kind + "List"))
	return list
}

func (c child) items(list client.ObjectList) []client.Object {
	var found []client.Object
	switch list := list.(type) {
	case *appsv1.StatefulSetList:
		for at := range list.Items {
			found = append(found, &list.Items[at])
		}
	case *metav1.PartialObjectMetadataList:
		for at := range list.Items {
			list.Items[at].SetGroupVersionKind(c.GroupVersionKind)
			found = append(found, &list.Items[at])
		}
	}
	return found
}

func metadataOf(kind schema.GroupVersionKind) *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(kind)
	return object
}

// cacheOptions keep what is read, and no more of it than is read.
func cacheOptions(namespace string) cache.Options {
	all := labels.Everything()
	return cache.Options{
		DefaultNamespaces:           map[string]cache.Config{namespace: {}},
		DefaultLabelSelector:        labels.SelectorFromSet(labels.Set{managerLabel: managedByKIDP}),
		DefaultTransform:            cache.TransformStripManagedFields(),
		ReaderFailOnMissingInformer: true,
		ByObject: map[client.Object]cache.ByObject{
			&Database{}:           {Label: all},
			&ServiceInstance{}:    {Label: all},
			&appsv1.StatefulSet{}: {Transform: withoutTemplate},
		},
	}
}

// withoutTemplate takes the largest part off a StatefulSet, which nothing here reads.
func withoutTemplate(in any) (any, error) {
	if set, ok := in.(*appsv1.StatefulSet); ok {
		set.ManagedFields = nil
		set.Spec.Template = corev1.PodTemplateSpec{}
		set.Spec.VolumeClaimTemplates = nil
	}
	return in, nil
}

// setUp registers the watches, and a runnable that calls ready once all of them are synced.
func setUp(ctx context.Context, mgr manager.Manager, r *reconciler, workers int, ready func()) error {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryMin, retryMax)
	controlled := builder.ControllerManagedBy(mgr).
		Named("database").
		For(&Database{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&ServiceInstance{}, handler.EnqueueRequestsFromMapFunc(ofRecord), builder.WithPredicates(recordChanges)).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers, RateLimiter: limiter})
	for _, kind := range children {
		if err := mgr.GetFieldIndexer().IndexField(ctx, kind.object(), deploymentIndex, deploymentOf); err != nil {
			return fmt.Errorf("index of %s: %w", kind.Kind, err)
		}
		if kind.isWorkload() {
			controlled.Watches(kind.object(), r.ofChild(), builder.WithPredicates(setChanges))
		} else {
			controlled.WatchesMetadata(kind.object(), r.ofChild(), builder.WithPredicates(childChanges))
		}
	}
	if err := controlled.Complete(r); err != nil {
		return err
	}
	return mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		watched := []client.Object{&Database{}, &ServiceInstance{}}
		for _, kind := range children {
			watched = append(watched, kind.object())
		}
		for _, object := range watched {
			if _, err := mgr.GetCache().GetInformer(ctx, object); err != nil {
				return err
			}
		}
		ready()
		return nil
	}))
}

func deploymentOf(object client.Object) []string {
	if id := object.GetLabels()[deploymentLabel]; id != "" {
		return []string{id}
	}
	return nil
}

// ofRecord is the Database that a record was made for.
func ofRecord(_ context.Context, object client.Object) []reconcile.Request {
	record, ok := object.(*ServiceInstance)
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: record.Namespace, Name: record.Spec.ResourceName}}}
}

// ofChild is the Database that an object was made for. Its owner is the record, as in KIDP, and claims and Secrets have
// none, so it is found by its label.
func (r *reconciler) ofChild() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []reconcile.Request {
		name, ok := r.template.nameOf(object.GetLabels())
		if !ok {
			return nil
		}
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: name}}}
	})
}

// recordChanges are those of the spec, and the end of it. That there is one is known to whoever made it.
var recordChanges = predicate.And[client.Object](predicate.GenerationChangedPredicate{}, notNew)

var notNew = predicate.Funcs{CreateFunc: func(event.CreateEvent) bool { return false }}

// childChanges are what an object that is watched by its metadata can need: it went, or lost its note.
var childChanges = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(change event.UpdateEvent) bool { return noteOf(change.ObjectOld) != noteOf(change.ObjectNew) },
}

// setChanges are the same of a StatefulSet, and how many of its members are ready.
var setChanges = predicate.Funcs{
	CreateFunc: func(change event.CreateEvent) bool {
		set, _ := change.Object.(*appsv1.StatefulSet)
		return isReady(set)
	},
	UpdateFunc: func(change event.UpdateEvent) bool {
		before, _ := change.ObjectOld.(*appsv1.StatefulSet)
		after, _ := change.ObjectNew.(*appsv1.StatefulSet)
		return before == nil || after == nil || isReady(before) != isReady(after) || noteOf(before) != noteOf(after)
	},
}

func noteOf(object client.Object) string { return object.GetAnnotations()[hashAnnotation] }
