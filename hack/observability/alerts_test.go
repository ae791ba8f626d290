package observability

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// cases are the parts of testdata/alerts.yaml that say what is tested.
type cases struct {
	Tests []struct {
		Name  string `json:"name"`
		Cases []struct {
			Alert    string `json:"alertname"`
			Expected []any  `json:"exp_alerts"`
		} `json:"alert_rule_test"`
	} `json:"tests"`
}

const casesPath = "testdata/alerts.yaml"

func TestEveryAlertHasACaseInWhichItFiresAndOneInWhichItDoesNot(t *testing.T) {
	text, err := os.ReadFile(casesPath)
	if err != nil {
		t.Fatal(err)
	}
	var written cases
	if err := yaml.Unmarshal(text, &written); err != nil {
		t.Fatal(err)
	}
	fires, keepsQuiet := map[string]bool{}, map[string]bool{}
	for _, test := range written.Tests {
		firesHere := map[string]bool{}
		for _, c := range test.Cases {
			firesHere[c.Alert] = firesHere[c.Alert] || len(c.Expected) > 0
		}
		for alert, fired := range firesHere {
			fires[alert] = fires[alert] || fired
			keepsQuiet[alert] = keepsQuiet[alert] || !fired
		}
	}
	for _, r := range rules(t).alerts() {
		if !fires[r.Alert] {
			t.Errorf("%s: no case of %s lets it fire", r.Alert, casesPath)
		}
		if !keepsQuiet[r.Alert] {
			t.Errorf("%s: in no case of %s it keeps quiet from beginning to end", r.Alert, casesPath)
		}
		delete(fires, r.Alert)
	}
	for alert := range fires {
		t.Errorf("%s tests %s, which is no alert", casesPath, alert)
	}
}

func TestAlertsFireWhenTheyShould(t *testing.T) {
	if output, err := promtool(t, rules(t)); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

// The cases would be worth nothing if they passed with rules that are wrong.
func TestCasesNoticeAlertsThatAreWrong(t *testing.T) {
	for wrong, expr := range map[string]string{"never fires": "vector(1) > 2", "always fires": "vector(1)"} {
		t.Run(wrong, func(t *testing.T) {
			broken := rules(t)
			for i := range broken.Groups {
				for j := range broken.Groups[i].Rules {
					broken.Groups[i].Rules[j].Expr = expr
				}
			}
			output, err := promtool(t, broken)
			if err == nil {
				t.Fatal("promtool finds nothing wrong")
			}
			for _, r := range broken.alerts() {
				if !strings.Contains(output, "alertname: "+r.Alert+",") {
					t.Errorf("the cases do not notice that %s %s:\n%s", r.Alert, wrong, output)
				}
			}
		})
	}
}

// promtool runs the cases on some rules, without what the cases do not repeat.
func promtool(t *testing.T, f ruleFile) (output string, err error) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not in PATH. Debian and Ubuntu have it in the package prometheus; `make test-alerts` needs it")
	}
	dir := t.TempDir()
	for i := range f.Groups {
		for j := range f.Groups[i].Rules {
			maps.DeleteFunc(f.Groups[i].Rules[j].Annotations, func(name, _ string) bool { return name != "summary" })
		}
	}
	f.write(t, filepath.Join(dir, "rules.yaml"))
	text, err := os.ReadFile(casesPath)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "alerts.yaml"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, "test", "rules", "alerts.yaml") //nolint:gosec // promtool, as found in PATH
	cmd.Dir = dir
	answer, err := cmd.CombinedOutput()
	return string(answer), err
}

func TestAlertsSayWhatToDo(t *testing.T) {
	page, err := os.ReadFile("../../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules(t).alerts() {
		if !slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]) {
			t.Errorf("%s: severity %q", r.Alert, r.Labels["severity"])
		}
		for _, name := range []string{"summary", "description"} {
			if r.Annotations[name] == "" {
				t.Errorf("%s has no %s", r.Alert, name)
			}
		}
		if want := "docs/observability.md#" + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url is %q, want %q", r.Alert, r.Annotations["runbook_url"], want)
		}
		if !strings.Contains(string(page), "\n### "+r.Alert+"\n") {
			t.Errorf("docs/observability.md has no runbook %s", r.Alert)
		}
	}
}

func TestRunbooksAreOfAlerts(t *testing.T) {
	page, err := os.ReadFile("../../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	var known []string
	for _, r := range rules(t).alerts() {
		known = append(known, r.Alert)
	}
	for line := range strings.Lines(string(page)) {
		if alert, ok := strings.CutPrefix(strings.TrimSpace(line), "### SecretServer"); ok && !slices.Contains(known, "SecretServer"+alert) {
			t.Errorf("docs/observability.md has a runbook for SecretServer%s, which is no alert", alert)
		}
	}
}
