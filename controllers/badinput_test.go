package controllers_test

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// badInput is one thing that is wrong, and what users are told about it.
type badInput struct {
	condition, reason string
	// advice is what the message tells to do, or what the operator does by itself.
	advice string
	// spec spoils a session, and world what is around it; mend undoes the latter.
	spec  func(*api.SecretServerSession)
	world func(context.Context, *world)
	mend  func(context.Context, *world)
	// waits is how long the operator leaves Secret Server alone, at least.
	waits time.Duration
	// unneeded: a renewal works all the same, as the refresh token is all that it takes.
	unneeded bool
	// leaves: the session has another target now; the old one stays until there is a token in the new one.
	leaves bool
}

func stalled(reason, advice string) badInput {
	return badInput{condition: api.ConditionStalled, reason: reason, advice: advice}
}

func retried(reason, advice string) badInput {
	return badInput{condition: api.ConditionReconciling, reason: reason, advice: advice}
}

func (b badInput) inSpec(spoil func(*api.SecretServerSession)) badInput {
	b.spec = spoil
	return b
}

func (b badInput) inWorld(spoil, mend func(context.Context, *world)) badInput {
	b.world, b.mend = spoil, mend
	return b
}

// inAnswer makes Secret Server misbehave at every grant.
func (b badInput) inAnswer(f secretservertest.Fault) badInput {
	f.Operation = secretservertest.Grant
	return b.inWorld(
		func(_ context.Context, w *world) { w.vault.Inject(f) },
		func(_ context.Context, w *world) { w.vault.ClearFaults() })
}

// notNeeded marks what only a login needs.
func (b badInput) notNeeded() badInput {
	b.unneeded = true
	return b
}

// leaving marks what makes a session leave its target.
func (b badInput) leaving() badInput {
	b.leaves = true
	return b
}

// waiting marks what makes the operator leave Secret Server alone for some time.
func (b badInput) waiting(d time.Duration) badInput {
	b.waits = d
	return b
}

// expectTold expects the condition, with a message that says what to do, and none of the secrets.
func (b badInput) expectTold(ctx context.Context, w *world, s *api.SecretServerSession) {
	GinkgoHelper()
	Eventually(condition(ctx, s, b.condition)).Should(Equal(b.condition+"=True "+b.reason), s.Name)
	told := message(ctx, s, b.condition)
	Expect(told).To(ContainSubstring(b.advice))
	Expect(len(told)).To(BeNumerically("<", 600), "a message is for people: %s", told)
	Expect(leaked(told, w.secrets(ctx))).To(BeEmpty(), "the message holds no secret")
}

const inSecondsOfTheBackoff = 10 * time.Second

