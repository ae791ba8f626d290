{{/* The name in labels. */}}
{{- define "secret-server-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/*
The first part of every object's name. With the release name secret-server-operator the names are those of config/default.
A Service's name has 63 characters at most, and its ending here, -controller-manager-metrics, has 27.
*/}}
{{- define "secret-server-operator.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 36 | trimSuffix "-" -}}
{{- end -}}

{{- define "secret-server-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.name -}}
{{- .Values.serviceAccount.name -}}
{{- else if .Values.serviceAccount.create -}}
{{- include "secret-server-operator.fullname" . }}-controller-manager
{{- else -}}
default
{{- end -}}
{{- end -}}

{{/* What selects all pods of the release. It cannot change in an upgrade. */}}
{{- define "secret-server-operator.selector" -}}
app.kubernetes.io/name: {{ include "secret-server-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller-manager
{{- end -}}

{{/* The labels of every object. */}}
{{- define "secret-server-operator.labels" -}}
app.kubernetes.io/name: {{ include "secret-server-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The rules of a role in config/, of which files/roles has copies. */}}
{{- define "secret-server-operator.rules" -}}
{{- $role := .Files.Get (printf "files/roles/%s.yaml" .Role) | fromYaml -}}
{{- toYaml $role.rules -}}
{{- end -}}

{{- define "secret-server-operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "secret-server-operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{/*
Whether a switch is on: not empty if so. One without a value is on, but off in a release for some namespaces alone, as it takes an
object that only a cluster's administrator may make.
*/}}
{{- define "secret-server-operator.isOn" -}}
{{- ternary (empty .Root.Values.namespaces) .Switch (kindIs "invalid" .Switch) | ternary "yes" "" -}}
{{- end -}}

{{- define "secret-server-operator.servesMetrics" -}}
{{- include "secret-server-operator.isOn" (dict "Root" . "Switch" .Values.metrics.enabled) -}}
{{- end -}}

{{/* With a name and no word about making it, the class is somebody else's. */}}
{{- define "secret-server-operator.makesPriorityClass" -}}
{{- if not (and .Values.priorityClass.name (kindIs "invalid" .Values.priorityClass.create)) -}}
{{- include "secret-server-operator.isOn" (dict "Root" . "Switch" .Values.priorityClass.create) -}}
{{- end -}}
{{- end -}}

{{- define "secret-server-operator.priorityClassName" -}}
{{- if .Values.priorityClass.name -}}
{{- .Values.priorityClass.name -}}
{{- else if include "secret-server-operator.makesPriorityClass" . -}}
{{- include "secret-server-operator.fullname" . }}-manager
{{- end -}}
{{- end -}}

{{- define "secret-server-operator.image" -}}
{{- if not .Values.image.repository -}}
{{- fail "image.repository is not set, and there is no published image. Build one, push it where the cluster can pull it, and give its name: --set image.repository=registry.example.com/secret-server-operator" -}}
{{- end -}}
{{- .Values.image.repository -}}
{{- if .Values.image.digest -}}
@{{ .Values.image.digest }}
{{- else -}}
:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{/*
The shards as JSON, each with the ending of its names and its selector of sessions; without shards there is one, for all. The last
one is for what has no shard's label, so that no session is left to nobody.
*/}}
{{- define "secret-server-operator.shards" -}}
{{- $label := "secretserver.tokensync.dev/shard" -}}
{{- $shards := list -}}
{{- range .Values.shards -}}
{{- $selector := list $.Values.sessionSelector (printf "%s=%s" $label .) | compact | join "," -}}
{{- $shards = append $shards (dict "name" . "selector" $selector "labels" (dict $label .)) -}}
{{- end -}}
{{- if .Values.shards -}}
{{- $selector := list .Values.sessionSelector (printf "%s notin (%s)" $label (join "," .Values.shards)) | compact | join "," -}}
{{- $shards = append $shards (dict "name" "rest" "selector" $selector "labels" (dict $label "rest")) -}}
{{- else -}}
{{- $shards = append $shards (dict "name" "" "selector" .Values.sessionSelector "labels" dict) -}}
{{- end -}}
{{- toJson $shards -}}
{{- end -}}

{{/* Nine tenths of a memory limit in Mi or Gi; empty if there is none. */}}
{{- define "secret-server-operator.softMemoryLimit" -}}
{{- $limit := dig "limits" "memory" "" .Values.resources | toString -}}
{{- if regexMatch "^[0-9]+Mi$" $limit -}}
{{- div (mul (trimSuffix "Mi" $limit) 9) 10 }}MiB
{{- else if regexMatch "^[0-9]+Gi$" $limit -}}
{{- div (mul (trimSuffix "Gi" $limit) 1024 9) 10 }}MiB
{{- end -}}
{{- end -}}

{{/* The operator's flags for one shard. What has no value is left to the operator's own default. */}}
{{- define "secret-server-operator.args" -}}
{{- $values := .Root.Values -}}
{{- $flags := list -}}
{{- if $values.leaderElection.enabled -}}
{{- $flags = append $flags "--leader-elect" -}}
{{- end -}}
{{- range $flag := list
  (list "leader-election-namespace" $values.leaderElection.namespace)
  (list "health-probe-bind-address" (printf ":%d" (int $values.health.port)))
  (list "namespaces" (join "," $values.namespaces))
  (list "session-selector" .Shard.selector)
  (list "allowed-endpoints" (join "," $values.allowedEndpoints))
  (list "max-concurrent-reconciles" $values.maxConcurrentReconciles)
  (list "endpoint-concurrency" $values.endpointConcurrency)
  (list "rejected-credentials-retry" $values.rejectedCredentialsRetry)
  (list "kube-api-qps" $values.kubeAPI.qps)
  (list "kube-api-burst" $values.kubeAPI.burst)
  (list "zap-devel" $values.log.development)
  (list "zap-encoder" $values.log.encoder)
  (list "zap-log-level" $values.log.level)
  (list "zap-stacktrace-level" $values.log.stacktraceLevel)
  (list "zap-time-encoding" $values.log.timeEncoding)
-}}
{{- /* A number from a file is a float64, and would be printed as 1e+06. */ -}}
{{- $value := last $flag -}}
{{- $text := kindIs "float64" $value | ternary (toJson $value) (toString $value) -}}
{{- if not (or (kindIs "invalid" $value) (eq $text "")) -}}
{{- $flags = append $flags (printf "--%s=%s" (first $flag) $text) -}}
{{- end -}}
{{- end -}}
{{- if include "secret-server-operator.servesMetrics" .Root -}}
{{- $flags = append $flags (printf "--metrics-bind-address=:%d" (int $values.metrics.port)) -}}
{{- if not $values.metrics.secure -}}
{{- $flags = append $flags "--metrics-secure=false" -}}
{{- end -}}
{{- end -}}
{{- toYaml (concat $flags $values.extraArgs) -}}
{{- end -}}
