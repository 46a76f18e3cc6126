{{/* The names that objects get: as charts have them by convention. */}}
{{- define "kidp-broker.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Short enough for the suffixes that some objects get. */}}
{{- define "kidp-broker.fullname" -}}
{{- $name := include "kidp-broker.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "kidp-broker.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "kidp-broker.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Never change on an upgrade: a Deployment's selector is fixed. */}}
{{- define "kidp-broker.selector" -}}
app.kubernetes.io/name: {{ include "kidp-broker.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "kidp-broker.labels" -}}
{{ include "kidp-broker.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: kidp
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Labels and annotations of a definition. */}}
{{- define "kidp-broker.crd" -}}
labels:
  {{- include "kidp-broker.labels" . | nindent 2 }}
{{- if .Values.crds.keep }}
annotations:
  helm.sh/resource-policy: keep
{{- end }}
{{- end }}

{{- define "kidp-broker.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}


{{/* Entries without a selector are about this release's pods. */}}
{{- define "kidp-broker.spread" -}}
{{- $selector := dict "matchLabels" (include "kidp-broker.selector" . | fromYaml) }}
{{- range .Values.topologySpreadConstraints }}
- {{ mergeOverwrite (dict "labelSelector" $selector) . | toYaml | nindent 2 | trim }}
{{- end }}
{{- end }}

{{- define "kidp-broker.url" -}}
{{ if .Values.tls.secretName }}https{{ else }}http{{ end }}://{{ include "kidp-broker.fullname" . }}.{{ .Release.Namespace }}.svc:8082
{{- end }}

{{/* The spec of the Broker object: what is given, and where to reach the broker and how to prove who one is. */}}
{{- define "kidp-broker.registration" -}}
{{- $own := dict "endpoint" (include "kidp-broker.url" .) "authentication" (dict "type" "jwt") }}
{{- mergeOverwrite $own .Values.registration.spec | toYaml }}
{{- end }}

{{- define "kidp-broker.registrationNamespace" -}}
{{- default .Values.operator.namespace .Values.registration.namespace }}
{{- end }}
