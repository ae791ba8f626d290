package controllers_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	crmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// fragment is how many characters of a secret on end count as a leak of it.
const fragment = 16

// leaked are the secrets of which a text holds a part, in the clear or encoded, by their fingerprints.
func leaked(text string, secrets []string) []string {
	var found []string
	for _, secret := range secrets {
		if secret != "" && holds(text, secret) {
			found = append(found, secretservertest.Fingerprint(secret))
		}
	}
	return found
}

func holds(text, secret string) bool {
	for _, form := range []string{
		secret,
		url.QueryEscape(secret),
		strings.Trim(fmt.Sprintf("%q", secret), `"`),
		base64.RawStdEncoding.EncodeToString([]byte(secret)),
		base64.RawURLEncoding.EncodeToString([]byte(secret)),
	} {
		for part := range slices.Chunk([]byte(form), fragment) {
			if (len(part) == fragment || len(form) < fragment) && strings.Contains(text, string(part)) {
				return true
			}
		}
	}
	return false
}

// secrets are the values in a world's Secrets that must not be told.
func (w *world) secrets(ctx context.Context) []string {
	GinkgoHelper()
	list := &corev1.SecretList{}
	Expect(admin.List(ctx, list, client.InNamespace(w.namespace))).To(Succeed())
	var found []string
	for _, secret := range list.Items {
		for _, key := range slices.Concat([]string{"password", "otp"}, tokenKeys) {
			found = append(found, string(secret.Data[key]))
		}
	}
	return found
}

// tokenKeys are the keys of the operator's Secrets under which tokens belong.
var tokenKeys = []string{api.TargetKeyToken, "accessToken", "refreshToken", "claimedRefreshToken", "formerAccessToken"}

// templatedKeys are those that the specs of templates put a token under.
var templatedKeys = []string{"authorization", ".netrc", "document.json"}

// startTalkativeOperator runs an operator that logs at some --zap-log-level, until the spec ends or stop is called.
func startTalkativeOperator(namespace, level string, log io.Writer, registry *prometheus.Registry) (stop func()) {
	GinkgoHelper()
	options, flags := zap.Options{}, flag.NewFlagSet("", flag.ContinueOnError)
	options.BindFlags(flags)
	Expect(flags.Parse([]string{"--zap-log-level=" + level})).To(Succeed())
	mgr, err := ctrl.NewManager(operatorConfig, ctrl.Options{
		Scheme:                  scheme,
		Logger:                  zap.New(zap.UseFlagOptions(&options), zap.WriteTo(log)),
		Cache:                   controllers.CacheOptions([]string{namespace}, labels.Everything(), nil),
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		Controller:              config.Controller{SkipNameValidation: new(true)},
		GracefulShutdownTimeout: new(30 * time.Second),
	})
	Expect(err).NotTo(HaveOccurred())
	pool := secretserver.NewPool(time.Now)
	dial := func(e secretserver.Endpoint) (controllers.SecretServer, error) { return pool.Client(e) }
	ctx, cancel := context.WithCancel(context.Background())
	Expect(controllers.Setup(ctx, mgr, controllers.Options{
		MaxConcurrentReconciles: 4, EndpointConcurrency: 2, RejectedCredentialsRetry: time.Hour, Metrics: registry,
	}, dial, clock.RealClock{})).To(Succeed())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		Eventually(done).WithTimeout(40 * time.Second).Should(Receive(BeNil()))
		pool.CloseIdle()
	})
	DeferCleanup(func() { stop() })
	return stop
}

// objects are all that the API server holds in a namespace (empty: in all of them) and outside of any, by kind and name,
// as JSON.
func objects(ctx context.Context, namespace string) map[string]string {
	GinkgoHelper()
	found := map[string]string{}
	kinds, err := discovery.NewDiscoveryClientForConfigOrDie(environment.Config).ServerPreferredResources()
	Expect(err).NotTo(HaveOccurred())
	for _, list := range kinds {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		Expect(err).NotTo(HaveOccurred())
		for _, resource := range list.APIResources {
			if !slices.Contains(resource.Verbs, "list") {
				continue
			}
			items := &unstructured.UnstructuredList{}
			items.SetGroupVersionKind(version.WithKind(resource.Kind + "List"))
			in := client.InNamespace("")
			if resource.Namespaced {
				in = client.InNamespace(namespace)
			}
			Expect(admin.List(ctx, items, in)).To(Succeed(), resource.Name)
			for i := range items.Items {
				o := &items.Items[i]
				found[resource.Kind+" "+client.ObjectKeyFromObject(o).String()] = telling(o)
			}
		}
	}
	return found
}

