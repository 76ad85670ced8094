package netpol

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func pod(namespace, name, node, address string, l map[string]string, ports ...corev1.ContainerPort) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: l},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Ports: ports}}},
		Status:     corev1.PodStatus{PodIP: address, Phase: corev1.PodRunning},
	}
}

func selecting(l map[string]string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: l}
}

func cluster(spec networkingv1.NetworkPolicySpec) state {
	return state{
		node: "n1", dns: "10.9.9.9",
		namespaces: map[string]labels.Set{"a": {"team": "red"}, "b": {"team": "blue"}},
		pods: []*corev1.Pod{
			pod("a", "server", "n1", "10.0.0.1", map[string]string{"app": "server"}, corev1.ContainerPort{Name: "admin", ContainerPort: 8081}),
			pod("a", "client", "n2", "10.0.0.2", map[string]string{"app": "client"}),
			pod("b", "client", "n2", "10.0.0.3", map[string]string{"app": "client"}),
		},
		policies: []*networkingv1.NetworkPolicy{{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p"}, Spec: spec}},
	}
}

func TestRules(t *testing.T) {
	server := *selecting(map[string]string{"app": "server"})
	in, out := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}, []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
	admin, first, last := intstr.FromString("admin"), intstr.FromInt32(3000), int32(3009)
	peer := func(n, p *metav1.LabelSelector) []networkingv1.NetworkPolicyPeer {
		return []networkingv1.NetworkPolicyPeer{{NamespaceSelector: n, PodSelector: p}}
	}
	for name, c := range map[string]struct {
		spec   networkingv1.NetworkPolicySpec
		wanted string // the chain of the only isolated pod, or "" for none
	}{
		"nothing is allowed": {
			networkingv1.NetworkPolicySpec{PodSelector: server, PolicyTypes: in},
			"to-0 { # a/server\ndrop\n}",
		},
		"everything is allowed": {
			networkingv1.NetworkPolicySpec{PodSelector: server, PolicyTypes: in, Ingress: []networkingv1.NetworkPolicyIngressRule{{}}},
			"to-0 { # a/server\n return\ndrop\n}",
		},
		"pods of the policy's own namespace, a port by name": {
			networkingv1.NetworkPolicySpec{PodSelector: server, PolicyTypes: in, Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From: peer(nil, selecting(map[string]string{"app": "client"})), Ports: []networkingv1.NetworkPolicyPort{{Port: &admin}}}}},
			"to-0 { # a/server\nip saddr { 10.0.0.2 } tcp dport 8081 return\ndrop\n}",
		},
		"pods of another namespace, a range of ports": {
			networkingv1.NetworkPolicySpec{PodSelector: server, PolicyTypes: in, Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From: peer(selecting(map[string]string{"team": "blue"}), nil), Ports: []networkingv1.NetworkPolicyPort{{Port: &first, EndPort: &last}}}}},
			"to-0 { # a/server\nip saddr { 10.0.0.3 } tcp dport 3000-3009 return\ndrop\n}",
		},
		"egress to a block of addresses": {
			networkingv1.NetworkPolicySpec{PodSelector: server, PolicyTypes: out, Egress: []networkingv1.NetworkPolicyEgressRule{{
				To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "192.0.2.0/24", Except: []string{"192.0.2.1/32"}}}}}}},
			"from-0 { # a/server\nip daddr 192.0.2.0/24 ip daddr != { 192.0.2.1/32 }  return\ndrop\n}",
		},
		"pods of other nodes are not this node's to guard": {
			networkingv1.NetworkPolicySpec{PodSelector: *selecting(map[string]string{"app": "client"}), PolicyTypes: in},
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := script(cluster(c.spec))
			if c.wanted == "" {
				if strings.Contains(got, "vmap") {
					t.Errorf("no pod should be isolated:\n%s", got)
				}
			} else if !strings.Contains(got, "chain "+c.wanted+"\n") {
				t.Errorf("wanted %q in:\n%s", c.wanted, got)
			}
		})
	}
}
