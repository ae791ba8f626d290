package failover

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"k8s.io/client-go/rest"

	"tokensync.dev/secret-server-operator/hack/operator"
)

func TestBothReplicasAreReadyAndHealthy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 20*time.Minute)
	leader, standby := w.startBoth(t)
	holder := w.holder(t)
	for name, replica := range map[string]*operator.Process{"leader": leader, "standby": standby} {
		w.Eventually(func() error { return replica.Ready(t.Context()) }).Should(gomega.Succeed(), name)
		w.Expect(replica.Healthy(t.Context())).To(gomega.Succeed(), name)
	}
	w.Expect(w.holder(t)).To(gomega.Equal(holder), "the standby is ready without the lease")
	w.Expect(w.grants(two, time.Time{})).To(gomega.BeEmpty())
}

func TestAReplicaThatCannotReachTheAPIServerIsNotReady(t *testing.T) {
	t.Parallel()
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hangUp(silent) })
	closed, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hangUp(closed)
	for name, address := range map[string]string{"says nothing": silent.Addr().String(), "is gone": closed.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := gomega.NewWithT(t)
			cfg := rest.CopyConfig(shared.Config())
			cfg.Host = "https://" + address
			kubeconfig, err := shared.KubeconfigFor(cfg)
			g.Expect(err).NotTo(gomega.HaveOccurred())
			p, err := operator.Start(t.Context(), operator.Options{
				Binary: shared.binaries[one], Kubeconfig: kubeconfig, Log: filepath.Join(t.TempDir(), "log"), Serve: true,
			})
			g.Expect(err).NotTo(gomega.HaveOccurred())
			t.Cleanup(func() {
				t.Log(p.LastWords())
				if err := p.Kill(); err != nil {
					t.Error(err)
				}
			})
			g.Consistently(func() error { return p.Ready(t.Context()) }).WithTimeout(2 * time.Second).
				ShouldNot(gomega.Succeed())
		})
	}
}
