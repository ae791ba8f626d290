package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// scrape asks for the metrics, through the Service, and returns status and body; or why there is no answer.
func scrape(ctx context.Context, token string) string {
	GinkgoHelper()
	f, err := forwardTo(ctx, operatorNamespace, "service/"+operatorService, "8443")
	if err != nil {
		return err.Error()
	}
	defer f.stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+f.address+"/metrics", http.NoBody)
	Expect(err).NotTo(HaveOccurred())
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	// The operator signs its certificate itself, at each start.
	scraper := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	response, err := scraper.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", response.StatusCode, body)
}

var _ = Describe("The operator's metrics", func() {
	It("are served over HTTPS to a ServiceAccount that may read them, and to nobody else", func(ctx SpecContext) {
		namespace := newNamespace(ctx, metav1.ObjectMeta{GenerateName: "e2e-"})
		token := func(account string) string {
			GinkgoHelper()
			must(ctx, "create", "serviceaccount", "--namespace="+namespace, account)
			return strings.TrimSpace(must(ctx, "create", "token", "--namespace="+namespace, account))
		}
		reader, stranger := token("reader"), token("stranger")
		binding := namespace + "-reads-metrics"
		must(ctx, "create", "clusterrolebinding", binding, "--clusterrole="+metricsReader, "--serviceaccount="+namespace+":reader")
		DeferCleanup(func(ctx SpecContext) { must(ctx, "delete", "clusterrolebinding", binding) })

		Eventually(ctx, func() string { return scrape(ctx, reader) }).Should(HavePrefix("200 "))
		Expect(scrape(ctx, reader)).To(ContainSubstring("secretserversession_"))
		Expect(scrape(ctx, stranger)).To(HavePrefix("403 "))
		Expect(scrape(ctx, "")).To(HavePrefix("401 "))
		Expect(scrape(ctx, reader+"x")).To(HavePrefix("401 "))
	})
})
