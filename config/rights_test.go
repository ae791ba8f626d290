package config

import (
	"cmp"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
)

// rights are all that rules give, one by one.
func rights(rules []rbacv1.PolicyRule) []right {
	var all []right
	for _, rule := range rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					all = append(all, right{verb, group, resource})
				}
			}
		}
	}
	return all
}

// without are rules that give all of the rights but one.
func without(all []right, one right) []rbacv1.PolicyRule {
	var rules []rbacv1.PolicyRule
	for _, r := range all {
		if r != one {
			rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{r.group}, Resources: []string{r.resource}, Verbs: []string{r.verb}})
		}
	}
	return rules
}

// granted are the rights of the operator in one namespace, by both of its roles.
func granted(t *testing.T) []right {
	t.Helper()
	var all []right
	for _, role := range each[rbacv1.Role](t, render(t, namespaced), "Role") {
		all = append(all, rights(role.Rules)...)
	}
	if len(all) < 20 {
		t.Fatalf("found only these rights: %v", all)
	}
	return all
}

// employ makes a ServiceAccount in a new namespace which has these rights there, and a world around it.
func employ(t *testing.T, rules []rbacv1.PolicyRule) (w *world, user string) {
	t.Helper()
	w = newWorld(t, newNamespace(t))
	user = "system:serviceaccount:" + w.namespace + ":operator"
	w.create(t, &rbacv1.Role{ObjectMeta: w.named("operator"), Rules: rules})
	w.create(t, &rbacv1.RoleBinding{
		ObjectMeta: w.named("operator"),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "operator"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.namespace, Name: "operator"}},
	})
	return w, user
}

// work runs the operator through everything, and returns the promise that it breaks, and its log.
func work(t *testing.T, w *world, user string) (broken, log string) {
	t.Helper()
	p := startAs(t, user, "--leader-elect", "--leader-election-namespace="+w.namespace, "--namespaces="+w.namespace)
	broken = play(w.everything(t), func() bool { return len(refused(t, user)) > 0 })
	text, err := os.ReadFile(p.Log())
	w.Expect(err).NotTo(HaveOccurred())
	return broken, string(text)
}

// refused are the rights that a user lacked.
func refused(t *testing.T, user string) []right {
	t.Helper()
	var lacking []right
	for _, r := range requestsOf(t, user) {
		if r.Status.Code == http.StatusForbidden && !slices.Contains(lacking, r.needs()) {
			lacking = append(lacking, r.needs())
		}
	}
	return lacking
}

func TestTheRightsSuffice(t *testing.T) {
	needsCluster(t)
	w, user := employ(t, without(granted(t), right{}))
	if broken, _ := work(t, w, user); broken != "" {
		t.Errorf("not so, with every right: %s", broken)
	}
	expectNothingForbidden(t, user)
}

// A right that can be taken away, and nothing fails, is one too many.
//
//nolint:tparallel // it sets the environment
func TestNoRightCanBeTakenAway(t *testing.T) {
	needsCluster(t)
	// As with an API server that cannot stream a list in a watch, which those before Kubernetes 1.34 do not offer by themselves.
	t.Setenv("KUBE_FEATURE_WatchListClient", "false")
	all := granted(t)
	abreast := make(chan struct{}, 4)
	for _, one := range all {
		t.Run(one.String(), func(t *testing.T) {
			t.Parallel()
			abreast <- struct{}{}
			defer func() { <-abreast }()
			w, user := employ(t, without(all, one))
			broken, log := work(t, w, user)
			if len(refused(t, user)) == 0 {
				t.Errorf("nothing was refused; promise broken: %q", broken)
			}
			// What is made up for by another try costs that, and an error in the log.
			if broken == "" && !strings.Contains(log, "\tERROR\t") {
				t.Error("every promise is kept, and the log has no error")
			}
			t.Logf("without it, not so: %s", cmp.Or(broken, "the log has no error"))
		})
	}
}
