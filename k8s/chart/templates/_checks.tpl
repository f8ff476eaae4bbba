{{/* What the schema cannot say: refused with the reason. */}}
{{- define "aqueduct.checks" -}}
{{- if gt (int .Values.replicas) 1 }}
{{- fail (printf "replicas: %d: one process per job. A second process on the same job claims its state and fences the first, which stops with exit code 5; two would fence each other for ever and neither would be faster. For more speed give the one pod more cores and raise 'parallelism'; for another job make another release." (int .Values.replicas)) }}
{{- end }}
{{- if not .Values.checkpointDir }}
{{- fail "checkpointDir: name a folder in a bucket, such as gs://my-checkpoints/aqueduct. Without one the state would lie in the pod and be lost with it." }}
{{- end }}
{{- if and (eq .Values.upgradeMode "savepoint") (not .Values.savepointDir) }}
{{- fail "upgradeMode: savepoint needs savepointDir: the folder that savepoints are written to before each upgrade." }}
{{- end }}
{{- if and (eq .Values.upgradeMode "stateless") (not .Values.stateless.newName) }}
{{- fail "upgradeMode: stateless needs a new job.name, one that was never used in this checkpointDir: state is kept by name, and nothing here deletes any. Say stateless.newName: true when it is new." }}
{{- end }}
{{- if and (eq .Values.upgradeMode "stateless") .Values.initialSavepoint }}
{{- fail "upgradeMode: stateless and initialSavepoint contradict each other: take one out." }}
{{- end }}
{{- range $name, $keys := .Values.externalSecrets.secrets }}
{{- if not $.Values.externalSecrets.store.name }}
{{- fail "externalSecrets.secrets needs externalSecrets.store.name: the SecretStore or ClusterSecretStore that holds them." }}
{{- end }}
{{- if hasKey $.Values.secretMounts $name }}
{{- fail (printf "'%s' stands in secretMounts and in externalSecrets.secrets: both would be mounted at /secrets/%s." $name $name) }}
{{- end }}
{{- end }}
{{- end }}
