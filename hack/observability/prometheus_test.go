package observability

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"
)

// prometheus is a running server.
type prometheus struct {
	url string
}

// scrapeConfig is what docs/observability.md tells to scrape with, but for where the replicas and the token are. (Debian's
// Prometheus is built without the discovery of Kubernetes, and does not even parse it.)
func scrapeConfig(t *testing.T, g *WithT, tokenFile string, addresses []string) map[string]any {
	t.Helper()
	text, err := os.ReadFile("../../docs/observability.md")
	g.Expect(err).NotTo(HaveOccurred())
	block := regexp.MustCompile("(?s)```yaml\n(scrape_configs:.*?)```").FindSubmatch(text)
	g.Expect(block).NotTo(BeNil(), "docs/observability.md has a configuration")
	var config struct {
		Jobs []map[string]any `json:"scrape_configs"`
	}
	g.Expect(yaml.Unmarshal(block[1], &config)).To(Succeed())
	g.Expect(config.Jobs).To(HaveLen(1))
	job := config.Jobs[0]
	job["authorization"] = map[string]any{"credentials_file": tokenFile}
	g.Expect(job).To(And(HaveKey("kubernetes_sd_configs"), HaveKey("relabel_configs")))
	delete(job, "kubernetes_sd_configs")
	delete(job, "relabel_configs")
	job["static_configs"] = []any{map[string]any{"targets": addresses}}
	return job
}

// writeConfig writes a configuration of one job.
func writeConfig(g *WithT, path string, job map[string]any, rules ...string) {
	text, err := yaml.Marshal(map[string]any{
		"global":         map[string]any{"scrape_interval": "1s", "evaluation_interval": "1s"},
		"rule_files":     rules,
		"scrape_configs": []any{job},
	})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(path, text, 0o600)).To(Succeed())
}

func TestTheDocumentedConfigurationIsOne(t *testing.T) {
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not in PATH. Debian and Ubuntu have it in the package prometheus; `make test-alerts` needs it")
	}
	g := NewWithT(t)
	dir := t.TempDir()
	tokenFile := filepath.Join(dir, "token")
	g.Expect(os.WriteFile(tokenFile, []byte("made up"), 0o600)).To(Succeed())
	config := filepath.Join(dir, "prometheus.yaml")
	writeConfig(g, config, scrapeConfig(t, g, tokenFile, []string{"127.0.0.1:8443"}))
	output, err := exec.CommandContext(t.Context(), path, "check", "config", config).CombinedOutput() //nolint:gosec // promtool, as found in PATH
	g.Expect(err).NotTo(HaveOccurred(), string(output))
}

// observe starts a Prometheus that scrapes the addresses with the token of the ServiceAccount, and has our rules.
func (s *stage) observe(t *testing.T, addresses []string) prometheus {
	t.Helper()
	tokenFile := filepath.Join(s.dir, "token")
	s.Expect(os.WriteFile(tokenFile, []byte(s.token(t, scraper)), 0o600)).To(Succeed())
	rulesFile := filepath.Join(s.dir, "rules.yaml")
	rules(t).write(t, rulesFile)
	config := filepath.Join(s.dir, "prometheus.yaml")
	writeConfig(s.WithT, config, scrapeConfig(t, s.WithT, tokenFile, addresses), rulesFile)
	path, err := exec.LookPath("prometheus")
	s.Expect(err).NotTo(HaveOccurred(), "Debian and Ubuntu have it in the package prometheus")
	address := s.freeAddress(t)
	log, err := os.Create(filepath.Join(s.dir, "prometheus.log"))
	s.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(s.dir, "data"), //nolint:gosec // as found in PATH
		"--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = log, log
	s.Expect(cmd.Start()).To(Succeed())
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() //nolint:errcheck // it was killed, which is what the error says
		if text, err := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("Prometheus: %s %v", text[max(0, len(text)-4096):], err)
		}
	})
	p := prometheus{"http://" + address}
	s.Eventually(func() error { return p.get(t.Context(), "/-/ready", nil, nil) }).Should(Succeed(), "Prometheus is ready")
	return p
}

// get asks for a page, and decodes the data of its answer unless into is nil.
func (p prometheus) get(ctx context.Context, path string, parameters url.Values, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path+"?"+parameters.Encode(), http.NoBody)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if into == nil {
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", path, response.Status)
		}
		return nil
	}
	var answer struct {
		Status string          `json:"status"`
		Error  string          `json:"error"`
		Data   json.RawMessage `json:"data"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", path, answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}

// sample is one value of a query's answer.
type sample struct {
	labels map[string]string
	value  float64
}

// query asks for the values of an expression now. What is no number counts for nothing: Grafana would show nothing.
func (p prometheus) query(ctx context.Context, expr string) ([]sample, error) {
	var vector struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
	if err := p.get(ctx, "/api/v1/query", url.Values{"query": {expr}}, &vector); err != nil {
		return nil, fmt.Errorf("%s: %w", expr, err)
	}
	var samples []sample
	for _, r := range vector.Result {
		value, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64)
		if err != nil {
			return nil, err
		}
		if !math.IsNaN(value) {
			samples = append(samples, sample{r.Metric, value})
		}
	}
	return samples, nil
}
