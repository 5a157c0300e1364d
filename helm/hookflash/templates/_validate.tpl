{{- /* What the schema cannot say: values that do not fit together. Each message names the value and what to do. */ -}}
{{- define "hookflash.validate" -}}
{{- $v := .Values }}
{{- if eq $v.mode "external" }}
  {{- if gt (int $v.replicas) 1 }}
    {{- fail "replicas: mode external has one engine, since an Asterisk gives the calls of one application to the engine that connected last. Install a release for each engine, with its own settings.asterisk.app, and name them one after the other in the dialplan" }}
  {{- end }}
  {{- if not (dig "asterisk" "url" "" $v.settings) }}
    {{- fail "settings.asterisk.url: mode external needs the address of your Asterisk's HTTP server, such as https://pbx.example.com:8089" }}
  {{- end }}
  {{- if not (index $v.secrets.keys "asterisk.password") }}
    {{- fail "secrets.keys: mode external needs the key of your Secret that holds the ARI password: asterisk.password: ari-password" }}
  {{- end }}
{{- else }}
  {{- if dig "asterisk" "url" "" $v.settings }}
    {{- fail "settings.asterisk.url: mode bundled has its own Asterisk on 127.0.0.1; leave the address out, or set mode to external" }}
  {{- end }}
  {{- if index $v.secrets.keys "asterisk.password" }}
    {{- fail "secrets.keys: asterisk.password is made in the pod with mode bundled; leave it out" }}
  {{- end }}
  {{- if $v.persistence.existingClaim }}
    {{- fail "persistence.existingClaim: only with mode external; with mode bundled each pod has a claim of its own" }}
  {{- end }}
{{- end }}
{{- if ge (int $v.rtp.start) (int $v.rtp.end) }}
  {{- fail (printf "rtp.end: %d must be above rtp.start, %d" (int $v.rtp.end) (int $v.rtp.start)) }}
{{- end }}
{{- if eq $v.mode "bundled" }}
  {{- $ports := add1 (sub (int $v.rtp.end) (int $v.rtp.start)) }}
  {{- if and (has $v.sip.exposure (list "hostPort" "loadBalancer")) (gt (int $ports) 500) }}
    {{- fail (printf "rtp.end: %s lists each of the %d ports from rtp.start on, and 500 are the most; make the range smaller or use sip.exposure hostNetwork" $v.sip.exposure (int $ports)) }}
  {{- end }}
  {{- if and (eq $v.sip.exposure "loadBalancer") (ne (len $v.sip.loadBalancer.addresses) (int $v.replicas)) }}
    {{- fail (printf "sip.loadBalancer.addresses: %d given for %d replicas; each pod needs the public address that its load balancer has" (len $v.sip.loadBalancer.addresses) (int $v.replicas)) }}
  {{- end }}
  {{- if and (has $v.sip.exposure (list "sbc" "loadBalancer")) $v.sip.externalAddress }}
    {{- fail (printf "sip.externalAddress: not with sip.exposure %s (%s)" $v.sip.exposure (ternary "the SBC sees the pods' own addresses" "give sip.loadBalancer.addresses" (eq $v.sip.exposure "sbc"))) }}
  {{- end }}
  {{- if and $v.sip.externalAddress (gt (int $v.replicas) 1) }}
    {{- fail (printf "sip.externalAddress: one address cannot be that of %d pods; leave it out, or install a release for each" (int $v.replicas)) }}
  {{- end }}
  {{- range concat ($v.asterisk.choices.trunks | default list) ($v.asterisk.choices.phones | default list) }}
    {{- if and .password_file (not (include "hookflash.secret" $)) }}
      {{- fail (printf "asterisk.choices: password_file of %s is a file of secrets.existingSecret or secrets.externalSecret, and there is neither" .name) }}
    {{- end }}
  {{- end }}
  {{- if and $v.networkPolicy.enabled (eq $v.sip.exposure "hostNetwork") }}
    {{- fail "networkPolicy.enabled: has no effect on pods with sip.exposure hostNetwork; use the firewall of the nodes, or another exposure" }}
  {{- end }}
  {{- $taken := list (int $v.sip.port) (int $v.sip.tls.port) (int $v.asterisk.ariPort) (int $v.http.port) }}
  {{- if ne (len ($taken | uniq)) 4 }}
    {{- fail (printf "http.port, asterisk.ariPort, sip.port and sip.tls.port must differ: %v" $taken) }}
  {{- end }}
  {{- range $taken }}
    {{- if and (ge . (int $v.rtp.start)) (le . (int $v.rtp.end)) }}
      {{- fail (printf "rtp: the range %d-%d holds port %d, which http.port, asterisk.ariPort or sip.port uses" (int $v.rtp.start) (int $v.rtp.end) .) }}
    {{- end }}
  {{- end }}
  {{- if and $v.sip.tls.ownAuthorities (not $v.sip.tls.existingSecret) }}
    {{- fail "sip.tls.existingSecret: sip.tls.ownAuthorities is its ca.crt, and there is no Secret" }}
  {{- end }}
  {{- if and (or (kindIs "map" $v.asterisk.choices.teams) (include "hookflash.tlsTrunks" .)) (not $v.sip.tls.existingSecret) }}
    {{- fail "sip.tls.existingSecret: Teams and trunks with transport tls need a certificate" }}
  {{- end }}
{{- end }}
{{- if and $v.flows.inline $v.flows.existingConfigMap }}
  {{- fail "flows.existingConfigMap: give either this or flows.inline" }}
{{- end }}
{{- if and $v.flows.items (not $v.flows.existingConfigMap) (not $v.flows.inline) }}
  {{- fail "flows.items: names files of flows.inline or flows.existingConfigMap, and there is neither" }}
{{- end }}
{{- if and $v.secrets.existingSecret $v.secrets.externalSecret.enabled }}
  {{- fail "secrets.existingSecret: give either this or secrets.externalSecret" }}
{{- end }}
{{- if and $v.secrets.keys (not (include "hookflash.secret" .)) }}
  {{- fail "secrets.existingSecret: secrets.keys names keys of a Secret, and there is none" }}
{{- end }}
{{- if $v.secrets.externalSecret.enabled }}
  {{- if not $v.secrets.externalSecret.store.name }}
    {{- fail "secrets.externalSecret.store.name: which store?" }}
  {{- end }}
  {{- $made := list }}
  {{- range $v.secrets.externalSecret.data }}{{ $made = append $made .secretKey }}{{ end }}
  {{- range $setting, $key := $v.secrets.keys }}
    {{- if not (has $key $made) }}
      {{- fail (printf "secrets.keys: %s is in the key %s, which secrets.externalSecret.data does not make" $setting $key) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if and $v.ingress.enabled (not $v.ingress.host) }}
  {{- fail "ingress.host: an Ingress without a host would answer for every name" }}
{{- end }}
{{- if and $v.httpRoute.enabled (or (not $v.httpRoute.parentRefs) (not $v.httpRoute.hostnames)) }}
  {{- fail "httpRoute.parentRefs: an HTTPRoute needs a gateway, and hostnames" }}
{{- end }}
{{- if and (or $v.ingress.enabled $v.httpRoute.enabled) (gt (int $v.replicas) 1) }}
  {{- fail (printf "replicas: not %d with ingress or httpRoute, which spread requests over the pods, while tokens, sessions, live calls and recordings belong to one of them. Install a release for each engine, with replicas 1 and a host of its own" (int $v.replicas)) }}
{{- end }}
{{- if and $v.networkPolicy.enabled (eq $v.mode "external") (has (dig "asterisk" "media" "auto" $v.settings) (list "audiosocket" "rtp")) }}
  {{- fail (printf "networkPolicy.enabled: with settings.asterisk.media %s Asterisk connects to ports that the engine takes as they are free, which no policy can name: nobody would hear anything. Use media websocket, whose connections the engine opens, or write a policy of your own" $v.settings.asterisk.media) }}
{{- end }}
{{- if and $v.prometheusRule.enabled (not $v.serviceMonitor.enabled) }}
  {{- fail "prometheusRule.enabled: the alerts count what the ServiceMonitor reads; enable serviceMonitor, too" }}
{{- end }}
{{- end }}

{{- define "hookflash.tlsTrunks" -}}
{{- range .Values.asterisk.choices.trunks }}{{ if eq (.transport | default "udp") "tls" }}yes{{ end }}{{ end }}
{{- end }}