var _ = DescribeTable("Each bad input gets a clear error and nothing is lost:",
	func(ctx SpecContext, b badInput) {
		w := newWorld(ctx)
		allowed, err := controllers.ParseAllowedEndpoints([]string{w.vault.URL(), "https://vault.invalid"})
		Expect(err).NotTo(HaveOccurred())
		startOperator(inNamespaces(w.namespace), func(o *operatorOptions) { o.AllowedEndpoints = allowed })
		running := w.create(ctx, "running")
		Eventually(condition(ctx, running, api.ConditionReady)).Should(Equal(ready))
		before := w.token(ctx, "running")()

		By("spoiling it for a session that runs and for one that starts")
		if b.spec == nil {
			b.spec = func(*api.SecretServerSession) {}
		}
		if b.world != nil {
			b.world(ctx, w)
		}
		update(ctx, running, func(s *api.SecretServerSession) {
			b.spec(s)
			if !b.unneeded {
				asked("now")(s)
			}
		})
		starting := w.create(ctx, "starting", b.spec)

		b.expectTold(ctx, w, running)
		b.expectTold(ctx, w, starting)
		Expect(condition(ctx, starting, api.ConditionReady)()).To(Equal("Ready=False " + b.reason))
		Expect(w.secret(ctx, "starting")).To(BeNil(), "there is no token to hold")
		Expect(w.token(ctx, "running")()).To(Equal(before), "the token that was there before stays")
		Expect(w.vault.TokenValid(before)).To(BeTrue())
		if !b.leaves {
			Expect(condition(ctx, running, api.ConditionReady)()).To(Equal(ready))
		}
		if b.condition == api.ConditionReconciling {
			By("trying again, later and later, with the same message")
			st := status(ctx, starting)()
			Expect(st.NextRefreshAt.Sub(st.LastFailureAt.Time)).To(BeNumerically(">=", max(b.waits, time.Second)))
			first := message(ctx, starting, b.condition)
			// Of sessions that a Secret Server keeps waiting one asks for all: which of the two, is not settled.
			failures := func() int32 {
				return status(ctx, starting)().ConsecutiveFailures + status(ctx, running)().ConsecutiveFailures
			}
			before := failures()
			Eventually(failures).Should(BeNumerically(">", before))
			Expect(message(ctx, starting, b.condition)).To(Equal(first))
			Expect(status(ctx, starting)().LastFailureReason).To(Equal(b.reason))
		}

		By("mending it")
		if b.mend != nil {
			b.mend(ctx, w)
		}
		for _, s := range []*api.SecretServerSession{running, starting} {
			update(ctx, s, func(s *api.SecretServerSession) { s.Spec = w.session(s.Name).Spec })
		}
		for _, s := range []*api.SecretServerSession{running, starting} {
			Eventually(func() []string {
				return []string{
					condition(ctx, s, api.ConditionReady)(), condition(ctx, s, b.condition)(), status(ctx, s)().LastFailureReason,
				}
			}).WithTimeout(inSecondsOfTheBackoff).Should(Equal([]string{ready, b.condition + " absent", ""}), s.Name)
			Expect(w.vault.TokenValid(w.token(ctx, s.Name)())).To(BeTrue(), s.Name)
		}
		stats := w.vault.Stats()
		Expect(stats.FailedLogins).To(BeEmpty(), "no login counts towards the lockout")
		Expect(stats.SpentRefreshTokensResent).To(BeZero())
		Expect(slices.Collect(maps.Keys(stats.Requests))).To(HaveEach(BeElementOf("/oauth2/token", "/api/v1/users/current")),
			"nothing is asked of Secret Server but grants, and whether it is back")
	},

	// Credentials
	Entry("no credentials Secret", stalled(api.ReasonCredentialsNotFound, "Create it in this namespace").notNeeded().inWorld(
		func(ctx context.Context, w *world) { Expect(admin.Delete(ctx, w.secret(ctx, "account"))).To(Succeed()) },
		func(ctx context.Context, w *world) { w.createCredentials(ctx, "account", username, password) })),
	Entry("another credentials Secret, which does not exist", stalled(api.ReasonCredentialsNotFound, "Create it in this namespace").inSpec(
		func(s *api.SecretServerSession) { s.Spec.Credentials.SecretRef.Name = "nowhere" })),
	Entry("no key for the password", stalled(api.ReasonCredentialsInvalid, `Key "password" of Secret "account" is missing. Set it`).notNeeded().inWorld(
		func(ctx context.Context, w *world) {
			w.setCredentials(ctx, map[string][]byte{"username": []byte(username)})
		},
		withPassword(password))),
	Entry("no key for the user name", stalled(api.ReasonCredentialsInvalid, `Key "username" of Secret "account" is missing. Set it`).notNeeded().inWorld(
		func(ctx context.Context, w *world) {
			w.setCredentials(ctx, map[string][]byte{"password": []byte(password)})
		},
		withPassword(password))),
	Entry("an empty password", stalled(api.ReasonCredentialsInvalid, `Key "password" of Secret "account" is empty. Set it`).notNeeded().inWorld(
		withPassword(""), withPassword(password))),

	// The way to Secret Server
	Entry("an endpoint outside --allowed-endpoints", stalled(api.ReasonEndpointNotAllowed, "to add the URL to --allowed-endpoints").inSpec(
		func(s *api.SecretServerSession) { s.Spec.Endpoint.URL = "https://127.0.0.1:1/SecretServer" })),
	Entry("a host that does not exist", retried(api.ReasonEndpointUnavailable, "Check the host in spec.endpoint.url and the cluster's DNS.").inSpec(
		func(s *api.SecretServerSession) { s.Spec.Endpoint.URL = "https://vault.invalid/SecretServer" })),
	Entry("an endpoint that does not listen", retried(api.ReasonEndpointUnavailable, "connection refused. Check that the server runs,").inWorld(
		func(_ context.Context, w *world) { w.vault.Down() },
		func(_ context.Context, w *world) { Expect(w.vault.Up()).To(Succeed()) })),
	Entry("an unknown CA", retried(api.ReasonEndpointUnavailable, "Name the server's CA in spec.endpoint.caBundleRef.").inSpec(
		func(s *api.SecretServerSession) { s.Spec.Endpoint.CABundleRef = nil })),
	Entry("a certificate for another host", retried(api.ReasonEndpointUnavailable, "give the certificate's name in spec.endpoint.tlsServerName.").inSpec(
		func(s *api.SecretServerSession) { s.Spec.Endpoint.TLSServerName = "other.example.com" })),

	// The CA bundle
	Entry("no CA ConfigMap", stalled(api.ReasonCABundleInvalid, "does not exist. It must hold PEM certificates").inWorld(
		func(ctx context.Context, w *world) { Expect(admin.Delete(ctx, w.caBundle())).To(Succeed()) },
		func(ctx context.Context, w *world) {
			bundle := w.caBundle()
			bundle.Data = map[string]string{"ca.crt": string(w.vault.CA())}
			Expect(admin.Create(ctx, bundle)).To(Succeed())
		})),
	Entry("a CA Secret that does not exist", stalled(api.ReasonCABundleInvalid, `Secret "vault-ca", which spec.endpoint.caBundleRef names,`).inSpec(
		func(s *api.SecretServerSession) { s.Spec.Endpoint.CABundleRef.Kind = api.CABundleSecret })),
	Entry("no key for the CA", stalled(api.ReasonCABundleInvalid, `has no key "ca.crt". It must hold PEM certificates under key "ca.crt".`).inWorld(
		withCA("other.crt", genuine), withCA("ca.crt", genuine))),
	Entry("another key for the CA, which does not exist", stalled(api.ReasonCABundleInvalid, `has no key "root.crt"`).inSpec(
		func(s *api.SecretServerSession) { s.Spec.Endpoint.CABundleRef.Key = "root.crt" })),
	Entry("a CA bundle of garbage", stalled(api.ReasonCABundleInvalid, "not in PEM format. It must hold PEM certificates").inWorld(
		withCA("ca.crt", func(*world) string { return "garbage" }), withCA("ca.crt", genuine))),
	Entry("an empty CA bundle", stalled(api.ReasonCABundleInvalid, "It must hold PEM certificates").inWorld(
		withCA("ca.crt", func(*world) string { return "" }), withCA("ca.crt", genuine))),

	// Answers of Secret Server, and of what may stand in its place
	Entry("an HTML page with status 200", retried(api.ReasonProtocolError, "Check that spec.endpoint.url is the base URL").inAnswer(
		secretservertest.Fault{Effect: secretservertest.HTML})),
	Entry("an HTML page with status 404", retried(api.ReasonProtocolError, "Check that spec.endpoint.url is the base URL").inAnswer(
		secretservertest.Fault{Effect: secretservertest.HTML, Status: http.StatusNotFound})),
	Entry("truncated JSON", retried(api.ReasonProtocolError, "truncated JSON (HTTP status 200). Check that").inAnswer(
		secretservertest.Fault{Effect: secretservertest.Truncate})),
	Entry("a body of many megabytes", retried(api.ReasonProtocolError, "answer too large (HTTP status 200). Check that").inAnswer(
		secretservertest.Fault{Effect: secretservertest.Huge, Size: 64 << 20})),
	Entry("a grant behind many megabytes", retried(api.ReasonProtocolError, "answer too large (HTTP status 200). Check that").inAnswer(
		secretservertest.Fault{Effect: secretservertest.Huge, Processed: true})),
	Entry("a redirect", retried(api.ReasonProtocolError, "redirected (HTTP status 307). Check that").inAnswer(
		secretservertest.Fault{Effect: secretservertest.Status, Status: http.StatusTemporaryRedirect, Header: map[string]string{"Location": "/elsewhere"}})),
	Entry("status 500", retried(api.ReasonEndpointUnavailable, "error status (HTTP status 500). If it stays so, see the log of Secret Server").inAnswer(
		secretservertest.Fault{Effect: secretservertest.Status, Status: http.StatusInternalServerError})),
	Entry("status 503 with Retry-After", retried(api.ReasonEndpointThrottled, "It is retried when the server allows.").waiting(3*time.Second).inAnswer(
		secretservertest.Fault{Effect: secretservertest.Status, Status: http.StatusServiceUnavailable, Header: map[string]string{"Retry-After": "3"}})),
	Entry("status 429", retried(api.ReasonEndpointThrottled, "It is retried when the server allows.").inAnswer(
		secretservertest.Fault{Effect: secretservertest.Status, Status: http.StatusTooManyRequests})),
	Entry("a token with a line break in it", retried(api.ReasonProtocolError, "malformed access token (HTTP status 200). Check that").inAnswer(
		secretservertest.Fault{Effect: secretservertest.Alter, TokenNewline: true})),
	Entry("a token of another type", retried(api.ReasonProtocolError, "token type is not bearer (HTTP status 200). Check that").inAnswer(
		secretservertest.Fault{Effect: secretservertest.Alter, TokenType: "mac"})),
	Entry("no access token", retried(api.ReasonProtocolError, "no access token in the answer (HTTP status 200). Check that").inAnswer(
		secretservertest.Fault{Effect: secretservertest.Alter, Omit: []string{"access_token"}})),

	// The target
	Entry("a target that belongs to somebody else", stalled(api.ReasonTargetConflict, "Delete it, or choose another spec.target.name.").leaving().
		inWorld(func(ctx context.Context, w *world) { w.createCredentials(ctx, "theirs", username, password) }, nil).
		inSpec(func(s *api.SecretServerSession) { s.Spec.Target.Name = "theirs" })),
)

