package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestNamespacedHasNothingOfTheCluster(t *testing.T) {
	ofANamespace := []string{"ServiceAccount", "Role", "RoleBinding", "Deployment", "PodDisruptionBudget", "NetworkPolicy", "Service"}
	plain := composed(t, map[string]any{}, "components/plain-metrics")
	for _, directory := range []string{namespaced, plain} {
		for _, o := range render(t, directory) {
			if !slices.Contains(ofANamespace, o.GetKind()) {
				t.Errorf("%s %s is not an object of a namespace", o.GetKind(), o.GetName())
			}
			if o.GetNamespace() != "" {
				t.Errorf("%s %s is bound to namespace %s: it is to go where it is applied", o.GetKind(), o.GetName(), o.GetNamespace())
			}
		}
	}
}

func TestNamespacedGoesWhereItsUserSays(t *testing.T) {
	for _, o := range render(t, composed(t, map[string]any{"namespace": "payments"}, "components/plain-metrics")) {
		if o.GetNamespace() != "payments" {
			t.Errorf("%s %s is in namespace %q", o.GetKind(), o.GetName(), o.GetNamespace())
		}
	}
}

// matches reports whether a selector that must not be empty selects the pods of a Deployment.
func matches(t *testing.T, selector *metav1.LabelSelector, d *appsv1.Deployment) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	if s.Empty() {
		t.Errorf("a selector is empty, and so selects every pod of the namespace")
	}
	return s.Matches(labels.Set(d.Spec.Template.Labels))
}

func TestSelectorsSelectTheirPodsAndNoOthers(t *testing.T) {
	for _, directory := range everyOperator {
		t.Run(directory, func(t *testing.T) {
			m := render(t, directory)
			deployments := each[appsv1.Deployment](t, m, "Deployment")
			if len(deployments) == 0 {
				t.Fatal("no Deployment")
			}
			for _, d := range deployments {
				for _, other := range deployments {
					if matches(t, d.Spec.Selector, other) != (d == other) {
						t.Errorf("the selector of %s, asked for pods of %s, says the contrary", d.Name, other.Name)
					}
				}
				for _, spread := range d.Spec.Template.Spec.TopologySpreadConstraints {
					if !matches(t, spread.LabelSelector, d) {
						t.Errorf("%s is spread by the pods of others", d.Name)
					}
				}
				selecting := func(selector *metav1.LabelSelector) int {
					if matches(t, selector, d) {
						return 1
					}
					return 0
				}
				budgets, policies := 0, 0
				for _, b := range each[policyv1.PodDisruptionBudget](t, m, "PodDisruptionBudget") {
					budgets += selecting(b.Spec.Selector)
				}
				if budgets != 1 { // with two, a pod cannot be evicted at all
					t.Errorf("%d PodDisruptionBudgets select the pods of %s", budgets, d.Name)
				}
				for _, p := range each[networkingv1.NetworkPolicy](t, m, "NetworkPolicy") {
					policies += selecting(&p.Spec.PodSelector)
				}
				if policies != 1 {
					t.Errorf("%d NetworkPolicies select the pods of %s", policies, d.Name)
				}
			}
		})
	}
}

// portNames are those of a Deployment's one container.
func portNames(d *appsv1.Deployment) []string {
	var names []string
	for _, port := range d.Spec.Template.Spec.Containers[0].Ports {
		names = append(names, port.Name)
	}
	return names
}

func TestNamedPortsExistAndAreServed(t *testing.T) {
	directories := append([]string{composed(t, map[string]any{}, "components/plain-metrics")}, everyOperator...)
	for _, directory := range directories {
		t.Run(directory, func(t *testing.T) {
			m := render(t, directory)
			for _, d := range each[appsv1.Deployment](t, m, "Deployment") {
				container := d.Spec.Template.Spec.Containers[0]
				named := []intstr.IntOrString{container.LivenessProbe.HTTPGet.Port, container.ReadinessProbe.HTTPGet.Port}
				for _, s := range each[corev1.Service](t, m, "Service") {
					if !matches(t, metav1.SetAsLabelSelector(s.Spec.Selector), d) {
						t.Errorf("Service %s does not select the pods of %s", s.Name, d.Name)
					}
					for _, port := range s.Spec.Ports {
						named = append(named, port.TargetPort)
					}
				}
				for _, rule := range only[networkingv1.NetworkPolicy](t, m, "NetworkPolicy").Spec.Ingress {
					for _, port := range rule.Ports {
						named = append(named, *port.Port)
					}
				}
				for _, port := range named {
					if !slices.Contains(portNames(d), port.StrVal) {
						t.Errorf("port %q is named, and %s has %q", port.String(), d.Name, portNames(d))
					}
				}
				for _, port := range container.Ports {
					served := slices.ContainsFunc(container.Args, func(argument string) bool {
						return strings.HasSuffix(argument, "-bind-address=:"+strconv.Itoa(int(port.ContainerPort)))
					})
					if !served {
						t.Errorf("%s: nothing serves port %s: %q", d.Name, port.Name, container.Args)
					}
				}
			}
		})
	}
}

