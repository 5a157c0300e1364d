{{- /* Asterisk's choices: the user's, and what the values of the chart say about ports and certificates. */ -}}
{{- define "hookflash.choices" -}}
{{- $sip := dict "port" (int .Values.sip.port) "local_networks" .Values.sip.localNetworks }}
{{- if .Values.sip.tls.existingSecret }}
{{- $_ := set $sip "tls_port" (int .Values.sip.tls.port) }}
{{- $certificate := dict "certificate" "/etc/asterisk-certificate/tls.crt" "key" "/etc/asterisk-certificate/tls.key" }}
{{- if .Values.sip.tls.ownAuthorities }}
{{- $_ := set $certificate "authorities" "/etc/asterisk-certificate/ca.crt" }}
{{- end }}
{{- $_ := set $sip "certificate" $certificate }}
{{- end }}
{{- $own := dict "sip" $sip "rtp_start" (int .Values.rtp.start) "rtp_end" (int .Values.rtp.end)
    "http" (dict "port" (int .Values.asterisk.ariPort)) "container" true "music" "/usr/share/asterisk/moh" }}
{{- toYaml (mergeOverwrite (deepCopy .Values.asterisk.choices) $own) }}
{{- end }}

{{- /* What writes Asterisk's files, and Asterisk: a native sidecar, which starts before the engine and ends after it. */ -}}
{{- define "hookflash.asteriskContainers" -}}
{{- $exposure := .Values.sip.exposure }}
- name: asterisk-config
  image: {{ include "hookflash.image" (list .Values.image .Chart) }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args:
    - asterisk-config
    - /etc/asterisk
    - --force
    - --make-password=/run/hookflash/ari
    {{- if eq $exposure "loadBalancer" }}
    - --choices=/etc/hookflash/asterisk/$(POD_NAME).yaml
    {{- else }}
    - --choices=/etc/hookflash/asterisk/choices.yaml
    {{- end }}
    {{- if .Values.sip.externalAddress }}
    - --set=sip.external_address={{ .Values.sip.externalAddress }}
    {{- else if eq $exposure "hostPort" }}
    - --set=sip.external_address=$(NODE_ADDRESS)
    {{- end }}
  env:
    - {name: HOOKFLASH_CONFIG, value: /etc/hookflash/settings/hookflash.yaml}
    {{- if eq $exposure "loadBalancer" }}
    - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    {{- else if and (eq $exposure "hostPort") (not .Values.sip.externalAddress) }}
    - {name: NODE_ADDRESS, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
    {{- end }}
  resources:
    requests: {cpu: 50m, memory: 64Mi}
    limits: {memory: 256Mi}
  securityContext:
    {{- include "hookflash.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: settings, mountPath: /etc/hookflash/settings, readOnly: true}
    - {name: choices, mountPath: /etc/hookflash/asterisk, readOnly: true}
    - {name: asterisk-etc, mountPath: /etc/asterisk}
    - {name: ari, mountPath: /run/hookflash}
    {{- if include "hookflash.secret" . }}
    - {name: secrets, mountPath: /run/secrets/hookflash, readOnly: true}
    {{- end }}
- name: asterisk
  image: {{ include "hookflash.image" (list .Values.asterisk.image .Chart) }}
  imagePullPolicy: {{ .Values.asterisk.image.pullPolicy }}
  restartPolicy: Always
  ports:
    {{- include "hookflash.sipPorts" . | nindent 4 }}
  # ARI listens on 127.0.0.1 alone, where kubelet cannot ask: so the question is put inside.
  startupProbe:
    exec: {command: [asterisk, -rx, core waitfullybooted]}
    periodSeconds: 2
    timeoutSeconds: 10
    failureThreshold: 30
  livenessProbe:
    exec: {command: [asterisk, -rx, core show uptime]}
    periodSeconds: 20
    timeoutSeconds: 10
    failureThreshold: 3
  resources:
    {{- toYaml .Values.asterisk.resources | nindent 4 }}
  securityContext:
    {{- include "hookflash.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: asterisk-etc, mountPath: /etc/asterisk, readOnly: true}
    - {name: scratch, mountPath: /var/lib/asterisk, subPath: asterisk-lib}
    - {name: scratch, mountPath: /var/spool/asterisk, subPath: asterisk-spool}
    - {name: scratch, mountPath: /var/log/asterisk, subPath: asterisk-log}
    - {name: scratch, mountPath: /var/run/asterisk, subPath: asterisk-run}
    - {name: scratch, mountPath: /tmp, subPath: asterisk-tmp}
    {{- if .Values.sip.tls.existingSecret }}
    - {name: sip-certificate, mountPath: /etc/asterisk-certificate, readOnly: true}
    {{- end }}
{{- end }}

{{- /* The ports that are reached from outside the pod. Those of audio are named only where each needs an entry. */ -}}
{{- define "hookflash.sipPorts" -}}
{{- $node := eq .Values.sip.exposure "hostPort" }}
{{- $ports := list (list "sip-udp" "UDP" (int .Values.sip.port)) (list "sip-tcp" "TCP" (int .Values.sip.port)) }}
{{- if .Values.sip.tls.existingSecret }}
{{- $ports = append $ports (list "sips" "TCP" (int .Values.sip.tls.port)) }}
{{- end }}
{{- if $node }}
{{- range untilStep (int .Values.rtp.start) (int (add1 .Values.rtp.end)) 1 }}
{{- $ports = append $ports (list (printf "rtp-%d" .) "UDP" .) }}
{{- end }}
{{- end }}
{{- range $ports }}
- {name: {{ index . 0 }}, protocol: {{ index . 1 }}, containerPort: {{ index . 2 }}{{ if $node }}, hostPort: {{ index . 2 }}{{ end }}}
{{- end }}
{{- end }}
