package observability

import (
	"maps"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// serviceMonitor is the part of Prometheus Operator's type that has to fit the operator's Service.
type serviceMonitor struct {
	Spec struct {
		Selector struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"selector"`
		Endpoints []struct {
			Port        string `json:"port"`
			Scheme      string `json:"scheme"`
			HonorLabels bool   `json:"honorLabels"`
		} `json:"endpoints"`
	} `json:"spec"`
}

func TestTheServiceMonitorFitsTheService(t *testing.T) {
	var monitor serviceMonitor
	var service corev1.Service
	var installer struct {
		Labels []struct {
			Pairs map[string]string `json:"pairs"`
		} `json:"labels"`
	}
	for path, into := range map[string]any{
		"prometheus/service_monitor.yaml":         &monitor,
		"components/metrics/metrics_service.yaml": &service,
		"default/kustomization.yaml":              &installer,
	} {
		text, err := os.ReadFile("../../config/" + path)
		if err == nil {
			err = yaml.Unmarshal(text, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range installer.Labels {
		maps.Copy(service.Labels, l.Pairs)
	}
	if len(monitor.Spec.Selector.MatchLabels) == 0 {
		t.Error("it selects every Service of the namespace")
	}
	for key, value := range monitor.Spec.Selector.MatchLabels {
		if service.Labels[key] != value {
			t.Errorf("it looks for a Service with %s=%s; the operator's has %q there", key, value, service.Labels[key])
		}
	}
	if len(monitor.Spec.Endpoints) != 1 {
		t.Fatalf("%d endpoints", len(monitor.Spec.Endpoints))
	}
	endpoint := monitor.Spec.Endpoints[0]
	if endpoint.Port != service.Spec.Ports[0].Name || endpoint.Scheme != "https" {
		t.Errorf("it scrapes the port %q with %q; the Service has %q", endpoint.Port, endpoint.Scheme, service.Spec.Ports[0].Name)
	}
	if !endpoint.HonorLabels {
		t.Error("without honorLabels, alerts name the operator's namespace instead of the session's")
	}
}
