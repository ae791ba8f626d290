package e2e

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"tokensync.dev/secret-server-operator/hack/e2e/figures"
)

// Where the pods find things.
const (
	caMount    = "/etc/vault-ca"
	tokenMount = "/var/run/secret-server"
)

// A consumer is a container that calls Secret Server all the time.
type consumer struct {
	*world

	pod, container string
}

// consumerPod is the spec of a pod with a container for each way to take the token.
func (w *world) consumerPod(secret string, ways ...func(container *corev1.Container, secret string)) corev1.PodSpec {
	var containers []corev1.Container
	for _, take := range ways {
		c := corev1.Container{
			Image:        settings.consumer,
			Args:         []string{"-url=" + w.vault.url, "-ca=" + caMount + "/" + caKey},
			VolumeMounts: []corev1.VolumeMount{{Name: "ca", MountPath: caMount, ReadOnly: true}},
		}
		take(&c, secret)
		containers = append(containers, c)
	}
	spec := restricted(containers...)
	spec.Volumes = []corev1.Volume{
		{Name: "ca", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: caConfigMap}}}},
		{Name: "token", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret}}},
	}
	return spec
}

// volume mounts the whole Secret.
func volume(c *corev1.Container, _ string) {
	c.Name = "volume"
	c.Args = append(c.Args, "-mount="+tokenMount)
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "token", MountPath: tokenMount, ReadOnly: true})
}

// subPath mounts one key of it.
func subPath(c *corev1.Container, _ string) {
	c.Name = "subpath"
	c.Args = append(c.Args, "-token-file="+tokenMount+"/token")
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "token", MountPath: tokenMount + "/token", SubPath: "token", ReadOnly: true})
}

// environment takes it as a variable.
func environment(c *corev1.Container, secret string) {
	c.Name = "environment"
	c.Args = append(c.Args, "-token-env=TOKEN")
	c.Env = []corev1.EnvVar{{Name: "TOKEN", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: "token",
	}}}}
}

// consume starts a pod that mounts a session's target, and waits until it calls.
func (w *world) consume(ctx context.Context, name, session string) consumer {
	GinkgoHelper()
	Expect(admin.Create(ctx, &corev1.Pod{ObjectMeta: w.named(name), Spec: w.consumerPod(session, volume)})).To(Succeed())
	c := consumer{w, name, "volume"}
	c.waitFor(ctx, 1)
	return c
}

// figures are what the container has printed last.
func (c consumer) figures(ctx context.Context) figures.Figures {
	GinkgoHelper()
	output, err := kubectl(ctx, "logs", "--namespace="+c.namespace, c.pod, "--container="+c.container, "--tail=20")
	if err != nil {
		return figures.Figures{} // it has not begun yet
	}
	for _, line := range slices.Backward(strings.Split(output, "\n")) {
		var f figures.Figures
		if json.Unmarshal([]byte(line), &f) == nil {
			return f
		}
	}
	return figures.Figures{}
}

// waitFor waits until the container has called with so many tokens.
func (c consumer) waitFor(ctx context.Context, tokens int) {
	GinkgoHelper()
	Eventually(ctx, func() int { return c.figures(ctx).Tokens }).WithTimeout(3*patience).WithPolling(pollLogs).
		Should(BeNumerically(">=", tokens), "tokens that %s in pod %s has seen", c.container, c.pod)
}

// expectNoRefusal takes the containers' figures into the report, and expects that not one call was refused. One without an answer
// is told of too; it says nothing of the token, and the operator is not on its way.
func expectNoRefusal(ctx context.Context, consumers ...consumer) figures.Figures {
	GinkgoHelper()
	var sum figures.Figures
	for _, c := range consumers {
		f := c.figures(ctx)
		Expect(f.Calls).To(BeNumerically(">", 0), "calls of pod %s", c.pod)
		sum.Add(f)
		sum.Tokens-- // of each consumer, those that came while it ran are counted
	}
	sum.Tokens++
	reportFigures(sum)
	Expect(sum.Refused).To(BeZero(), "calls that Secret Server refused")
	Expect(sum.LongestGap).To(BeZero(), "longest time without a valid token, in seconds")
	return sum
}
