// Package netpol enforces NetworkPolicies on a node whose pods are routed (CNI plugin ptp), with one nftables table.
package netpol

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// state is what the rules of a node follow from.
type state struct {
	node       string
	dns        string // CoreDNS' address: it is no pod here that a policy could select, so it is always allowed
	pods       []*corev1.Pod
	namespaces map[string]labels.Set
	policies   []*networkingv1.NetworkPolicy
}

// sort makes the rules a function of the state alone: a cache lists in no order.
func (s state) sort() {
	slices.SortFunc(s.pods, func(a, b *corev1.Pod) int { return cmp.Compare(a.UID, b.UID) })
	slices.SortFunc(s.policies, func(a, b *networkingv1.NetworkPolicy) int { return cmp.Compare(a.UID, b.UID) })
}

// script is the input of `nft -f` that replaces the node's rules, in one transaction.
//
// Only forwarded packets are looked at: what the node itself sends to its pods, the kubelet's probes above all, is
// always allowed. Answers pass because they belong to a connection that was allowed.
func script(s state) string {
	var chains strings.Builder
	from, to := map[string]string{}, map[string]string{} // the jumps, by the address of an isolated pod
	for i, pod := range s.pods {
		if pod.Spec.NodeName != s.node || !hasOwnAddress(pod) {
			continue
		}
		ingress, egress := s.policiesOf(pod)
		if len(ingress) > 0 {
			chain := fmt.Sprintf("to-%d", i)
			to[pod.Status.PodIP] = chain
			fmt.Fprintf(&chains, "chain %s { # %s/%s\n", chain, pod.Namespace, pod.Name)
			for _, p := range ingress {
				for _, r := range p.Spec.Ingress {
					s.allow(&chains, "saddr", p.Namespace, r.From, r.Ports, []*corev1.Pod{pod})
				}
			}
			chains.WriteString("drop\n}\n")
		}
		if len(egress) > 0 {
			chain := fmt.Sprintf("from-%d", i)
			from[pod.Status.PodIP] = chain
			fmt.Fprintf(&chains, "chain %s { # %s/%s\n", chain, pod.Namespace, pod.Name)
			for _, p := range egress {
				for _, r := range p.Spec.Egress {
					s.allow(&chains, "daddr", p.Namespace, r.To, r.Ports, nil)
				}
			}
			chains.WriteString("drop\n}\n")
		}
	}
	return "add table inet network-policy\ndelete table inet network-policy\ntable inet network-policy {\n" + chains.String() +
		"chain forward {\ntype filter hook forward priority filter + 10; policy accept;\nct state established,related accept\n" +
		"ip daddr " + s.dns + " meta l4proto { tcp, udp } th dport 53 accept\n" +
		jumps("saddr", from) + jumps("daddr", to) + "}\n}\n"
}

func jumps(side string, chains map[string]string) string {
	if len(chains) == 0 {
		return ""
	}
	var elements []string
	for _, address := range slices.Sorted(maps.Keys(chains)) {
		elements = append(elements, address+" : jump "+chains[address])
	}
	return fmt.Sprintf("ip %s vmap { %s }\n", side, strings.Join(elements, ", "))
}

// policiesOf gives the policies that isolate a pod in each direction.
func (s state) policiesOf(pod *corev1.Pod) (ingress, egress []*networkingv1.NetworkPolicy) {
	for _, p := range s.policies {
		if p.Namespace != pod.Namespace || !matches(&p.Spec.PodSelector, pod.Labels) {
			continue
		}
		if slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeIngress) {
			ingress = append(ingress, p)
		}
		if slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
			egress = append(egress, p)
		}
	}
	return ingress, egress
}

// allow writes the rules that let a packet return to the forward chain: those of one ingress or egress rule.
// Port names are looked up in targets, or, if that is nil, in the peers.
func (s state) allow(w *strings.Builder, side, namespace string, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, targets []*corev1.Pod) {
	if len(peers) == 0 {
		if targets == nil {
			targets = s.pods
		}
		for _, port := range portMatches(ports, targets) {
			fmt.Fprintf(w, "%s return\n", port)
		}
		return
	}
	for _, peer := range peers {
		if peer.IPBlock != nil {
			if prefix, err := netip.ParsePrefix(peer.IPBlock.CIDR); err != nil || !prefix.Addr().Is4() {
				continue
			}
			match := fmt.Sprintf("ip %s %s", side, peer.IPBlock.CIDR)
			if len(peer.IPBlock.Except) > 0 {
				match += fmt.Sprintf(" ip %s != { %s }", side, strings.Join(peer.IPBlock.Except, ", "))
			}
			for _, port := range portMatches(ports, targets) {
				fmt.Fprintf(w, "%s %s return\n", match, port)
			}
			continue
		}
		pods := s.peers(namespace, peer)
		if len(pods) == 0 {
			continue
		}
		var addresses []string
		for _, pod := range pods {
			addresses = append(addresses, pod.Status.PodIP)
		}
		named := targets
		if named == nil {
			named = pods
		}
		for _, port := range portMatches(ports, named) {
			fmt.Fprintf(w, "ip %s { %s } %s return\n", side, strings.Join(addresses, ", "), port)
		}
	}
}

// peers gives the pods that a peer selects: of the policy's own namespace where it selects no other.
func (s state) peers(namespace string, peer networkingv1.NetworkPolicyPeer) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, pod := range s.pods {
		inNamespace := pod.Namespace == namespace
		if peer.NamespaceSelector != nil {
			inNamespace = matches(peer.NamespaceSelector, s.namespaces[pod.Namespace])
		}
		if inNamespace && hasOwnAddress(pod) && (peer.PodSelector == nil || matches(peer.PodSelector, pod.Labels)) {
			pods = append(pods, pod)
		}
	}
	return pods
}

// portMatches gives one nftables expression for each port; no ports mean any.
func portMatches(ports []networkingv1.NetworkPolicyPort, named []*corev1.Pod) []string {
	if len(ports) == 0 {
		return []string{""}
	}
	var all []string
	for _, p := range ports {
		protocol := corev1.ProtocolTCP
		if p.Protocol != nil {
			protocol = *p.Protocol
		}
		l4 := strings.ToLower(string(protocol))
		switch {
		case p.Port == nil:
			all = append(all, "meta l4proto "+l4)
		case p.Port.Type == intstr.String:
			for _, number := range numbersOf(p.Port.StrVal, protocol, named) {
				all = append(all, fmt.Sprintf("%s dport %d", l4, number))
			}
		case p.EndPort != nil:
			all = append(all, fmt.Sprintf("%s dport %d-%d", l4, p.Port.IntVal, *p.EndPort))
		default:
			all = append(all, fmt.Sprintf("%s dport %d", l4, p.Port.IntVal))
		}
	}
	return all
}

func numbersOf(name string, protocol corev1.Protocol, pods []*corev1.Pod) []int32 {
	var numbers []int32
	for _, pod := range pods {
		for _, c := range pod.Spec.Containers {
			for _, p := range c.Ports {
				if p.Name == name && cmp.Or(p.Protocol, corev1.ProtocolTCP) == protocol {
					numbers = append(numbers, p.ContainerPort)
				}
			}
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

func hasOwnAddress(pod *corev1.Pod) bool {
	ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	return !ended && !pod.Spec.HostNetwork && pod.Status.PodIP != ""
}

func matches(selector *metav1.LabelSelector, set map[string]string) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(labels.Set(set))
}
