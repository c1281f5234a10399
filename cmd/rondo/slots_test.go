package main

import (
	"strings"
	"testing"

	"github.com/rondo-ci/rondo/ci"
	"github.com/stretchr/testify/require"
)

// Free and used slots, by class and by node.
func TestTRB01_SlotsByClassAndNode(t *testing.T) {
	nodes := []ci.Node{
		{Name: "n1", State: "ready", CPU: 14, MemoryMB: 60 << 10, UsedCPU: 5, UsedMemoryMB: 10 << 10},
		{Name: "n2", State: "draining", Drain: true, CPU: 14, MemoryMB: 60 << 10},
		{Name: "n3", State: "down", CPU: 14, MemoryMB: 60 << 10},
		{Name: "n4", State: "ready", CPU: 6, MemoryMB: 9 << 10},
	}
	on := func(node, class, state string) ci.Trace {
		return ci.Trace{Node: node, State: state, Task: ci.Task{Class: class}}
	}
	placed := []ci.Trace{on("n1", "small", "running"), on("n1", "", "running"), on("n1", "medium", "running"), on("n1", "medium", "dead"), on("n2", "arm.large", "running"), on("", "small", "pending")}
	all, err := countSlots(nodes, placed, []string{"large", "small", "medium"})
	require.NoError(t, err)
	got := map[string][2]int{}
	for _, s := range all {
		got[s.Node+" "+s.Class] = [2]int{s.Used, s.Free}
	}
	require.Equal(t, map[string][2]int{
		"n1 small": {1, 9}, "n1 medium": {2, 4}, "n1 large": {0, 2},
		"n2 small": {0, 0}, "n2 medium": {0, 0}, "n2 large": {0, 0}, "n2 arm.large": {1, 0},
		"n3 small": {0, 0}, "n3 medium": {0, 0}, "n3 large": {0, 0},
		"n4 small": {0, 4}, "n4 medium": {0, 2}, "n4 large": {0, 1},
	}, got, "memory bounds the last one")
	require.Equal(t, "small", all[0].Class, "small ones first")

	s := newStand(t)
	out, errs, code := s.rondo("node slots")
	require.Equal(t, 0, code, errs)
	require.Regexp(t, `(?m)^ip-127-0-0-1 +medium +1 +0$`, out)
	_, errs, code = s.rondo("node slots --class huge")
	require.Equal(t, 2, code)
	require.True(t, strings.Contains(errs, `no resource class "huge"`), errs)
}
