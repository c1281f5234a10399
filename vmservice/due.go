package vmservice

import "container/heap"

// A dueList orders machines by when the next step is due.
type dueList []*machine

func (d dueList) Len() int           { return len(d) }
func (d dueList) Less(i, j int) bool { return d[i].next.Before(d[j].next) }
func (d dueList) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].place, d[j].place = i+1, j+1
}

// Push is that of heap.Interface.
func (d *dueList) Push(x any) {
	m, ok := x.(*machine)
	if ok {
		*d = append(*d, m)
		m.place = len(*d)
	}
}

// Pop is that of heap.Interface.
func (d *dueList) Pop() any {
	last := len(*d) - 1
	m := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	m.place = 0
	return m
}

func (d *dueList) add(m *machine) { heap.Push(d, m) }

// remove takes a machine out, if it is in.
func (d *dueList) remove(m *machine) {
	if m.place > 0 {
		heap.Remove(d, m.place-1)
	}
}
