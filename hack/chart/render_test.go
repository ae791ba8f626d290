package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// Each case is some values, and what the chart makes of them.
var renderCases = map[string]struct {
	values string
	check  func(*testing.T, objects)
}{
	"nothing is set": {"", func(t *testing.T, o objects) {
		t.Helper()
		o.has(t, "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Service",
			"Deployment", "PodDisruptionBudget", "NetworkPolicy", "PriorityClass")
	}},
	"namespaces": {"namespaces: [payments, billing]", func(t *testing.T, o objects) {
		t.Helper()
		for _, namespace := range []string{"payments", "billing"} {
			for _, kind := range []string{"Role", "RoleBinding"} {
				if !slices.ContainsFunc(o.of(kind), inNamespace(namespace)) {
					t.Errorf("there is no %s in namespace %s", kind, namespace)
				}
			}
		}
		o.hasNot(t, "ClusterRole", "ClusterRoleBinding", "PriorityClass", "Service")
	}},
	"namespaces, by somebody with no say in the cluster": {"namespaces: [payments]\ncrds: {install: false}", func(t *testing.T, o objects) {
		t.Helper()
		for _, object := range o {
			if !isNamespaced(object) {
				t.Errorf("%s %s belongs to the cluster", object.GetKind(), object.GetName())
			}
		}
	}},
	"namespaces, and metrics for everybody there": {"namespaces: [payments]\nmetrics: {enabled: true, secure: false}", func(t *testing.T, o objects) {
		t.Helper()
		o.has(t, "Service")
		o.hasNot(t, "ClusterRole", "ClusterRoleBinding")
	}},
	"namespaces, and metrics whose readers the API server authorizes": {"namespaces: [payments]\nmetrics: {enabled: true}", func(t *testing.T, o objects) {
		t.Helper()
		want := []string{"secret-server-operator-metrics-auth-role", "secret-server-operator-metrics-reader"}
		var got []string
		for _, role := range o.of("ClusterRole") {
			got = append(got, role.GetName())
		}
		if !slices.Equal(got, want) {
			t.Errorf("ClusterRoles are %q, and should be %q", got, want)
		}
	}},
	"shards": {"shards: [a, b]\nsessionSelector: team=x", func(t *testing.T, o objects) {
		t.Helper()
		want := map[string]string{
			"secret-server-operator-controller-manager-a":    "team=x,secretserver.tokensync.dev/shard=a",
			"secret-server-operator-controller-manager-b":    "team=x,secretserver.tokensync.dev/shard=b",
			"secret-server-operator-controller-manager-rest": "team=x,secretserver.tokensync.dev/shard notin (a,b)",
		}
		got := map[string]string{}
		for _, object := range o.of("Deployment") {
			deployment := into[appsv1.Deployment](t, object)
			for _, arg := range deployment.Spec.Template.Spec.Containers[0].Args {
				if selector, ok := strings.CutPrefix(arg, "--session-selector="); ok {
					got[deployment.Name] = selector
				}
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("the Deployments serve %q, and should serve %q", got, want)
		}
		if budgets := o.of("PodDisruptionBudget"); len(budgets) != 3 {
			t.Errorf("there are %d PodDisruptionBudgets", len(budgets))
		}
	}},
	"no leader": {"leaderElection: {enabled: false}\nreplicas: 1", func(t *testing.T, o objects) {
		t.Helper()
		if strategy := deploymentOf(t, o).Spec.Strategy.Type; strategy != appsv1.RecreateDeploymentStrategyType {
			t.Errorf("an upgrade runs two operators at once: strategy %q", strategy)
		}
		o.hasNot(t, "Role", "RoleBinding")
	}},
	"a lease elsewhere": {"leaderElection: {namespace: leases}", func(t *testing.T, o objects) {
		t.Helper()
		if !slices.ContainsFunc(o.of("RoleBinding"), inNamespace("leases")) {
			t.Errorf("the operator may not write its lease: %q", o.names())
		}
	}},
	"no metrics": {"metrics: {enabled: false}", func(t *testing.T, o objects) {
		t.Helper()
		o.hasNot(t, "Service")
		for _, role := range o.of("ClusterRole") {
			if strings.Contains(role.GetName(), "metrics") {
				t.Errorf("there is the role %s", role.GetName())
			}
		}
	}},
	"no CRD":   {"crds: {install: false}", hasNot("CustomResourceDefinition")},
	"no roles": {"rbac: {create: false}", hasNot("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")},
	"no roles for others": {"rbac: {aggregate: false}", func(t *testing.T, o objects) {
		t.Helper()
		for _, role := range o.of("ClusterRole") {
			if strings.Contains(role.GetName(), "secretserversession") {
				t.Errorf("there is the role %s", role.GetName())
			}
		}
	}},
	"no budget":         {"podDisruptionBudget: {enabled: false}", hasNot("PodDisruptionBudget")},
	"no network policy": {"networkPolicy: {enabled: false}", hasNot("NetworkPolicy")},
	"a stricter network policy": {`
networkPolicy:
  ports: []
  egress: [{to: [{ipBlock: {cidr: 192.0.2.7/32}}], ports: [{port: 443, protocol: TCP}]}]
  ingress: [{from: [{namespaceSelector: {}}]}]`, func(t *testing.T, o objects) {
		t.Helper()
		policy := into[networkingv1.NetworkPolicy](t, o.of("NetworkPolicy")[0])
		egress, ingress := policy.Spec.Egress, policy.Spec.Ingress
		if len(egress) != 2 || egress[1].To[0].IPBlock.CIDR != "192.0.2.7/32" {
			t.Errorf("what may go out: %v", egress)
		}
		if len(ingress) != 3 || ingress[2].From[0].NamespaceSelector == nil {
			t.Errorf("what may come in: %v", ingress)
		}
	}},
	"metrics for everybody are for the namespace": {"metrics: {secure: false}", func(t *testing.T, o objects) {
		t.Helper()
		policy := into[networkingv1.NetworkPolicy](t, o.of("NetworkPolicy")[0])
		if rule := policy.Spec.Ingress[1]; len(rule.From) != 1 || rule.From[0].PodSelector == nil || rule.From[0].NamespaceSelector != nil {
			t.Errorf("who may read the metrics: %v", rule.From)
		}
	}},
	"somebody else's ServiceAccount": {"serviceAccount: {create: false, name: robot}", func(t *testing.T, o objects) {
		t.Helper()
		o.hasNot(t, "ServiceAccount")
		if name := deploymentOf(t, o).Spec.Template.Spec.ServiceAccountName; name != "robot" {
			t.Errorf("the pods run as %q", name)
		}
	}},
	"somebody else's priority": {"priorityClass: {name: system-cluster-critical}", func(t *testing.T, o objects) {
		t.Helper()
		o.hasNot(t, "PriorityClass")
		if name := deploymentOf(t, o).Spec.Template.Spec.PriorityClassName; name != "system-cluster-critical" {
			t.Errorf("the pods' priority is %q", name)
		}
	}},
	"a priority by name": {"priorityClass: {create: true, name: tokens, value: 7}", func(t *testing.T, o objects) {
		t.Helper()
		if class := into[schedulingv1.PriorityClass](t, o.of("PriorityClass")[0]); class.Name != "tokens" || class.Value != 7 {
			t.Errorf("the class is %s, %d", class.Name, class.Value)
		}
	}},
	"no priority": {"priorityClass: {create: false}", func(t *testing.T, o objects) {
		t.Helper()
		if name := deploymentOf(t, o).Spec.Template.Spec.PriorityClassName; name != "" {
			t.Errorf("the pods' priority is %q", name)
		}
	}},
	"an image by digest": {"image: {digest: 'sha256:" + strings.Repeat("0a", 32) + "', pullPolicy: Always}\nimagePullSecrets: [{name: registry}]",
		func(t *testing.T, o objects) {
			t.Helper()
			pod := deploymentOf(t, o).Spec.Template.Spec
			if got, want := pod.Containers[0].Image, "secret-server-operator@sha256:"+strings.Repeat("0a", 32); got != want {
				t.Errorf("the image is %q, and should be %q", got, want)
			}
			if pod.Containers[0].ImagePullPolicy != corev1.PullAlways || pod.ImagePullSecrets[0].Name != "registry" {
				t.Errorf("it is pulled %q, with %v", pod.Containers[0].ImagePullPolicy, pod.ImagePullSecrets)
			}
		}},
	"the chart's own image": {"image: {tag: ''}", func(t *testing.T, o objects) {
		t.Helper()
		if got, want := deploymentOf(t, o).Spec.Template.Spec.Containers[0].Image, "secret-server-operator:"+appVersion(t); got != want {
			t.Errorf("the image is %q, and should be %q", got, want)
		}
	}},
	"a proxy": {"env: [{name: HTTPS_PROXY, value: 'http://proxy.example.com:3128'}, {name: NO_PROXY, value: '10.0.0.0/8'}]", func(t *testing.T, o objects) {
		t.Helper()
		env := deploymentOf(t, o).Spec.Template.Spec.Containers[0].Env
		if !slices.ContainsFunc(env, func(v corev1.EnvVar) bool {
			return v.Name == "HTTPS_PROXY" && v.Value == "http://proxy.example.com:3128"
		}) {
			t.Errorf("the environment is %v", env)
		}
	}},
	"a soft memory limit of one's own": {"env: [{name: GOMEMLIMIT, value: 100MiB}]", softMemory("100MiB")},
	"memory":                           {"resources: {limits: {memory: 1Gi}}", softMemory("921MiB")},
	"memory as bytes":                  {"resources: {limits: {memory: 300000000}}", softMemory("")},
	"memory without a limit":           {"resources: {limits: {memory: null}}", softMemory("")},
	"placement": {`
nodeSelector: {disk: ssd}
tolerations: [{key: infra, operator: Exists, effect: NoSchedule}]
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}
topologySpreadConstraints: [{maxSkew: 2, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]
terminationGracePeriodSeconds: 310`, func(t *testing.T, o objects) {
		t.Helper()
		pod := deploymentOf(t, o).Spec.Template.Spec
		if pod.NodeSelector["disk"] != "ssd" || pod.Tolerations[0].Key != "infra" || pod.Affinity.NodeAffinity == nil ||
			pod.TopologySpreadConstraints[0].TopologyKey != "zone" || *pod.TerminationGracePeriodSeconds != 310 {
			t.Errorf("the pod is %v", pod)
		}
	}},
	"no spreading": {"topologySpreadConstraints: []", func(t *testing.T, o objects) {
		t.Helper()
		if constraints := deploymentOf(t, o).Spec.Template.Spec.TopologySpreadConstraints; len(constraints) > 0 {
			t.Errorf("the pods are spread by %v", constraints)
		}
	}},
	"labels and annotations": {`
commonLabels: {cost-center: "42"}
podLabels: {mesh: "off"}
podAnnotations: {example.com/scrape: "true"}
serviceAccount: {annotations: {example.com/role: reader}}`, func(t *testing.T, o objects) {
		t.Helper()
		for _, object := range o {
			if object.GetLabels()["cost-center"] != "42" {
				t.Errorf("%s %s has not the common label", object.GetKind(), object.GetName())
			}
		}
		pod := deploymentOf(t, o).Spec.Template
		if pod.Labels["mesh"] != "off" || pod.Labels["cost-center"] != "42" || pod.Annotations["example.com/scrape"] != "true" {
			t.Errorf("the pod has the labels %v and the annotations %v", pod.Labels, pod.Annotations)
		}
		if got := o.of("ServiceAccount")[0].GetAnnotations()["example.com/role"]; got != "reader" {
			t.Errorf("the ServiceAccount's annotation is %q", got)
		}
	}},
	"the platform's own user": {"podSecurityContext: {runAsUser: null, runAsGroup: null}", func(t *testing.T, o objects) {
		t.Helper()
		context := deploymentOf(t, o).Spec.Template.Spec.SecurityContext
		if context.RunAsUser != nil || context.RunAsGroup != nil || !*context.RunAsNonRoot {
			t.Errorf("the pods run as %v", context)
		}
	}},
	"volumes": {"volumes: [{name: roots, configMap: {name: roots}}]\nvolumeMounts: [{name: roots, mountPath: /etc/ssl/certs}]", func(t *testing.T, o objects) {
		t.Helper()
		pod := deploymentOf(t, o).Spec.Template.Spec
		if pod.Volumes[0].ConfigMap.Name != "roots" || pod.Containers[0].VolumeMounts[0].MountPath != "/etc/ssl/certs" {
			t.Errorf("the pod has %v and mounts %v", pod.Volumes, pod.Containers[0].VolumeMounts)
		}
	}},
	"another name":         {"fullnameOverride: tokens", named("tokens-controller-manager")},
	"another chart's name": {"nameOverride: tokens", named("secret-server-operator-tokens-controller-manager")},
	"a name that is long":  {"fullnameOverride: " + strings.Repeat("abcdefgh-", 8) + "i", named("abcdefgh-abcdefgh-abcdefgh-abcdefgh-controller-manager")},
}

func TestChart(t *testing.T) {
	t.Parallel()
	for name, c := range renderCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := render(t, c.values)
			o.hangTogether(t)
			c.check(t, o)
		})
	}
}

