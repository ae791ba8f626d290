package config

import (
	"crypto/tls"
	"net"
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// scrape asks for metrics over HTTPS with a token, none if it is empty, and returns the status; 0 if there was no answer.
func scrape(t *testing.T, address, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	// The operator signs its certificate itself.
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	answer, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(r)
	if err != nil {
		return 0
	}
	if err := answer.Body.Close(); err != nil {
		t.Error(err)
	}
	return answer.StatusCode
}

// freeAddress is one that nobody listened at a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return listener.Addr().String()
}

// newScraper makes a ServiceAccount, with the role that the installer offers it if it is to be bound, and returns its token.
func newScraper(t *testing.T, w *world, name string, bound bool) string {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: w.named(name)}
	w.create(t, account)
	if bound {
		bindToCluster(t, "secret-server-operator-metrics-reader", w.namespace, name)
	}
	request := &authenticationv1.TokenRequest{}
	w.Expect(shared.admin.SubResource("token").Create(t.Context(), account, request)).To(Succeed())
	return request.Status.Token
}

// bindToCluster gives a ServiceAccount a cluster role everywhere.
func bindToCluster(t *testing.T, role, namespace, account string) {
	t.Helper()
	err := shared.admin.Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestMetricsAreForThoseWhomTheRoleNames(t *testing.T) {
	needsCluster(t)
	m := render(t, clusterWide)
	apply(t, shared.admin, "", m)
	w, user := employ(t, without(granted(t), right{}))
	bindToCluster(t, "secret-server-operator-metrics-auth-role", w.namespace, "operator")
	address := freeAddress(t)
	startAs(t, user, "--namespaces="+w.namespace, "--metrics-bind-address="+address, "--metrics-secure=true")
	reader, other := newScraper(t, w, "reader", true), newScraper(t, w, "other", false)
	w.Eventually(func() int { return scrape(t, address, reader) }).Should(Equal(http.StatusOK))
	w.Expect(scrape(t, address, other)).To(Equal(http.StatusForbidden))
	w.Expect(scrape(t, address, "")).To(Equal(http.StatusUnauthorized))
	w.Expect(scrape(t, address, reader+"x")).To(Equal(http.StatusUnauthorized))
	expectNothingForbidden(t, user)
}

// Without either of the cluster-wide rights nobody can read the metrics.
func TestNoRightOfTheMetricsCanBeTakenAway(t *testing.T) {
	needsCluster(t)
	m := render(t, clusterWide)
	apply(t, shared.admin, "", m)
	var all []right
	for _, role := range each[rbacv1.ClusterRole](t, m, "ClusterRole") {
		if role.Name == "secret-server-operator-metrics-auth-role" {
			all = rights(role.Rules)
		}
	}
	if len(all) == 0 {
		t.Fatal("the role of the metrics was not found")
	}
	for _, one := range all {
		t.Run(one.String(), func(t *testing.T) {
			w, user := employ(t, without(granted(t), right{}))
			role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}, Rules: without(all, one)}
			w.create(t, role)
			bindToCluster(t, role.Name, w.namespace, "operator")
			reader := newScraper(t, w, "reader", true)
			address := freeAddress(t)
			startAs(t, user, "--namespaces="+w.namespace, "--metrics-bind-address="+address, "--metrics-secure=true")
			w.Eventually(func() int { return scrape(t, address, reader) }).ShouldNot(BeZero(), "it answers")
			w.Expect(scrape(t, address, reader)).To(Equal(http.StatusInternalServerError))
			w.Expect(refused(t, user)).To(ConsistOf(one))
		})
	}
}
