package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

const (
	vaultName = "fake-secret-server"
	// The one account.
	vaultUser     = "svc-billing"
	vaultPassword = "correct horse"
	// Its control API is on the pod's own loopback, where kubectl port-forward arrives.
	controlPort = "9090"
	// httpsPort is where real ones listen, so that a policy which lets the operator call those lets it call this one.
	httpsPort = 443
)

// A vault is a fake Secret Server in a pod, behind a Service.
type vault struct {
	namespace string
	url       string
	ca        string
	control   *forward
}

// startVault starts a vault with further flags of hack/fake-secret-server.
func startVault(ctx context.Context, namespace string, flags ...string) *vault {
	GinkgoHelper()
	host := vaultName + "." + namespace + ".svc"
	v := &vault{namespace: namespace, url: "https://" + host + "/SecretServer"}
	meta := metav1.ObjectMeta{Namespace: namespace, Name: vaultName, Labels: map[string]string{"app": vaultName}}
	pod := &corev1.Pod{ObjectMeta: meta, Spec: restricted(corev1.Container{
		Name:  "fake",
		Image: settings.vault,
		Args: append([]string{
			fmt.Sprintf("--listen=:%d", httpsPort), "--host=" + host, "--control-listen=127.0.0.1:" + controlPort,
			"--account=" + vaultUser + ":" + vaultPassword, "--journal-size=65536",
		}, flags...),
		ReadinessProbe: &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(httpsPort)}},
			PeriodSeconds: 1,
		},
	})}
	pod.Spec.SecurityContext.Sysctls = []corev1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"}}
	Expect(admin.Create(ctx, pod)).To(Succeed())
	Expect(admin.Create(ctx, &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
		Selector: meta.Labels, Ports: []corev1.ServicePort{{Port: httpsPort}},
	}})).To(Succeed())
	must(ctx, "wait", "--namespace="+namespace, "--for=condition=Ready", "pod/"+vaultName, "--timeout="+patience.String())
	DeferCleanup(func() {
		if v.control != nil {
			v.control.stop()
		}
	})
	var answer struct {
		CA string `json:"ca"`
	}
	v.ask(ctx, http.MethodGet, "/ca", nil, &answer)
	v.ca = answer.CA
	return v
}

// ask calls the control API. A forward that has ended, as kubectl's may at any disturbance, is begun anew.
func (v *vault) ask(ctx context.Context, method, path string, body, answer any) {
	GinkgoHelper()
	Eventually(ctx, func() error {
		if v.control == nil {
			var err error
			if v.control, err = forwardTo(ctx, v.namespace, "pod/"+vaultName, controlPort); err != nil {
				return err
			}
		}
		err := v.call(ctx, method, path, body, answer)
		if err != nil {
			v.control.stop()
			v.control = nil
		}
		return err
	}).Should(Succeed(), "%s %s of the fake Secret Server's control API", method, path)
}

func (v *vault) call(ctx context.Context, method, path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+v.control.address+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err = io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %s", response.StatusCode, text)
	}
	return json.Unmarshal(text, answer)
}

func (v *vault) stats(ctx context.Context) secretservertest.Stats {
	GinkgoHelper()
	var stats secretservertest.Stats
	v.ask(ctx, http.MethodGet, "/stats", nil, &stats)
	return stats
}

// operatorCalls are the requests that the operator has made, whatever they were.
func (v *vault) operatorCalls(ctx context.Context) []string {
	GinkgoHelper()
	var journal []secretservertest.Entry
	v.ask(ctx, http.MethodGet, "/journal", nil, &journal)
	var calls []string
	for _, entry := range journal {
		if strings.HasPrefix(entry.UserAgent, "secret-server-operator/") {
			calls = append(calls, fmt.Sprintf("%s: %s", entry.Operation, entry.Result))
		}
	}
	return calls
}

// expire lets the time of a token run out now.
func (v *vault) expire(ctx context.Context, token string) {
	GinkgoHelper()
	v.ask(ctx, http.MethodPost, "/expire-token", map[string]string{"token": token}, &struct{}{})
}

// down refuses connections from now on.
func (v *vault) down(ctx context.Context) {
	GinkgoHelper()
	v.ask(ctx, http.MethodPost, "/down", nil, &struct{}{})
}

// plant makes two tokens known that this vault has never granted.
func (v *vault) plant(ctx context.Context, access, refresh string) {
	GinkgoHelper()
	v.ask(ctx, http.MethodPost, "/accounts/"+vaultUser+"/tokens", map[string]string{"access": access, "refresh": refresh}, &struct{}{})
}

// expectNoLoss is what must hold whatever happened.
func (v *vault) expectNoLoss(ctx context.Context) {
	GinkgoHelper()
	stats := v.stats(ctx)
	Expect(stats.SpentRefreshTokensResent).To(BeZero(), "spent refresh tokens sent again")
	Expect(stats.FailedLogins).To(BeEmpty(), "failed logins")
}
