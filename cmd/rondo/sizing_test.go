package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSIZ01_SIZ03_TablesOfTheGuide(t *testing.T) {
	for users, want := range map[int][6]int{
		0: {8, 32, 100, 1, 1, 5}, 49: {8, 32, 100, 1, 1, 5}, 50: {12, 64, 200, 1, 5, 10}, 250: {12, 64, 200, 1, 5, 10}, 251: {16, 128, 500, 10, 10, 15},
		1000: {16, 128, 500, 10, 10, 15}, 1001: {20, 256, 1000, 10, 15, 0}, 5000: {20, 256, 1000, 10, 15, 0}, 5001: {24, 512, 2000, 10, 15, 0},
	} {
		s, ok := sizeFor(users)
		require.True(t, ok)
		require.Equal(t, want, [6]int{s.CPUs, s.MemoryGB, s.DiskGB, s.Gigabits, s.Clients, s.Upto}, "%d users", users)
		require.Equal(t, s.Band == "1001 to 5000", s.Note != "")
	}
	_, ok := sizeFor(-1)
	require.False(t, ok)
	require.Equal(t, exitUsage, run([]string{"sizing"}))
	require.Zero(t, run([]string{"sizing", "--users", "300"}))
}

func TestSIZ02_SmallClientWarns(t *testing.T) {
	require.NotEmpty(t, clientFacts{CPUs: 3}.warnings())
	require.NotEmpty(t, clientFacts{MachineMB: 15 << 10}.warnings())
	require.Empty(t, clientFacts{CPUs: 4, MachineMB: 16 << 10}.warnings())
}
