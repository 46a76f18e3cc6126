package main

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// cluster is controller-runtime's own model of an API server, and what was written to it.
type cluster struct {
	client.WithWatch
	mutex  sync.Mutex
	writes []string
}

func (c *cluster) note(verb string, object client.Object, status string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	kind := object.GetObjectKind().GroupVersionKind().Kind
	if kind == "" {
		kind = reflect.TypeOf(object).Elem().Name()
	}
	c.writes = append(c.writes, verb+" "+kind+"/"+object.GetName()+status)
}

// taken is what was written since the last call; what is written at the same time, in the order of its names.
func (c *cluster) taken() []string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	written := c.writes
	c.writes = nil
	return written
}

func newCluster(objects ...client.Object) *cluster {
	made := &cluster{}
	// Deduced, since KIDP's kinds are in no schema of Go's.
	build := fake.NewClientBuilder().WithScheme(newScheme()).WithObjects(objects...).
		WithTypeConverters(managedfields.NewDeducedTypeConverter()).
		WithStatusSubresource(&Database{}, &ServiceInstance{}, &appsv1.StatefulSet{})
	for _, kind := range children {
		build = build.WithIndex(kind.object(), deploymentIndex, deploymentOf)
	}
	made.WithWatch = build.WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, to client.WithWatch, object client.Object, options ...client.CreateOption) error {
			made.note("POST", object, "")
			object.SetUID("made")
			return to.Create(ctx, object, options...)
		},
		Patch: func(ctx context.Context, to client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			made.note("PATCH", object, "")
			return to.Patch(ctx, object, patch, options...)
		},
		Delete: func(ctx context.Context, to client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			made.note("DELETE", object, "")
			return to.Delete(ctx, object, options...)
		},
		SubResourcePatch: func(ctx context.Context, to client.Client, name string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			made.note("PATCH", object, "/"+name)
			return to.SubResource(name).Patch(ctx, object, patch, options...)
		},
		SubResourceUpdate: func(ctx context.Context, to client.Client, name string, object client.Object, options ...client.SubResourceUpdateOption) error {
			made.note("PUT", object, "/"+name)
			return to.SubResource(name).Update(ctx, object, options...)
		},
	}).Build()
	return made
}

func database(name string) *Database {
	return &Database{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "here", UID: "uid-of-it", Generation: 1}}
}

func (c *cluster) reconciler(t *testing.T) *reconciler {
	return &reconciler{client: c, live: c, events: events.NewFakeRecorder(20), template: parsed(t), recent: newRecent()}
}

func look(t *testing.T, r *reconciler, name string) {
	t.Helper()
	request := reconcile.Request{NamespacedName: client.ObjectKey{Namespace: "here", Name: name}}
	if _, err := r.Reconcile(t.Context(), request); err != nil {
		t.Fatal(err)
	}
}

func get[T client.Object](t *testing.T, from client.Client, name string, into T) T {
	t.Helper()
	if err := from.Get(t.Context(), client.ObjectKey{Namespace: "here", Name: name}, into); err != nil {
		t.Fatal(err)
	}
	return into
}

// members makes a StatefulSet's members ready, as a node does.
func members(t *testing.T, of client.Client, name string) {
	t.Helper()
	set := get(t, of, name, &appsv1.StatefulSet{})
	set.Status = appsv1.StatefulSetStatus{ObservedGeneration: set.Generation, Replicas: 1, ReadyReplicas: 1, UpdatedReplicas: 1}
	if err := of.Status().Update(t.Context(), set); err != nil {
		t.Fatal(err)
	}
}

