package ceph

import (
	"fmt"
	"slices"
)

// Node is one node of the CRUSH tree.
type Node struct {
	ID       int
	Name     string
	Type     string // osd, host, rack, …
	Class    string // of an OSD
	Weight   Weight // CRUSH weight of an OSD
	Children []int
	parent   int
}

// Tree is the answer of osd tree.
type Tree struct{ nodes map[int]*Node }

const noParent = 1 << 30

// DecodeTree reads osd tree.
func DecodeTree(b []byte) (Tree, error) {
	const what = "osd tree"
	var in struct {
		Nodes *[]struct {
			ID       *int     `json:"id"`
			Name     string   `json:"name"`
			Type     string   `json:"type"`
			Class    string   `json:"device_class"`
			Weight   *float64 `json:"crush_weight"`
			Children []int    `json:"children"`
		} `json:"nodes"`
	}
	if err := unmarshal(what, b, &in); err != nil {
		return Tree{}, err
	}
	if in.Nodes == nil {
		return Tree{}, lacks(what, "nodes")
	}
	t := Tree{nodes: map[int]*Node{}}
	for _, n := range *in.Nodes {
		if n.ID == nil || n.Name == "" || n.Type == "" || n.Type == "osd" && n.Weight == nil {
			return Tree{}, lacks(what, "id, name, type or crush_weight of a node")
		}
		node := &Node{ID: *n.ID, Name: n.Name, Type: n.Type, Class: n.Class, Children: n.Children, parent: noParent}
		if n.Weight != nil {
			node.Weight = Weight(*n.Weight)
		}
		t.nodes[node.ID] = node
	}
	for _, n := range t.nodes {
		for _, c := range n.Children {
			if child := t.nodes[c]; child != nil {
				if child.parent != noParent {
					return Tree{}, fmt.Errorf("answer to %s: %s is in two places", what, child.Name)
				}
				child.parent = n.ID
			}
		}
	}
	return t, nil
}

// OSD finds an OSD.
func (t Tree) OSD(id int) (Node, bool) {
	if n := t.nodes[id]; n != nil && n.Type == "osd" {
		return *n, true
	}
	return Node{}, false
}

// Above are the buckets above a node, the nearest first. A tree with a loop in it ends the list.
func (t Tree) Above(id int) []Node {
	var out []Node
	n := t.nodes[id]
	for n != nil && n.parent != noParent && len(out) < len(t.nodes) {
		if n = t.nodes[n.parent]; n != nil {
			out = append(out, *n)
		}
	}
	return out
}

// Place is the CRUSH location of an OSD, as osd crush commands take it: root=default host=h1.
func (t Tree) Place(id int) []string {
	var out []string
	for _, n := range t.Above(id) {
		out = append(out, n.Type+"="+n.Name)
	}
	slices.Reverse(out)
	return out
}

// Domain is the bucket of the type above an OSD; the OSD itself for the type osd.
func (t Tree) Domain(id int, kind string) (int, bool) {
	if kind == "osd" {
		return id, true
	}
	for _, n := range t.Above(id) {
		if n.Type == kind {
			return n.ID, true
		}
	}
	return 0, false
}

// Under are the OSDs below the bucket with the name, of the class unless it is empty.
func (t Tree) Under(root, class string) []Node {
	var out []Node
	for _, n := range t.nodes {
		if n.Type != "osd" || class != "" && n.Class != class {
			continue
		}
		if slices.ContainsFunc(t.Above(n.ID), func(b Node) bool { return b.Name == root }) {
			out = append(out, *n)
		}
	}
	slices.SortFunc(out, func(a, b Node) int { return a.ID - b.ID })
	return out
}

// Rule is what matters of a CRUSH rule: from where it takes OSDs, and what keeps copies apart.
type Rule struct {
	ID     int
	Name   string
	Root   string
	Class  string
	Domain string // type of bucket of which each copy has its own
	Simple bool   // one take, one choose: the only form that room can be computed for
}

// DecodeRules reads osd crush rule dump.
func DecodeRules(b []byte) (map[int]Rule, error) {
	const what = "osd crush rule dump"
	var in []struct {
		ID    *int   `json:"rule_id"`
		Name  string `json:"rule_name"`
		Steps []struct {
			Op   string `json:"op"`
			Item string `json:"item_name"`
			Type string `json:"type"`
		} `json:"steps"`
	}
	if err := unmarshal(what, b, &in); err != nil {
		return nil, err
	}
	out := map[int]Rule{}
	for _, r := range in {
		if r.ID == nil || len(r.Steps) == 0 {
			return nil, lacks(what, "rule_id or steps")
		}
		rule := Rule{ID: *r.ID, Name: r.Name}
		takes, chooses := 0, 0
		for _, s := range r.Steps {
			switch s.Op {
			case "take":
				takes++
				rule.Root, rule.Class = cutClass(s.Item)
			case "chooseleaf_firstn", "chooseleaf_indep", "choose_firstn", "choose_indep":
				chooses++
				rule.Domain = s.Type
			}
		}
		rule.Simple = takes == 1 && chooses == 1 && rule.Root != "" && rule.Domain != ""
		out[rule.ID] = rule
	}
	return out, nil
}

// cutClass splits the name of a shadow bucket, such as default~hdd.
func cutClass(item string) (root, class string) {
	for i := range item {
		if item[i] == '~' {
			return item[:i], item[i+1:]
		}
	}
	return item, ""
}

// Host is the name of the host that an OSD is on, empty when the tree does not tell.
func (t Tree) Host(id int) string {
	for _, n := range t.Above(id) {
		if n.Type == "host" {
			return n.Name
		}
	}
	return ""
}

// Hosts are the names of all hosts with OSDs, in order.
func (t Tree) Hosts() []string {
	var out []string
	for _, n := range t.nodes {
		if n.Type == "host" && len(n.Children) > 0 {
			out = append(out, n.Name)
		}
	}
	slices.Sort(out)
	return out
}