func TestReleaseHasItsNameInFrontOfEverything(t *testing.T) {
	t.Parallel()
	for _, object := range renderAs(t, "east", "crds: {install: false}") {
		if !strings.HasPrefix(object.GetName(), "east-secret-server-operator-") {
			t.Errorf("%s %s would meet that of another release", object.GetKind(), object.GetName())
		}
	}
}

func (o objects) has(t *testing.T, kinds ...string) {
	t.Helper()
	for _, kind := range kinds {
		if len(o.of(kind)) == 0 {
			t.Errorf("there is no %s in %q", kind, o.names())
		}
	}
}

func (o objects) hasNot(t *testing.T, kinds ...string) {
	t.Helper()
	for _, kind := range kinds {
		if found := o.of(kind); len(found) > 0 {
			t.Errorf("there is %q", found.names())
		}
	}
}

func hasNot(kinds ...string) func(*testing.T, objects) {
	return func(t *testing.T, o objects) {
		t.Helper()
		o.hasNot(t, kinds...)
	}
}

func named(want string) func(*testing.T, objects) {
	return func(t *testing.T, o objects) {
		t.Helper()
		if got := deploymentOf(t, o).Name; got != want {
			t.Errorf("the Deployment is %q, and should be %q", got, want)
		}
	}
}

