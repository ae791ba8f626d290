{{- define "gvList" -}}
# API reference

<!-- Made by `make generate` from the comments and markers in api/v1alpha1. Do not edit. -->

Every field of a `SecretServerSession` (short name `sss`), with its type, default and validation. `kubectl explain sss.spec`, and so on
downwards, has the descriptions on a cluster. What the status and its conditions mean is in [status](status.md); [config/samples](../config/samples/session.yaml) shows a session with each field.
{{ range . }}{{ range .SortedTypes }}{{ template "type" . }}{{ end }}{{ end }}
{{- end -}}

{{- define "type" -}}
{{- if markdownShouldRenderType . }}
## {{ .Name }}

{{ .Doc | replace "\n\n" "\r" | replace "\n" " " | replace "\r" "\n\n" }}
{{ if .IsAlias }}
It is a {{ markdownRenderType .UnderlyingType }}.{{ template "bounds" .Markers }}
{{ end -}}
{{ if .References }}
Used by{{ range $i, $user := .SortedReferences }}{{ if $i }},{{ end }} {{ markdownRenderTypeLink $user }}{{ end }}.
{{ end -}}
{{ if and .Members (not .IsAlias) }}
| Field | Type | Default | Description and validation |
|---|---|---|---|
{{ if .GVK -}}
| `apiVersion` | string | | `{{ .GVK.Group }}/{{ .GVK.Version }}` |
| `kind` | string | | `{{ .GVK.Kind }}` |
{{ end -}}
{{ range .Members -}}
| `{{ .Name }}` | {{ markdownRenderType .Type }} | {{ template "default" . }} | {{ if eq .Name "metadata" }}Name, namespace and what else every object has.{{ else }}{{ .Doc | replace "\n" " " | replace "|" "\\|" | replace "<" "&lt;" }}{{ end }}{{ template "bounds" .Markers }} |
{{ end -}}
{{ end -}}
{{ if and .GVK (index .Markers "kubebuilder:validation:XValidation") }}
Besides:
{{ range index .Markers "kubebuilder:validation:XValidation" }}
- {{ .Message | replace "<" "&lt;" }}
{{- end }}
{{ end -}}
{{ end -}}
{{- end -}}

{{- define "default" -}}
{{- if index .Markers "required" -}}required{{- else if and .Default (ne .Default "{  }") -}}`{{ .Default }}`{{- end -}}
{{- end -}}

{{- /* What the API server checks, in words. A marker that is not named here is told as it is, so that none is lost. */ -}}
{{- define "bounds" -}}
{{- $words := dict "MinLength" "At least %v characters." "MaxLength" "At most %v characters." "Minimum" "At least %v." "Maximum" "At most %v." "MinItems" "At least %v items." "MaxItems" "At most %v items." "MaxProperties" "At most %v keys." "Pattern" "Matches `%v`." -}}
{{- range $name, $values := . -}}
{{- if hasPrefix "kubebuilder:validation:" $name -}}
{{- $rule := trimPrefix "kubebuilder:validation:" $name -}}
{{- if eq $rule "XValidation" -}}
{{- range $values }} Rule: {{ .Message | replace "|" "\\|" | replace "<" "&lt;" }}.{{ end -}}
{{- else if and (eq $rule "MinLength") (eq (print (first $values)) "1") }} Not empty.
{{- else if eq $rule "Enum" -}}
{{- range $values }} One of{{ range $i, $value := . }}{{ if $i }},{{ end }} `{{ $value }}`{{ end }}.{{ end -}}
{{- else if hasKey $words $rule -}}
{{- range $values }} {{ printf (index $words $rule) . }}{{ end -}}
{{- else if not (has $rule (list "Optional" "Required")) }} {{ $rule }}: {{ $values }}.{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
