{{- /* The pod of both modes. */ -}}
{{- define "hookflash.pod" -}}
{{- $secret := include "hookflash.secret" . }}
{{- $bundled := include "hookflash.bundled" . }}
metadata:
  labels:
    # Without the chart's version, so that a new one alone restarts nothing.
    {{- include "hookflash.selector" . | nindent 4 }}
    {{- with .Values.commonLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # Settings are read at the start only. Flows are not in here: running engines take those.
    checksum/settings: {{ include "hookflash.settings" . | sha256sum }}
    {{- if $bundled }}
    checksum/asterisk: {{ printf "%s%s" (include "hookflash.choices" .) (toJson .Values.sip.loadBalancer.addresses) | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "hookflash.serviceAccount" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  # The engine's drain, its last records, and the end of Asterisk.
  terminationGracePeriodSeconds: {{ add (int .Values.drainSeconds) 30 }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- if and $bundled (eq .Values.sip.exposure "hostNetwork") }}
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  {{- end }}
  securityContext:
    {{- include "hookflash.podSecurity" . | nindent 4 }}
  {{- if $bundled }}
  initContainers:
    {{- include "hookflash.asteriskContainers" . | nindent 4 }}
  {{- end }}
  containers:
    - name: engine
      image: {{ include "hookflash.image" (list .Values.image .Chart) }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve]
      env:
        - {name: HOOKFLASH_CONFIG, value: /etc/hookflash/settings/hookflash.yaml}
        - name: HOOKFLASH_NAME
          {{- if $bundled }}
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
          {{- else }}
          value: {{ include "hookflash.fullname" . }}
          {{- end }}
        {{- if $bundled }}
        - {name: HOOKFLASH_ASTERISK_PASSWORD_FILE, value: /run/hookflash/ari}
        {{- end }}
        {{- range $setting, $key := .Values.secrets.keys }}
        - name: {{ printf "HOOKFLASH_%s_FILE" ($setting | replace "." "_" | replace "-" "_" | upper) }}
          value: /run/secrets/hookflash/{{ $key }}
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - {name: http, containerPort: {{ int .Values.http.port }}, protocol: TCP}
      # Not /startupz, which answers once Asterisk is there: an engine that waits for it is healthy, and must not be killed.
      startupProbe:
        httpGet: {path: /livez, port: http}
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /livez, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: 1
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- include "hookflash.containerSecurity" . | nindent 8 }}
      volumeMounts:
        - {name: settings, mountPath: /etc/hookflash/settings, readOnly: true}
        - {name: flows, mountPath: /etc/hookflash/flows, readOnly: true}
        - {name: data, mountPath: /var/lib/hookflash}
        - {name: scratch, mountPath: /tmp, subPath: engine-tmp}
        {{- if $bundled }}
        - {name: ari, mountPath: /run/hookflash, readOnly: true}
        {{- end }}
        {{- if $secret }}
        - {name: secrets, mountPath: /run/secrets/hookflash, readOnly: true}
        {{- end }}
        {{- range .Values.extraMounts }}
        - {name: extra-{{ .name }}, mountPath: {{ .mountPath }}, readOnly: true}
        {{- end }}
  volumes:
    - name: settings
      configMap: {name: {{ include "hookflash.fullname" . }}-settings}
    - name: flows
      {{- include "hookflash.flowsVolume" (list (include "hookflash.flows" .) .Values.flows.items) | nindent 6 }}
    - name: scratch
      emptyDir: {}
    {{- if $bundled }}
    # In memory: both hold the password of ARI, which is made anew with each pod.
    - name: ari
      emptyDir: {medium: Memory, sizeLimit: 1Mi}
    - name: asterisk-etc
      emptyDir: {medium: Memory, sizeLimit: 8Mi}
    - name: choices
      configMap: {name: {{ include "hookflash.fullname" . }}-asterisk}
    {{- with .Values.sip.tls.existingSecret }}
    - name: sip-certificate
      secret: {secretName: {{ . }}, defaultMode: 0440}
    {{- end }}
    {{- end }}
    {{- if $secret }}
    - name: secrets
      secret: {secretName: {{ $secret }}, defaultMode: 0440}
    {{- end }}
    {{- include "hookflash.extraVolumes" . | nindent 4 }}
    {{- if not .Values.persistence.enabled }}
    - name: data
      emptyDir: {}
    {{- else if not $bundled }}
    - name: data
      persistentVolumeClaim: {claimName: {{ .Values.persistence.existingClaim | default (printf "%s-data" (include "hookflash.fullname" .)) }}}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
{{- end }}