func TestTheCallsAreKIDPs(t *testing.T) {
	c := newCluster(database("db-1"))
	r := c.reconciler(t)
	look(t, r, "db-1")
	written := c.taken()
	if len(written) != 11 {
		t.Fatalf("%d writes: %v", len(written), written)
	}
	// Those of the middle go at the same time.
	sort.Strings(written[3:9])
	id := deploymentID(database("db-1"))
	expected := []string{
		"PATCH Database/db-1", "PATCH Database/db-1/status", "POST ServiceInstance/" + id,
		"PATCH ConfigMap/db-1-postgresql-config", "PATCH NetworkPolicy/db-1-postgresql",
		"PATCH Service/db-1-postgresql", "PATCH Service/db-1-postgresql-headless",
		"PATCH ServiceAccount/db-1-postgresql", "POST Secret/db-1-postgresql-connection",
		"PATCH StatefulSet/db-1-postgresql", "PUT ServiceInstance/" + id + "/status",
	}
	if !slices.Equal(written, expected) {
		t.Fatalf("%s", strings.Join(written, "\n"))
	}
	look(t, r, "db-1")
	if again := c.taken(); len(again) > 0 {
		t.Fatal("written again:", again)
	}

	members(t, c.WithWatch, "db-1-postgresql")
	c.taken()
	look(t, r, "db-1")
	expected = []string{"PUT ServiceInstance/" + id + "/status", "PATCH Database/db-1/status"}
	if written := c.taken(); !slices.Equal(written, expected) {
		t.Fatal(written)
	}
	status := get(t, c, "db-1", &Database{}).Status
	if status.Phase != phaseReady || status.Endpoint != "db-1-postgresql.here.svc" || status.Port != 5432 ||
		status.ConnectionSecretRef.Name != "db-1-postgresql-connection" || status.DeploymentID != id {
		t.Fatalf("%+v", status)
	}
	for _, r := range []*reconciler{r, c.reconciler(t)} {
		look(t, r, "db-1")
		if idle := c.taken(); len(idle) > 0 {
			t.Fatal("written in steady state:", idle)
		}
	}
}

func TestInstancesHaveTheirOwnPasswordAndOwner(t *testing.T) {
	c := newCluster(database("a"), database("b"))
	r := c.reconciler(t)
	passwords := map[string]bool{}
	for _, name := range []string{"a", "b"} {
		look(t, r, name)
		secret := get(t, c, name+"-postgresql-connection", &corev1.Secret{})
		password := secret.StringData["password"]
		if !strings.Contains(secret.StringData["uri"], password) || len(password) < 24 || password == templatePassword {
			t.Fatal("the password is not in the address, or is no password")
		}
		if len(secret.OwnerReferences) > 0 {
			t.Fatal("the Secret shares the fate of the claim, and has no owner")
		}
		passwords[password] = true
		owners := get(t, c, name+"-postgresql", &appsv1.StatefulSet{}).OwnerReferences
		if len(owners) != 1 || owners[0].UID != "made" || owners[0].Kind != "ServiceInstance" {
			t.Fatal(owners)
		}
	}
	if len(passwords) != 2 {
		t.Fatal("both have the same password")
	}
}

func TestWhatIsTakenAwayIsMadeAgain(t *testing.T) {
	c := newCluster(database("db-1"))
	r := c.reconciler(t)
	look(t, r, "db-1")
	look(t, r, "db-1")
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "db-1-postgresql", Namespace: "here"}}
	if err := c.WithWatch.Delete(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	c.taken()
	look(t, r, "db-1")
	if written := c.taken(); !slices.Equal(written, []string{"PATCH Service/db-1-postgresql"}) {
		t.Fatal(written)
	}
}

func claim(of string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{
		Name: "data-db-1-postgresql-0", Namespace: "here", UID: "claim", Labels: map[string]string{deploymentLabel: of},
	}}
}

func TestARemovalLeavesNothing(t *testing.T) {
	id := deploymentID(database("db-1"))
	c := newCluster(database("db-1"), claim(id))
	r := c.reconciler(t)
	look(t, r, "db-1")
	look(t, r, "db-1")
	if err := c.WithWatch.Delete(t.Context(), database("db-1")); err != nil {
		t.Fatal(err)
	}
	c.taken()
	for range 4 {
		look(t, r, "db-1")
	}
	written := c.taken()
	if first := written[:3]; !slices.Equal(first, []string{
		"PATCH Database/db-1/status", "DELETE ServiceInstance/" + id, "DELETE StatefulSet/db-1-postgresql",
	}) {
		t.Fatal(written)
	}
	if last := written[len(written)-2:]; !slices.Equal(last, []string{"PATCH ServiceInstance/" + id, "PATCH Database/db-1"}) {
		t.Fatal(written)
	}
	if left := everything(t, c); len(left) > 0 {
		t.Fatal("left behind:", left)
	}
}

