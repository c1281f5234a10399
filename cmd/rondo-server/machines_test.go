package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
)

func TestVMS05_DLC05_MachinesSettings(t *testing.T) {
	const good = "url: https://ci\ndata: d\n"
	s, err := parseSettings([]byte(good + `
machines:
  provider: none
  prealloc_remote_docker: 2
  prealloc_machine: 3
  forecast: false
  classes: [{name: medium, vcpus: 2, price: 0.08}, {name: large, vcpus: 4, price: 0.16}]
  zones: [a, b]
  budgets: {all: {machines: 20, vcpus: 80, volumes: 30, gb: 3000, money: 50}, machine: {machines: 10}}
  dlc: {size_gb: 50, unused_days: 1.5, max_per_project: 7}
  leak_hours: 7
`))
	require.NoError(t, err)
	require.False(t, s.Machines.on())
	c := s.Machines.config()
	require.Equal(t, 2, c.Floors[0].Machines)
	require.Equal(t, ci.MachineForDocker, c.Floors[0].Model.Kind)
	require.Equal(t, 3, c.Floors[1].Machines)
	require.True(t, c.Boot.Fixed)
	require.Equal(t, vmservice.Class{Name: "large", VCPUs: 4, Price: 0.16}, c.Classes[1])
	require.Equal(t, vmservice.Budget{Machines: 20, VCPUs: 80, Volumes: 30, GB: 3000, Money: 50}, c.Budgets[""])
	require.Equal(t, 10, c.Budgets[ci.MachineForJob].Machines)
	require.Equal(t, vmservice.LayerConfig{GB: 50, Unused: 36 * time.Hour, PerProject: 7}, c.Layers)
	require.Equal(t, 7*time.Hour, c.Times.Leak)
	for text, want := range map[string]string{
		"{provider: azure}":                                    `machines.provider: "azure" is none of none, ec2`,
		"{listen: x}":                                          "machines.listen",
		"{prealloc_machine: -1}":                               "machines.prealloc_machine: -1",
		"{classes: [{vcpus: 1}]}":                              "number 1 has no name",
		"{classes: [{name: a}]}":                               "a needs vcpus of at least 1",
		"{budgets: {macos: {}}}":                               `"macos" is none of all`,
		"{budgets: {all: {gb: -1}}}":                           "a bound is negative",
		"{budgets: {all: {machines: 1}}, prealloc_machine: 2}": "fewer than the 2 that are to be kept ready",
		"{budgets: {all: {gb: 50}}}":                           "less than one volume of 100 GB",
		"{dlc: {size_gb: -1}}":                                 "machines.dlc",
		"{leak_hours: 0.5}":                                    "machines.leak_hours",
		"{prealloc_toasters: 1}":                               "key prealloc_toasters is not known",
	} {
		_, err := parseSettings([]byte(good + "machines: " + text + "\n"))
		require.ErrorContains(t, err, want, text)
	}
}
