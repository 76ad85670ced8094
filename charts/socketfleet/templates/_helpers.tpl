{{- define "socketfleet.name" -}}
socketfleet-operator
{{- end }}

{{/* Names of cluster-wide objects carry the namespace, so that two releases do not meet. */}}
{{- define "socketfleet.clusterName" -}}
{{ printf "%s:%s" .Release.Namespace (include "socketfleet.name" .) }}
{{- end }}

{{- define "socketfleet.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "socketfleet.name" .) }}
{{- end }}

{{- define "socketfleet.selector" -}}
app.kubernetes.io/name: socketfleet-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "socketfleet.labels" -}}
{{ include "socketfleet.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: socketfleet
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* What the operator does in the namespaces of the fleets. */}}
{{- define "socketfleet.fleetRules" -}}
- apiGroups: [socketfleet.io]
  resources: [socketfleets]
  verbs: [get, list, watch, patch]
- apiGroups: [socketfleet.io]
  resources: [socketfleets/status]
  verbs: [patch]
- apiGroups: [socketfleet.io]
  resources: [socketfleets/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [""]
  resources: [configmaps, secrets, services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
