package controllers_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

const (
	header   = "Authorization: {{ .tokenType }} {{ .token }}"
	netrc    = "machine {{ (urlParse .serverURL).hostname }}\nlogin {{ .username }}\npassword {{ .token }}\n"
	document = "{{ toJson . }}"

	templateInvalid = "Stalled=True " + api.ReasonTemplateInvalid
)

// templated gives a session templates, from pairs of a key and a template.
func templated(pairs ...string) func(*api.SecretServerSession) {
	return func(s *api.SecretServerSession) {
		s.Spec.Target.Data = map[string]api.Template{}
		for pair := range slices.Chunk(pairs, 2) {
			s.Spec.Target.Data[pair[0]] = api.Template(pair[1])
		}
	}
}

var _ = Describe("A target with templates", func() {
	var (
		w  *world
		op *operator
	)
	BeforeEach(func(ctx SpecContext) {
		w = newWorld(ctx)
		op = startOperator(inNamespaces(w.namespace))
	})
	content := func(ctx context.Context) func() map[string]string {
		return func() map[string]string {
			secret := w.secret(ctx, "billing")
			if secret == nil {
				return nil
			}
			texts := map[string]string{}
			for key, value := range secret.Data {
				texts[key] = string(value)
			}
			return texts
		}
	}
	stored := func(ctx context.Context, key string) string {
		GinkgoHelper()
		return string(w.secret(ctx, "billing-session").Data[key])
	}
	host := func() string {
		GinkgoHelper()
		u, err := url.Parse(w.vault.URL())
		Expect(err).NotTo(HaveOccurred())
		return u.Hostname()
	}

	It("has exactly the keys of the templates, follows them without a call, and goes back to the default keys", func(ctx SpecContext) {
		s := w.create(ctx, "billing", templated("authorization", header, ".netrc", netrc, "document.json", document))
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		token := stored(ctx, "accessToken")
		wanted := map[string]string{
			"authorization": "Authorization: Bearer " + token,
			".netrc":        "machine " + host() + "\nlogin " + username + "\npassword " + token + "\n",
		}
		before := content(ctx)()
		Expect(slices.Sorted(maps.Keys(before))).To(Equal([]string{".netrc", "authorization", "document.json"}))
		Expect(before).To(And(HaveKeyWithValue("authorization", wanted["authorization"]), HaveKeyWithValue(".netrc", wanted[".netrc"])))

		By("showing templates the documented values and nothing else")
		shown := map[string]string{}
		Expect(json.Unmarshal([]byte(before["document.json"]), &shown)).To(Succeed())
		st := status(ctx, s)()
		Expect(shown).To(Equal(map[string]string{
			"token": token, "tokenType": "Bearer", "serverURL": w.vault.URL(), "username": username, "domain": "",
			"issuedAt": st.TokenIssuedAt.UTC().Format(time.RFC3339), "expiresAt": st.TokenExpiresAt.UTC().Format(time.RFC3339),
			"session": "billing", "namespace": w.namespace,
		}))
		Expect(leaked(before["document.json"], []string{password, stored(ctx, "refreshToken")})).To(BeEmpty())

		w.vault.ResetStats()
		By("changing a template, adding one and removing two")
		update(ctx, s, templated("authorization", "{{ .token }}", "user", "{{ .username | upper }}", "domain", "{{ .domain }}"))
		Eventually(content(ctx)).Should(Equal(map[string]string{"authorization": token, "user": strings.ToUpper(username), "domain": ""}))
		By("removing all")
		update(ctx, s, templated())
		Eventually(content(ctx)).Should(Equal(map[string]string{
			api.TargetKeyToken: token, api.TargetKeyExpiresAt: shown["expiresAt"], api.TargetKeyServerURL: w.vault.URL(),
		}))
		By("and having some again")
		update(ctx, s, templated("authorization", header))
		Eventually(content(ctx)).Should(Equal(map[string]string{"authorization": wanted["authorization"]}))
		Eventually(func() int64 { return status(ctx, s)().ObservedGeneration }).Should(Equal(s.Generation))
		Expect(w.vault.Stats().Requests).To(BeEmpty(), "no call to Secret Server")
		Expect(events(ctx, w)()).NotTo(ContainElement("Normal "+api.EventTargetRepaired), "nobody else has changed the target")
	})

	It("is repaired from stored state", func(ctx SpecContext) {
		s := w.create(ctx, "billing", templated("authorization", header, ".netrc", netrc))
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		before := content(ctx)()
		w.vault.ResetStats()
		for _, body := range []string{
			`{"data":{"authorization":"eHh4"}}`, `{"data":{".netrc":null}}`, `{"data":{"token":"eHh4"}}`,
		} {
			Expect(admin.Patch(ctx, w.secret(ctx, "billing"), client.RawPatch(types.MergePatchType, []byte(body)))).To(Succeed())
			Eventually(content(ctx)).Should(Equal(before), body)
		}
		Expect(admin.Delete(ctx, w.secret(ctx, "billing"))).To(Succeed())
		Eventually(content(ctx)).Should(Equal(before), "deleted")
		Expect(w.vault.Stats().Requests).To(BeEmpty(), "no call to Secret Server")
	})

	It("costs what a target without templates costs: four writes per refresh, and no read", func(ctx SpecContext) {
		s := w.create(ctx, "billing", templated("authorization", header, ".netrc", netrc))
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		op.rest()
		update(ctx, s, asked("now"))
		Eventually(func() string { return status(ctx, s)().LastHandledRefreshRequest }).Should(Equal("now"))
		var made []string
		for _, request := range op.requests.made() {
			method, _, _ := strings.Cut(request, " ")
			made = append(made, method)
		}
		Expect(made).To(Equal([]string{"PATCH", "PUT", "PATCH", "PATCH"}))
		Expect(content(ctx)()).To(HaveKeyWithValue(".netrc", ContainSubstring(stored(ctx, "accessToken"))))
	})

	It("is told to be impossible before the first login, and made once the template is corrected", func(ctx SpecContext) {
		told := map[string]struct{ template, message string }{
			"malformed": {"line one\n{{ .token", `"authorization", line 2: it is not a valid Go template`},
			"forbidden": {`{{ env "PATH" }}`, `"authorization", line 1, column 4: there is no such function`},
			"bomb":      {`{{ printf "%999999999d" 1 }}`, `"authorization", line 1, column 4: printf takes widths`},
			"curious":   {"{{ .refreshToken }}", `"authorization", line 1, column 4: there is no such value`},
		}
		for name, c := range told {
			w.create(ctx, name, templated("fine", "{{ .token }}", "authorization", c.template))
		}
		for name, c := range told {
			s := w.session(name)
			Eventually(condition(ctx, s, api.ConditionStalled)).Should(Equal(templateInvalid), name)
			Expect(message(ctx, s, api.ConditionStalled)).To(ContainSubstring(c.message))
			Expect(condition(ctx, s, api.ConditionReady)()).To(Equal("Ready=False " + api.ReasonTemplateInvalid))
			Expect(w.secret(ctx, name)).To(BeNil(), "nothing is half written")
		}
		Expect(w.vault.Stats().Requests).To(BeEmpty(), "no login for a token that has no place")

		s := w.session("bomb")
		update(ctx, s, templated("authorization", header))
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		Expect(condition(ctx, s, api.ConditionStalled)()).To(Equal("Stalled absent"))
	})

	It("keeps what it has while a template is invalid, and nothing is renewed", func(ctx SpecContext) {
		s := w.create(ctx, "billing", templated("authorization", header))
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		before := w.secret(ctx, "billing")
		w.vault.ResetStats()

		for _, change := range []func(*api.SecretServerSession){
			templated("authorization", "{{ range 1000000000 }}x{{ end }}"),
			templated("authorization", header, "document.json", "{{ .token | encode }}"),
		} {
			update(ctx, s, change)
			Eventually(func() int64 { return status(ctx, s)().ObservedGeneration }).Should(Equal(s.Generation))
			Expect(condition(ctx, s, api.ConditionStalled)()).To(Equal(templateInvalid))
			Expect(condition(ctx, s, api.ConditionReady)()).To(Equal(ready), "the target holds a valid token")
		}
		update(ctx, s, asked("in vain"))
		op.stop()
		again := startOperator(inNamespaces(w.namespace))
		Consistently(again.writes).WithTimeout(time.Second).Should(BeEmpty(), "a restart does not take the template for published")
		Expect(w.secret(ctx, "billing").ResourceVersion).To(Equal(before.ResourceVersion))
		Expect(w.vault.Stats().Requests).To(BeEmpty(), "no call to Secret Server")

		update(ctx, s, templated("authorization", "{{ .token }}"))
		Eventually(func() string { return status(ctx, s)().LastHandledRefreshRequest }).Should(Equal("in vain"))
		Eventually(content(ctx)).Should(Equal(map[string]string{"authorization": stored(ctx, "accessToken")}))
		Expect(condition(ctx, s, api.ConditionStalled)()).To(Equal("Stalled absent"))
		Expect(w.vault.Stats().Granted(secretservertest.Refresh)).To(Equal(1))
	})

	It("needs no second login when a template turns out not to fit the values", func(ctx SpecContext) {
		s := w.create(ctx, "billing", templated("authorization", `{{ index (splitList "\\" .username) 1 }}`))
		Eventually(condition(ctx, s, api.ConditionStalled)).Should(Equal(templateInvalid))
		Expect(message(ctx, s, api.ConditionStalled)).To(ContainSubstring("line 1, column 4: a function cannot work with the arguments"))
		Expect(w.secret(ctx, "billing")).To(BeNil())
		update(ctx, s, templated("authorization", header))
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		Expect(w.vault.Stats().Granted(secretservertest.Password)).To(Equal(1))
	})

	Context("and a state Secret of an earlier release, which tells no user name", func() {
		var s *api.SecretServerSession
		BeforeEach(func(ctx SpecContext) {
			s = w.create(ctx, "billing")
			Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
			state := w.secret(ctx, "billing-session")
			Expect(state.Data).To(HaveKeyWithValue("username", []byte(username)))
			delete(state.Data, "username")
			Expect(admin.Update(ctx, state)).To(Succeed())
			w.vault.ResetStats()
		})

		It("takes the name from the credentials, with no login", func(ctx SpecContext) {
			update(ctx, s, templated(".netrc", netrc))
			Eventually(content(ctx)).Should(HaveKeyWithValue(".netrc", ContainSubstring("login "+username+"\n")))
			Expect(w.vault.Stats().Requests).To(BeEmpty(), "no call to Secret Server")
		})

		It("takes no other name, and above all no password for one", func(ctx SpecContext) {
			update(ctx, s, func(s *api.SecretServerSession) {
				s.Spec.Credentials.UsernameKey = "password"
				templated(".netrc", netrc)(s)
			})
			Eventually(condition(ctx, s, api.ConditionStalled)).Should(Equal(templateInvalid))
			Expect(message(ctx, s, api.ConditionStalled)).To(ContainSubstring(`delete Secret "billing-session"`))
			Expect(content(ctx)()).To(HaveKey(api.TargetKeyToken), "it keeps what it has")

			By("doing what the message says")
			update(ctx, s, func(s *api.SecretServerSession) { s.Spec.Credentials.UsernameKey = "username" })
			Eventually(content(ctx)).Should(HaveKeyWithValue(".netrc", ContainSubstring("login "+username+"\n")))
		})
	})

	It("can be of a type that wants keys of its own", func(ctx SpecContext) {
		s := w.create(ctx, "billing", templated("username", "{{ .username }}", "password", "{{ .token }}"),
			func(s *api.SecretServerSession) { s.Spec.Target.Type = string(corev1.SecretTypeBasicAuth) })
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		Expect(content(ctx)()).To(Equal(map[string]string{"username": username, "password": stored(ctx, "accessToken")}))
		Expect(admin.Delete(ctx, s)).To(Succeed())
		// No search for tokens in other places is to find it under this key.
		DeferCleanup(func(ctx SpecContext) { Expect(admin.Delete(ctx, w.secret(ctx, "billing"))).To(Succeed()) })
	})
})