func TestDataIsKeptWhereItIsToBe(t *testing.T) {
	kept := database("db-1")
	kept.Spec.DeletionPolicy = "Retain"
	c := newCluster(kept, claim(deploymentID(kept)))
	r := c.reconciler(t)
	look(t, r, "db-1")
	look(t, r, "db-1")
	if err := c.WithWatch.Delete(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		look(t, r, "db-1")
	}
	left := everything(t, c)
	if !slices.Equal(left, []string{"PersistentVolumeClaim/data-db-1-postgresql-0", "Secret/db-1-postgresql-connection"}) {
		t.Fatal(left)
	}
}

// everything is what the cluster holds.
func everything(t *testing.T, c client.Client) (names []string) {
	t.Helper()
	lists := map[string]client.ObjectList{"Database": &DatabaseList{}, "ServiceInstance": &ServiceInstanceList{}}
	for _, kind := range children {
		lists[kind.Kind] = kind.list()
	}
	for kind, list := range lists {
		if err := c.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		err := meta.EachListItem(list, func(object runtime.Object) error {
			accessor, err := meta.Accessor(object)
			if err == nil {
				names = append(names, kind+"/"+accessor.GetName())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	sort.Strings(names)
	return names
}

func TestCopiesShareNothing(t *testing.T) {
	condition := metav1.Condition{Type: "Ready", LastTransitionTime: metav1.Now()}
	d := database("a")
	d.Labels = map[string]string{"a": "b"}
	d.Status.ConnectionSecretRef, d.Status.Conditions = &Reference{Name: "a"}, []metav1.Condition{condition}
	s := &ServiceInstance{Spec: ServiceInstanceSpec{
		Owner: &runtime.RawExtension{Raw: []byte("1")}, Instance: runtime.RawExtension{Raw: []byte("2")},
	}}
	s.Status.ConnectionSecretRef, s.Status.Conditions = &Reference{Name: "a"}, []metav1.Condition{condition}
	before := fmt.Sprintf("%+v %s %s %+v", *d.Status.ConnectionSecretRef, s.Spec.Owner.Raw, s.Spec.Instance.Raw, s.Status.Conditions)
	of := DatabaseList{Items: []Database{*d}}
	to, _ := of.DeepCopyObject().(*DatabaseList)
	to.Items[0].Labels["a"], to.Items[0].Status.ConnectionSecretRef.Name = "c", "c"
	records := ServiceInstanceList{Items: []ServiceInstance{*s}}
	other, _ := records.DeepCopyObject().(*ServiceInstanceList)
	other.Items[0].Spec.Owner.Raw[0], other.Items[0].Spec.Instance.Raw[0] = '3', '3'
	other.Items[0].Status.Conditions[0].Type, other.Items[0].Status.ConnectionSecretRef.Name = "c", "c"
	after := fmt.Sprintf("%+v %s %s %+v", *d.Status.ConnectionSecretRef, s.Spec.Owner.Raw, s.Spec.Instance.Raw, s.Status.Conditions)
	if before != after || d.Labels["a"] != "b" {
		t.Fatal(before, after)
	}
}

func TestEveryKindIsKnown(t *testing.T) {
	scheme := newScheme()
	kinds := []schema.GroupVersionKind{platformVersion.WithKind("Database"), brokerVersion.WithKind("ServiceInstance")}
	for _, kind := range children {
		kinds = append(kinds, kind.GroupVersionKind)
	}
	for _, object := range parsed(t).objects {
		if !slices.ContainsFunc(children, func(kind child) bool { return kind.GroupVersionKind == object.kind }) {
			t.Error("not watched:", object.kind)
		}
	}
	for _, kind := range kinds {
		if !scheme.Recognizes(kind) {
			t.Error(kind)
		}
	}
}
