{{/* Everything that the objects of one instance are made of. */}}
{{- define "postgresql.instance" -}}
{{- $name := .instance.name -}}
{{- $base := printf "%s-postgresql" $name -}}
name: {{ $name }}
base: {{ $base }}
namespace: {{ .root.Release.Namespace }}
host: {{ $base }}.{{ .root.Release.Namespace }}.svc
password: {{ .root.Values.password }}
deploymentId: deploy-{{ printf "%s/%s" .root.Release.Namespace $name | sha256sum | trunc 32 }}
team: {{ .root.Values.team }}
version: {{ .root.Values.version | quote }}
size: {{ .root.Values.size }}
storage: {{ .root.Values.storage }}
preset:
  {{- get .root.Values.presets .root.Values.size | toYaml | nindent 2 }}
parameters:
  {{- .root.Values.parameters | toYaml | nindent 2 }}
{{- end }}

{{- define "postgresql.stable" -}}
app.kubernetes.io/component: database
app.kubernetes.io/instance: {{ .base }}
app.kubernetes.io/managed-by: kidp
app.kubernetes.io/name: postgresql
app.kubernetes.io/part-of: kidp
platform.company.com/deployment-id: {{ .deploymentId }}
{{- end }}

{{- define "postgresql.labels" -}}
{{ include "postgresql.stable" . }}
platform.company.com/team: {{ .team }}
{{- end }}

{{- define "postgresql.conf" -}}
# Written by KIDP for size {{ .size }}. Change spec.parameters, not this file.
listen_addresses = '*'
port = '5432'
unix_socket_directories = '/var/run/postgresql'
password_encryption = 'scram-sha-256'
dynamic_shared_memory_type = 'posix'
huge_pages = 'off'
log_destination = 'stderr'
logging_collector = 'off'
log_timezone = 'Etc/UTC'
datestyle = 'iso, mdy'
default_text_search_config = 'pg_catalog.english'
checkpoint_completion_target = '0.9'
effective_cache_size = '{{ .preset.effectiveCacheSize }}'
effective_io_concurrency = '200'
maintenance_work_mem = '{{ .preset.maintenanceWorkMem }}'
max_connections = '{{ .parameters.max_connections }}'
max_parallel_maintenance_workers = '{{ .preset.maxParallelMaintenanceWorkers }}'
max_parallel_workers = '{{ .preset.maxParallelWorkers }}'
max_parallel_workers_per_gather = '{{ .preset.maxParallelWorkersPerGather }}'
max_wal_size = '{{ .preset.maxWalSize }}'
max_worker_processes = '{{ .preset.maxWorkerProcesses }}'
min_wal_size = '{{ .preset.minWalSize }}'
random_page_cost = '1.1'
shared_buffers = '{{ .preset.sharedBuffers }}'
wal_buffers = '{{ .preset.walBuffers }}'
work_mem = '{{ .parameters.work_mem }}'
{{ end }}