// A rule without ports allows all of them, one with a selector of kustomize's making selects the operator itself.
func TestNetworkPolicyAllowsOnlyWhatIsListed(t *testing.T) {
	for _, directory := range everyOperator {
		t.Run(directory, func(t *testing.T) {
			spec := only[networkingv1.NetworkPolicy](t, render(t, directory), "NetworkPolicy").Spec
			if !slices.Equal(spec.PolicyTypes, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}) {
				t.Errorf("policy types %v", spec.PolicyTypes)
			}
			var in, out []string
			for _, rule := range spec.Ingress {
				in = append(in, ports(rule.Ports)...)
			}
			for _, rule := range spec.Egress {
				out = append(out, ports(rule.Ports)...)
				if len(rule.To) > 0 {
					t.Errorf("egress to %v: the API server and the Secret Servers are no pods that could be selected", rule.To)
				}
			}
			wantIn := []string{"TCP health", "TCP metrics"}
			if directory == namespaced {
				wantIn = wantIn[:1]
			}
			if !slices.Equal(in, wantIn) {
				t.Errorf("ingress %q, want %q", in, wantIn)
			}
			if want := []string{"UDP 53", "TCP 53", "UDP 5353", "TCP 5353", "TCP 443", "TCP 6443"}; !slices.Equal(out, want) {
				t.Errorf("egress %q, want %q", out, want)
			}
		})
	}
}

func ports(ports []networkingv1.NetworkPolicyPort) []string {
	if len(ports) == 0 {
		return []string{"all"}
	}
	var texts []string
	for _, port := range ports {
		texts = append(texts, string(*port.Protocol)+" "+port.Port.String())
	}
	return texts
}

func TestContainersAreLocked(t *testing.T) {
	for _, directory := range everyOperator {
		for _, d := range each[appsv1.Deployment](t, render(t, directory), "Deployment") {
			pod := d.Spec.Template.Spec
			if len(pod.Containers) != 1 || len(pod.InitContainers) != 0 || len(pod.Volumes) != 0 {
				t.Errorf("%s %s: want one container and no volumes", directory, d.Name)
			}
			security := pod.Containers[0].SecurityContext
			if security == nil || security.ReadOnlyRootFilesystem == nil || !*security.ReadOnlyRootFilesystem {
				t.Errorf("%s %s: the root file system is not read-only", directory, d.Name)
			}
		}
	}
}

// Too near to the limit the kernel is quicker than the garbage collector, too far from it memory is paid for and not used.
func TestGoKnowsTheMemoryLimit(t *testing.T) {
	for _, directory := range everyOperator {
		for _, d := range each[appsv1.Deployment](t, render(t, directory), "Deployment") {
			container := d.Spec.Template.Spec.Containers[0]
			at := slices.IndexFunc(container.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
			if at < 0 {
				t.Fatalf("%s %s does not set GOMEMLIMIT", directory, d.Name)
			}
			soft, err := resource.ParseQuantity(strings.TrimSuffix(container.Env[at].Value, "B")) // Go's MiB is Kubernetes' Mi
			if err != nil {
				t.Fatal(err)
			}
			hard := container.Resources.Limits.Memory()
			if share := soft.AsApproximateFloat64() / hard.AsApproximateFloat64(); share < 0.85 || share > 0.95 {
				t.Errorf("%s %s: GOMEMLIMIT %s is %.2f of the limit %s", directory, d.Name, container.Env[at].Value, share, hard)
			}
		}
	}
}

// sessionSelectors are what each Deployment serves.
func sessionSelectors(t *testing.T, m manifests) map[string]labels.Selector {
	t.Helper()
	selectors := map[string]labels.Selector{}
	for _, d := range each[appsv1.Deployment](t, m, "Deployment") {
		for _, argument := range d.Spec.Template.Spec.Containers[0].Args {
			if text, ok := strings.CutPrefix(argument, "--session-selector="); ok {
				selector, err := labels.Parse(text)
				if err != nil {
					t.Fatalf("%s: %v", d.Name, err)
				}
				selectors[d.Name] = selector
			}
		}
	}
	return selectors
}

const shardLabel = "secretserver.tokensync.dev/shard"

func TestEverySessionIsOfExactlyOneShard(t *testing.T) {
	selectors := sessionSelectors(t, render(t, sharded))
	const prefix = "secret-server-operator-controller-manager-"
	for label, want := range map[string]string{"": "rest", "a": "a", "b": "b", "A": "rest", "c": "rest"} {
		set := labels.Set{"team": "billing"}
		if label != "" {
			set[shardLabel] = label
		}
		var serving []string
		for name, selector := range selectors {
			if selector.Matches(set) {
				serving = append(serving, name)
			}
		}
		if !slices.Equal(serving, []string{prefix + want}) {
			t.Errorf("a session with label %q is served by %q, want %s", label, serving, prefix+want)
		}
	}
}

// The role's rules are the same whatever its kind is.
func TestNamespacedRoleIsTheGeneratedOne(t *testing.T) {
	var rules [][]any
	for directory, kind := range map[string]string{clusterWide: "ClusterRole", namespaced: "Role"} {
		for _, o := range render(t, directory) {
			if o.GetKind() == kind && o.GetName() == "secret-server-operator-manager-role" {
				rules = append(rules, o.Object["rules"].([]any)) //nolint:forcetypeassert // so says the API
			}
		}
	}
	if len(rules) != 2 || len(rules[0]) == 0 || !reflect.DeepEqual(rules[0], rules[1]) {
		t.Errorf("roles with these rules: %v", rules)
	}
}
