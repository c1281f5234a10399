package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// A sizeOf is what the guide's tables say for a number of daily active users.
type sizeOf struct {
	Users    int    `json:"daily_active_users"`
	Band     string `json:"band"`
	CPUs     int    `json:"services_cpus"`
	MemoryGB int    `json:"services_memory_gb"`
	DiskGB   int    `json:"services_disk_gb"`
	Gigabits int    `json:"services_network_gbps"`
	Clients  int    `json:"clients_from"`
	Upto     int    `json:"clients_to,omitempty"` // 0 is no end
	Note     string `json:"note,omitempty"`
}

// sizes are the guide's two tables, services and clients, by the most users of
// each band.
var sizes = []struct {
	most int
	is   sizeOf
}{
	{49, sizeOf{Band: "fewer than 50", CPUs: 8, MemoryGB: 32, DiskGB: 100, Gigabits: 1, Clients: 1, Upto: 5}},
	{250, sizeOf{Band: "50 to 250", CPUs: 12, MemoryGB: 64, DiskGB: 200, Gigabits: 1, Clients: 5, Upto: 10}},
	{1000, sizeOf{Band: "251 to 1000", CPUs: 16, MemoryGB: 128, DiskGB: 500, Gigabits: 10, Clients: 10, Upto: 15}},
	{5000, sizeOf{
		Band: "1001 to 5000", CPUs: 20, MemoryGB: 256, DiskGB: 1000, Gigabits: 10, Clients: 15,
		Note: "the guide names no number of clients for this band; 15 is its number for the next one",
	}},
	{1 << 30, sizeOf{Band: "more than 5000", CPUs: 24, MemoryGB: 512, DiskGB: 2000, Gigabits: 10, Clients: 15}},
}

// sizeFor returns the band of a number of users, and whether there is one.
func sizeFor(users int) (sizeOf, bool) {
	for _, s := range sizes {
		if users >= 0 && users <= s.most {
			s.is.Users = users
			return s.is, true
		}
	}
	return sizeOf{}, false
}

func sizingCommand() *cobra.Command {
	var users int
	var asJSON bool
	cmd := &cobra.Command{
		Use: "sizing --users N", Short: "Say what machines the guide names for a number of daily active users", Args: cobra.NoArgs,
		Long: `Sizing looks into the guide's tables: the machine of the server, the number of
clients, and what a client must have. They are where to begin; 'rondo autoscale
recommend' says what your own builds take.`,
		Example: "  rondo sizing --users 300",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, ok := sizeFor(users)
			if !ok || !cmd.Flags().Changed("users") {
				return codeError{exitUsage, fmt.Errorf("how many people use it on a day? say --users N")}
			}
			if asJSON {
				return printJSON(s)
			}
			w := cmd.OutOrStdout()
			number := fmt.Sprintf("%d to %d", s.Clients, s.Upto)
			if s.Upto == 0 {
				number = fmt.Sprintf("%d or more", s.Clients)
			}
			fields(w, "Daily active users", s.Band,
				"Server", fmt.Sprintf("%d CPUs, %d GB, %d GB of disk, %d Gbit/s", s.CPUs, s.MemoryGB, s.DiskGB, s.Gigabits),
				"Clients", number,
				"Each client", fmt.Sprintf("at least %d CPUs, %d GB, %d GB of disk, 1 Gbit/s; at most %d CPUs, %d GB", leastCPU, leastMemoryMB>>10, leastDiskGB, mostCPU, mostMemoryMB>>10))
			if s.Note != "" {
				fmt.Fprintln(w, "\nNote: "+s.Note+".")
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&users, "users", 0, "daily active users")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
