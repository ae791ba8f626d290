package e2e

import (
	"errors"
	"flag"
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/config"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// patience bounds every wait but those that a scenario is about: images are there already, but the machine may be busy.
const patience = 2 * time.Minute

// settings are what hack/e2e.sh and whoever starts it say.
var settings struct {
	installer string // file that users apply
	vault     string // image of the fake Secret Server
	consumer  string // image of the pods that use tokens

	watch    time.Duration // how long the long watch lasts; zero: some lifetimes
	lifetime time.Duration // of its tokens; zero: as short as the kubelets allow
	percent  int32         // its spec.refresh.percent
}

// admin reads and writes as whoever the kubeconfig names.
var admin client.Client

func TestE2E(t *testing.T) {
	settings.installer = os.Getenv("E2E_INSTALLER")
	if settings.installer == "" {
		t.Skip("E2E_INSTALLER is not set: `make test-e2e` prepares a cluster's images and sets it")
	}
	settings.vault, settings.consumer = os.Getenv("E2E_VAULT_IMAGE"), os.Getenv("E2E_CONSUMER_IMAGE")
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	flags.DurationVar(&settings.watch, "E2E_WATCH", 0, "")
	flags.DurationVar(&settings.lifetime, "E2E_TOKEN_LIFETIME", 0, "")
	share := flags.Int("E2E_REFRESH_PERCENT", 40, "")
	flags.VisitAll(func(f *flag.Flag) {
		if value := os.Getenv(f.Name); value != "" {
			if err := f.Value.Set(value); err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
		}
	})
	settings.percent = int32(*share) //nolint:gosec // 10 to 90, as the API server will insist
	RegisterFailHandler(Fail)
	RunSpecs(t, "Real pods")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	SetDefaultEventuallyTimeout(patience)
	SetDefaultEventuallyPollingInterval(200 * time.Millisecond)
	EnforceDefaultTimeoutsWhenUsingContexts()
	scheme := runtime.NewScheme()
	Expect(errors.Join(clientgoscheme.AddToScheme(scheme), api.AddToScheme(scheme))).To(Succeed())
	cfg, err := config.GetConfig()
	Expect(err).NotTo(HaveOccurred())
	admin, err = client.New(cfg, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())

	chooseTimes(ctx)
	Expect(remains(ctx)).To(BeEmpty(), "the operator is installed in this cluster already, and the suite would remove it: take another cluster")
	DeferCleanup(uninstall)
	install(ctx)
})

// When a scenario has failed, the output tells what the operator and the cluster said. Neither ever says a token.
var _ = JustAfterEach(func(ctx SpecContext) {
	if !CurrentSpecReport().Failed() {
		return
	}
	for _, question := range [][]string{
		{"get", "pods", "--all-namespaces", "--output=wide"},
		{"get", "secretserversessions", "--all-namespaces", "--output=wide"},
		{"get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"},
		{"logs", "--namespace=" + operatorNamespace, "--selector=" + operatorSelector, "--prefix", "--tail=200"},
	} {
		answer, err := kubectl(ctx, question...)
		GinkgoWriter.Printf("\nkubectl %v\n%s", question, answer)
		if err != nil {
			GinkgoWriter.Println(err)
		}
	}
})
