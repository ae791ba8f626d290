package controllers_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

var _ = Describe("Uninstalling", func() {
	var (
		w  *world
		op *operator
		s  *api.SecretServerSession
	)
	BeforeEach(func(ctx SpecContext) {
		if _, err := os.Stat(environment.ControlPlane.KubectlPath); err != nil {
			Skip("there is no kubectl beside kube-apiserver: " + err.Error())
		}
		w = newWorld(ctx)
		op = startOperator(inNamespaces(w.namespace))
		s = w.create(ctx, "billing", revoking)
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
	})
	// bash runs a command as an administrator, with the suite's kubectl.
	bash := func(ctx SpecContext, text string, variables ...string) string {
		GinkgoHelper()
		user, err := environment.AddUser(envtest.User{Name: "uninstaller", Groups: []string{"system:masters"}}, nil)
		Expect(err).NotTo(HaveOccurred())
		config, err := user.KubeConfig()
		Expect(err).NotTo(HaveOccurred())
		kubeconfig := filepath.Join(GinkgoT().TempDir(), "kubeconfig")
		Expect(os.WriteFile(kubeconfig, config, 0o600)).To(Succeed())
		command := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", text) //nolint:gosec // from this file and the handbook
		path := filepath.Dir(environment.ControlPlane.KubectlPath) + string(os.PathListSeparator) + os.Getenv("PATH")
		command.Env = append(os.Environ(), append(variables, "KUBECONFIG="+kubeconfig, "PATH="+path)...)
		said, err := command.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(said))
		return string(said)
	}
	// removeSessions does what make undeploy and make uninstall do first, in the world's namespace alone.
	removeSessions := func(ctx SpecContext, seconds string) string {
		GinkgoHelper()
		return bash(ctx, "../hack/remove-sessions.sh --namespace="+w.namespace, "REMOVE_SECONDS="+seconds)
	}
	// withOthersFinalizer is a session that somebody else holds, too.
	withOthersFinalizer := func(ctx SpecContext) *api.SecretServerSession {
		GinkgoHelper()
		other := w.create(ctx, "other", revoking, func(s *api.SecretServerSession) { s.Finalizers = []string{"example.com/theirs"} })
		Eventually(finalizers(ctx, other)).Should(HaveLen(2))
		DeferCleanup(func(ctx SpecContext) {
			update(ctx, other, func(s *api.SecretServerSession) { s.Finalizers = nil })
		})
		return other
	}

	It("waits for the operator to revoke the tokens", func(ctx SpecContext) {
		said := removeSessions(ctx, "30")
		Expect(gone(ctx, s)()).To(BeTrue())
		Expect(w.vault.Stats().Revocations).To(Equal(1))
		Expect(said).NotTo(ContainSubstring("has not let go"))
	})

	It("does not hang if the operator is gone, and leaves the finalizers of others alone", func(ctx SpecContext) {
		other := withOthersFinalizer(ctx)
		op.stop()
		Expect(removeSessions(ctx, "0")).To(ContainSubstring("Their tokens stay valid"))
		Expect(gone(ctx, s)()).To(BeTrue())
		Expect(finalizers(ctx, other)()).To(Equal([]string{"example.com/theirs"}))
		Expect(w.vault.Stats().Revocations).To(BeZero())
	})

	It("has a command in the handbook for who deleted the operator first", func(ctx SpecContext) {
		other := withOthersFinalizer(ctx)
		op.stop()
		Expect(admin.DeleteAllOf(ctx, &api.SecretServerSession{}, client.InNamespace(w.namespace))).To(Succeed())
		Expect(finalizers(ctx, s)()).To(Equal([]string{api.FinalizerRevoke}))
		page, err := os.ReadFile("../docs/install.md")
		Expect(err).NotTo(HaveOccurred())
		command := regexp.MustCompile("(?s)```sh\n( *kubectl get sss -A -o go-template=.*?)```").FindSubmatch(page)
		Expect(command).To(HaveLen(2))
		bash(ctx, strings.Replace(string(command[1]), " -A ", " -n "+w.namespace+" ", 1))
		Expect(gone(ctx, s)()).To(BeTrue())
		Expect(finalizers(ctx, other)()).To(Equal([]string{"example.com/theirs"}))
	})
})
