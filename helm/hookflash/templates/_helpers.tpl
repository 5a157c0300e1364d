{{- define "hookflash.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- /* At most 50 characters: suffixes and the pods' ordinals follow, and a name in DNS has 63. */ -}}
{{- define "hookflash.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "hookflash.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "hookflash.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "hookflash.selector" -}}
app.kubernetes.io/name: {{ include "hookflash.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: engine
{{- end }}

{{- define "hookflash.labels" -}}
app.kubernetes.io/name: {{ include "hookflash.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* A list: the image's values, the chart. */ -}}
{{- define "hookflash.image" -}}
{{- $image := index . 0 }}{{ $chart := index . 1 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default $chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "hookflash.bundled" -}}
{{ if eq .Values.mode "bundled" }}yes{{ end }}
{{- end }}

{{- define "hookflash.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "hookflash.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- /* The Secret with passwords and keys; empty when there is none. */ -}}
{{- define "hookflash.secret" -}}
{{- if .Values.secrets.externalSecret.enabled }}
{{- printf "%s-secrets" (include "hookflash.fullname" .) }}
{{- else }}
{{- .Values.secrets.existingSecret }}
{{- end }}
{{- end }}

{{- define "hookflash.flows" -}}
{{ .Values.flows.existingConfigMap | default (printf "%s-flows" (include "hookflash.fullname" .)) }}
{{- end }}

{{- /* The flows themselves, as a ConfigMap's data: the user's, else the one that says hello. */ -}}
{{- define "hookflash.flowFiles" -}}
{{- if .Values.flows.inline }}
{{- toYaml .Values.flows.inline }}
{{- else }}
welcome.flow.yaml: |
{{ .Files.Get "files/welcome.flow.yaml" | indent 2 }}
{{- end }}
{{- end }}

{{- define "hookflash.flowsVolume" -}}
configMap:
  name: {{ . | first }}
  {{- with last . }}
  items:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "hookflash.extraVolumes" -}}
{{- range .Values.extraMounts }}
- name: extra-{{ .name }}
  {{- if .secret }}
  secret: {secretName: {{ .secret }}, defaultMode: 0440}
  {{- else }}
  configMap: {name: {{ .configMap }}}
  {{- end }}
{{- end }}
{{- end }}

{{- /* hookflash.yaml: the user's settings under those that the chart must set. */ -}}
{{- define "hookflash.settings" -}}
{{- $asterisk := deepCopy (.Values.settings.asterisk | default dict) }}
{{- if include "hookflash.bundled" . }}
{{- $_ := set $asterisk "url" (printf "http://127.0.0.1:%d" (int .Values.asterisk.ariPort)) }}
{{- end }}
{{- $own := dict "flows" (list "/etc/hookflash/flows") "storage" "/var/lib/hookflash" "asterisk" $asterisk
    "drain_timeout" (int .Values.drainSeconds) "http" (dict "host" "0.0.0.0" "port" (int .Values.http.port))
    "database" (dict "url" "sqlite+aiosqlite:////var/lib/hookflash/hookflash.db") }}
{{- $log := mergeOverwrite (dict "format" "json") (.Values.settings.log | default dict) }}
{{- toYaml (mergeOverwrite (deepCopy .Values.settings) $own (dict "log" $log)) }}
{{- end }}

{{- define "hookflash.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ int .Values.runAs.user }}
runAsGroup: {{ int .Values.runAs.group }}
fsGroup: {{ int .Values.runAs.group }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "hookflash.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "hookflash.peers" -}}
{{- range .cidrs }}
- ipBlock: {cidr: {{ . | quote }}}
{{- end }}
{{- range .namespaces }}
- namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ . | quote }}}}
{{- end }}
{{- end }}
