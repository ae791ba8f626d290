// Package v1alpha1 is the API of the Secret Server Session Operator: what users declare, and what they are told.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +groupName=secretserver.tokensync.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of every kind in this package.
const Group = "secretserver.tokensync.dev"

// SchemeGroupVersion identifies this version of the API.
//
//nolint:gochecknoglobals // the name and shape that code generators and client-go expect; never reassigned.
var SchemeGroupVersion = schema.GroupVersion{Group: Group, Version: "v1alpha1"}

// AddToScheme registers the kinds of this package.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(SchemeGroupVersion, &SecretServerSession{}, &SecretServerSessionList{})
	metav1.AddToGroupVersion(scheme, SchemeGroupVersion)
	return nil
}
