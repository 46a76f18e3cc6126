package main

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
)

// The two kinds of KIDP's own, with the fields that are used here.

var (
	platformVersion = schema.GroupVersion{Group: "platform.company.com", Version: "v1"}
	brokerVersion   = schema.GroupVersion{Group: "broker.platform.company.com", Version: "v1alpha1"}
)

// Phases of both kinds.
const (
	phaseProvisioning = "Provisioning"
	phaseReady        = "Ready"
	phaseDeleting     = "Deleting"
)

// Database is what a team asks for.
type Database struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   DatabaseSpec   `json:"spec,omitempty"`
	Status DatabaseStatus `json:"status,omitempty"`
}

// DatabaseSpec is the part of it that is read: the objects come from the template.
type DatabaseSpec struct {
	DeletionPolicy string `json:"deletionPolicy,omitempty"`
}

// DatabaseStatus is what the team is told.
type DatabaseStatus struct {
	Phase               string             `json:"phase,omitempty"`
	DeploymentID        string             `json:"deploymentId,omitempty"`
	Endpoint            string             `json:"endpoint,omitempty"`
	Port                int32              `json:"port,omitempty"`
	ConnectionSecretRef *Reference         `json:"connectionSecretRef,omitempty"`
	ObservedGeneration  int64              `json:"observedGeneration,omitempty"`
	Conditions          []metav1.Condition `json:"conditions,omitempty"`
}

// Reference is an object by name.
type Reference struct {
	Name string `json:"name"`
}

// DatabaseList is a list of them.
type DatabaseList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Database `json:"items"`
}

// ServiceInstance is the broker's record.
type ServiceInstance struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ServiceInstanceSpec   `json:"spec"`
	Status ServiceInstanceStatus `json:"status,omitempty"`
}

// ServiceInstanceSpec is what was asked for.
type ServiceInstanceSpec struct {
	DeploymentID       string                `json:"deploymentId"`
	ResourceType       string                `json:"resourceType"`
	ResourceName       string                `json:"resourceName"`
	ResourceUID        string                `json:"resourceUid,omitempty"`
	ResourceGeneration int64                 `json:"resourceGeneration,omitempty"`
	Team               string                `json:"team"`
	Owner              *runtime.RawExtension `json:"owner,omitempty"`
	CallbackURL        string                `json:"callbackUrl,omitempty"`
	RequestedBy        string                `json:"requestedBy,omitempty"`
	RenderRevision     int64                 `json:"renderRevision,omitempty"`
	Instance           runtime.RawExtension  `json:"instance"`
}

// ServiceInstanceStatus is how far it is.
type ServiceInstanceStatus struct {
	Phase               string             `json:"phase,omitempty"`
	ResourceGeneration  int64              `json:"resourceGeneration,omitempty"`
	ObservedGeneration  int64              `json:"observedGeneration,omitempty"`
	Message             string             `json:"message,omitempty"`
	Endpoint            string             `json:"endpoint,omitempty"`
	Port                int32              `json:"port,omitempty"`
	ConnectionSecretRef *Reference         `json:"connectionSecretRef,omitempty"`
	Applied             string             `json:"applied,omitempty"`
	Conditions          []metav1.Condition `json:"conditions,omitempty"`
}

// ServiceInstanceList is a list of them.
type ServiceInstanceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ServiceInstance `json:"items"`
}

// newScheme knows every kind that is read or written.
func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(scheme))
	utilruntime.Must(appsv1.AddToScheme(scheme))
	utilruntime.Must(networkingv1.AddToScheme(scheme))
	utilruntime.Must(policyv1.AddToScheme(scheme))
	scheme.AddKnownTypes(platformVersion, &Database{}, &DatabaseList{})
	scheme.AddKnownTypes(brokerVersion, &ServiceInstance{}, &ServiceInstanceList{})
	metav1.AddToGroupVersion(scheme, platformVersion)
	metav1.AddToGroupVersion(scheme, brokerVersion)
	return scheme
}

func copyOf[T any](from *T) *T {
	if from == nil {
		return nil
	}
	to := *from
	return &to
}

func copiesOf(from []metav1.Condition) []metav1.Condition {
	if from == nil {
		return nil
	}
	to := make([]metav1.Condition, len(from))
	for at := range from {
		from[at].DeepCopyInto(&to[at])
	}
	return to
}

// DeepCopy is a copy that shares nothing.
func (d *Database) DeepCopy() *Database {
	to := &Database{TypeMeta: d.TypeMeta, Spec: d.Spec, Status: d.Status}
	d.ObjectMeta.DeepCopyInto(&to.ObjectMeta)
	to.Status.ConnectionSecretRef = copyOf(d.Status.ConnectionSecretRef)
	to.Status.Conditions = copiesOf(d.Status.Conditions)
	return to
}

// DeepCopyObject implements runtime.Object.
func (d *Database) DeepCopyObject() runtime.Object { return d.DeepCopy() }

// DeepCopyObject implements runtime.Object.
func (l *DatabaseList) DeepCopyObject() runtime.Object {
	to := &DatabaseList{TypeMeta: l.TypeMeta, Items: make([]Database, len(l.Items))}
	l.ListMeta.DeepCopyInto(&to.ListMeta)
	for at := range l.Items {
		to.Items[at] = *l.Items[at].DeepCopy()
	}
	return to
}

// DeepCopy is a copy that shares nothing.
func (s *ServiceInstance) DeepCopy() *ServiceInstance {
	to := &ServiceInstance{TypeMeta: s.TypeMeta, Spec: s.Spec, Status: s.Status}
	s.ObjectMeta.DeepCopyInto(&to.ObjectMeta)
	to.Spec.Owner = s.Spec.Owner.DeepCopy()
	s.Spec.Instance.DeepCopyInto(&to.Spec.Instance)
	to.Status.ConnectionSecretRef = copyOf(s.Status.ConnectionSecretRef)
	to.Status.Conditions = copiesOf(s.Status.Conditions)
	return to
}

// DeepCopyObject implements runtime.Object.
func (s *ServiceInstance) DeepCopyObject() runtime.Object { return s.DeepCopy() }

// DeepCopyObject implements runtime.Object.
func (l *ServiceInstanceList) DeepCopyObject() runtime.Object {
	to := &ServiceInstanceList{TypeMeta: l.TypeMeta, Items: make([]ServiceInstance, len(l.Items))}
	l.ListMeta.DeepCopyInto(&to.ListMeta)
	for at := range l.Items {
		to.Items[at] = *l.Items[at].DeepCopy()
	}
	return to
}
