{{/* The names that objects get: as charts have them by convention. */}}
{{- define "kidp-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Short enough for the suffixes that some objects get. */}}
{{- define "kidp-operator.fullname" -}}
{{- $name := include "kidp-operator.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "kidp-operator.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "kidp-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Never change on an upgrade: a Deployment's selector is fixed. */}}
{{- define "kidp-operator.selector" -}}
app.kubernetes.io/name: {{ include "kidp-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "kidp-operator.labels" -}}
{{ include "kidp-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: kidp
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Labels and annotations of a definition. */}}
{{- define "kidp-operator.crd" -}}
labels:
  {{- include "kidp-operator.labels" . | nindent 2 }}
{{- if .Values.crds.keep }}
annotations:
  helm.sh/resource-policy: keep
{{- end }}
{{- end }}

{{- define "kidp-operator.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{- define "kidp-operator.callbackUrl" -}}
{{- default (printf "http://%s.%s.svc:9090/v1/callback" (include "kidp-operator.fullname" .) .Release.Namespace) .Values.callbackUrl }}
{{- end }}

{{/* Entries without a selector are about this release's pods. */}}
{{- define "kidp-operator.spread" -}}
{{- $selector := dict "matchLabels" (include "kidp-operator.selector" . | fromYaml) }}
{{- range .Values.topologySpreadConstraints }}
- {{ mergeOverwrite (dict "labelSelector" $selector) . | toYaml | nindent 2 | trim }}
{{- end }}
{{- end }}
