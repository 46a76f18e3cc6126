package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	fieldManager      = "kidp-twin"
	databaseFinalizer = "platform.company.com/database-cleanup"
	recordFinalizer   = "broker.platform.company.com/instance-cleanup"
	// catchUp is how soon a decision on an old copy is taken again.
	catchUp = 100 * time.Millisecond
)

// reconciler takes one Database at a time as far as it goes.
type reconciler struct {
	client client.Client
	// live reads what is not cached.
	live     client.Reader
	events   events.EventRecorder
	template *template
	recent   *recent
}

// Reconcile looks at the Database of this name. What it reads comes from the caches, but for pods that are being removed.
func (r *reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	database := &Database{}
	if err := r.client.Get(ctx, request.NamespacedName, database); err != nil {
		if apierrors.IsNotFound(err) {
			r.recent.forget(request.NamespacedName)
		}
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	take := r.provision
	if !database.DeletionTimestamp.IsZero() {
		take = r.remove
	}
	result, err := take(ctx, database)
	if apierrors.IsConflict(err) {
		return reconcile.Result{RequeueAfter: catchUp}, nil
	}
	return result, err
}

// provision makes what is missing and tells how far it is.
func (r *reconciler) provision(ctx context.Context, database *Database) (reconcile.Result, error) {
	if err := r.addFinalizer(ctx, database); err != nil {
		return reconcile.Result{}, err
	}
	with := r.valuesOf(database)
	if database.Status.DeploymentID != with[slotDeployment] {
		if err := r.tell(ctx, database, r.databaseStatus(database, &with, phaseProvisioning)); err != nil {
			return reconcile.Result{}, err
		}
	}
	record, err := r.recordOf(ctx, database, &with)
	if err != nil {
		return reconcile.Result{}, err
	}
	with[slotRecordUID] = string(record.UID)
	set, result, err := r.apply(ctx, client.ObjectKeyFromObject(database), &with)
	if err != nil {
		return reconcile.Result{}, err
	}
	phase := phaseProvisioning
	if isReady(set) {
		phase = phaseReady
	}
	if status := r.recordStatus(record, &with, phase); !equality.Semantic.DeepEqual(record.Status, status) {
		record.Status = status
		if err := r.client.Status().Update(ctx, record, client.FieldOwner(fieldManager)); err != nil {
			return reconcile.Result{}, err
		}
	}
	return result, r.tell(ctx, database, r.databaseStatus(database, &with, phase))
}

func (r *reconciler) valuesOf(database *Database) values {
	uid := string(database.UID)
	return values{
		slotName:       database.Name,
		slotNamespace:  database.Namespace,
		slotDeployment: deploymentID(database),
		slotUID:        uid,
	}
}

// deploymentID is derived as KIDP does it, for a broker of the twin's name.
func deploymentID(database *Database) string {
	return "deploy-" + hash(fieldManager, database.Namespace, "Database", database.Name, string(database.UID))
}

func (r *reconciler) addFinalizer(ctx context.Context, database *Database) error {
	before := database.DeepCopy()
	if !controllerutil.AddFinalizer(database, databaseFinalizer) {
		return nil
	}
	return r.client.Patch(ctx, database, lockedMerge(before), client.FieldOwner(fieldManager))
}

// lockedMerge is a merge patch that holds for the copy that it was decided on.
func lockedMerge(before client.Object) client.Patch {
	return client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
}

// tell applies the status, if it says something new.
func (r *reconciler) tell(ctx context.Context, database *Database, status DatabaseStatus) error {
	old := database.Status.Phase
	if equality.Semantic.DeepEqual(database.Status, status) {
		return nil
	}
	body, err := json.Marshal(map[string]any{
		"apiVersion": platformVersion.String(),
		"kind":       "Database",
		"metadata": map[string]string{
			"name": database.Name, "namespace": database.Namespace, "resourceVersion": database.ResourceVersion,
		},
		"status": status,
	})
	if err != nil {
		return err
	}
	patch := client.RawPatch(types.ApplyPatchType, body)
	if err := r.client.Status().Patch(ctx, database, patch, client.ForceOwnership, client.FieldOwner(fieldManager)); err != nil {
		return err
	}
	if status.Phase != old && status.Phase != phaseProvisioning {
		r.events.Eventf(database, nil, corev1.EventTypeNormal, status.Phase, "Reconcile", "%s", status.Conditions[0].Message)
	}
	return nil
}

// recordOf is the record of a Database, which is created where there is none.
func (r *reconciler) recordOf(ctx context.Context, database *Database, with *values) (*ServiceInstance, error) {
	record := &ServiceInstance{}
	key := client.ObjectKey{Namespace: database.Namespace, Name: with[slotDeployment]}
	err := r.client.Get(ctx, key, record)
	if !apierrors.IsNotFound(err) {
		return record, err
	}
	if err := json.Unmarshal(r.template.record.fill(with), record); err != nil {
		return nil, err
	}
	record.Spec.ResourceGeneration = database.Generation
	err = r.client.Create(ctx, record, client.FieldOwner(fieldManager))
	if apierrors.IsAlreadyExists(err) {
		return record, r.live.Get(ctx, key, record)
	}
	return record, err
}

// apply applies the objects that are missing or made from another template, and gives the StatefulSet as it was found.
// The StatefulSet is last, the others go at the same time, as in KIDP.
func (r *reconciler) apply(ctx context.Context, of types.NamespacedName, with *values) (*appsv1.StatefulSet, reconcile.Result, error) {
	var set *appsv1.StatefulSet
	var foundation, workload []*object
	for at := range r.template.objects {
		object := &r.template.objects[at]
		found, err := r.found(ctx, object, with)
		if err != nil {
			return nil, reconcile.Result{}, err
		}
		if found, ok := found.(*appsv1.StatefulSet); ok {
			set = found
		}
		switch {
		// The password of a Secret that is there is never made again.
		case found != nil && (object.isSecret() || found.GetAnnotations()[hashAnnotation] == object.hash):
		case object.kind.Kind == "StatefulSet":
			workload = append(workload, object)
		default:
			foundation = append(foundation, object)
		}
	}
	if len(foundation)+len(workload) == 0 {
		r.recent.forget(of)
		return set, reconcile.Result{}, nil
	}
	if r.recent.is(of, stepApplied) {
		return set, reconcile.Result{RequeueAfter: settle}, nil
	}
	all, within := errgroup.WithContext(ctx)
	for _, object := range foundation {
		all.Go(func() error { return r.write(within, object, with) })
	}
	if err := all.Wait(); err != nil {
		return nil, reconcile.Result{}, err
	}
	for _, object := range workload {
		if err := r.write(ctx, object, with); err != nil {
			return nil, reconcile.Result{}, err
		}
	}
	r.recent.note(of, stepApplied)
	return set, reconcile.Result{}, nil
}

// found is an object as the caches have it: a StatefulSet, of anything else the metadata, or nil.
func (r *reconciler) found(ctx context.Context, object *object, with *values) (client.Object, error) {
	var into client.Object = metadataOf(object.kind)
	if object.kind.Kind == "StatefulSet" {
		into = &appsv1.StatefulSet{}
	}
	key := client.ObjectKey{Namespace: with[slotNamespace], Name: string(object.name.fill(with))}
	err := r.client.Get(ctx, key, into)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return into, err
}

// write creates a Secret and applies anything else. Of the answer, only metadata is asked for.
func (r *reconciler) write(ctx context.Context, object *object, with *values) error {
	if object.isSecret() {
		mine := *with
		mine[slotPassword] = rand.Text()
		secret := &corev1.Secret{}
		if err := json.Unmarshal(object.body.fill(&mine), secret); err != nil {
			return err
		}
		return client.IgnoreAlreadyExists(r.client.Create(ctx, secret, client.FieldOwner(fieldManager)))
	}
	target := metadataOf(object.kind)
	target.Namespace, target.Name = with[slotNamespace], string(object.name.fill(with))
	patch := client.RawPatch(types.ApplyPatchType, object.body.fill(with))
	return r.client.Patch(ctx, target, patch, client.ForceOwnership, client.FieldOwner(fieldManager))
}

// isReady says whether every member is of the latest revision and ready.
func isReady(set *appsv1.StatefulSet) bool {
	if set == nil || set.Spec.Replicas == nil || set.Status.ObservedGeneration < set.Generation {
		return false
	}
	wanted := *set.Spec.Replicas
	return set.Status.ReadyReplicas == wanted && set.Status.UpdatedReplicas == wanted
}

// databaseStatus is what the team is told in a phase.
func (r *reconciler) databaseStatus(database *Database, with *values, phase string) DatabaseStatus {
	next := database.Status
	next.Phase = phase
	next.DeploymentID = with[slotDeployment]
	next.ObservedGeneration = database.Generation
	if phase == phaseReady {
		next.Endpoint, next.Port = string(r.template.host.fill(with)), r.template.port
		next.ConnectionSecretRef = &Reference{Name: string(r.template.secret.fill(with))}
	}
	next.Conditions = conditions(database.Status.Conditions, phase, database.Generation)
	return next
}

// recordStatus is what the record says in a phase.
func (r *reconciler) recordStatus(record *ServiceInstance, with *values, phase string) ServiceInstanceStatus {
	next := record.Status
	next.Phase = phase
	next.ResourceGeneration = record.Spec.ResourceGeneration
	next.ObservedGeneration = record.Generation
	if phase == phaseReady {
		next.Endpoint, next.Port = string(r.template.host.fill(with)), r.template.port
		next.ConnectionSecretRef = &Reference{Name: string(r.template.secret.fill(with))}
		next.Applied = r.template.hash
	}
	next.Conditions = conditions(record.Status.Conditions, phase, record.Generation)
	return next
}

// conditions are those of a phase, as kstatus reads them. One that does not change its status keeps its time.
func conditions(before []metav1.Condition, phase string, generation int64) []metav1.Condition {
	now := metav1.Now().Rfc3339Copy()
	condition := func(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
		next := metav1.Condition{
			Type: kind, Status: status, Reason: reason, Message: message,
			ObservedGeneration: generation, LastTransitionTime: now,
		}
		for at := range before {
			if before[at].Type == kind && before[at].Status == status {
				next.LastTransitionTime = before[at].LastTransitionTime
			}
		}
		return next
	}
	if phase == phaseReady {
		return []metav1.Condition{condition("Ready", metav1.ConditionTrue, "Provisioned", "the database accepts connections")}
	}
	reason, message := "Provisioning", "its objects are being made"
	if phase == phaseDeleting {
		reason, message = "Deprovisioning", "its objects are being removed"
	}
	return []metav1.Condition{
		condition("Ready", metav1.ConditionFalse, reason, message),
		condition("Reconciling", metav1.ConditionTrue, reason, message),
	}
}