func softMemory(want string) func(*testing.T, objects) {
	return func(t *testing.T, o objects) {
		t.Helper()
		var got []string
		for _, variable := range deploymentOf(t, o).Spec.Template.Spec.Containers[0].Env {
			if variable.Name == "GOMEMLIMIT" {
				got = append(got, variable.Value)
			}
		}
		if all := strings.Join(got, " and "); all != want {
			t.Errorf("GOMEMLIMIT is %q, and should be %q", all, want)
		}
	}
}

// hangTogether checks what holds whatever the values are: names are unique,
// selectors select the pods, bindings bind what is there.
func (o objects) hangTogether(t *testing.T) {
	t.Helper()
	names := o.names()
	slices.Sort(names)
	if unique := slices.Compact(slices.Clone(names)); len(unique) != len(names) {
		t.Errorf("an object is there twice: %q", names)
	}
	for _, deployment := range o.of("Deployment") {
		o.selectorsFit(t, into[appsv1.Deployment](t, deployment))
	}
	for _, kind := range []string{"RoleBinding", "ClusterRoleBinding"} {
		for _, object := range o.of(kind) {
			binding := into[rbacv1.ClusterRoleBinding](t, object) // the fields are the same
			if !slices.ContainsFunc(o.of(binding.RoleRef.Kind), func(role *unstructured.Unstructured) bool {
				return role.GetName() == binding.RoleRef.Name && role.GetNamespace() == object.GetNamespace()
			}) {
				t.Errorf("%s %s binds the %s %s, which is not there", kind, binding.Name, binding.RoleRef.Kind, binding.RoleRef.Name)
			}
		}
	}
}

