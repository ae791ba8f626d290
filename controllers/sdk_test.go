package controllers_test

import (
	"os"
	"os/exec"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

var _ = Describe("Delinea's own Go SDK", func() {
	It("reads a secret with the token in the target", func(ctx SpecContext) {
		w := newWorld(ctx, func(o *secretservertest.Options) {
			o.Accounts[0].Secrets = []secretservertest.Secret{{
				ID: 7, Name: "database", Fields: []secretservertest.Field{{Slug: "password", Value: "from the vault"}},
			}}
		})
		startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))

		// The SDK has a module of its own, so that the operator does not depend on it.
		mounted := GinkgoT().TempDir()
		for key, value := range w.secret(ctx, "billing").Data {
			Expect(os.WriteFile(filepath.Join(mounted, key), value, 0o600)).To(Succeed())
		}
		Expect(os.WriteFile(filepath.Join(mounted, "ca.crt"), w.vault.CA(), 0o600)).To(Succeed())
		read := exec.CommandContext(ctx, "go", "test", "-count=1", "-run=TestSDKReadsASecretWithTheTokenOfASecret", ".")
		read.Dir = filepath.Join("..", "hack", "sdkcheck")
		read.Env = append(os.Environ(),
			"SDKCHECK_TOKEN_FILE="+filepath.Join(mounted, api.TargetKeyToken),
			"SDKCHECK_SERVER_URL_FILE="+filepath.Join(mounted, api.TargetKeyServerURL),
			"SDKCHECK_CA_FILE="+filepath.Join(mounted, "ca.crt"),
			"SDKCHECK_SECRET_ID=7", "SDKCHECK_FIELD=password", "SDKCHECK_WANT=from the vault")
		output, err := read.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(output))
		Expect(w.vault.Stats().Requests).To(HaveKey(ContainSubstring("secrets")), "the SDK asked the server")
	})
})
