package failover

import (
	"context"
	"fmt"
	"os"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// operatorUser is whom both replicas authenticate as. It has the roles of the installer, and no more.
const operatorUser = "secret-server-operator"

// admitOperator makes the operator's user, with the role that is generated for it.
func (s *stage) admitOperator(ctx context.Context) error {
	role := &rbacv1.ClusterRole{}
	if err := read("role.yaml", role); err != nil {
		return err
	}
	if err := s.admin.Create(ctx, role); err != nil {
		return err
	}
	err := s.admin.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: operatorUser},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   operatorSubjects(),
	})
	if err != nil {
		return err
	}
	user, err := s.AddUser(operatorUser)
	if err != nil {
		return err
	}
	s.kubeconfig, err = s.KubeconfigFor(user)
	return err
}

// admitToElection lets the operator hold elections in a namespace.
func (s *stage) admitToElection(ctx context.Context, namespace string) error {
	role := &rbacv1.Role{}
	if err := read("leader_election_role.yaml", role); err != nil {
		return err
	}
	role.Namespace = namespace
	if err := s.admin.Create(ctx, role); err != nil {
		return err
	}
	return s.admin.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: operatorUser},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects:   operatorSubjects(),
	})
}

func operatorSubjects() []rbacv1.Subject {
	return []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: operatorUser}}
}

// read reads a manifest of the installer.
func read(name string, into any) error {
	text, err := os.ReadFile("../../config/rbac/" + name)
	if err != nil {
		return err
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