// telling is an object as JSON, without the values of a Secret that belong there.
func telling(o *unstructured.Unstructured) string {
	GinkgoHelper()
	if o.GetKind() == "Secret" {
		keys := []string{"password", "otp", "pasted"}
		if metav1.GetControllerOf(o) != nil {
			keys = slices.Concat(tokenKeys, templatedKeys)
		}
		for _, key := range keys {
			unstructured.RemoveNestedField(o.Object, "data", key)
		}
	}
	text, err := json.Marshal(o)
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

// gathered are the metrics of some registries as text.
func gathered(registries ...prometheus.Gatherer) string {
	GinkgoHelper()
	families, err := prometheus.Gatherers(registries).Gather()
	Expect(err).NotTo(HaveOccurred())
	var text strings.Builder
	for _, family := range families {
		text.WriteString(family.String())
	}
	return text.String()
}

var _ = Describe("Passwords and tokens", func() {
	DescribeTable("are told by no log, event, status or metric, and stand in no object but the Secrets where they belong:",
		func(ctx SpecContext, level string) {
			w := newWorld(ctx)
			tap, throughTap := w.tapped(ctx)
			log, registry := &recording{}, prometheus.NewRegistry()
			stop := startTalkativeOperator(w.namespace, level, log, registry)
			w.mainStories(ctx, throughTap)
			stop()

			secrets := append(tap.secrets(), otpSeed, plainSeed)
			Expect(len(secrets)).To(BeNumerically(">", 30), "the tap has seen passwords and tokens")
			Expect(secrets).To(ContainElements(password, "MARKER-mistyped-password", w.token(ctx, "billing")()))
			Expect(log.String()).To(And(ContainSubstring(`"level":"debug"`), ContainSubstring(`"action":"Refresh"`)), "the log is talkative")
			Expect(leaked(log.String(), secrets)).To(BeEmpty(), "in the log")
			metrics := gathered(registry, crmetrics.Registry)
			Expect(metrics).To(ContainSubstring(controllers.MetricGrants))
			Expect(leaked(metrics, secrets)).To(BeEmpty(), "in the metrics")
			Expect(codesIn(log.String()+metrics)).To(BeEmpty(), "one-time codes")
			everything := objects(ctx, w.namespace)
			Expect(everything).To(HaveKey("SecretServerSession " + w.namespace + "/billing"))
			Expect(everything).To(HaveKey(HavePrefix("Event ")))
			for name, text := range everything {
				Expect(leaked(text, secrets)).To(BeEmpty(), name)
				Expect(codesIn(text)).To(BeEmpty(), name)
			}
		},
		Entry("with --zap-log-level=debug", "debug"),
		// From level 8 on, client-go writes whole requests and answers to the logger that it finds in its context.
		Entry("with --zap-log-level=10", "10"),
	)

	It("would be found, were they told", func(ctx SpecContext) {
		w := newWorld(ctx)
		token := strings.Repeat("Ag0-_", 50)
		Expect(suspicious("the token is " + token)).To(Equal([]string{secretservertest.Fingerprint(token)}))
		Expect(suspicious("the password is " + password)).To(HaveLen(1))
		Expect(suspicious("the seed is " + otpSeed + " or " + plainSeed)).To(HaveLen(2))
		Expect(codesIn(`"otp":"012345", Otp: [678901], code 234567`)).To(HaveLen(3))
		for _, text := range []string{
			token, "cut short: " + token[:20], base64.StdEncoding.EncodeToString([]byte(token)), "in the middle of " + token[100:140],
		} {
			Expect(leaked(text, []string{token})).To(Equal([]string{secretservertest.Fingerprint(token)}), text)
		}
		Expect(leaked("form: password="+url.QueryEscape("MARKER password & more"), []string{"MARKER password & more"})).NotTo(BeEmpty())

		told := w.create(ctx, "told", func(s *api.SecretServerSession) { s.Annotations = map[string]string{"note": "it is " + password} })
		everything := objects(ctx, w.namespace)
		Expect(leaked(everything["SecretServerSession "+w.namespace+"/"+told.Name], []string{password})).NotTo(BeEmpty())
		Expect(everything).To(HaveKey("Secret " + w.namespace + "/account"))
		Expect(leaked(everything["Secret "+w.namespace+"/account"], []string{password})).To(BeEmpty(), "there it belongs")
		Expect(admin.Delete(ctx, told)).To(Succeed())
	})
})

// What the whole suite leaves behind is searched for anything that looks like a secret of it: its passwords begin with
// MARKER-, its OTP seed with MARKERSEED where it is not as it was stored, and a token is a long run of letters of both cases, digits, dashes and underscores.
var _ = AfterSuite(func(ctx SpecContext) {
	if admin == nil {
		return // the suite did not get so far
	}
	Expect(suspicious(output.String())).To(BeEmpty(), "in the log")
	Expect(suspicious(gathered(crmetrics.Registry))).To(BeEmpty(), "in the metrics")
	for name, text := range objects(ctx, "") {
		Expect(suspicious(text)).To(BeEmpty(), name)
	}
})

var (
	markers = regexp.MustCompile(`.{0,40}?MARKER(?:-|SEED)`)
	codes   = regexp.MustCompile(`(?i)(?:otp|code)\D{0,12}\d{6}\b`)
	runs    = regexp.MustCompile(`[A-Za-z0-9_-]{100,}`)
)

// codesIn are what may be one-time codes in a text. Six digits alone may be anything; these follow a word that says so.
func codesIn(text string) []string { return codes.FindAllString(text, -1) }

// suspicious are what comes before each secret in a text, and the fingerprints of what may be tokens.
func suspicious(text string) []string {
	found := markers.FindAllString(text, -1)
	for _, run := range runs.FindAllString(text, -1) {
		if strings.ToLower(run) != run { // and so no name in Kubernetes
			found = append(found, secretservertest.Fingerprint(run))
		}
	}
	return found
}

// mainStories lead one session through what can happen to it, and two more into a dead end.
func (w *world) mainStories(ctx context.Context, spec func(*api.SecretServerSession)) {
	GinkgoHelper()
	s := w.create(ctx, "billing", spec)
	Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
	requests := 0
	attempted := func() {
		GinkgoHelper()
		requests++
		value := fmt.Sprintf("request %d", requests)
		update(ctx, s, asked(value))
		Eventually(func() string { return status(ctx, s)().LastHandledRefreshRequest }).Should(Equal(value))
	}

	By("refreshing up to the limit, and logging in again")
	for range secretservertest.DefaultMaxRefreshes + 1 {
		attempted()
	}
	Expect(w.grants()).To(Equal(loginsAndRefreshes(2, secretservertest.DefaultMaxRefreshes)))

	By("getting answers of every bad kind, to a refresh and to the login that follows")
	for _, f := range []secretservertest.Fault{
		{Effect: secretservertest.HTML},
		{Effect: secretservertest.Truncate},
		{Effect: secretservertest.Huge, Processed: true},
		{Effect: secretservertest.Alter, TokenNewline: true},
		{Effect: secretservertest.Alter, TokenType: "mac"},
		{Effect: secretservertest.Reflect, Status: http.StatusInternalServerError},
		{Effect: secretservertest.Reflect, Status: http.StatusOK},
		{Effect: secretservertest.Half},
		{Effect: secretservertest.Status, Status: http.StatusTemporaryRedirect, Header: map[string]string{"Location": "/elsewhere"}},
	} {
		f.Operation, f.Count = secretservertest.Grant, 2
		w.vault.Inject(f)
		for len(w.vault.Faults()) > 0 {
			attempted()
		}
		attempted()
		Expect(status(ctx, s)().ConsecutiveFailures).To(BeZero())
	}
	w.vault.Inject(secretservertest.Fault{Operation: secretservertest.Refresh, Effect: secretservertest.Reflect, Count: 1})
	attempted()

	By("repairing the target, and healing a broken state Secret")
	Expect(admin.Delete(ctx, w.secret(ctx, "billing"))).To(Succeed())
	Eventually(w.token(ctx, "billing")).ShouldNot(BeEmpty())
	state := w.secret(ctx, "billing-session")
	for key, value := range state.Annotations {
		state.Annotations[key] = value[:len(value)/2]
	}
	before := status(ctx, s)().LoginCount
	Expect(admin.Update(ctx, state)).To(Succeed())
	Eventually(func() int64 { return status(ctx, s)().LoginCount }).Should(Equal(before + 1))

	By("meeting a target that belongs to somebody else")
	w.createCredentials(ctx, "theirs", "somebody", password)
	conflicting := w.create(ctx, "conflicting", spec, func(s *api.SecretServerSession) { s.Spec.Target.Name = "theirs" })
	Eventually(condition(ctx, conflicting, api.ConditionStalled)).Should(Equal("Stalled=True " + api.ReasonTargetConflict))

	By("logging in with a one-time code, and meeting a URI where the seed should be")
	Expect(w.vault.AddAccount(secretservertest.Account{Username: "secured", Password: password, OTPSeed: plainSeed})).To(Succeed())
	w.createCredentials(ctx, "secured", "secured", password)
	w.setKeys(ctx, "secured", map[string]string{"otp": otpSeed, "pasted": "otpauth://totp/secured?secret=" + plainSeed})
	secured := w.create(ctx, "secured-session", spec, withSeed("secured", "otp"))
	Eventually(condition(ctx, secured, api.ConditionReady)).Should(Equal(ready))
	pasted := w.create(ctx, "pasted-session", spec, withSeed("secured", "pasted"))
	Eventually(condition(ctx, pasted, api.ConditionStalled)).Should(Equal("Stalled=True " + api.ReasonCredentialsInvalid))

	By("having templates that do not fit the token")
	misfit := w.create(ctx, "misfit", spec, templated("document.json", "{{ toJson . }}", "until", "{{ .token }} {{ unixEpoch .token }}"))
	Eventually(condition(ctx, misfit, api.ConditionStalled)).Should(Equal(templateInvalid))

	By("being refused, by a server that repeats the password in its answer")
	w.vault.Inject(secretservertest.Fault{Operation: secretservertest.Password, Effect: secretservertest.Reflect, Count: 1})
	w.createCredentials(ctx, "mistyped", username, "MARKER-mistyped-password")
	mistyped := w.create(ctx, "mistyped-session", spec, func(s *api.SecretServerSession) { s.Spec.Credentials.SecretRef.Name = "mistyped" })
	Eventually(condition(ctx, mistyped, api.ConditionStalled)).Should(Equal(rejected))
}
