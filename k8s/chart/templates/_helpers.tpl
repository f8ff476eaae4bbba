{{/* Names and labels; no decisions. */}}

{{- define "aqueduct.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- define "aqueduct.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "aqueduct.name" .) -}}
{{- end }}

{{- define "aqueduct.selector" -}}
app.kubernetes.io/name: aqueduct
app.kubernetes.io/instance: {{ include "aqueduct.name" . }}
{{- end }}

{{/* Every pod of the release, also one that takes a savepoint. */}}
{{- define "aqueduct.pods" -}}
app.kubernetes.io/instance: {{ include "aqueduct.name" . }}
{{- end }}

{{- define "aqueduct.labels" -}}
{{ include "aqueduct.selector" . }}
app.kubernetes.io/component: {{ .Values.job.name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* include "aqueduct.meta" (dict "at" . "suffix" "-x" "wave" "-1" "labels" (dict) "annotations" (dict)) */}}
{{- define "aqueduct.meta" -}}
name: {{ .name | default (printf "%s%s" (include "aqueduct.name" .at) (.suffix | default "")) }}
namespace: {{ .at.Release.Namespace }}
labels:
  {{- include "aqueduct.labels" .at | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $annotations := .annotations | default dict }}
{{- if .at.Values.argocd.syncWaves }}
{{- $annotations = merge (dict "argocd.argoproj.io/sync-wave" .wave) $annotations }}
{{- end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "aqueduct.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Kubernetes would put a variable of its own in the place of $(NAME). */}}
{{- define "aqueduct.literal" -}}
{{- replace "$(" "$$(" . -}}
{{- end }}

{{/* What every command on the job needs: where it is, its name, its state, its variables. */}}
{{- define "aqueduct.job" -}}
- {{ ternary "/job" .Values.job.path (gt (len .Values.job.files) 0) }}
- --config=pipeline.name={{ .Values.job.name }}
- --checkpoint-dir={{ .Values.checkpointDir }}
{{- range $key, $value := .Values.settings }}
- {{ include "aqueduct.literal" (printf "--config=%s=%v" $key $value) | quote }}
{{- end }}
{{- range $key, $value := .Values.variables }}
- {{ include "aqueduct.literal" (printf "--set=%s=%v" $key $value) | quote }}
{{- end }}
{{- end }}

{{/* Secrets to mount: name -> Secret. */}}
{{- define "aqueduct.secretMounts" -}}
{{- $mounts := dict }}
{{- range $name, $mount := .Values.secretMounts }}
{{- $_ := set $mounts $name $mount.secretName }}
{{- end }}
{{- range $name, $keys := .Values.externalSecrets.secrets }}
{{- $_ := set $mounts $name (printf "%s-%s" (include "aqueduct.name" $) $name) }}
{{- end }}
{{- toYaml $mounts }}
{{- end }}

{{- define "aqueduct.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "aqueduct.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "aqueduct.env" -}}
{{- with .Values.identity.aws }}
{{- if .region }}
- {name: AWS_REGION, value: {{ .region | quote }}}
{{- end }}
{{- if .roleArn }}
- {name: AWS_ROLE_ARN, value: {{ .roleArn | quote }}}
- {name: AWS_ROLE_SESSION_NAME, value: {{ include "aqueduct.name" $ | quote }}}
- {name: AWS_WEB_IDENTITY_TOKEN_FILE, value: /identity/aws/token}
{{- end }}
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "aqueduct.mounts" -}}
- {name: state, mountPath: /var/lib/aqueduct}
- {name: tmp, mountPath: /tmp}
{{- if .Values.job.files }}
- {name: job, mountPath: /job, readOnly: true}
{{- end }}
{{- if .Values.identity.aws.roleArn }}
- {name: aws-token, mountPath: /identity/aws, readOnly: true}
{{- end }}
{{- range $name, $secret := fromYaml (include "aqueduct.secretMounts" .) }}
- {name: secret-{{ $name }}, mountPath: /secrets/{{ $name }}, readOnly: true}
{{- end }}
{{- end }}

{{- define "aqueduct.volumes" -}}
- name: state
  emptyDir: {{- .Values.stateVolume | toYaml | nindent 4 }}
- name: tmp
  emptyDir: {{- .Values.tmpVolume | toYaml | nindent 4 }}
{{- if .Values.job.files }}
- name: job
  configMap: {name: {{ include "aqueduct.name" . }}-job}
{{- end }}
{{- if .Values.identity.aws.roleArn }}
- name: aws-token
  projected:
    sources:
      - serviceAccountToken: {audience: {{ .Values.identity.aws.tokenAudience }}, expirationSeconds: 3600, path: token}
{{- end }}
{{- range $name, $secret := fromYaml (include "aqueduct.secretMounts" .) }}
- name: secret-{{ $name }}
  secret: {secretName: {{ $secret }}, defaultMode: 0440}
{{- end }}
{{- end }}
