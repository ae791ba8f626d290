package observability

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// dashboard is the part of Grafana's model that asks Prometheus.
type dashboard struct {
	Panels []struct {
		Title       string `json:"title"`
		Type        string `json:"type"`
		Description string `json:"description"`
		Targets     []struct {
			Expr string `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
	Templating struct {
		List []struct {
			Name       string `json:"name"`
			Type       string `json:"type"`
			Definition string `json:"definition"`
		} `json:"list"`
	} `json:"templating"`
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	text, err := os.ReadFile("../../config/prometheus/dashboard.json")
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// queries are those of all panels by title, as Grafana sends them with everything chosen.
func (d dashboard) queries() map[string][]string {
	chosen := strings.NewReplacer("$__rate_interval", "1m", "$namespace", ".*", "$name", ".*", "$job", ".*")
	all := map[string][]string{}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all[p.Title] = append(all[p.Title], chosen.Replace(target.Expr))
		}
	}
	return all
}

// A variable is a choice of Grafana, among the values of a label of some series.
type variable struct{ name, series, label string }

var labelValues = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)

// variables are those whose values come from Prometheus.
func (d dashboard) variables(t *testing.T) []variable {
	t.Helper()
	var all []variable
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		match := labelValues.FindStringSubmatch(v.Definition)
		if match == nil {
			t.Errorf("variable %s: what is %q?", v.Name, v.Definition)
			continue
		}
		all = append(all, variable{v.Name, strings.ReplaceAll(match[1], "$namespace", ".*"), match[2]})
	}
	return all
}

func TestEachPanelSaysWhatItShows(t *testing.T) {
	d := readDashboard(t)
	panels := 0
	for _, p := range d.Panels {
		if p.Type == "row" {
			continue
		}
		panels++
		if p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("panel %q has no description, or nothing to show", p.Title)
		}
	}
	if panels < 10 {
		t.Errorf("found %d panels", panels)
	}
}

var variableUsed = regexp.MustCompile(`\$\{?(\w+)`)

func TestPanelsUseVariablesThatAreThere(t *testing.T) {
	text, err := os.ReadFile("../../config/prometheus/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"__rate_interval": true, "__all": true}
	for _, v := range readDashboard(t).Templating.List {
		known[v.Name] = true
	}
	for _, match := range variableUsed.FindAllStringSubmatch(string(text), -1) {
		if !known[match[1]] {
			t.Errorf("there is no variable %s", match[1])
		}
	}
}