// selectorsFit checks that a Deployment's own selector, and those of what speaks
// of its pods, match them.
func (o objects) selectorsFit(t *testing.T, deployment *appsv1.Deployment) {
	t.Helper()
	pod := labels.Set(deployment.Spec.Template.Labels)
	selectors := map[string][]map[string]string{"Deployment": {deployment.Spec.Selector.MatchLabels}}
	for _, object := range o.of("PodDisruptionBudget") {
		if object.GetName() == deployment.Name {
			selectors["PodDisruptionBudget"] = append(selectors["PodDisruptionBudget"], into[policyv1.PodDisruptionBudget](t, object).Spec.Selector.MatchLabels)
		}
	}
	for _, object := range o.of("NetworkPolicy") {
		selectors["NetworkPolicy"] = append(selectors["NetworkPolicy"], into[networkingv1.NetworkPolicy](t, object).Spec.PodSelector.MatchLabels)
	}
	for _, object := range o.of("Service") {
		selectors["Service"] = append(selectors["Service"], into[corev1.Service](t, object).Spec.Selector)
	}
	for _, constraint := range deployment.Spec.Template.Spec.TopologySpreadConstraints {
		selectors["spreading"] = append(selectors["spreading"], constraint.LabelSelector.MatchLabels)
	}
	for of, all := range selectors {
		for _, selector := range all {
			if len(selector) == 0 || !labels.SelectorFromSet(selector).Matches(pod) {
				t.Errorf("the selector of the %s, %v, does not match the pods of %s: %v", of, selector, deployment.Name, pod)
			}
		}
	}
}

func inNamespace(namespace string) func(*unstructured.Unstructured) bool {
	return func(object *unstructured.Unstructured) bool { return object.GetNamespace() == namespace }
}