// What cannot be believed of a token's lifetime is taken for Secret Server's default of 20 minutes.
var _ = DescribeTable("A token is used whatever its stated lifetime:",
	func(ctx SpecContext, expiresIn string, lifetime time.Duration) {
		w := newWorld(ctx, func(o *secretservertest.Options) { o.ExpiresInOverride = expiresIn })
		startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))

		st := status(ctx, s)()
		Expect(st.TokenExpiresAt.Sub(st.TokenIssuedAt.Time)).To(Equal(lifetime))
		Expect(st.NextRefreshAt.Time).To(BeTemporally("~", st.TokenIssuedAt.Add(lifetime*62/100), lifetime*6/100))
		Expect(string(w.secret(ctx, "billing").Data[api.TargetKeyExpiresAt])).To(Equal(st.TokenExpiresAt.UTC().Format(time.RFC3339)))
		Expect(w.vault.Stats().Granted(secretservertest.Password)).To(Equal(1))
	},
	Entry("a number", "600", 10*time.Minute),
	Entry("a string", `"600"`, 10*time.Minute),
	Entry("a number with a fraction", "600.9", 10*time.Minute),
	Entry("absent", "absent", 20*time.Minute),
	Entry("null", "null", 20*time.Minute),
	Entry("no number", `"soon"`, 20*time.Minute),
	Entry("0", "0", 20*time.Minute),
	Entry("-1", "-1", 20*time.Minute),
	Entry("1e18", "1e18", 20*time.Minute),
	Entry("1e18 in digits", "1000000000000000000", 20*time.Minute),
)

// withPassword sets the password in the credentials Secret.
func withPassword(pass string) func(context.Context, *world) {
	return func(ctx context.Context, w *world) {
		w.setCredentials(ctx, map[string][]byte{"username": []byte(username), "password": []byte(pass)})
	}
}

// withCA makes one key all that the CA bundle holds.
func withCA(key string, text func(*world) string) func(context.Context, *world) {
	return func(ctx context.Context, w *world) {
		bundle := w.caBundle()
		Expect(admin.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: bundle.Name}, bundle)).To(Succeed())
		bundle.Data = map[string]string{key: text(w)}
		Expect(admin.Update(ctx, bundle)).To(Succeed())
	}
}

func genuine(w *world) string { return string(w.vault.CA()) }

// caBundle is the ConfigMap of newWorld, without its data.
func (w *world) caBundle() *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "vault-ca"}}
}

// setCredentials replaces the whole data of the credentials Secret.
func (w *world) setCredentials(ctx context.Context, data map[string][]byte) {
	GinkgoHelper()
	secret := w.secret(ctx, "account")
	secret.Data = data
	Expect(admin.Update(ctx, secret)).To(Succeed())
}
