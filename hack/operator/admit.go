package operator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// Admit grants a user what the operator is granted where it is deployed: the generated role everywhere, that for leader election
// in one namespace, which must be there, and no more. The roles are read from the repository's directory config.
func Admit(ctx context.Context, c client.Client, config, user, leaseNamespace string) error {
	everywhere, leading := &rbacv1.ClusterRole{}, &rbacv1.Role{}
	if err := errors.Join(
		read(filepath.Join(config, "rbac", "role.yaml"), everywhere),
		read(filepath.Join(config, "rbac", "leader_election_role.yaml"), leading),
	); err != nil {
		return err
	}
	leading.Namespace = leaseNamespace
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}
	everywhereBinding := &rbacv1.ClusterRoleBinding{
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: everywhere.Name},
		Subjects: subjects,
	}
	everywhereBinding.Name = user
	leadingBinding := &rbacv1.RoleBinding{
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: leading.Name},
		Subjects: subjects,
	}
	leadingBinding.Namespace, leadingBinding.Name = leaseNamespace, user
	for _, object := range []client.Object{everywhere, leading, everywhereBinding, leadingBinding} {
		if err := c.Create(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

func read(path string, into any) error {
	text, err := os.ReadFile(path) //nolint:gosec // the user names the directory
	if err == nil {
		err = yaml.UnmarshalStrict(text, into)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
