package e2e

import (
	"context"
	"encoding/json"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
)

const (
	// kubeletDefault is how often a kubelet looks at its pods unless it is told otherwise.
	kubeletDefault = time.Minute
	// reserve is for a leader that is lost when a token is due, and for the renewal; docs/mounting.md says so.
	reserve = 18 * time.Second
	// shortestWatch is enough for some renewals where kubelets look every few seconds.
	shortestWatch = 90 * time.Second
)

// chooseTimes makes tokens as short as docs/mounting.md allows with these kubelets, and the watch long enough for some of them.
func chooseTimes(ctx context.Context) {
	GinkgoHelper()
	sync := syncFrequency(ctx)
	if settings.lifetime == 0 {
		delay := sync * 3 / 2
		settings.lifetime = ((delay + reserve) * 100 / time.Duration(100-settings.percent)).Round(time.Second)
	}
	if settings.watch == 0 {
		settings.watch = max(shortestWatch, 3*settings.lifetime)
	}
	GinkgoWriter.Printf("kubelets look every %s; tokens of %s, renewed after %d %% of it; a watch of %s\n",
		sync, settings.lifetime, settings.percent, settings.watch)
}

// syncFrequency is that of the slowest kubelet; the default where a kubelet does not tell.
func syncFrequency(ctx context.Context) time.Duration {
	GinkgoHelper()
	var nodes corev1.NodeList
	Expect(admin.List(ctx, &nodes)).To(Succeed())
	var slowest time.Duration
	for i := range nodes.Items {
		slowest = max(slowest, syncFrequencyOf(ctx, nodes.Items[i].Name))
	}
	return slowest
}

func syncFrequencyOf(ctx context.Context, node string) time.Duration {
	var config struct {
		Kubelet struct {
			SyncFrequency string `json:"syncFrequency"`
		} `json:"kubeletconfig"`
	}
	answer, err := kubectl(ctx, "get", "--raw=/api/v1/nodes/"+node+"/proxy/configz")
	if err != nil || json.Unmarshal([]byte(answer), &config) != nil {
		return kubeletDefault
	}
	frequency, err := time.ParseDuration(config.Kubelet.SyncFrequency)
	if err != nil {
		return kubeletDefault
	}
	return frequency
}
